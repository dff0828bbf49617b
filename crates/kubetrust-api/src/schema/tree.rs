//! A schema as a tree, for walking along an object.

use super::builtin;

/// The JSON type of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Type {
    /// Any value.
    #[default]
    Any,
    /// An object: one with fields, or a map, or any.
    Object,
    /// A list.
    Array,
    /// Text.
    String,
    /// A number without fraction.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// `intstr.IntOrString`: a 32-bit number, or text.
    IntOrString,
    /// `resource.Quantity`: text, or a number.
    Quantity,
}

/// What more is known of a text or a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Nothing.
    #[default]
    None,
    /// A 32-bit number.
    Int32,
    /// A 64-bit number.
    Int64,
    /// A floating-point number.
    Double,
    /// Base64.
    Byte,
    /// `meta/v1 Time`: RFC 3339.
    DateTime,
    /// `meta/v1 MicroTime`: RFC 3339 with six digits of a second.
    MicroTime,
}

/// How server-side apply, and its checks of duplicates, see a list or a map (`x-kubernetes-list-type`, `-map-type`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    /// Nothing is said: of a list, it is atomic; of an object, it is granular.
    #[default]
    Undeclared,
    /// Replaced as a whole.
    Atomic,
    /// A list of scalars without duplicates.
    Set,
    /// A list of objects that these fields tell apart.
    Map(Box<[Box<str>]>),
}

/// How a strategic merge patch merges a field (`x-kubernetes-patch-strategy`, `-patch-merge-key`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// Whether a list is merged, and not replaced.
    pub merge: bool,
    /// The field that tells the objects of a merged list apart; empty for lists of scalars.
    pub merge_key: Box<str>,
    /// Whether `$retainKeys` clears the fields that it does not name.
    pub retain_keys: bool,
    /// Whether an object is replaced, and not merged.
    pub replace: bool,
}

/// What a value must look like.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// Its JSON type.
    pub kind: Type,
    /// What more is known of a text or a number.
    pub format: Format,
    /// Any fields may stand in this object besides the [`Schema::properties`]
    /// (`x-kubernetes-preserve-unknown-fields`).
    pub preserve_unknown: bool,
    /// The value is an object of some kind, with metadata (`x-kubernetes-embedded-resource`).
    pub embedded: bool,
    /// Null is a value.
    pub nullable: bool,
    /// The fields of an object, sorted by name.
    pub properties: Box<[(Box<str>, Link)]>,
    /// Fields that must be there, sorted.
    pub required: Box<[Box<str>]>,
    /// Of a list: its items.
    pub items: Option<Link>,
    /// Of a map: its values.
    pub additional: Option<Link>,
    /// The only values of a text; empty for any.
    pub values: Box<[Box<str>]>,
    /// How server-side apply merges it.
    pub list_type: ListType,
    /// How a strategic merge patch merges it.
    pub patch: PatchStrategy,
}

/// A schema within a schema.
#[derive(Clone, Debug)]
pub enum Link {
    /// Its own.
    Inline(Box<Schema>),
    /// A definition of the built-in document, by its number.
    Definition(u16),
}

impl Default for Link {
    fn default() -> Self {
        Self::Inline(Box::default())
    }
}

impl Link {
    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        match self {
            Self::Inline(schema) => schema,
            Self::Definition(number) => builtin::definition(*number),
        }
    }
}

impl Schema {
    /// The schema of a field.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Schema> {
        let at = self
            .properties
            .binary_search_by(|(known, _)| known.as_ref().cmp(name))
            .ok()?;
        self.properties.get(at).map(|(_, link)| link.schema())
    }

    /// The schema of a field, or of the values if it is a map.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Schema> {
        self.property(name).or_else(|| self.values_of_map())
    }

    /// Every field with its schema, by name.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Schema)> {
        self.properties
            .iter()
            .map(|(name, link)| (name.as_ref(), link.schema()))
    }

    /// Of a list: the schema of its items.
    pub fn items(&self) -> Option<&Schema> {
        self.items.as_ref().map(Link::schema)
    }

    /// Of a map: the schema of its values.
    pub fn values_of_map(&self) -> Option<&Schema> {
        self.additional.as_ref().map(Link::schema)
    }

    /// Whether an object may have fields that [`Schema::field`] has no schema for: those of embedded objects, raw
    /// extensions and managed fields.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self.kind {
            Type::Any => true,
            Type::Object => self.preserve_unknown || (self.properties.is_empty() && self.additional.is_none()),
            _ => false,
        }
    }
}
