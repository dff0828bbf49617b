//! What is asked for, as authorizers see it.

/// A request, without the user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attributes {
    /// Something of the API: `/api/v1/namespaces/…`.
    Resource(ResourceAttributes),
    /// Anything else: `/healthz`, `/apis`.
    NonResource {
        /// The method in lower case: `get`, `post`.
        verb: String,
        /// The path, as it was asked for.
        path: String,
    },
}

/// The request for a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResourceAttributes {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or a special one.
    pub verb: String,
    /// API group, empty for core.
    pub group: String,
    /// Version.
    pub version: String,
    /// Plural name.
    pub resource: String,
    /// Subresource, or empty.
    pub subresource: String,
    /// Namespace, empty for all or none.
    pub namespace: String,
    /// Name of the object, empty where there is none (create, list).
    pub name: String,
    /// What the field selector of a list, watch or deletecollection demands; all of it holds. Empty where there is no
    /// selector, or none that could be read: an authorizer may only ever allow more because of a requirement.
    pub field_selector: Vec<Requirement>,
    /// The same of the label selector.
    pub label_selector: Vec<Requirement>,
}

/// One demand of a field or label selector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// `spec.nodeName`, `metadata.name`, or a label's key.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what: one value for the comparisons, none for [`Operator::Exists`] and its opposite.
    pub values: Vec<String>,
}

/// How a [`Requirement`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `=` and `==`.
    Equals,
    /// `!=`.
    NotEquals,
    /// `in (…)`.
    In,
    /// `notin (…)`.
    NotIn,
    /// The key alone.
    Exists,
    /// `!` and the key.
    DoesNotExist,
    /// `>`.
    GreaterThan,
    /// `<`.
    LessThan,
}

impl Attributes {
    /// The verb of either kind.
    #[must_use]
    pub fn verb(&self) -> &str {
        match self {
            Self::Resource(resource) => &resource.verb,
            Self::NonResource { verb, .. } => verb,
        }
    }

    /// The namespace, empty where there is none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        match self {
            Self::Resource(resource) => &resource.namespace,
            Self::NonResource { .. } => "",
        }
    }
}

impl Requirement {
    /// `key=value`.
    pub fn equals(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            operator: Operator::Equals,
            values: vec![value.into()],
        }
    }
}

impl ResourceAttributes {
    /// Whether the field selector lets through only objects that have this value in this field.
    #[must_use]
    pub fn selects_only(&self, field: &str, value: &str) -> bool {
        self.field_selector
            .iter()
            .any(|each| each.operator == Operator::Equals && each.key == field && each.values.as_slice() == [value])
    }
}
