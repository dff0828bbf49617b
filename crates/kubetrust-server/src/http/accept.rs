//! In which form an answer is wanted (`Accept`), as kube-apiserver negotiates it.

use http::HeaderMap;
use http::header::ACCEPT;
use kubetrust_api::status::Status;

/// Most media types of one request that are looked at.
const MAX_CLAUSES: usize = 32;

/// How the object is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`
    #[default]
    Json,
    /// `application/yaml`
    Yaml,
}

/// What it is turned into first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// The object itself.
    #[default]
    Object,
    /// `as=Table;g=meta.k8s.io;v=v1`
    Table,
    /// `as=PartialObjectMetadata` or `…List`
    Metadata,
}

/// The outcome of the negotiation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// How it is written.
    pub encoding: Encoding,
    /// What it is turned into.
    pub form: Form,
    /// Whether it was asked for with `pretty`.
    pub pretty: bool,
}

impl Encoding {
    /// The media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
        }
    }
}

/// One `type/subtype;parameter=value` of a header.
#[derive(Debug, PartialEq)]
pub struct Clause<'a> {
    /// `application/json`
    pub media_type: &'a str,
    /// Its parameters, without the quality.
    pub parameters: Vec<(&'a str, &'a str)>,
    quality: f32,
}

impl Clause<'_> {
    /// The value of a parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> &str {
        self.parameters
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value)
    }
}

/// The clauses of the `Accept` headers, best first; equal ones in the order that they came in.
pub fn clauses(headers: &HeaderMap) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .take(MAX_CLAUSES)
        .filter_map(clause)
        .collect();
    clauses.sort_by(|one, other| other.quality.total_cmp(&one.quality));
    clauses
}

fn clause(text: &str) -> Option<Clause<'_>> {
    let mut parts = text.split(';').map(str::trim);
    let media_type = parts.next().filter(|media_type| !media_type.is_empty())?;
    let mut quality = 1.0;
    let mut parameters = Vec::new();
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value.trim_matches('"');
        if key == "q" {
            quality = value.parse().unwrap_or(0.0);
        } else {
            parameters.push((key, value));
        }
    }
    (quality > 0.0).then_some(Clause {
        media_type,
        parameters,
        quality,
    })
}

/// What to answer with; 406 where the client takes nothing that is spoken here.
pub fn negotiate(headers: &HeaderMap, list: bool) -> Result<Wanted, Status> {
    if !headers.contains_key(ACCEPT) {
        return Ok(Wanted::default());
    }
    clauses(headers)
        .iter()
        .find_map(|clause| wanted(clause, list))
        .ok_or_else(not_acceptable)
}

fn wanted(clause: &Clause<'_>, list: bool) -> Option<Wanted> {
    let encoding = match clause.media_type {
        "application/json" | "*/*" | "application/*" => Encoding::Json,
        "application/yaml" => Encoding::Yaml,
        _ => return None,
    };
    let group_version = (clause.parameter("g"), clause.parameter("v"));
    let meta = matches!(group_version, ("meta.k8s.io", "v1" | "v1beta1"));
    let form = match clause.parameter("as") {
        "" => Form::Object,
        "Table" if meta => Form::Table,
        "PartialObjectMetadata" if meta && !list => Form::Metadata,
        "PartialObjectMetadataList" if meta && list => Form::Metadata,
        _ => return None,
    };
    Some(Wanted {
        encoding,
        form,
        pretty: clause.parameter("pretty") == "1",
    })
}

/// 406, as upstream words it.
#[must_use]
pub fn not_acceptable() -> Status {
    Status::new(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json, application/yaml, application/json;stream=watch",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(accept: &str, list: bool) -> Option<Wanted> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        negotiate(&headers, list).ok()
    }

    #[test]
    fn the_best_form_that_is_spoken_is_chosen() {
        let json = Wanted::default();
        let table = Wanted {
            form: Form::Table,
            ..json
        };
        for (accept, list, want) in [
            ("application/json", false, Some(json)),
            ("*/*", false, Some(json)),
            (
                "application/yaml",
                false,
                Some(Wanted {
                    encoding: Encoding::Yaml,
                    ..json
                }),
            ),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                true,
                Some(table),
            ),
            (
                "application/json;as=Table;v=v7;g=meta.k8s.io,application/json",
                true,
                Some(json),
            ),
            (
                "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
                true,
                Some(Wanted {
                    form: Form::Metadata,
                    ..json
                }),
            ),
            (
                "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
                true,
                None,
            ),
            ("application/vnd.kubernetes.protobuf,application/json", true, Some(json)),
            ("application/vnd.kubernetes.protobuf", true, None),
            (
                "application/json;q=0.1,application/yaml;q=0.9",
                false,
                Some(Wanted {
                    encoding: Encoding::Yaml,
                    ..json
                }),
            ),
            ("application/json;q=0", false, None),
            ("", false, None),
            (";;;=,,", false, None),
        ] {
            assert_eq!(ask(accept, list), want, "{accept}");
        }
        assert_eq!(negotiate(&HeaderMap::new(), true).unwrap(), json);
    }
}
