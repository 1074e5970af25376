//! `examples/` by its types. What an API server says to each is seen by the cluster tests: it must
//! accept `*.accept.yaml`, and refuse `*.reject.yaml` with the text of its first line.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;
use vestibule_crds::v1alpha1::{BffHostGrant, BffPolicy, BffProvider, ClusterBffProvider};

fn examples(ending: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(ending) {
            found.insert(name, std::fs::read_to_string(&path).unwrap());
        }
    }
    found
}

/// Reads an object and writes it again: nothing of it may be lost.
fn keeps_its_spec<K: DeserializeOwned + serde::Serialize>(name: &str, object: &Value) {
    let typed: K = serde_json::from_value(object.clone()).unwrap();
    let again = serde_json::to_value(&typed).unwrap();
    assert_eq!(again["apiVersion"], object["apiVersion"], "{name}");
    for (field, value) in object["spec"].as_object().unwrap() {
        within(value, &again["spec"][field], &format!("{name}: spec.{field}"));
    }
}

fn within(written: &Value, read: &Value, place: &str) {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            for (field, value) in written {
                within(value, &read[field], &format!("{place}.{field}"));
            }
        }
        (Value::Array(written), Value::Array(read)) if written.len() == read.len() => {
            for (index, (value, read)) in written.iter().zip(read).enumerate() {
                within(value, read, &format!("{place}[{index}]"));
            }
        }
        _ => assert_eq!(written, read, "{place}"),
    }
}

#[test]
fn every_accepted_example_is_read_by_its_kind_and_loses_nothing() {
    let mut kinds = BTreeMap::new();
    for (name, text) in examples(".accept.yaml") {
        let object: Value = serde_saphyr::from_str(&text).unwrap();
        let kind = object["kind"].as_str().unwrap().to_owned();
        match kind.as_str() {
            "BffPolicy" => keeps_its_spec::<BffPolicy>(&name, &object),
            "BffProvider" => keeps_its_spec::<BffProvider>(&name, &object),
            "ClusterBffProvider" => keeps_its_spec::<ClusterBffProvider>(&name, &object),
            "BffHostGrant" => keeps_its_spec::<BffHostGrant>(&name, &object),
            other => panic!("{name}: there is no kind {other}"),
        }
        *kinds.entry(kind).or_insert(0) += 1;
    }
    assert_eq!(kinds.len(), 4, "each kind has an example: {kinds:?}");
}

#[test]
fn every_refused_example_says_what_is_expected_of_an_api_server() {
    let refused = examples(".reject.yaml");
    assert!(refused.len() > 50, "the examples are there");
    for (name, text) in refused {
        let expected = text.lines().next().and_then(|line| line.strip_prefix("# expect: "));
        assert!(expected.is_some_and(|text| text.len() > 8), "{name}: say `# expect: TEXT` first");
        let object: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(object["apiVersion"], "vestibule.dev/v1alpha1", "{name}");
    }
}

/// T-67, T-113: what is not bounded could fill the API server, the operator or the service.
#[test]
fn t113_every_text_list_and_map_of_a_spec_has_a_greatest_size() {
    let mut unbounded = Vec::new();
    for (file, crd) in vestibule_crds::generate::crds() {
        let crd = serde_json::to_value(crd).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        unbounded_in(&schema["properties"]["spec"], file, &mut unbounded);
    }
    assert!(unbounded.is_empty(), "give each a bound: {unbounded:#?}");
}

fn unbounded_in(schema: &Value, place: &str, found: &mut Vec<String>) {
    let bound = match schema["type"].as_str() {
        Some("string") if schema["enum"].is_null() => "maxLength",
        Some("array") => "maxItems",
        Some("object") if schema["properties"].is_null() => "maxProperties",
        _ => "type",
    };
    if schema[bound].is_null() {
        found.push(format!("{place}: {bound}"));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        unbounded_in(field, &format!("{place}.{name}"), found);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            unbounded_in(&schema[inner], &format!("{place}[]"), found);
        }
    }
}
