//! `compile` over `testdata/compile/*.in.yaml`; each result stands beside it as `*.out.yaml`.
//! A run that finds drift rewrites the output and fails.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::path::Path;

use secrecy::SecretString;
use serde_json::{Value, json};
use vestibule_crds::v1alpha1::{BffPolicy, BffProvider, SecretKeyRef};
use vestibule_policy::compile::{Input, compile};
use vestibule_policy::model::PolicyId;

/// Every Secret exists but `missing`; some keys are what they are called, everything else is a word.
fn secret(reference: &SecretKeyRef) -> Result<SecretString, String> {
    match (reference.name.as_str(), reference.key.as_str()) {
        ("missing", key) => Err(format!("there is no key {key:?} in Secret \"missing\"")),
        (_, "empty") => Ok("".into()),
        (_, "two-lines") => Ok("a-secret-that-no-golden-shows\n".into()),
        (_, "ca.pem") => {
            Ok("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into())
        }
        (_, "key.pem") => Ok(include_str!("../testdata/p256-test-key.pem").into()),
        _ => Ok("a-secret-that-no-golden-shows".into()),
    }
}

fn outcome(text: &str) -> Value {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    let of_kind = |kind: &str| documents.iter().find(|d| d["kind"] == kind).cloned();
    let policy: BffPolicy = serde_json::from_value(of_kind("BffPolicy").unwrap()).unwrap();
    let provider: Option<BffProvider> =
        of_kind("BffProvider").map(|value| serde_json::from_value(value).unwrap());
    let name = policy.metadata.name.clone().unwrap();
    let input = Input {
        id: PolicyId { namespace: "default".to_owned(), name: name.clone() },
        uid: format!("default/{name}"),
        spec: &policy.spec,
        provider: provider.as_ref().map(|p| &p.spec),
        secrets: &secret,
        allow_insecure: false,
    };
    match compile(&input) {
        Ok(compiled) => json!({ "compiled": compiled }),
        Err(errors) => json!({ "errors": errors }),
    }
}

#[test]
fn every_golden_input_compiles_to_its_golden_output() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/compile");
    let mut drifted = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let Some(case) = path.to_str().unwrap().strip_suffix(".in.yaml").map(str::to_owned) else {
            continue;
        };
        count += 1;
        let actual = outcome(&std::fs::read_to_string(&path).unwrap());
        let actual = serde_saphyr::to_string(&actual).unwrap();
        assert!(!actual.contains("a-secret-that-no-golden-shows"), "{case} shows a secret");
        let golden = format!("{case}.out.yaml");
        if std::fs::read_to_string(&golden).ok().as_deref() != Some(actual.as_str()) {
            std::fs::write(&golden, actual).unwrap();
            drifted.push(golden);
        }
    }
    assert!(count >= 5, "the goldens are there");
    assert!(drifted.is_empty(), "rewritten, look at the difference and commit: {drifted:?}");
}
