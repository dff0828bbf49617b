//! Strategic merge patch, as `apimachinery/pkg/util/strategicpatch` applies it: objects merge, and lists do too where the
//! schema says by what key. Directives in the patch (`$patch`, `$retainKeys`, `$setElementOrder/…`,
//! `$deleteFromPrimitiveList/…`) say what merging alone can't.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::{schema::Schema, status::Status, validate::field::go_plain};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const SET_ORDER: &str = "$setElementOrder";

/// Why a patch does not apply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// `$deleteFromPrimitiveList` without a field.
    #[error("invalid patch format of primitive list")]
    PrimitiveList,
    /// `$retainKeys` is no list, or lacks a field of the patch.
    #[error("invalid patch format of retainKeys")]
    RetainKeys,
    /// `$setElementOrder` without a field.
    #[error("invalid patch format of setElementOrder list")]
    SetElementOrder,
    /// Lists of lists can't be merged.
    #[error("lists of lists are not supported")]
    ListOfLists,
    /// What is merged by a key does not have it.
    #[error("map: {0} does not contain declared merge key: {1}")]
    NoMergeKey(String, String),
    /// The list's items are objects, and the schema has no key.
    #[error("cannot merge lists without merge key for {0}")]
    NoDeclaredKey(String),
    /// An unknown `$patch`.
    #[error("unknown patch type: {0} in map: {1}")]
    UnknownDirective(String, String),
    /// `$patch: merge` in a list.
    #[error("merging lists cannot yet be specified in the patch")]
    MergeInList,
    /// A list of several types.
    #[error("list element types are not identical: {0}")]
    MixedList(String),
    /// A list where an object is, or the other way round.
    #[error("expected a {expected}, but received a {found}")]
    WrongType {
        /// As Go names it.
        expected: &'static str,
        /// As Go names it.
        found: &'static str,
    },
    /// The list contradicts its `$setElementOrder`.
    #[error("The order in patch list:\n{0}\n doesn't match $setElementOrder list:\n{1}\n")]
    OrderMismatch(String, String),
}

impl Fault {
    /// The answer. Upstream answers 500 to the faults that it has no code for; they are the client's, so 422 here.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::PrimitiveList | Self::RetainKeys | Self::SetElementOrder => Status::bad_request(self.to_string()),
            Self::ListOfLists => super::does_not_apply(),
            _ => Status::new(422, "Invalid", self.to_string()),
        }
    }
}

type Object = Map<String, Value>;

/// The object as changed by this patch. What the schema does not know is merged as objects and atomic lists are.
pub fn apply(object: Value, patch: &Value, schema: Option<&Schema>) -> Result<Value, Fault> {
    let object = match object {
        Value::Object(object) => object,
        _ => Object::new(),
    };
    let patch = patch.as_object().cloned().unwrap_or_default();
    merge_map(object, patch, schema).map(Value::Object)
}

fn merge_map(mut object: Object, mut patch: Object, schema: Option<&Schema>) -> Result<Object, Fault> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => {
                patch.shift_remove(DIRECTIVE);
                Ok(patch)
            }
            Some("delete") => Ok(Object::new()),
            _ => Err(Fault::UnknownDirective(
                go_plain(directive),
                go_plain(&Value::Object(patch)),
            )),
        };
    }
    retain_keys(&mut object, &mut patch)?;
    merge_ordered(&mut object, &mut patch, schema)?;
    // Removed all at once: one removal moves all members behind it.
    let mut gone = HashSet::new();
    for (key, value) in patch {
        let (key, deletes) = match key.strip_prefix(DELETE_FROM) {
            Some(rest) => (rest.strip_prefix('/').ok_or(Fault::PrimitiveList)?.to_owned(), true),
            None => (key, false),
        };
        if value.is_null() {
            gone.insert(key);
            continue;
        }
        let Some(old) = object.get_mut(&key) else {
            if !deletes {
                match without_directives(without_nulls(value)) {
                    Some(value) => drop(object.insert(key, value)),
                    None => drop(gone.insert(key)),
                }
            }
            continue;
        };
        let field = schema.and_then(|schema| schema.field(&key));
        match (old, value) {
            (Value::Object(old), Value::Object(new)) => {
                let replaces = field.is_some_and(|field| field.patch.replace);
                let merged = if replaces {
                    new
                } else {
                    merge_map(std::mem::take(old), new, field)?
                };
                *old = merged;
            }
            (Value::Array(old), Value::Array(new)) => {
                *old = merge_field(std::mem::take(old), new, field, deletes)?;
            }
            (_, _) if deletes => {}
            (old, new) => match without_directives(without_nulls(new)) {
                Some(value) => *old = value,
                None => drop(gone.insert(key)),
            },
        }
    }
    if !gone.is_empty() {
        object.retain(|key, _| !gone.contains(key));
    }
    Ok(object)
}

/// Applies `$retainKeys`: fields that it does not name go away.
fn retain_keys(object: &mut Object, patch: &mut Object) -> Result<(), Fault> {
    let Some(keys) = patch.shift_remove(RETAIN_KEYS) else {
        return Ok(());
    };
    let keys = keys.as_array().ok_or(Fault::RetainKeys)?;
    let keys: HashSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    let is_directive = |key: &str| key.starts_with(DELETE_FROM) || key.starts_with(SET_ORDER);
    if patch
        .iter()
        .any(|(key, value)| !value.is_null() && !is_directive(key) && !keys.contains(key.as_str()))
    {
        return Err(Fault::RetainKeys);
    }
    object.retain(|key, _| keys.contains(key.as_str()));
    Ok(())
}

/// Applies `$setElementOrder/FIELD` together with the field's list, and takes both out of the patch.
fn merge_ordered(object: &mut Object, patch: &mut Object, schema: Option<&Schema>) -> Result<(), Fault> {
    let directives: Vec<String> = patch.keys().filter(|key| key.starts_with(SET_ORDER)).cloned().collect();
    for directive in directives {
        let order = match patch.swap_remove(&directive) {
            Some(Value::Array(order)) => order,
            other => return Err(wrong_type("[]interface {}", &other.unwrap_or_default())),
        };
        let name = directive
            .strip_prefix(SET_ORDER)
            .and_then(|rest| rest.strip_prefix('/'));
        let name = name.ok_or(Fault::SetElementOrder)?;
        let field = schema.and_then(|schema| schema.field(name));
        let merge_key = field.map_or("", |field| &field.patch.merge_key);
        let old = list_of(object.get(name))?;
        let new = list_of(patch.get(name))?;
        check_order(new.unwrap_or_default(), &order, merge_key)?;
        let before = live_order(old.unwrap_or_default(), new.unwrap_or_default(), merge_key)?;
        let merged = match (old, new) {
            (None, None) => continue,
            (Some(old), None) => old.to_vec(),
            (None, Some(new)) => match without_directives(Value::Array(new.to_vec())) {
                Some(Value::Array(new)) => new,
                _ => continue,
            },
            (Some(old), Some(new)) => merge_field(old.to_vec(), new.to_vec(), field, false)?,
        };
        let ordered = in_order(merged, &keys_of(&order, merge_key)?, &before, merge_key)?;
        object.insert(name.to_owned(), Value::Array(ordered));
        patch.swap_remove(name);
    }
    Ok(())
}

/// The order of the live list, by which items that the patch does not name find their place. Where the patch deletes
/// items, upstream appends new ones into the room that they leave in that very list, so those have a place in it too.
fn live_order(old: &[Value], new: &[Value], merge_key: &str) -> Result<HashMap<String, usize>, Fault> {
    let mut order = keys_of(old, merge_key)?;
    let (special, plain): (Vec<&Value>, Vec<&Value>) = new.iter().partition(|item| item.get(DIRECTIVE).is_some());
    let deleted = special
        .into_iter()
        .filter(|item| item.get(DIRECTIVE).and_then(Value::as_str) == Some("delete"));
    let deleted: Vec<&Value> = deleted.collect();
    if merge_key.is_empty() || deleted.is_empty() {
        return Ok(order);
    }
    let mut room = 0;
    for item in deleted {
        if order.remove(&key_of(item, merge_key)?).is_some() {
            room += 1;
        }
    }
    for item in plain {
        let key = key_of(item, merge_key)?;
        if room > 0 && !order.contains_key(&key) {
            order.insert(key, old.len());
            room -= 1;
        }
    }
    Ok(order)
}

fn list_of(value: Option<&Value>) -> Result<Option<&[Value]>, Fault> {
    match value {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(other) => Err(wrong_type("[]interface {}", other)),
    }
}

/// The patch's items must stand in the order list, and in that order.
fn check_order(list: &[Value], order: &[Value], merge_key: &str) -> Result<(), Fault> {
    if list.is_empty() || order.is_empty() {
        return Ok(());
    }
    let wanted: Vec<&Value> = list.iter().filter(|item| item.get(DIRECTIVE).is_none()).collect();
    let mut rest = order.iter();
    for item in wanted {
        let key = key_of(item, merge_key)?;
        loop {
            let Some(next) = rest.next() else {
                let (list, order) = (Value::from(list), Value::from(order));
                return Err(Fault::OrderMismatch(go_plain(&list), go_plain(&order)));
            };
            if key_of(next, merge_key)? == key {
                break;
            }
        }
    }
    Ok(())
}

/// Merges a list of the patch into the object's, as the field's schema says.
fn merge_field(old: Vec<Value>, new: Vec<Value>, field: Option<&Schema>, deletes: bool) -> Result<Vec<Value>, Fault> {
    let patch = field.map(|field| &field.patch);
    if !deletes && !patch.is_some_and(|patch| patch.merge) {
        return Ok(new);
    }
    if old.is_empty() && new.is_empty() {
        return Ok(old);
    }
    let merge_key = patch.map_or("", |patch| &patch.merge_key);
    match item_kind(&old, &new)? {
        Item::Scalar if deletes => {
            let gone: HashSet<String> = new.iter().map(Value::to_string).collect();
            Ok(old
                .into_iter()
                .filter(|item| !gone.contains(&item.to_string()))
                .collect())
        }
        Item::Scalar => {
            let (before, order) = (keys_of(&old, "")?, keys_of(&new, "")?);
            let mut seen = HashSet::new();
            let both = old
                .into_iter()
                .chain(new)
                .filter(|item| seen.insert(item.to_string()))
                .collect();
            in_order(both, &order, &before, "")
        }
        Item::Object if merge_key.is_empty() => Err(Fault::NoDeclaredKey("struct".into())),
        Item::Object => merge_objects(old, new, merge_key, field.and_then(Schema::items)),
    }
}

/// Merges lists of objects that the merge key tells apart.
fn merge_objects(
    mut old: Vec<Value>,
    patch: Vec<Value>,
    merge_key: &str,
    schema: Option<&Schema>,
) -> Result<Vec<Value>, Fault> {
    let mut plain = Vec::with_capacity(patch.len());
    let mut replaces = false;
    let mut deleted = HashSet::new();
    for item in patch {
        let Some(directive) = item.get(DIRECTIVE) else {
            plain.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => drop(deleted.insert(key_of(&item, merge_key)?)),
            Some("replace") => replaces = true,
            Some("merge") => return Err(Fault::MergeInList),
            _ => return Err(Fault::UnknownDirective(go_plain(directive), go_plain(&item))),
        }
    }
    if replaces {
        return Ok(plain);
    }
    old.retain(|item| {
        !item
            .get(merge_key)
            .is_some_and(|key| deleted.contains(&key.to_string()))
    });
    let before = keys_of(&old, merge_key)?;
    let order = keys_of(&plain, merge_key)?;
    let mut places: HashMap<String, usize> = HashMap::with_capacity(old.len());
    for (place, item) in old.iter().enumerate() {
        places.entry(key_of(item, merge_key)?).or_insert(place);
    }
    let mut merged = old;
    for item in plain {
        let key = key_of(&item, merge_key)?;
        if let Some(Value::Object(target)) = places.get(&key).and_then(|place| merged.get_mut(*place)) {
            if let Value::Object(item) = item {
                *target = merge_map(std::mem::take(target), item, schema)?;
            }
        } else {
            places.insert(key, merged.len());
            merged.push(item);
        }
    }
    in_order(merged, &order, &before, merge_key)
}

/// The items that the patch names in the patch's order, the others between them in the order that they had.
fn in_order(
    items: Vec<Value>,
    order: &HashMap<String, usize>,
    before: &HashMap<String, usize>,
    merge_key: &str,
) -> Result<Vec<Value>, Fault> {
    let mut patched = Vec::new();
    let mut others = Vec::new();
    for item in items {
        let key = key_of(&item, merge_key)?;
        let was = before.get(&key).copied();
        match order.get(&key) {
            Some(place) => patched.push((*place, was, item)),
            None => others.push((was.unwrap_or(usize::MAX), was, item)),
        }
    }
    patched.sort_by_key(|(place, ..)| *place);
    others.sort_by_key(|(place, ..)| *place);
    let mut out = Vec::with_capacity(patched.len() + others.len());
    let mut others = others.into_iter().peekable();
    for (_, was, item) in patched {
        while let Some((_, _, other)) =
            others.next_if(|(_, other, _)| other.zip(was).is_some_and(|(other, was)| other < was))
        {
            out.push(other);
        }
        out.push(item);
    }
    out.extend(others.map(|(.., item)| item));
    Ok(out)
}

/// Where each key stands first.
fn keys_of(items: &[Value], merge_key: &str) -> Result<HashMap<String, usize>, Fault> {
    let mut places = HashMap::with_capacity(items.len());
    for (place, item) in items.iter().enumerate() {
        places.entry(key_of(item, merge_key)?).or_insert(place);
    }
    Ok(places)
}

/// What tells an item from others: the value of the merge key, or the item itself if there is no key.
fn key_of(item: &Value, merge_key: &str) -> Result<String, Fault> {
    if merge_key.is_empty() {
        return Ok(item.to_string());
    }
    let object = item
        .as_object()
        .ok_or_else(|| wrong_type("map[string]interface {}", item))?;
    let key = object
        .get(merge_key)
        .ok_or_else(|| Fault::NoMergeKey(go_plain(item), merge_key.into()))?;
    Ok(key.to_string())
}

#[derive(Clone, Copy, PartialEq)]
enum Item {
    Scalar,
    Object,
}

/// All items of both lists have one type.
fn item_kind(old: &[Value], new: &[Value]) -> Result<Item, Fault> {
    let mut names = old.iter().chain(new).map(go_type);
    let first = names.next().unwrap_or("string");
    if first == "[]interface {}" {
        return Err(Fault::ListOfLists);
    }
    if names.any(|name| name != first) {
        return Err(Fault::MixedList(go_plain(&Value::from(vec![
            Value::from(old),
            Value::from(new),
        ]))));
    }
    Ok(if first == "map[string]interface {}" {
        Item::Object
    } else {
        Item::Scalar
    })
}

fn wrong_type(expected: &'static str, found: &Value) -> Fault {
    Fault::WrongType {
        expected,
        found: go_type(found),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// What remains where there was nothing to change: objects with a `$patch` are none. `None` if it is one itself.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(DIRECTIVE) => None,
        Value::Object(map) => {
            let kept = map
                .into_iter()
                .filter_map(|(key, value)| Some((key, without_directives(value)?)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        other => Some(other),
    }
}

/// Fields that are null are dropped. Items of lists stay.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::{Link, PatchStrategy};

    fn field(name: &str, patch: PatchStrategy, items: Option<Schema>) -> (Box<str>, Link) {
        let items = items.map(|items| Link::Inline(Box::new(items)));
        (
            name.into(),
            Link::Inline(Box::new(Schema {
                items,
                patch,
                ..Schema::default()
            })),
        )
    }

    fn by(key: &str) -> PatchStrategy {
        PatchStrategy {
            merge: true,
            merge_key: key.into(),
            ..PatchStrategy::default()
        }
    }

    /// Sorted by name, as schemas are.
    fn schema() -> Schema {
        let item = Schema {
            properties: Box::new([
                field("items", by("name"), Some(Schema::default())),
                field("values", by(""), Some(Schema::default())),
            ]),
            ..Schema::default()
        };
        Schema {
            properties: Box::new([
                field("atomic", PatchStrategy::default(), None),
                field("items", by("name"), Some(item)),
                field(
                    "keep",
                    PatchStrategy {
                        retain_keys: true,
                        ..PatchStrategy::default()
                    },
                    None,
                ),
                field(
                    "replaced",
                    PatchStrategy {
                        replace: true,
                        ..PatchStrategy::default()
                    },
                    None,
                ),
                field("values", by(""), Some(Schema::default())),
            ]),
            ..Schema::default()
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases, a line a case")]
    fn patches_merge_as_upstream_merges_them() {
        let schema = schema();
        for (rule, object, patch, result) in [
            (
                "objects merge",
                json!({"m": {"a": 1, "b": 2}}),
                json!({"m": {"b": 3, "c": 4}}),
                json!({"m": {"a": 1, "b": 3, "c": 4}}),
            ),
            (
                "null deletes",
                json!({"a": 1, "m": {"b": 2}}),
                json!({"a": null, "m": {"b": null}, "x": null}),
                json!({"m": {}}),
            ),
            (
                "nulls of new objects are dropped",
                json!({}),
                json!({"m": {"b": null, "c": 1}}),
                json!({"m": {"c": 1}}),
            ),
            (
                "a type may change",
                json!({"a": [1]}),
                json!({"a": {"b": 1}}),
                json!({"a": {"b": 1}}),
            ),
            (
                "lists without a strategy are replaced",
                json!({"atomic": [1, 2]}),
                json!({"atomic": [3]}),
                json!({"atomic": [3]}),
            ),
            (
                "lists of unknown fields too",
                json!({"x": [1, 2]}),
                json!({"x": [3]}),
                json!({"x": [3]}),
            ),
            (
                "$patch: replace",
                json!({"m": {"a": 1}}),
                json!({"m": {"$patch": "replace", "b": 2}}),
                json!({"m": {"b": 2}}),
            ),
            (
                "$patch: delete",
                json!({"m": {"a": 1}}),
                json!({"m": {"$patch": "delete"}}),
                json!({"m": {}}),
            ),
            (
                "$patch of what is not there",
                json!({}),
                json!({"m": {"$patch": "delete"}, "n": {"x": {"$patch": "replace"}, "y": 1}}),
                json!({"n": {"y": 1}}),
            ),
            (
                "an object is replaced if the schema says so",
                json!({"replaced": {"a": 1}}),
                json!({"replaced": {"b": 2}}),
                json!({"replaced": {"b": 2}}),
            ),
            (
                "items merge by key",
                json!({"items": [{"name": "a", "v": 1}, {"name": "b"}]}),
                json!({"items": [{"name": "a", "w": 2}]}),
                json!({"items": [{"name": "a", "v": 1, "w": 2}, {"name": "b"}]}),
            ),
            (
                "new items come first",
                json!({"items": [{"name": "a"}]}),
                json!({"items": [{"name": "b"}]}),
                json!({"items": [{"name": "b"}, {"name": "a"}]}),
            ),
            (
                "items are deleted",
                json!({"items": [{"name": "a"}, {"name": "b"}]}),
                json!({"items": [{"$patch": "delete", "name": "a"}]}),
                json!({"items": [{"name": "b"}]}),
            ),
            (
                "lists are replaced",
                json!({"items": [{"name": "a"}]}),
                json!({"items": [{"$patch": "replace"}, {"name": "c"}]}),
                json!({"items": [{"name": "c"}]}),
            ),
            (
                "items merge within items",
                json!({"items": [{"name": "a", "items": [{"name": 1}]}]}),
                json!({"items": [{"name": "a", "items": [{"name": 2}]}]}),
                json!({"items": [{"name": "a", "items": [{"name": 2}, {"name": 1}]}]}),
            ),
            (
                "the patch's order counts",
                json!({"items": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}),
                json!({"items": [{"name": "c"}, {"name": "a"}]}),
                json!({"items": [{"name": "b"}, {"name": "c"}, {"name": "a"}]}),
            ),
            (
                "$setElementOrder",
                json!({"items": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}),
                json!({"$setElementOrder/items": [{"name": "c"}, {"name": "b"}, {"name": "a"}]}),
                json!({"items": [{"name": "c"}, {"name": "b"}, {"name": "a"}]}),
            ),
            (
                "$setElementOrder and the others",
                json!({"items": [{"name": "1"}, {"name": "x"}, {"name": "2"}]}),
                json!({"$setElementOrder/items": [{"name": "2"}, {"name": "1"}, {"name": "3"}], "items": [{"name": "3"}]}),
                json!({"items": [{"name": "x"}, {"name": "2"}, {"name": "1"}, {"name": "3"}]}),
            ),
            (
                "$setElementOrder and a deletion",
                json!({"items": [{"name": "a"}, {"name": "b"}]}),
                json!({"$setElementOrder/items": [{"name": "b"}], "items": [{"$patch": "delete", "name": "a"}]}),
                json!({"items": [{"name": "b"}]}),
            ),
            (
                "$setElementOrder, a deletion and an addition",
                json!({"items": [{"name": 1}, {"name": 2}, {"name": 4}]}),
                json!({"$setElementOrder/items": [{"name": 2}, {"name": 3}], "items": [{"name": 3}, {"name": 1, "$patch": "delete"}]}),
                json!({"items": [{"name": 2}, {"name": 4}, {"name": 3}]}),
            ),
            (
                "$setElementOrder and a replaced list",
                json!({"items": [{"name": 1}]}),
                json!({"$setElementOrder/items": [{"name": 2}], "items": [{"$patch": "replace"}, {"name": 2}]}),
                json!({"items": [{"name": 2}]}),
            ),
            (
                "$setElementOrder of a new list",
                json!({}),
                json!({"$setElementOrder/items": [{"name": "b"}, {"name": "a"}], "items": [{"name": "b"}, {"name": "a"}]}),
                json!({"items": [{"name": "b"}, {"name": "a"}]}),
            ),
            (
                "$setElementOrder of nothing",
                json!({}),
                json!({"$setElementOrder/items": [{"name": "b"}]}),
                json!({}),
            ),
            (
                "scalars are joined",
                json!({"values": [1, 2]}),
                json!({"values": [2, 3]}),
                json!({"values": [1, 2, 3]}),
            ),
            (
                "scalars are deleted",
                json!({"values": [1, 2, 3]}),
                json!({"$deleteFromPrimitiveList/values": [2]}),
                json!({"values": [1, 3]}),
            ),
            (
                "scalars are joined, deleted and ordered",
                json!({"values": [1, 2, 3]}),
                json!({"$setElementOrder/values": [4, 3, 1], "$deleteFromPrimitiveList/values": [2], "values": [4]}),
                json!({"values": [4, 3, 1]}),
            ),
            (
                "deleting from what is not there",
                json!({}),
                json!({"$deleteFromPrimitiveList/values": [2]}),
                json!({}),
            ),
            (
                "$retainKeys",
                json!({"keep": {"type": "a", "a": {}}}),
                json!({"keep": {"$retainKeys": ["type", "b"], "type": "b", "b": {}}}),
                json!({"keep": {"type": "b", "b": {}}}),
            ),
            (
                "the whole",
                json!({"a": 1}),
                json!({"$patch": "replace", "b": 1}),
                json!({"b": 1}),
            ),
        ] {
            assert_eq!(apply(object, &patch, Some(&schema)), Ok(result), "{rule}");
        }
    }

    #[test]
    fn patches_that_make_no_sense_are_refused_in_upstreams_words() {
        let schema = schema();
        let object = json!({"items": [{"name": "a"}], "values": [1], "m": {"a": 1}, "keep": {"a": 1}});
        for (patch, code, message) in [
            (
                json!({"m": {"$patch": "turn"}}),
                422,
                "unknown patch type: turn in map: map[$patch:turn]",
            ),
            (
                json!({"items": [{"$patch": "merge", "name": "a"}]}),
                422,
                "merging lists cannot yet be specified in the patch",
            ),
            (
                json!({"items": [{"x": 1}]}),
                422,
                "map: map[x:1] does not contain declared merge key: name",
            ),
            (
                json!({"items": [{"$patch": "delete"}]}),
                422,
                "map: map[$patch:delete] does not contain declared merge key: name",
            ),
            (
                json!({"items": ["x"]}),
                422,
                "list element types are not identical: [[map[name:a]] [x]]",
            ),
            (
                json!({"values": [[1]]}),
                422,
                "list element types are not identical: [[1] [[1]]]",
            ),
            (
                json!({"$deleteFromPrimitiveList": [1]}),
                400,
                "invalid patch format of primitive list",
            ),
            (
                json!({"$setElementOrder": [1]}),
                400,
                "invalid patch format of setElementOrder list",
            ),
            (
                json!({"$setElementOrder/items": 1}),
                422,
                "expected a []interface {}, but received a int64",
            ),
            (
                json!({"$setElementOrder/items": [{"name": "b"}], "items": [{"name": "a"}]}),
                422,
                "The order in patch list:\n[map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n",
            ),
            (
                json!({"keep": {"$retainKeys": 1}}),
                400,
                "invalid patch format of retainKeys",
            ),
            (
                json!({"keep": {"$retainKeys": ["a"], "b": 1}}),
                400,
                "invalid patch format of retainKeys",
            ),
        ] {
            let status = apply(object.clone(), &patch, Some(&schema)).unwrap_err().status();
            assert_eq!((status.code, status.message.as_str()), (code, message), "{patch}");
        }
        let lists = apply(json!({"values": [[1]]}), &json!({"values": [[2]]}), Some(&schema)).unwrap_err();
        assert_eq!(lists, Fault::ListOfLists);
    }

    #[test]
    fn the_schemas_of_kubernetes_say_how_lists_merge() {
        let pod = crate::schema::of_kind("", "v1", "Pod");
        assert!(pod.is_some());
        let object = json!({"metadata": {"finalizers": ["a/b"]}, "spec": {"containers": [{"name": "a", "image": "x", "args": ["1"]}],
            "volumes": [{"name": "v", "emptyDir": {}}]}});
        let patch = json!({"metadata": {"finalizers": ["c/d"]}, "spec": {"containers": [{"name": "a", "image": "y", "args": ["2"]}],
            "volumes": [{"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/"}}]}});
        let result = json!({"metadata": {"finalizers": ["c/d", "a/b"]}, "spec": {"containers": [{"name": "a", "image": "y", "args": ["2"]}],
            "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}});
        assert_eq!(apply(object, &patch, pod), Ok(result));
    }

    #[test]
    fn long_lists_merge_in_good_time() {
        let schema = schema();
        let items = |from: usize| Value::from((from..from + 50_000).map(|n| json!({"name": n})).collect::<Vec<_>>());
        let merged = apply(
            json!({"items": items(0)}),
            &json!({"items": items(25_000)}),
            Some(&schema),
        )
        .unwrap();
        assert_eq!(
            merged.get("items").and_then(Value::as_array).map(Vec::len),
            Some(75_000)
        );
    }
}
