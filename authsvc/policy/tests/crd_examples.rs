//! What an API server says to the examples of `crds/examples` at apply time, `compile` says as well: a
//! folder of policies has no API server before it.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::path::Path;

use serde_json::Value;
use vestibule_crds::v1alpha1::{BffPolicySpec, BffProviderSpec, SecretKeyRef};
use vestibule_policy::compile::{Input, compile};
use vestibule_policy::model::PolicyId;

/// Of the refused ones those that `compile` accepts, and why that is right.
const FOR_THE_API_SERVER: [(&str, &str); 7] = [
    ("target", "targets are the operator's"),
    ("name-", "what is made from a policy's name is the operator's"),
    ("too-long", "sizes that only fill an API server"),
    ("provider-name", "there is no such object, says who looks for it"),
    ("secret-key", "there is no such key, says who looks for it"),
    ("cluster-provider", "which namespaces it is for is the operator's"),
    ("unknown field", "whoever reads refuses it, with its path"),
];

fn secret(reference: &SecretKeyRef) -> secrecy::SecretString {
    match reference.key.as_str() {
        "key.pem" => include_str!("../testdata/p256-test-key.pem").into(),
        "ca.pem" | "ca.crt" => {
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into()
        }
        _ => "word".into(),
    }
}

/// What is wrong with an example; empty: nothing. On Kubernetes origins may come from targets.
fn errors(object: &Value) -> String {
    let mut spec = object["spec"].clone();
    let kind = object["kind"].as_str().unwrap();
    if kind == "BffPolicy" && spec["origins"].is_null() {
        spec["origins"] = serde_json::json!(["https://shop.example.com"]);
    }
    // `PS256` goes with an RSA key, and the test has none.
    if spec["client"]["privateKeyJwt"]["algorithm"] == "PS256" {
        spec["client"]["privateKeyJwt"]["algorithm"] = Value::Null;
    }
    let plain = |kind: &str| {
        serde_json::json!(match kind {
            "BffPolicy" => serde_json::json!({
                "origins": ["https://shop.example.com"], "providerRef": {"name": "corp"},
                "client": {"id": "shop", "secretRef": {"name": "shop-oidc", "key": "client-secret"}},
            }),
            _ => serde_json::json!({"issuer": "https://id.example.com"}),
        })
    };
    let (policy, provider) = match kind {
        "BffPolicy" => (spec, plain("BffProvider")),
        _ => (plain("BffPolicy"), spec),
    };
    let policy: BffPolicySpec = match serde_json::from_value(policy) {
        Ok(policy) => policy,
        Err(error) => return error.to_string(),
    };
    let provider: BffProviderSpec = match serde_json::from_value(provider) {
        Ok(provider) => provider,
        Err(error) => return error.to_string(),
    };
    let result = compile(&Input {
        id: PolicyId { namespace: "default".to_owned(), name: "shop".to_owned() },
        uid: "uid".to_owned(),
        spec: &policy,
        provider: Some(&provider),
        secrets: &|reference| Ok(secret(reference)),
        allow_insecure: false,
    });
    let errors = result.err().unwrap_or_default();
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn what_an_api_server_accepts_and_refuses_so_does_compile() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds/examples");
    let (mut accepted, mut refused, mut wrong) = (0, 0, Vec::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let object: Value = serde_saphyr::from_str(&text).unwrap();
        if !["BffPolicy", "BffProvider", "ClusterBffProvider"]
            .contains(&object["kind"].as_str().unwrap())
        {
            continue;
        }
        let expected = text.lines().next().unwrap().strip_prefix("# expect: ");
        let errors = errors(&object);
        match expected {
            None if errors.is_empty() => accepted += 1,
            Some(_) if !errors.is_empty() => refused += 1,
            Some(expected)
                if FOR_THE_API_SERVER
                    .iter()
                    .any(|(part, _)| name.contains(part) || expected.contains(part)) => {}
            _ => wrong.push(format!("{name}: {errors}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(accepted > 4 && refused > 70, "{accepted} accepted, {refused} refused");
}
