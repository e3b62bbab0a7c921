//! The values that a template sees: JSON, with the types that Go has in its place.

use crate::api::docker::schema::{Shape, Struct};
use gotmpl::Value as GoValue;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

/// A document or a row.
pub(crate) struct Data {
    pub(super) root: GoValue,
    pub(super) known: Known,
}

/// Types and JSON of a document's values. Values are shared, never copied: a value's address says which one it is.
#[derive(Clone, Default)]
pub(super) struct Known(Arc<Inner>);

#[derive(Default)]
struct Inner {
    nodes: Mutex<HashMap<usize, Node>>,
    /// Labels, for rows' method `Label`; as a document has none.
    labels: Option<Value>,
    /// The words of `inspect`, which looks into the JSON when Go's types lack a name.
    by_json: bool,
}

/// One value.
#[derive(Clone)]
struct Node {
    /// Keeps its address.
    _value: GoValue,
    json: Value,
    shape: Shape,
}

impl Data {
    /// A document of `inspect`.
    pub(crate) fn inspected(document: &Value, shape: Shape) -> Self {
        Self::build(document, shape, Inner { by_json: true, ..Inner::default() })
    }

    /// Any other document.
    pub(crate) fn new(document: &Value, shape: Shape) -> Self {
        Self::build(document, shape, Inner::default())
    }

    /// A row with its labels.
    pub(crate) fn row(fields: &Value, shape: Shape, labels: Value) -> Self {
        Self::build(fields, shape, Inner { labels: Some(labels), ..Inner::default() })
    }

    fn build(document: &Value, shape: Shape, inner: Inner) -> Self {
        let known = Known(Arc::new(inner));
        let root = known.value(document, shape);
        Self { root, known }
    }
}

impl Known {
    /// The Go value of some JSON.
    fn value(&self, json: &Value, shape: Shape) -> GoValue {
        let value = match (json, shape) {
            (Value::Null, Shape::Pointer(_)) => return GoValue::Nil,
            (_, Shape::Pointer(to)) => return self.value(json, *to),
            (Value::Null, Shape::Bool) => GoValue::Bool(false),
            (Value::Null, Shape::Number) => GoValue::Int(0),
            (Value::Null, Shape::Text) => return GoValue::String("".into()),
            (Value::Null, Shape::Any) => return self.nothing(),
            (Value::Null, Shape::List(_)) => GoValue::List(Vec::new().into()),
            (Value::Null, Shape::Map(_) | Shape::Struct(_)) => GoValue::Map(Arc::default()),
            (Value::Bool(b), _) => GoValue::Bool(*b),
            (Value::Number(n), _) => match (n.as_i64(), n.as_u64()) {
                (Some(n), _) => GoValue::Int(n),
                (None, Some(n)) => GoValue::Uint(n),
                (None, None) => GoValue::Float(n.as_f64().unwrap_or_default()),
            },
            (Value::String(s), _) => return GoValue::String(s.as_str().into()),
            (Value::Array(items), shape) => {
                let of = if let Shape::List(of) = shape { *of } else { Shape::Any };
                GoValue::List(items.iter().map(|item| self.value(item, of)).collect())
            }
            (Value::Object(map), shape) => {
                let of = |key: &str| match shape {
                    Shape::Map(of) => *of,
                    Shape::Struct(of) => of.field(key).map_or(Shape::Any, |field| field.shape),
                    _ => Shape::Any,
                };
                let entry =
                    |(key, value): (&String, &Value)| (Arc::from(key.as_str()), self.value(value, of(key)));
                GoValue::Map(Arc::new(map.iter().map(entry).collect()))
            }
        };
        self.note(value, json.clone(), shape)
    }

    fn note(&self, value: GoValue, json: Value, shape: Shape) -> GoValue {
        if let (Some(address), Ok(mut nodes)) = (address(&value), self.0.nodes.lock()) {
            nodes.insert(address, Node { _value: value.clone(), json, shape });
        }
        value
    }

    fn node(&self, value: &GoValue) -> Option<Node> {
        self.0.nodes.lock().ok()?.get(&address(value)?).cloned()
    }

    /// The value of a key that a map lacks: printed as `<no value>`, the empty text for functions.
    pub(super) fn nothing(&self) -> GoValue {
        self.note(GoValue::String("".into()), Value::Null, Shape::Any)
    }

    /// A field of a value, by Go's name or by its key.
    ///
    /// # Errors
    /// Go's words: the type, or the document, has no such name.
    pub(super) fn field(&self, value: &GoValue, name: &str) -> Result<GoValue, String> {
        let map = match value {
            GoValue::Map(map) => map,
            GoValue::Nil => return Err(format!("nil data; no entry for key {name:?}")),
            other => return Err(format!("can't evaluate field {name} in type {}", other.type_name())),
        };
        let shape = self.node(value).map_or(Shape::Any, |node| node.shape);
        let field = if let Shape::Struct(of) = shape { of.field(name) } else { None };
        match (map.get(field.map_or(name, |field| field.key)), field, shape) {
            (Some(found), ..) => Ok(found.clone()),
            (None, Some(field), _) => Ok(self.value(&Value::Null, field.shape)),
            (None, None, Shape::Map(_)) => Ok(self.nothing()),
            (None, None, Shape::Struct(of)) if !self.0.by_json => {
                Err(format!("can't evaluate field {name} in type {}", of.name))
            }
            _ => Err(no_entry(name)),
        }
    }

    /// A field of a field of …
    ///
    /// # Errors
    /// As [`Known::field`].
    pub(super) fn fields(&self, value: &GoValue, names: &[&str]) -> Result<GoValue, String> {
        let mut value = value.clone();
        for (at, name) in names.iter().enumerate() {
            value = match (&value, at.checked_sub(1).and_then(|before| names.get(before))) {
                // The JSON that `inspect` looks into then lacks what is nil.
                (GoValue::Nil, Some(before)) if self.0.by_json => return Err(no_entry(before)),
                (GoValue::Nil, Some(before)) => {
                    return Err(format!("nil pointer evaluating {before}.{name}"));
                }
                (value, _) => self.field(value, name)?,
            };
        }
        Ok(value)
    }

    /// A method of a row: `Label` is the only one that Docker's rows have.
    ///
    /// # Errors
    /// Go's words: it is none.
    pub(super) fn method(&self, name: &str, argument: &str) -> Result<GoValue, String> {
        match (&self.0.labels, name) {
            (Some(labels), "Label") => {
                Ok(GoValue::String(labels[argument].as_str().unwrap_or_default().into()))
            }
            _ => Err(format!("{name} has arguments but cannot be invoked as function")),
        }
    }

    /// The value under a key of a map: the zero value of its type where there is none.
    pub(super) fn entry(&self, map: &GoValue, key: &str) -> GoValue {
        if let Some(found) = map.field(key) {
            return found.clone();
        }
        match self.node(map).map(|node| node.shape) {
            Some(Shape::Map(of)) => self.value(&Value::Null, *of),
            Some(Shape::Struct(_)) => self.field(map, key).unwrap_or_else(|_| self.nothing()),
            _ => GoValue::String("".into()),
        }
    }

    /// A value's JSON: the document's own, with its keys in their own order.
    pub(super) fn json(&self, value: &GoValue) -> Value {
        if let Some(node) = self.node(value) {
            return node.json;
        }
        match value {
            GoValue::Nil | GoValue::Function(_) => Value::Null,
            GoValue::Bool(b) => (*b).into(),
            GoValue::Int(n) => (*n).into(),
            GoValue::Uint(n) => (*n).into(),
            GoValue::Float(n) => (*n).into(),
            GoValue::String(s) => s.as_ref().into(),
            GoValue::List(items) => items.iter().map(|item| self.json(item)).collect(),
            GoValue::Map(map) => map
                .iter()
                .map(|(key, value)| (key.to_string(), self.json(value)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    /// As Go prints it.
    pub(super) fn text(&self, value: &GoValue) -> String {
        let node = self.node(value);
        match (value, node.as_ref().map(|node| node.shape)) {
            (GoValue::Nil, _) => "<nil>".to_owned(),
            (GoValue::String(_), Some(Shape::Any)) => "<no value>".to_owned(),
            (GoValue::List(items), _) => {
                let items: Vec<String> = items.iter().map(|item| self.text(item)).collect();
                format!("[{}]", items.join(" "))
            }
            (GoValue::Map(map), Some(Shape::Struct(of))) if !of.fields.is_empty() || map.is_empty() => {
                self.struct_text(value, of)
            }
            (GoValue::Map(map), _) => self.map_text(map),
            (other, _) => other.to_string(),
        }
    }

    fn struct_text(&self, value: &GoValue, of: &Struct) -> String {
        let fields = of.fields.iter().filter_map(|field| self.field(value, field.name).ok());
        let fields: Vec<String> = fields.map(|field| self.text(&field)).collect();
        format!("{{{}}}", fields.join(" "))
    }

    fn map_text(&self, map: &BTreeMap<Arc<str>, GoValue>) -> String {
        let entries: Vec<String> =
            map.iter().map(|(key, value)| format!("{key}:{}", self.text(value))).collect();
        format!("map[{}]", entries.join(" "))
    }
}

fn no_entry(key: &str) -> String {
    format!("map has no entry for key {key:?}")
}

/// Address of a shared value.
fn address(value: &GoValue) -> Option<usize> {
    match value {
        GoValue::String(text) => Some(Arc::as_ptr(text).cast::<u8>().addr()),
        GoValue::List(items) => Some(Arc::as_ptr(items).cast::<u8>().addr()),
        GoValue::Map(map) => Some(Arc::as_ptr(map).cast::<u8>().addr()),
        _ => None,
    }
}
