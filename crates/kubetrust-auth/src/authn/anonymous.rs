//! Requests that prove nothing (`--anonymous-auth`, and `anonymous` of an `AuthenticationConfiguration`).

use std::collections::HashSet;

use serde::Deserialize;

use super::file::FileError;
use super::verdict::Declined;

/// How many paths conditions may list.
const PATHS_LIMIT: usize = 1024;

/// Whether, and where, a request without credentials is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// Nowhere (`--anonymous-auth=false`).
    Off,
    /// Everywhere, which is Kubernetes' default: authorization decides what it may do.
    #[default]
    Everywhere,
    /// On exactly these paths.
    Paths(HashSet<String>),
}

impl Anonymous {
    /// Whether a request for `path` may go on as `system:anonymous`.
    pub fn admits(&self, path: &str) -> Result<(), Declined> {
        match self {
            Self::Off => Err(Declined::AnonymousOff),
            Self::Everywhere => Ok(()),
            Self::Paths(paths) if paths.contains(path) => Ok(()),
            Self::Paths(_) => Err(Declined::AnonymousPath),
        }
    }

    /// Reads the `anonymous` of an `AuthenticationConfiguration` (`apiserver.config.k8s.io`). Other authenticators in
    /// it are an error, since passing them over would leave out what its author relies on.
    pub fn from_configuration(file: &str, text: &str) -> Result<Self, FileError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Configuration {
            api_version: String,
            kind: String,
            anonymous: Option<Section>,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Section {
            enabled: bool,
            #[serde(default)]
            conditions: Vec<Condition>,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Condition {
            path: String,
        }

        let fault = |fault: String| FileError::whole(file, fault);
        let configuration: Configuration = serde_saphyr::from_str(text)
            .map_err(|error| fault(error.to_string().lines().next().unwrap_or_default().to_owned()))?;
        let known = ["v1", "v1beta1", "v1alpha1"].map(|version| format!("apiserver.config.k8s.io/{version}"));
        if configuration.kind != "AuthenticationConfiguration" || !known.contains(&configuration.api_version) {
            return Err(fault(format!(
                "it is {} {}; write apiVersion: {} and kind: AuthenticationConfiguration",
                configuration.api_version, configuration.kind, known[0]
            )));
        }
        match configuration.anonymous {
            None => Ok(Self::default()),
            Some(section) if !section.enabled && !section.conditions.is_empty() => Err(fault(
                "anonymous.conditions: enabled should be set to true when conditions are defined".into(),
            )),
            Some(section) if !section.enabled => Ok(Self::Off),
            Some(section) if section.conditions.is_empty() => Ok(Self::Everywhere),
            Some(section) if section.conditions.len() > PATHS_LIMIT => {
                Err(fault(format!("anonymous.conditions: more than {PATHS_LIMIT} paths")))
            }
            Some(section) => Ok(Self::Paths(
                section.conditions.into_iter().map(|each| each.path).collect(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(anonymous: &str) -> Result<Anonymous, FileError> {
        Anonymous::from_configuration(
            "auth.yaml",
            &format!("apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n{anonymous}"),
        )
    }

    #[test]
    fn conditions_open_exactly_their_paths() {
        let open = read("anonymous: {enabled: true, conditions: [{path: /livez}, {path: /readyz}]}").unwrap();
        for (path, admitted) in [
            ("/livez", Ok(())),
            ("/readyz", Ok(())),
            ("/livez/", Err(Declined::AnonymousPath)),
            ("/livez/ping", Err(Declined::AnonymousPath)),
            ("/LIVEZ", Err(Declined::AnonymousPath)),
            ("//livez", Err(Declined::AnonymousPath)),
            ("", Err(Declined::AnonymousPath)),
        ] {
            assert_eq!(open.admits(path), admitted, "{path}");
        }
    }

    #[test]
    fn it_is_on_unless_it_is_switched_off() {
        assert_eq!(read("").unwrap(), Anonymous::Everywhere);
        assert_eq!(read("anonymous: {enabled: true}").unwrap(), Anonymous::Everywhere);
        let off = read("anonymous: {enabled: false}").unwrap();
        assert_eq!(off.admits("/livez"), Err(Declined::AnonymousOff));
    }

    #[test]
    fn what_it_cannot_honour_is_an_error() {
        for text in [
            "anonymous: {enabled: false, conditions: [{path: /livez}]}",
            "anonymous: {conditions: []}",
            "anonymous: {enabled: true, condition: []}",
            "jwt: []",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(Anonymous::from_configuration("f", "apiVersion: v1\nkind: AuthenticationConfiguration\n").is_err());
    }
}
