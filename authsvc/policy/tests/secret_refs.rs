//! The Secrets that a policy says it names are those that `compile` looks up, under the same fields:
//! the operator reads and watches what it is told, and no more.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Value, json};
use vestibule_crds::v1alpha1::{BffPolicySpec, BffProviderSpec};
use vestibule_policy::compile::{Input, compile};
use vestibule_policy::model::PolicyId;

#[test]
fn what_is_looked_up_is_what_the_policy_says_that_it_names() {
    let provider: BffProviderSpec =
        serde_json::from_value(json!({"issuer": "https://id.example.com"})).unwrap();
    for golden in [
        include_str!("../testdata/compile/minimal.in.yaml"),
        include_str!("../testdata/compile/full.in.yaml"),
        include_str!("../testdata/compile/authorities.in.yaml"),
    ] {
        let documents: Vec<Value> = serde_saphyr::from_multiple(golden).unwrap();
        let policy = documents.iter().find(|one| one["kind"] == "BffPolicy").unwrap();
        let spec: BffPolicySpec = serde_json::from_value(policy["spec"].clone()).unwrap();
        let looked_up = RefCell::new(BTreeSet::new());
        let errors = compile(&Input {
            id: PolicyId { namespace: "default".to_owned(), name: "shop".to_owned() },
            uid: "uid".to_owned(),
            spec: &spec,
            provider: Some(&provider),
            secrets: &|reference| {
                looked_up.borrow_mut().insert((reference.name.clone(), reference.key.clone()));
                Err("it is missing".to_owned())
            },
            allow_insecure: false,
        })
        .unwrap_err();
        let references = spec.secret_refs();
        let named: BTreeSet<(String, String)> =
            references.iter().map(|(_, one)| (one.name.clone(), one.key.clone())).collect();
        assert_eq!(looked_up.into_inner(), named);
        let fields: BTreeSet<&String> = references.iter().map(|(field, _)| field).collect();
        assert_eq!(errors.iter().map(|error| &error.field).collect::<BTreeSet<_>>(), fields);
    }
}
