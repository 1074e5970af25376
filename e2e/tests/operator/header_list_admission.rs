//! What the chart's admission policies let become of a check's address, which names the list of
//! headers beside it: only the operator names one, and nobody takes it off.

use serde_json::{Value, json};
use vestibule_e2e::apiserver::{ApiServer, Shared};
use vestibule_e2e::http::{Request, Response};
use vestibule_e2e::process::eventually;

use crate::bench::{Bench, LIMIT, ingress, ingress_path};
use crate::rules::Rules;

const OPERATOR: &str = "system:serviceaccount:vestibule:vestibule-operator";
const APP: &str = "listed";
const AUTH_URL: &str = "nginx.ingress.kubernetes.io/auth-url";
const LIST: &str = "nginx.ingress.kubernetes.io/auth-response-headers";
const PLAIN: &str =
    "http://vestibule-check.vestibule.svc.cluster.local:8081/check/nginx/listed/shop";
const NAMED: &str = "?headers=8794e7ee";
const OTHER: &str = "?headers=00000000";

/// What the API server has where it cannot write the wiring, and what more where it can.
const VALIDATING: [&str; 2] = ["ingress-validate", "foreign-validate"];
const MUTATING: [&str; 3] = ["ingress-mutate", "ingress-validate", "foreign-validate"];

/// What stands in an Ingress.
type Lines<'a> = [(&'a str, &'a str)];

fn object(lines: &Lines) -> Value {
    let mut object = ingress(APP, "shop", "nginx", "listed.example.com");
    let annotations = &mut object["metadata"]["annotations"];
    *annotations = json!({"vestibule.dev/policy": "shop"});
    for (name, value) in lines {
        annotations[*name] = json!(value);
    }
    object
}

/// Sends an Ingress whole: a creation, or what it is replaced by.
fn send(api: &ApiServer, method: &str, lines: &Lines) -> Response {
    let path = ingress_path(APP, "shop");
    let collection = path.trim_end_matches("/shop");
    let mut request =
        Request::new(method, if method == "POST" { collection } else { &path }, "127.0.0.1");
    request = request.header("Content-Type", "application/json");
    request.body = object(lines).to_string().into_bytes();
    request.send(api.plain())
}

/// What the operator writes.
fn wire(api: &ApiServer, lines: &Lines) {
    let annotations: Value =
        lines.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let patch = json!({"metadata": {"annotations": annotations}});
    let mut request = Request::new("PATCH", ingress_path(APP, "shop"), "127.0.0.1");
    request = request.header("Content-Type", "application/merge-patch+json");
    request = request.header("Impersonate-User", OPERATOR);
    request = request.header("Impersonate-Group", "system:masters");
    request.body = patch.to_string().into_bytes();
    let answer = request.send(api.plain());
    assert_eq!(answer.status, 200, "{answer}");
}

fn stored(api: &ApiServer) -> [Value; 2] {
    let object = api.object(&ingress_path(APP, "shop"));
    [AUTH_URL, LIST].map(|name| object["metadata"]["annotations"][name].clone())
}

fn prepared() -> Shared {
    let api = Bench::prepare().api;
    api.apply(&crate::bench::namespace(APP));
    api
}

/// A new Ingress is stored, once the API server goes by the rules.
fn born(api: &ApiServer, lines: &Lines, known: impl Fn(&Response) -> bool) {
    let path = ingress_path(APP, "shop");
    let mut answer = Response::default();
    let in_force = eventually(LIMIT, || {
        answer = send(api, "POST", lines);
        if known(&answer) {
            return Some(());
        }
        if answer.status == 201 {
            api.delete(&path);
        }
        None
    });
    assert!(in_force.is_some(), "{answer}");
}

#[test]
fn where_the_wiring_is_written_at_birth_it_names_no_list_and_later_the_operators() {
    let api = prepared();
    let _rules = Rules::apply(&api, &MUTATING);
    let named = format!("{PLAIN}{NAMED}");
    let other = format!("{PLAIN}{OTHER}");
    let written = |answer: &Response| answer.status == 201 && answer.text().contains(PLAIN);
    for (lines, list) in [
        (&[][..], "Authorization,Cookie"),
        // Who copies the address of a wired Ingress has not copied what it names.
        (&[(AUTH_URL, named.as_str())], "Authorization,Cookie"),
        (&[(AUTH_URL, &named), (LIST, "X-Other, cookie")], "Authorization,Cookie,X-Other"),
        (&[(LIST, "Authorization,Cookie,x-user")], "Authorization,Cookie,x-user"),
    ] {
        born(&api, lines, written);
        assert_eq!(stored(&api), [json!(PLAIN), json!(list)], "{lines:?}");
        api.delete(&ingress_path(APP, "shop"));
    }

    born(&api, &[], written);
    let list = "Authorization,Cookie,x-user";
    wire(&api, &[(AUTH_URL, &named), (LIST, list)]);
    for lines in [
        &[][..],
        &[(AUTH_URL, PLAIN)],
        &[(AUTH_URL, other.as_str()), (LIST, "Authorization,Cookie")],
        &[(AUTH_URL, "http://other/")],
    ] {
        let answer = send(&api, "PUT", lines);
        assert_eq!(answer.status, 200, "{lines:?}: {answer}");
        assert_eq!(stored(&api), [json!(named), json!(list)], "{lines:?}");
    }
    // The operator has another list now.
    wire(&api, &[(AUTH_URL, &other), (LIST, "Authorization,Cookie,x-team")]);
    assert_eq!(send(&api, "PUT", &[(AUTH_URL, &named)]).status, 200);
    assert_eq!(stored(&api), [json!(other), json!("Authorization,Cookie,x-team")]);
    // Another policy's list is another.
    let patch = json!({"metadata": {"annotations": {"vestibule.dev/policy": "desk"}}});
    api.merge(&ingress_path(APP, "shop"), &patch);
    assert_eq!(stored(&api)[0], json!(PLAIN.replace("/shop", "/desk")));
    api.delete(&ingress_path(APP, "shop"));
}

#[test]
fn where_the_wiring_is_only_asked_for_nobody_names_a_list_that_is_not_there() {
    let api = prepared();
    let _rules = Rules::apply(&api, &VALIDATING);
    let named = format!("{PLAIN}{NAMED}");
    let other = format!("{PLAIN}{OTHER}");
    let list = "Authorization,Cookie,x-user";
    // Refused without the line; then stored.
    born(&api, &[], |answer| answer.status == 422 && answer.text().contains(PLAIN));
    for lines in [
        &[(AUTH_URL, named.as_str())][..],
        &[(AUTH_URL, &format!("{PLAIN}?headers=8794e7")), (LIST, list)],
        &[(AUTH_URL, &format!("{PLAIN}?headers=8794E7EE")), (LIST, list)],
        &[(AUTH_URL, &format!("{PLAIN}{NAMED}&x=y")), (LIST, list)],
        &[(AUTH_URL, &format!("{PLAIN}?")), (LIST, list)],
        &[(AUTH_URL, &format!("{PLAIN}2{NAMED}")), (LIST, list)],
    ] {
        let answer = send(&api, "POST", lines);
        // Both rules refuse some of these, and which of them the API server names is not settled.
        assert!([403, 422].contains(&answer.status), "{lines:?}: {answer}");
    }
    // A copy of a wired one says what is so.
    born(&api, &[(AUTH_URL, &named), (LIST, list)], |answer| answer.status == 201);
    api.delete(&ingress_path(APP, "shop"));
    born(&api, &[(AUTH_URL, PLAIN)], |answer| answer.status == 201);
    wire(&api, &[(AUTH_URL, &named), (LIST, list)]);
    for (lines, status) in [
        (&[(AUTH_URL, named.as_str()), (LIST, list)][..], 200),
        // Whoever applies the line of its birth again is not stopped: it refuses more.
        (&[(AUTH_URL, PLAIN), (LIST, list)], 200),
        (&[(AUTH_URL, &other), (LIST, list)], 422),
        (&[(AUTH_URL, &named)], 422),
    ] {
        wire(&api, &[(AUTH_URL, &named), (LIST, list)]);
        let answer = send(&api, "PUT", lines);
        assert_eq!(answer.status, status, "{lines:?}: {answer}");
    }
    // Nor in two steps.
    wire(&api, &[(AUTH_URL, PLAIN), (LIST, list)]);
    assert_eq!(send(&api, "PUT", &[(AUTH_URL, &other), (LIST, list)]).status, 422);
    api.delete(&ingress_path(APP, "shop"));
}
