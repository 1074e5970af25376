//! Policies as the operator compiles and hands them over. Number N is `load/app-N`, for the host
//! `app-N.example.com`.

use std::io::Write as _;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde_json::{Value, json};
use vestibule_crds::names::{
    COMPILED_LABEL, COMPILED_SECRET_TYPE, COMPILED_VALUE, POLICY_NAME_ANNOTATION,
    POLICY_NAMESPACE_ANNOTATION,
};
use vestibule_policy::compile::{Input, compile};
use vestibule_policy::handoff::{self, Handoff, State};
use vestibule_policy::model::{CompiledPolicy, PolicyId};

/// Each on a line of its own: the data of a Secret, its name and what marks it, as JSON without a
/// namespace.
pub fn print(shape: &str, access: &str, issuer: &str, numbers: Range<usize>) {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for number in numbers {
        writeln!(out, "{}", secret(compiled(shape, access, issuer, number))).expect("it is read");
    }
    out.flush().expect("it is read");
}

/// `plain`: one route, `/door`, with this access. `rich`: what an app with an API may write.
pub fn compiled(shape: &str, access: &str, issuer: &str, number: usize) -> CompiledPolicy {
    let mut routes = vec![json!({"path": "/door", "access": access})];
    match shape {
        "plain" => {}
        "rich" => routes.extend([
            json!({"path": "/assets", "access": "Public"}),
            json!({"path": "/admin", "require": {
                "expression": "claims.groups.exists(g, g == \"staff\")",
            }}),
            json!({"path": "/", "upstream": {
                "authorization": "AccessToken",
                "headers": [
                    {"name": "X-User", "value": "claims.sub"},
                    {"name": "X-Groups", "value": "claims.groups"},
                ],
            }}),
        ]),
        other => panic!("no shape {other}: plain or rich"),
    }
    let spec = json!({
        "origins": [format!("https://app-{number}.example.com")],
        "providerRef": {"name": "corp"},
        "client": {"id": "shop", "secretRef": {"name": "oidc", "key": "secret"}},
        "routes": routes,
    });
    let spec = serde_json::from_value(spec).expect("a spec");
    let provider = serde_json::from_value(json!({"issuer": issuer})).expect("a spec");
    let input = Input {
        id: PolicyId { namespace: "load".to_owned(), name: format!("app-{number}") },
        uid: format!("00000000-0000-4000-8000-{number:012}"),
        spec: &spec,
        provider: Some(&provider),
        secrets: &|_| Ok(SecretString::from("a-client-secret-of-no-provider".to_owned())),
        allow_insecure: true,
    };
    compile(&input).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn secret(policy: CompiledPolicy) -> Value {
    let PolicyId { namespace, name } = policy.id.clone();
    let handoff = Handoff {
        id: policy.id.clone(),
        uid: policy.uid.clone(),
        generation: 1,
        origins: policy.origins.clone(),
        released: false,
        state: State::Live(Box::new(policy)),
    };
    let data: serde_json::Map<String, Value> = handoff
        .encode()
        .into_iter()
        .map(|(key, value)| (key, Value::String(STANDARD.encode(value))))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": handoff::secret_name(&namespace, &name),
            "labels": {COMPILED_LABEL: COMPILED_VALUE, "seed": "true"},
            "annotations": {POLICY_NAMESPACE_ANNOTATION: namespace, POLICY_NAME_ANNOTATION: name},
        },
        "type": COMPILED_SECRET_TYPE,
        "data": data,
    })
}
