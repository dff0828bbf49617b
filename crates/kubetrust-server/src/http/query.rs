//! The query of a request, decoded once.

use percent_encoding::percent_decode_str;

/// Most parameters that are looked at.
const MAX_PARAMETERS: usize = 256;

/// Decoded parameters, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query; pairs that are no UTF-8 are left out.
    #[must_use]
    pub fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).take(MAX_PARAMETERS);
        Self(
            pairs
                .filter_map(|pair| {
                    pair.split_once('=').map_or_else(
                        || Some((decoded(pair)?, String::new())),
                        |(key, value)| Some((decoded(key)?, decoded(value)?)),
                    )
                })
                .collect(),
        )
    }

    /// The first value of a parameter, empty where it is not there.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    /// Whether a parameter is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A switch: there and neither `0` nor `false`.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.has(name) && !matches!(self.get(name), "0" | "false")
    }
}

fn decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .ok()
        .map(std::borrow::Cow::into_owned)
}
