//! What a live policy refers to is deleted, or becomes garbage, while it runs: it refuses until that
//! is mended, and its wiring stays.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vestibule_e2e::apiserver::NAMESPACE;
use vestibule_e2e::process::eventually;

use crate::bench::{Bench, LIMIT, condition, is_live, policy_of};

const APP: &str = "referents";
const CLASS: &str = "/apis/networking.k8s.io/v1/ingressclasses/traefik";
const PROVIDER: &str = "/apis/vestibule.dev/v1alpha1/clusterbffproviders/referents";
const KEY: &str = "/api/v1/namespaces/referents/secrets/key";
const BUNDLE: &str = "/api/v1/namespaces/vestibule/secrets/bundle";

/// A key and a certificate, as PEM.
fn pair(bench: &Bench) -> [String; 2] {
    let paths = ["referents.key", "referents.crt"].map(|name| bench.api.dir().join(name));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    openssl.args(["-nodes", "-days", "2", "-subj", "/CN=referents", "-keyout"]).arg(&paths[0]);
    let output = openssl.arg("-out").arg(&paths[1]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    paths.map(|path| std::fs::read_to_string(path).unwrap())
}

fn secret(namespace: &str, name: &str, text: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
        "data": {"pem": STANDARD.encode(text)},
    })
}

fn class(controller: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": {"name": "traefik"}, "spec": {"controller": controller},
    })
}

/// What happens to which object, and the condition and reason that tell of it.
struct Case {
    path: &'static str,
    /// What stands there instead; `None`: nothing.
    instead: Option<Value>,
    mended: Value,
    told: [&'static str; 2],
}

/// The same app with everything that can be referred to; and how each of that is lost.
fn prepare(bench: &Bench) -> Vec<Case> {
    let [key, certificate] = pair(bench);
    bench.app(APP);
    let (key, bundle) = (secret(APP, "key", &key), secret(NAMESPACE, "bundle", &certificate));
    let provider = json!({
        "apiVersion": "vestibule.dev/v1alpha1", "kind": "ClusterBffProvider",
        "metadata": {"name": APP},
        "spec": {
            "issuer": "https://id.example.com",
            "caBundleRef": {"name": "bundle", "key": "pem"},
        },
    });
    for object in [&key, &bundle, &provider] {
        bench.api.apply(object);
    }
    let mut policy = policy_of(APP);
    policy["spec"]["providerRef"] = json!({"kind": "ClusterBffProvider", "name": APP});
    policy["spec"]["client"] =
        json!({"id": "shop", "privateKeyJwt": {"keyRef": {"name": "key", "key": "pem"}}});
    bench.api.apply(&policy);
    bench.settle(APP);
    let case = |path, instead: Option<Value>, mended: &Value, told| Case {
        path,
        instead,
        mended: mended.clone(),
        told,
    };
    let garbage = |namespace, name| Some(secret(namespace, name, "-----BEGIN GARBAGE-----"));
    let traefik = class("traefik.io/ingress-controller");
    vec![
        case(KEY, None, &key, ["ResolvedRefs", "SecretNotFound"]),
        case(KEY, garbage(APP, "key"), &key, ["ResolvedRefs", "InvalidSecret"]),
        case(BUNDLE, None, &bundle, ["ResolvedRefs", "SecretNotFound"]),
        case(BUNDLE, garbage(NAMESPACE, "bundle"), &bundle, ["ResolvedRefs", "InvalidSecret"]),
        case(PROVIDER, None, &provider, ["ResolvedRefs", "ProviderNotFound"]),
        case(CLASS, None, &traefik, ["Accepted", "Unsupported"]),
        case(CLASS, Some(class("example.com/other")), &traefik, ["Accepted", "Unsupported"]),
    ]
}

#[test]
fn t051_t083_what_a_policy_refers_to_may_go_or_become_garbage_and_opens_nothing() {
    let bench = Bench::start();
    let cases = prepare(&bench);
    let begin = bench.api.now();
    for Case { path, instead, mended, told: [kind, reason] } in cases {
        let live = eventually(LIMIT, || is_live(&bench.compiled(APP).unwrap()).then_some(()));
        assert!(live.is_some(), "before {path}: {}", bench.tail());
        bench.api.delete(path);
        if let Some(instead) = &instead {
            bench.api.apply(instead);
        }
        let told = eventually(LIMIT, || {
            let refused = !is_live(&bench.compiled(APP).unwrap());
            (refused && condition(&bench, APP, kind)["reason"] == reason).then_some(())
        });
        let said = condition(&bench, APP, kind);
        assert!(told.is_some(), "{path} {instead:?}: {said}\n{}", bench.tail());
        assert_eq!(said["status"], "False", "{said}");
        // The controller of a class cannot be changed.
        if instead.is_some() {
            bench.api.delete(path);
        }
        bench.api.apply(&mended);
    }
    let live = eventually(LIMIT, || is_live(&bench.compiled(APP).unwrap()).then_some(()));
    assert!(live.is_some(), "{}", bench.tail());
    bench.history(begin).assert_wiring_stayed();
}
