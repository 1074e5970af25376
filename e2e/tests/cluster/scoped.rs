//! An installation for some namespaces only. The shared one becomes scoped for a while: two
//! installations of which one serves all namespaces cannot be in one cluster.

use vestibule_e2e::app::{App, LIMIT, ROUTES};
use vestibule_e2e::installation::{self, Deviation, Guise, Installation, NAMESPACE};
use vestibule_e2e::process::eventually;

/// Serves that namespace alone, and returns when no pod of the wider form is left.
fn scope_to<'a>(on: &'a Installation, namespace: &str) -> Deviation<'a> {
    let former = on.component("operator");
    let scoped = Deviation::of(on);
    let values = installation::values() + &format!("scope: [{namespace}]\n");
    scoped.upgrade(&installation::charts(), &values);
    for pod in former {
        let pod = format!("pod/{pod}");
        on.kubectl(&["-n", NAMESPACE, "wait", "--for=delete", &pod, "--timeout=2m"]);
    }
    scoped
}

/// Whether a service account of the installation may do that, by the API server's word.
fn may(on: &Installation, account: &str, verb: &str, place: &[&str]) -> bool {
    let account = format!("--as=system:serviceaccount:{NAMESPACE}:vestibule-{account}");
    let ask = ["auth", "can-i", verb, "secrets", &account];
    let output = on.try_kubectl(&[&ask[..], place].concat());
    let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(answer.starts_with("yes") || answer.starts_with("no"), "{answer}{said}");
    answer.starts_with("yes")
}

const VERBS: [&str; 8] =
    ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

/// What the service accounts may do with Secrets, and where.
fn rights_on_secrets_are_those_of_the_scope(on: &Installation) {
    let (everywhere, inside) = (["--all-namespaces"], ["-n", "scope-in"]);
    let (outside, own) = (["-n", "scope-out"], ["-n", NAMESPACE]);
    for verb in VERBS {
        let reads = ["get", "list", "watch"].contains(&verb);
        for account in ["operator", "authsvc"] {
            assert!(!may(on, account, verb, &everywhere), "{account} may {verb} all Secrets");
            assert!(!may(on, account, verb, &outside), "{account} may {verb} Secrets outside");
        }
        // What the answers above would miss if they were always no.
        assert_eq!(may(on, "operator", verb, &inside), reads, "{verb}");
        assert!(!may(on, "authsvc", verb, &inside), "authsvc may {verb} Secrets of apps");
        assert_eq!(may(on, "authsvc", verb, &own), reads, "{verb}");
    }
    assert!(may(on, "operator", "create", &own));
}

#[test]
fn a_scoped_installation_serves_its_namespaces_and_touches_no_other() {
    let on = Installation::shared_alone();
    // Served before it is scoped.
    let former = App::start(&on, "scope-former", Guise::Traefik);
    let outside = ["scope-out", "scope-out-nginx"];
    let guises = [Guise::Traefik, Guise::NginxAnnotations];
    let outside = [0, 1].map(|at| App::deploy(&on, outside[at], guises[at]));
    let inside = App::deploy(&on, "scope-in", Guise::Traefik);
    assert!(may(&on, "operator", "list", &["--all-namespaces"]), "without a scope it may");

    let scoped = scope_to(&on, "scope-in");
    rights_on_secrets_are_those_of_the_scope(&on);
    // The ones outside first: when the one inside is in force, their turn would have come.
    for app in outside.iter().chain([&inside]) {
        on.apply(&app.policy(ROUTES));
        on.apply(&app.ingress(""));
    }
    inside.wait_until_protected(&on);
    assert_eq!(inside.logged_in(&on, "alice").open(&inside.url("/api")).response.status, 200);
    for app in &outside {
        untouched(&on, app);
    }
    // What left the scope stays enforced.
    assert_eq!(former.ask(&on, "/").status, 401, "{}", former.ask(&on, "/"));
    assert_eq!(former.logged_in(&on, "alice").open(&former.url("/api")).response.status, 200);

    // And is managed again with those that were outside, once there is no scope.
    drop(scoped);
    for app in outside.iter().chain([&inside, &former]) {
        app.wait_until_protected(&on);
    }
}

/// Nothing is written to an app, nor for it, and its gateway asks nobody.
fn untouched(on: &Installation, app: &App) {
    let namespace = &app.namespace;
    let served = eventually(LIMIT, || (app.ask(on, "/denied").status == 200).then_some(()));
    assert!(served.is_some(), "{}", app.ask(on, "/denied"));
    assert!(app.status(on, "shop").is_null(), "{:#}", app.status(on, "shop"));
    let all = "ingresses,bffpolicies,middlewares,ingressroutes,secrets";
    let objects = on.get(&["-n", namespace, all, "--show-managed-fields"]);
    let objects = objects["items"].as_array().cloned().unwrap_or_default();
    assert!(objects.len() >= 4, "an Ingress, a policy and two Secrets at least");
    for object in objects {
        let metadata = &object["metadata"];
        let managers = metadata["managedFields"].as_array().cloned().unwrap_or_default();
        assert!(!managers.is_empty(), "{object:#}");
        let ours = managers.iter().any(|one| one["manager"].to_string().contains("vestibule"));
        assert!(!ours, "{object:#}");
        let annotations = metadata["annotations"].to_string();
        for written in ["auth-url", "router.middlewares", "vestibule.dev/wired"] {
            assert!(!annotations.contains(written), "{object:#}");
        }
    }
    let label = "vestibule.dev/policy-id";
    let ours = ["-n", NAMESPACE, "get", "secrets,ingresses,ingressroutes", "-l", label];
    let ours = on.kubectl(&[&ours[..], &["-o", "yaml"]].concat());
    assert!(!ours.contains(&format!("policy-namespace: {namespace}\n")), "{namespace}");
}
