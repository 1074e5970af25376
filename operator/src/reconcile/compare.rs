//! Whether writing a body would change an object. Pure.
//!
//! What is not in the body belongs to others, unless our field manager owns it from an earlier body.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;
use vestibule_crds::names::FIELD_MANAGER;

/// Whether the object is as a server-side apply of the body would make it.
#[must_use]
pub fn is_applied(body: &Value, current: &Value, fields: &[ManagedFieldsEntry]) -> bool {
    let ours = fields.iter().filter(|entry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER)
            && entry.operation.as_deref() == Some("Apply")
            && entry.subresource.is_none()
    });
    contains(current, &without_type(body))
        && !ours
            .filter_map(|entry| entry.fields_v1.as_ref())
            .any(|fields| owns_more(&fields.0, body))
}

/// The type and the uid say which object is meant; they are no fields to compare. Further below, a
/// `kind` is a field like any other.
fn without_type(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|key, _| !matches!(key.as_str(), "apiVersion" | "kind"));
    }
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("uid");
    }
    body
}

/// Whether everything of the body is in the object. Lists are wholes.
fn contains(current: &Value, body: &Value) -> bool {
    match (current, body) {
        (Value::Object(current), Value::Object(body)) => body.iter().all(|(key, value)| {
            current.get(key).is_some_and(|current| contains(current, value))
                || (value.is_null() && !current.contains_key(key))
        }),
        (Value::Array(current), Value::Array(body)) => {
            current.len() == body.len()
                && current.iter().zip(body).all(|(current, body)| contains(current, body))
        }
        (current, body) => current == body,
    }
}

/// Whether a field that we own is no longer in the body: applying would remove it.
fn owns_more(fields: &Value, body: &Value) -> bool {
    let Some(fields) = fields.as_object() else { return false };
    fields.iter().any(|(path, below)| {
        let Some(name) = path.strip_prefix("f:") else { return false };
        match body.get(name) {
            None => true,
            Some(value @ Value::Object(_)) => owns_more(below, value),
            Some(_) => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(manager: &str, fields: &Value) -> ManagedFieldsEntry {
        let text = json!({"manager": manager, "operation": "Apply", "fieldsV1": fields});
        serde_json::from_value(text).unwrap()
    }

    fn body() -> Value {
        json!({
            "apiVersion": "v1", "kind": "X",
            "metadata": {"name": "a", "annotations": {"ours": "1"}},
            "spec": {"rules": [{"host": "a", "kind": "Rule"}]}
        })
    }

    #[test]
    fn what_others_added_is_no_difference() {
        let current = json!({
            "metadata": {"name": "a", "resourceVersion": "7", "annotations": {"ours": "1", "x": "2"}},
            "spec": {"rules": [{"host": "a", "kind": "Rule", "more": true}], "other": 1}
        });
        assert!(is_applied(&body(), &current, &[]));
    }

    #[test]
    fn a_changed_missing_or_longer_value_is_a_difference() {
        for (pointer, value) in [
            ("/metadata/annotations/ours", json!("2")),
            ("/metadata/annotations", json!({})),
            ("/spec/rules", json!([])),
            ("/spec/rules/0/kind", json!("Other")),
            ("/spec/rules", json!([{"host": "a"}, {"host": "b"}])),
        ] {
            let mut current = body();
            *current.pointer_mut(pointer).unwrap() = value;
            assert!(!is_applied(&body(), &current, &[]), "{pointer}");
        }
    }

    #[test]
    fn a_field_that_we_own_and_want_no_more_is_a_difference_and_one_of_others_is_not() {
        let current = json!({
            "metadata": {"name": "a", "annotations": {"ours": "1", "earlier": "2"}},
            "spec": {"rules": [{"host": "a", "kind": "Rule"}]}
        });
        let owned = json!({
            "f:metadata": {"f:annotations": {".": {}, "f:ours": {}, "f:earlier": {}}},
            "f:spec": {"f:rules": {}}
        });
        assert!(!is_applied(&body(), &current, &[entry("vestibule", &owned)]));
        assert!(is_applied(&body(), &current, &[entry("kubectl", &owned)]));
        let same = json!({"f:metadata": {"f:annotations": {"f:ours": {}}}});
        assert!(is_applied(&body(), &current, &[entry("vestibule", &same)]));
    }
}
