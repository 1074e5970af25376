//! An object that is no policy of this version, as a newer or a damaged API might hold one; and a
//! compiled Secret that says nothing any more.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vestibule_e2e::process::eventually;

use crate::bench::{
    Bench, LIMIT, SECRETS, condition, door_is_open, envelope, ingress_path, is_live, number,
    policy_path,
};

const CRD: &str =
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/bffpolicies.vestibule.dev";
const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema";

/// Puts the schema there; the API server goes by it a little later.
fn with_schema(bench: &Bench, schema: &Value) {
    let replace = json!([{"op": "replace", "path": SCHEMA, "value": schema}]);
    bench.api.patch(CRD, &replace);
}

#[test]
fn a_policy_that_cannot_be_read_is_refused_and_stalls_nobody_else() {
    let mut bench = Bench::start();
    let begin = bench.api.now();
    for name in ["damaged", "neighbour"] {
        bench.app(name);
        bench.policy(name);
        bench.settle(name);
    }
    let strict = bench.api.object(CRD).pointer(SCHEMA).unwrap().clone();
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    with_schema(&bench, &schema);
    let damage = json!({"spec": {"routes": 7}});
    let media = "application/merge-patch+json";
    let path = policy_path("damaged");
    let damaged = eventually(LIMIT, || {
        let answer = bench.api.try_change("PATCH", &path, media, &damage);
        (answer.status == 200).then(|| number(&answer.json()))
    });
    let damaged = damaged.expect("the schema is relaxed");
    let refused =
        eventually(LIMIT, || (!is_live(&bench.compiled("damaged").unwrap())).then_some(()));
    assert!(refused.is_some(), "{}", bench.tail());
    bench.close_the_door("neighbour");
    bench.settle("neighbour");
    assert!(!door_is_open(&bench.compiled("neighbour").unwrap()));
    // A new operator, which knows nothing of before, does no worse.
    bench.crash();
    bench.begin();
    bench.api.merge(&policy_path("neighbour"), &json!({"spec": {"routes": [{"path": "/a"}]}}));
    bench.settle("neighbour");
    let refused = bench.compiled("damaged").unwrap();
    assert_eq!(envelope(&refused)["state"], "Refused");
    assert!(!envelope(&refused)["origins"].as_array().unwrap().is_empty(), "it lost its hosts");
    for version in bench.history(damaged).compiled("damaged", damaged) {
        assert!(!is_live(&version.object));
    }
    bench.history(begin).assert_wiring_stayed();
    let status = eventually(LIMIT, || {
        let policy = bench.api.object(&policy_path("damaged"));
        policy["status"].to_string().contains("the object cannot be read").then_some(())
    });
    assert!(status.is_some(), "its author is not told: {}", bench.tail());
    // It is mended, and the schema with it.
    bench.api.merge(&path, &json!({"spec": {"routes": [{"path": "/door", "access": "Deny"}]}}));
    with_schema(&bench, &strict);
    bench.settle("damaged");
    let mended = eventually(LIMIT, || is_live(&bench.compiled("damaged").unwrap()).then_some(()));
    assert!(mended.is_some(), "{}", bench.tail());
}

#[test]
fn the_hosts_of_a_compiled_secret_that_cannot_be_read_stay_taken_after_a_restart() {
    let mut bench = Bench::start();
    bench.app("lost");
    bench.policy("lost");
    bench.settle("lost");
    bench.crash();
    let name = bench.compiled("lost").unwrap()["metadata"]["name"].clone();
    let garbage = json!({"data": {"policy.json": STANDARD.encode("{}")}});
    bench.api.merge(&format!("{SECRETS}/{}", name.as_str().unwrap()), &garbage);
    bench.api.delete(&policy_path("lost"));
    // Somebody else asks for one of them meanwhile.
    bench.app("finder");
    bench.api.patch(
        &ingress_path("finder", "web"),
        &json!([
            {"op": "replace", "path": "/spec/rules/0/host", "value": "lost.example.com"},
            {"op": "replace", "path": "/spec/tls/0/hosts/0", "value": "lost.example.com"},
        ]),
    );
    bench.policy("finder");
    bench.begin();
    bench.settle("finder");
    let accepted = condition(&bench, "finder", "Accepted");
    assert_eq!(accepted["reason"], "Conflicted", "{accepted}\n{}", bench.tail());
    let tombstone = eventually(LIMIT, || {
        let said = envelope(&bench.compiled("lost").unwrap());
        (said["state"] == "Tombstone").then_some(said)
    });
    let said = tombstone.unwrap_or_else(|| panic!("{}", bench.tail()));
    assert_eq!(said["origins"].as_array().unwrap().len(), 2, "{said}");
}
