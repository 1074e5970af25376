//! What goes on while parts of the installation are gone, and that nothing opens meanwhile.

use std::time::{Duration, Instant};

use vestibule_e2e::app::{App, LIMIT, ROUTES};
use vestibule_e2e::installation::{Guise, Installation, NAMESPACE};
use vestibule_e2e::process::eventually;

#[test]
fn with_no_operator_a_new_annotated_ingress_is_closed_and_old_apps_go_on() {
    let on = Installation::shared_alone();
    let old = App::start(&on, "no-operator-old", Guise::Traefik);
    let mut browser = old.logged_in(&on, "alice");
    on.scale("operator", 0);
    for (namespace, guise) in
        [("unborn-traefik", Guise::Traefik), ("unborn-nginx", Guise::NginxAnnotations)]
    {
        let app = App::deploy(&on, namespace, guise);
        on.apply(&app.policy(ROUTES));
        on.apply(&app.ingress(""));
        // Until the gateway has seen the Ingress it is 404; then it must be anything but the app.
        let deadline = Instant::now() + Duration::from_secs(8);
        while Instant::now() < deadline {
            let answer = app.ask(&on, "/public");
            assert_ne!(answer.status, 200, "{answer}");
            assert!(!answer.text().contains("\"headers\""), "the app was reached: {answer}");
        }
        if guise == Guise::NginxAnnotations {
            // The gateway has the route by now, and asks: what admission wrote is what closes it.
            assert_eq!(app.ask(&on, "/public").status, 503);
        }
    }
    assert_eq!(browser.open(&old.url("/api")).response.status, 200);
    assert_eq!(old.logged_in(&on, "bob").open(&old.url("/api")).response.status, 200);
    on.scale("operator", 2);
    let app_namespace = "unborn-traefik";
    on.wait_for(&["-n", app_namespace, "bffpolicy/shop"], "condition=Programmed", LIMIT);
}

#[test]
fn when_the_leader_is_killed_the_other_takes_over_within_its_lease() {
    let on = Installation::shared_alone();
    let app = App::start(&on, "leader", Guise::Traefik);
    let mut browser = app.logged_in(&on, "alice");
    let leader = on.leader().expect("there is a leader");
    on.kill_pod(NAMESPACE, &leader);
    assert_eq!(browser.open(&app.url("/api")).response.status, 200);
    let start = Instant::now();
    let other = eventually(LIMIT, || on.leader().filter(|holder| *holder != leader));
    assert!(other.is_some(), "nobody leads");
    // 15 s of lease, and what the successor's next look takes.
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    let patch = r#"{"spec":{"routes":[{"path":"/new","access":"Public"}]}}"#;
    on.kubectl(&["-n", "leader", "patch", "bff/shop", "--type=merge", "-p", patch]);
    let served = eventually(LIMIT, || (app.ask(&on, "/new").status == 200).then_some(()));
    assert!(served.is_some(), "the new leader does not work");
}

#[test]
fn with_the_api_server_gone_logins_and_checks_go_on() {
    let on = Installation::shared_alone();
    let app = App::start(&on, "api-server", Guise::Traefik);
    let (gateway, mut browser) = (on.gateway(app.guise, 8000), app.logged_in(&on, "alice"));
    on.stop_api_server();
    assert_eq!(browser.open(&app.url("/api")).response.status, 200);
    let mut fresh = vestibule_e2e::browser::Browser::default();
    fresh.resolve(&app.origin(), gateway);
    assert_eq!(fresh.log_in(&app.url("/api"), "bob").response.status, 200);
    on.start_api_server();
    let patch = r#"{"spec":{"routes":[{"path":"/new","access":"Public"}]}}"#;
    on.kubectl(&["-n", "api-server", "patch", "bff/shop", "--type=merge", "-p", patch]);
    let served = eventually(LIMIT, || (app.ask(&on, "/new").status == 200).then_some(()));
    assert!(served.is_some(), "edits do not arrive any more");
}

#[test]
fn a_rolling_restart_of_authsvc_under_load_fails_no_request() {
    let on = Installation::shared_alone();
    let app = App::start(&on, "rolling", Guise::Traefik);
    app.under_load(app.logged_in(&on, "alice"), || {
        on.kubectl(&["-n", NAMESPACE, "rollout", "restart", "deployment/vestibule-authsvc"]);
        on.wait_for_rollout(NAMESPACE, "vestibule-authsvc", LIMIT * 2);
    });
}
