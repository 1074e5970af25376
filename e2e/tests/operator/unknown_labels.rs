//! A namespace whose labels are not known yet: a selector that asks for the absence of a label would
//! select it.

use serde_json::json;
use vestibule_e2e::apiserver::{Call, Fate};
use vestibule_e2e::process::eventually;

use crate::bench::{Bench, LIMIT, condition, is_live, namespace, policy_of, policy_path};

/// A provider for every namespace that is not marked.
fn provider(bench: &Bench) {
    let selector = json!({"matchExpressions": [{"key": "marked", "operator": "DoesNotExist"}]});
    bench.api.apply(&json!({
        "apiVersion": "vestibule.dev/v1alpha1", "kind": "ClusterBffProvider",
        "metadata": {"name": "unmarked"},
        "spec": {"issuer": "https://id.example.com", "namespaceSelector": selector},
    }));
}

/// An app, and a policy with that provider.
fn app(bench: &Bench, name: &str) {
    bench.app(name);
    let mut policy = policy_of(name);
    policy["spec"]["providerRef"] = json!({"kind": "ClusterBffProvider", "name": "unmarked"});
    bench.api.apply(&policy);
}

/// No news of namespaces.
fn blind(bench: &Bench) {
    bench.proxy.judge(|call| {
        let of_namespaces = call.watches("namespaces") || call.lists("namespaces");
        if of_namespaces { Fate::Hold } else { Fate::Forward }
    });
    bench.proxy.cut_watches("namespaces");
}

#[test]
fn t114_labels_that_are_not_known_yet_are_asked_for() {
    let bench = Bench::start();
    provider(&bench);
    blind(&bench);
    let _ = bench.proxy.take_calls();
    let marked = json!({"metadata": {"labels": {"marked": "yes"}}});
    bench.api.apply(&namespace("marked"));
    bench.api.merge("/api/v1/namespaces/marked", &marked);
    app(&bench, "marked");
    bench.settle("marked");
    let refs = condition(&bench, "marked", "ResolvedRefs");
    assert_eq!(refs["reason"], "ProviderNotPermitted", "{refs}");
    assert!(!is_live(&bench.compiled("marked").unwrap()));
    let asked = |call: &Call| {
        call.method == "GET" && call.target.split('?').next() == Some("/api/v1/namespaces/marked")
    };
    assert!(bench.proxy.take_calls().iter().any(asked), "it was not asked for");
    bench.api.delete(&policy_path("marked"));
}

#[test]
fn t114_while_labels_cannot_be_read_nothing_is_decided() {
    let bench = Bench::start();
    provider(&bench);
    bench.proxy.judge(|call| {
        if call.watches("namespaces") || call.lists("namespaces") {
            Fate::Hold
        } else if call.target.split('?').next() == Some("/api/v1/namespaces/unmarked") {
            Fate::failure(500, "InternalError", None)
        } else {
            Fate::Forward
        }
    });
    bench.proxy.cut_watches("namespaces");
    app(&bench, "unmarked");
    let tried = eventually(LIMIT, || (bench.proxy.faults() >= 3).then_some(()));
    assert!(tried.is_some(), "{}", bench.tail());
    assert!(bench.compiled("unmarked").is_none());
    bench.proxy.clear();
    bench.settle("unmarked");
    assert!(is_live(&bench.compiled("unmarked").unwrap()));
}
