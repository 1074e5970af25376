//! Which namespaces a label selector selects.
//!
//! Why it exists: grants and cluster providers are for namespaces, chosen by labels. What is not
//! understood selects nothing. It must not trust a namespace's labels for its name (T-114).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// The label that the API server sets to a namespace's name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Whether a selector selects a namespace. An empty selector selects every one.
#[must_use]
pub fn selects(
    selector: &LabelSelector,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    let value = |key: &str| match key {
        NAME_LABEL => Some(namespace),
        key => labels.get(key).map(String::as_str),
    };
    let labels_match = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, wanted)| value(key) == Some(wanted.as_str()));
    let expressions_match = selector.match_expressions.iter().flatten().all(|expression| {
        let value = value(&expression.key);
        let values = expression.values.as_deref().unwrap_or_default();
        let listed = value.is_some_and(|value| values.iter().any(|wanted| wanted == value));
        match expression.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed && !values.is_empty(),
            "Exists" => value.is_some() && values.is_empty(),
            "DoesNotExist" => value.is_none() && values.is_empty(),
            _ => false,
        }
    });
    labels_match && expressions_match
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn selected(selector: serde_json::Value) -> bool {
        let labels = BTreeMap::from(
            [("team", "shop"), (NAME_LABEL, "bank")].map(|(k, v)| (k.to_owned(), v.to_owned())),
        );
        selects(&serde_json::from_value(selector).unwrap(), "shop", &labels)
    }

    #[test]
    fn every_part_of_a_selector_must_match() {
        let team = |operator: &str, values: &[&str]| {
            selected(json!({"matchExpressions": [
                {"key": "team", "operator": operator, "values": values}
            ]}))
        };
        assert!(selected(json!({})));
        assert!(selected(json!({"matchLabels": {"team": "shop"}})));
        assert!(!selected(json!({"matchLabels": {"team": "bank"}})));
        assert!(!selected(json!({"matchLabels": {"team": "shop", "zone": "a"}})));
        assert!(team("In", &["shop", "x"]) && !team("In", &["x"]));
        assert!(!team("NotIn", &["shop"]) && team("NotIn", &["x"]));
        assert!(team("Exists", &[]) && !team("DoesNotExist", &[]));
    }

    #[test]
    fn what_is_not_understood_selects_nothing() {
        assert!(!selected(
            json!({"matchExpressions": [{"key": "team", "operator": "Gt", "values": ["1"]}]})
        ));
        assert!(!selected(json!({"matchExpressions": [{"key": "zone", "operator": "NotIn"}]})));
    }

    #[test]
    fn t114_a_namespace_cannot_take_anothers_name_by_a_label() {
        assert!(!selected(json!({"matchLabels": {NAME_LABEL: "bank"}})));
        assert!(selected(json!({"matchLabels": {NAME_LABEL: "shop"}})));
    }
}
