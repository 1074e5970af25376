//! How types say what an API server is to refuse: sizes, and CEL rules with messages.
//!
//! Why it exists: an author should be told at `kubectl apply`, by a sentence that names the fix, and
//! not minutes later by a condition. It only carries rules into schemas. Every text and list has a
//! greatest size, or the API server could not estimate what a rule costs and would refuse the CRD.
//! Nothing that `vestibule_policy::compile` accepts on Kubernetes may be refused here.

use schemars::Schema;
use schemars::transform::Transform;
use serde_json::{Map, Value, json};

/// Bounds and rules of one place in a schema.
#[derive(Clone, Default)]
pub(crate) struct Bounds {
    keywords: Map<String, Value>,
    rules: Vec<Value>,
    items: Option<Box<Self>>,
    values: Option<Box<Self>>,
    fields: Vec<(&'static str, Self)>,
}

/// A block of fields, for rules about several of them.
pub(crate) fn block() -> Bounds {
    Bounds::default()
}

/// A text of at most so many characters.
pub(crate) fn text(max: u32) -> Bounds {
    block().keyword("maxLength", json!(max))
}

/// A list of at most so many items, each within bounds of its own.
pub(crate) fn list(max: u32, items: Bounds) -> Bounds {
    Bounds { items: Some(Box::new(items)), ..block().keyword("maxItems", json!(max)) }
}

/// A map of at most so many entries, each value within bounds of its own.
pub(crate) fn map(max: u32, values: Bounds) -> Bounds {
    Bounds { values: Some(Box::new(values)), ..block().keyword("maxProperties", json!(max)) }
}

impl Bounds {
    fn keyword(mut self, name: &str, value: Value) -> Self {
        self.keywords.insert(name.to_owned(), value);
        self
    }

    /// A text must not be empty.
    pub(crate) fn not_empty(self) -> Self {
        self.keyword("minLength", json!(1))
    }

    /// A list must have an item.
    pub(crate) fn some(self) -> Self {
        self.keyword("minItems", json!(1))
    }

    /// No item is there twice; several appliers may own different items.
    pub(crate) fn set(self) -> Self {
        self.keyword("x-kubernetes-list-type", json!("set"))
    }

    /// Items are told apart by these fields; several appliers may own different items.
    pub(crate) fn keyed_by(self, keys: &[&str]) -> Self {
        self.keyword("x-kubernetes-list-type", json!("map"))
            .keyword("x-kubernetes-list-map-keys", json!(keys))
    }

    /// A CEL expression over `self` that must be true, and what to do where it is not.
    pub(crate) fn rule(mut self, rule: &str, message: &str) -> Self {
        self.rules.push(json!({"rule": rule, "message": message}));
        self
    }

    /// As [`Bounds::rule`], told at one of the block's fields.
    pub(crate) fn rule_at(mut self, field: &str, rule: &str, message: &str) -> Self {
        self.rules.push(json!({"rule": rule, "message": message, "fieldPath": field}));
        self
    }

    /// Bounds of a field whose type is not ours.
    pub(crate) fn field(mut self, name: &'static str, bounds: Self) -> Self {
        self.fields.push((name, bounds));
        self
    }

    fn write(&self, schema: &mut Map<String, Value>) {
        schema.extend(self.keywords.clone());
        if !self.rules.is_empty() {
            let rules = schema.entry("x-kubernetes-validations").or_insert_with(|| json!([]));
            if let Some(rules) = rules.as_array_mut() {
                rules.extend(self.rules.iter().cloned());
            }
        }
        let items = self.items.iter().map(|bounds| ("items", &**bounds));
        let values = self.values.iter().map(|bounds| ("additionalProperties", &**bounds));
        for (place, bounds) in items.chain(values) {
            if let Some(inner) = schema.get_mut(place).and_then(Value::as_object_mut) {
                bounds.write(inner);
            }
        }
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
            return;
        };
        for (name, bounds) in &self.fields {
            if let Some(field) = properties.get_mut(*name).and_then(Value::as_object_mut) {
                bounds.write(field);
            }
        }
    }
}

impl Transform for Bounds {
    fn transform(&mut self, schema: &mut Schema) {
        self.write(schema.ensure_object());
    }
}
