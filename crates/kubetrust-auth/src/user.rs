//! Who a request comes from.

use std::collections::BTreeMap;

/// Group of everyone who proved who they are.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Group of everyone who did not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// User name of a request without credentials.
pub const ANONYMOUS: &str = "system:anonymous";
/// Group that may do everything.
pub const MASTERS: &str = "system:masters";
/// Group of all nodes.
pub const NODES: &str = "system:nodes";
/// Prefix of a node's user name.
pub const NODE_PREFIX: &str = "system:node:";
/// Prefix of a service account's user name: `system:serviceaccount:NAMESPACE:NAME`.
pub const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
/// Group of all service accounts, and with `:NAMESPACE` of those of one namespace.
pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// Extra key that names the credential: `X509SHA256=…` or `JTI=…`.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
/// Extra keys of a bound service-account token.
pub const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
/// UID of the bound pod.
pub const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
/// Name of the node that the token is bound to, or that its pod runs on.
pub const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// UID of that node.
pub const NODE_UID: &str = "authentication.kubernetes.io/node-uid";

/// An identity, as the authenticators and impersonation make it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct User {
    /// User name.
    pub name: String,
    /// UID, empty where the scheme has none.
    pub uid: String,
    /// Groups, in the order of the scheme.
    pub groups: Vec<String>,
    /// Everything else that a scheme has to say.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// The identity of a request that presented nothing.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            name: ANONYMOUS.into(),
            groups: vec![UNAUTHENTICATED.into()],
            ..Self::default()
        }
    }

    /// Whether this is a request that presented nothing.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.name == ANONYMOUS
    }

    /// Whether the user is in a group.
    #[must_use]
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|each| each == group)
    }

    /// The node that this user is, by name prefix and group both, as the Node authorizer reads it.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.name
            .strip_prefix(NODE_PREFIX)
            .filter(|name| !name.is_empty() && self.in_group(NODES))
    }

    /// Namespace and name of the service account that this user is.
    #[must_use]
    pub fn service_account(&self) -> Option<(&str, &str)> {
        let (namespace, name) = self.name.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
        (!namespace.is_empty() && !name.is_empty()).then_some((namespace, name))
    }
}
