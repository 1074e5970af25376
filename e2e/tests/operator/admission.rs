//! What a real API server says to the chart, and its admission policies to others, in dry runs.

use serde_json::{Value, json};
use vestibule_e2e::apiserver::{ApiServer, NAMESPACE};
use vestibule_e2e::http::{Request, Response};
use vestibule_e2e::process::eventually;

use crate::bench::{Bench, LIMIT, ingress, ingress_path, namespace, policy_of};
use crate::rules::{Rules, rendered};

const MERGE: &str = "application/merge-patch+json";
const OPERATOR: &str = "system:serviceaccount:vestibule:vestibule-operator";

/// Would create it, as that user or as administrator.
fn create(api: &ApiServer, user: Option<&str>, object: &Value) -> Response {
    let version = object["apiVersion"].as_str().unwrap();
    let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
    let plural = if plural == "ingresss" { "ingresses".to_owned() } else { plural };
    let space = object["metadata"]["namespace"].as_str().unwrap();
    let path = format!("/apis/{version}/namespaces/{space}/{plural}?dryRun=All");
    let mut request = Request::new("POST", path, "127.0.0.1");
    request = request.header("Content-Type", "application/json");
    if let Some(user) = user {
        request = request.header("Impersonate-User", user);
        request = request.header("Impersonate-Group", "system:masters");
    }
    request.body = object.to_string().into_bytes();
    request.send(api.plain())
}

fn route(kind: &str, namespace: &str, rule: &str) -> Value {
    let first = format!("Host(`first.{namespace}.example.com`)");
    json!({
        "apiVersion": "traefik.io/v1alpha1", "kind": kind,
        "metadata": {"name": "route", "namespace": namespace},
        "spec": {"routes": [
            {"kind": "Rule", "match": first, "services": [{"name": "app", "port": 80}]},
            {"kind": "Rule", "match": rule, "services": [{"name": "app", "port": 80}]},
        ]},
    })
}

/// A policy whose targets are two Ingresses, and one whose target is an `IngressRoute`.
fn two_apps(bench: &Bench) {
    bench.app("exclusive");
    bench.policy("exclusive");
    bench.app("exclusive-route");
    let mut target = route("IngressRoute", "exclusive-route", "Host(`route.example.com`)");
    for route in target["spec"]["routes"].as_array_mut().unwrap() {
        route["middlewares"] = json!([{"name": "vestibule-shop"}]);
    }
    target["spec"]["tls"] = json!({});
    bench.api.apply(&target);
    let mut policy = policy_of("exclusive-route");
    policy["spec"]["targetRefs"] =
        json!([{"group": "traefik.io", "kind": "IngressRoute", "name": "route"}]);
    bench.api.apply(&policy);
    bench.settle("exclusive");
    bench.settle("exclusive-route");
}

#[test]
fn a_route_of_another_namespace_that_names_a_policys_host_is_refused() {
    let bench = Bench::start();
    let api = &bench.api;
    two_apps(&bench);
    api.apply(&namespace("intruder"));
    let there_before = ingress("intruder", "before", "nginx", "exclusive.example.com");
    api.apply(&there_before);
    let _rules = Rules::apply(api, &["exclusive-validate"]);
    let of = |host: &str| ingress("intruder", "new", "nginx", host);
    let mut alias = of("unclaimed.example.com");
    alias["metadata"]["annotations"] =
        json!({"nginx.ingress.kubernetes.io/server-alias": "x.example.com, Exclusive.example.com"});
    let quoted = |kind: &str, rule: &str| route(kind, "intruder", rule);
    let refused = [
        (of("exclusive.example.com"), "exclusive"),
        (of("side.exclusive.example.com"), "exclusive"),
        (of("*.exclusive.example.com"), "exclusive"),
        (alias, "exclusive"),
        (of("route.example.com"), "exclusive-route"),
        (quoted("IngressRoute", "Host(`route.example.com`)"), "exclusive-route"),
        (
            quoted("IngressRoute", r#"PathPrefix(`/x`) && (Host("Exclusive.example.com."))"#),
            "exclusive",
        ),
        (quoted("IngressRoute", "Host(`x.example.com`, `exclusive.example.com`)"), "exclusive"),
        (quoted("IngressRouteTCP", "HostSNI(`exclusive.example.com`)"), "exclusive"),
        (quoted("IngressRouteTCP", "HostSNI(`route.example.com`)"), "exclusive-route"),
    ];
    for (object, owner) in &refused {
        // The API server goes by a new policy a little later.
        let mut answer = create(api, None, object);
        let known = eventually(LIMIT, || {
            answer = create(api, None, object);
            (answer.status == 403).then_some(())
        });
        let said = answer.text();
        assert!(known.is_some(), "{object}: {answer}");
        let whose = format!("belongs to the BffPolicy shop of the namespace {owner}.");
        assert!(said.contains(&whose) && said.contains(".example.com"), "{said}");
    }
    let other_routes = "HostRegexp(`^y`) && PathPrefix(`/exclusive.example.com`)";
    for object in [
        of("unclaimed.example.com"),
        of("deep.side.exclusive.example.com"),
        quoted("IngressRoute", other_routes),
        ingress("exclusive", "new", "nginx", "exclusive.example.com"),
        ingress("exclusive", "new", "nginx", "*.exclusive.example.com"),
        route("IngressRouteTCP", "exclusive-route", "HostSNI(`route.example.com`)"),
    ] {
        let answer = create(api, None, &object);
        assert_eq!(answer.status, 201, "{object}: {answer}");
    }
    let any = of("exclusive.example.com");
    assert_eq!(create(api, Some(OPERATOR), &any).status, 201);
    assert_eq!(create(api, Some("somebody"), &any).status, 403);
    let bff = ingress(NAMESPACE, "new", "nginx", "exclusive.example.com");
    assert_eq!(create(api, None, &bff).status, 201, "our own namespace");
    // What was there before may be labelled, and deleted; it may not be given a new path.
    let change = |patch: &Value| {
        let path = format!("{}?dryRun=All", ingress_path("intruder", "before"));
        api.try_change("PATCH", &path, MERGE, patch).status
    };
    assert_eq!(change(&json!({"metadata": {"labels": {"a": "b"}}})), 200);
    assert_eq!(change(&json!({"spec": {"ingressClassName": "traefik"}})), 403);
    api.delete(&ingress_path("intruder", "before"));
}

#[test]
fn an_ingress_route_keeps_its_policy_until_it_is_released() {
    let bench = Bench::start();
    let api = &bench.api;
    api.apply(&namespace("unnaming"));
    let _rules = Rules::apply(api, &["ingressroute-validate"]);
    let mut object = route("IngressRoute", "unnaming", "Host(`unnaming.example.com`)");
    object["metadata"]["annotations"] = json!({"vestibule.dev/policy": "shop"});
    let known = eventually(LIMIT, || (create(api, None, &object).status == 422).then_some(()));
    assert!(known.is_some(), "a route without the Middleware is stored");
    let middlewares = json!([{"name": "vestibule-shop"}]);
    for route in object["spec"]["routes"].as_array_mut().unwrap() {
        route["middlewares"] = middlewares.clone();
    }
    api.apply(&object);
    let path = "/apis/traefik.io/v1alpha1/namespaces/unnaming/ingressroutes/route";
    let annotate = |policy: &Value, release: &Value| {
        let annotations = json!({"vestibule.dev/policy": policy, "vestibule.dev/release": release});
        let patch = json!({"metadata": {"annotations": annotations}});
        api.try_change("PATCH", path, MERGE, &patch)
    };
    let (none, policy, release) = (Value::Null, json!("shop"), json!("true"));
    let answer = annotate(&none, &none);
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("Set vestibule.dev/release"), "{answer}");
    assert_eq!(annotate(&none, &release).status, 403, "not in one step");
    assert_eq!(annotate(&policy, &json!("yes")).status, 200);
    assert_eq!(annotate(&none, &none).status, 403, "only true releases");
    assert_eq!(annotate(&policy, &release).status, 200);
    assert_eq!(annotate(&none, &release).status, 200);
    api.delete(path);
}

#[test]
fn what_the_chart_renders_for_production_is_valid_to_the_last_field() {
    let bench = Bench::prepare();
    let text = rendered(&[]);
    // Of the Prometheus operator, whose kinds are not here.
    let known = |document: &&str| !document.contains("kind: ServiceMonitor\n");
    let documents: Vec<&str> = text.split("\n---\n").filter(known).collect();
    assert!(documents.len() > 20, "{}", documents.len());
    let validated = ["--dry-run=server", "--validate=strict"];
    bench.api.apply_yaml(&documents.join("\n---\n"), &validated);
}
