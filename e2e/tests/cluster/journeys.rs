//! What the chart promises: install, apply a policy and an Ingress, log in.
#![expect(clippy::unwrap_used, reason = "what is not there fails the test")]

use serde_json::{Value, json};
use vestibule_e2e::app::App;
use vestibule_e2e::chromium::journey;
use vestibule_e2e::echo::{Echo, Echoed as _};
use vestibule_e2e::installation::{Guise, Installation};

#[test]
fn the_first_login_behind_traefiks_own_provider_in_chromium() {
    first_login("journey-traefik", Guise::Traefik);
}

#[test]
fn the_first_login_behind_ingress_nginxs_annotations_in_chromium() {
    first_login("journey-nginx", Guise::NginxAnnotations);
}

fn first_login(namespace: &str, guise: Guise) {
    let on = Installation::shared();
    let app = App::start(&on, namespace, guise);
    logs_in_with_chromium(&on, &app);
}

/// The journey of a user through an app that is protected already, by TLS.
pub fn logs_in_with_chromium(on: &Installation, app: &App) {
    let elsewhere = Echo::start();
    let found = journey(
        "gateway",
        app.dir.path(),
        json!({
            "origin": app.origin(),
            // With TLS, by the certificate of the app's own Ingress.
            "hosts": {app.host.clone(): on.gateway(app.guise, 8443).to_string()},
            "elsewhere": format!("http://{}/page", elsewhere.address),
        }),
    );
    let with = &found["withScripts"];
    assert_eq!(with["anonymous"], 401, "{found}");
    assert_eq!(with["provider"], app.provider.issuer, "{found}");
    let returned = with["returned"].as_str().unwrap();
    assert_eq!(returned.split('#').next().unwrap(), app.url("/page/deep?x=1&y=a%20b"));
    assert_eq!(with["api"].values("x-user"), ["alice"], "{found}");
    assert!(with["api"].values("authorization")[0].starts_with("Bearer "), "{found}");
    assert!(with["api"].values("cookie").iter().all(|cookie| !cookie.contains("__Host-bff")));
    assert_eq!(with["post"]["status"], 200, "{found}");
    assert_eq!(with["after"], 401, "{found}");
    assert_eq!(with["axe"], json!([]), "{found}");
    assert_eq!(found["withoutScripts"]["returned"], app.url("/page/deep?x=1"), "{found}");
}

#[test]
fn the_bff_route_is_served_with_the_certificate_of_the_app() {
    let on = Installation::shared();
    for (namespace, guise) in
        [("tls-traefik", Guise::Traefik), ("tls-nginx", Guise::NginxAnnotations)]
    {
        let app = App::start(&on, namespace, guise);
        is_served_with_its_certificate(&on, &app);
    }
}

/// The app and its `/bff` have one certificate: that of the app.
pub fn is_served_with_its_certificate(on: &Installation, app: &App) {
    let gateway = on.gateway(app.guise, 8443).to_string();
    for path in ["/bff/session", "/api"] {
        let url = app.url(path);
        let resolve = format!("{}:443:{}", app.host, gateway.replace(":8443", ""));
        let connect = format!("::{gateway}");
        let output = std::process::Command::new("curl")
            .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--resolve", &resolve])
            .args(["--connect-to", &connect, "--cacert"])
            .arg(app.dir.path().join("tls.crt"))
            .arg(&url)
            .output()
            .unwrap();
        let status = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(status, "401", "{url}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn two_apps_of_two_teams_with_two_providers_do_not_mix() {
    let on = Installation::shared();
    let one = App::start(&on, "team-one", Guise::Traefik);
    let two = App::start(&on, "team-two", Guise::NginxAnnotations);
    let mut browser = one.logged_in(&on, "alice");
    let cookie = browser.cookie("__Host-bff").unwrap().to_owned();
    assert!(one.provider.authorization_requests() > 0);
    assert_eq!(two.provider.authorization_requests(), 0);
    let page = browser.open(&one.url("/api"));
    assert_eq!(page.response.json().values("x-user"), ["alice"]);
    // The session of one app is none of the other.
    let mut thief = two.browser(&on);
    thief.set_cookie(&two.host, "__Host-bff", &cookie);
    assert_eq!(thief.fetch(&two.origin(), &two.url("/api")).status, 401);
    let mut other = two.logged_in(&on, "bob");
    assert_eq!(other.open(&two.url("/api")).response.json().values("x-user"), ["bob"]);
    assert_eq!(other.fetch(&two.origin(), &two.url("/staff")).status, 403);
}

#[test]
fn the_policy_says_what_is_in_force() {
    let on = Installation::shared();
    let app = App::start(&on, "status", Guise::Traefik);
    let status = app.status(&on, "shop");
    assert_eq!(status["origins"], json!([app.origin()]));
    for kind in ["Accepted", "ResolvedRefs", "Programmed", "ProviderReady"] {
        let condition = app.condition(&on, "shop", kind).unwrap_or(Value::Null);
        assert_eq!(condition["status"], "True", "{status:#}");
        assert_eq!(condition["observedGeneration"], 1, "{status:#}");
    }
    let table = on.kubectl(&["-n", "status", "get", "bff"]);
    for column in ["shop", "True", "idp", &app.origin()] {
        assert!(table.contains(column), "{table}");
    }
    let explained = on.kubectl(&["explain", "bffpolicy.spec.routes.require"]);
    assert!(explained.contains("expression") && explained.contains("acr"), "{explained}");
    // Nothing of a secret is in what teams can read.
    let everything =
        on.kubectl(&["-n", "status", "get", "bff,ingress,events,middlewares", "-o", "yaml"]);
    assert!(!everything.contains(vestibule_e2e::provider::CLIENT_SECRET));
}
