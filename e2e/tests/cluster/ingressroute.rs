//! An app behind Traefik's own kind, `IngressRoute`: its author names the Middleware.

use vestibule_e2e::app::{App, LIMIT, ROUTES};
use vestibule_e2e::installation::{Guise, Installation};
use vestibule_e2e::process::eventually;

use crate::journeys::{is_served_with_its_certificate, logs_in_with_chromium};

/// What the operator writes, and the author names.
const OURS: &str = "vestibule-shop";
/// One `IngressRoute` for each.
const ENTRY_POINTS: [&str; 2] = ["web", "websecure"];

/// Applies one for each entry point, with these middlewares.
fn routes(on: &Installation, app: &App, middlewares: &[&str]) {
    for entry_point in ENTRY_POINTS {
        on.apply(&app.ingress_route(entry_point, "", middlewares));
    }
}

fn policy(app: &App) -> String {
    let targets = ENTRY_POINTS
        .map(|name| format!("{{group: traefik.io, kind: IngressRoute, name: shop-{name}}}"))
        .join(", ");
    let origin = app.origin();
    app.policy_of(
        "shop",
        &format!("  origins: ['{origin}']\n  targetRefs: [{targets}]\n  routes: {ROUTES}"),
    )
}

#[test]
fn an_ingressroute_is_protected_once_its_author_names_the_middleware() {
    let on = Installation::shared();
    let app = App::deploy(&on, "route", Guise::Traefik);
    routes(&on, &app, &[]);
    on.apply(&policy(&app));
    let message = app.wait_for_condition(&on, "shop", ["Programmed", "False", "NotAttached"]);
    for text in ["shop-web", "shop-websecure", "spec.routes[0].middlewares", OURS] {
        assert!(message.contains(text), "{message:?} does not say {text:?}");
    }
    // What must be named is there, and with it the login; the rest is as the status says.
    on.kubectl(&["-n", "route", "get", "middleware", OURS]);
    let login = eventually(LIMIT, || (app.ask(&on, "/bff/session").status == 401).then_some(()));
    assert!(login.is_some(), "{}", app.ask(&on, "/bff/session"));
    assert_eq!(app.ask(&on, "/api").status, 200, "{}", app.ask(&on, "/api"));

    // One of two is not enough, and the other one is named.
    on.apply(&app.ingress_route("websecure", "", &[OURS]));
    let message = eventually(LIMIT, || {
        let told = ["Programmed", "False", "NotAttached"];
        let message = app.wait_for_condition(&on, "shop", told);
        (!message.contains("shop-websecure")).then_some(message)
    });
    let message = message.expect("the attached one is told no more");
    assert!(message.contains("shop-web"), "{message}");

    routes(&on, &app, &[OURS]);
    app.wait_for_condition(&on, "shop", ["Programmed", "True", "Programmed"]);
    app.wait_until_protected(&on);
    is_served_with_its_certificate(&on, &app);
    logs_in_with_chromium(&on, &app);
    let mut browser = app.logged_in(&on, "bob");
    assert_eq!(browser.fetch(&app.origin(), &app.url("/staff")).status, 403);

    // Whoever takes it off is told.
    on.apply(&app.ingress_route("web", "", &[]));
    let message = app.wait_for_condition(&on, "shop", ["Programmed", "False", "NotAttached"]);
    assert!(message.contains("IngressRoute shop-web:"), "{message}");
}

#[test]
fn an_annotated_ingressroute_without_the_middleware_is_not_stored() {
    let on = Installation::shared();
    let app = App::deploy(&on, "route-annotated", Guise::Traefik);
    let annotation = "vestibule.dev/policy: shop";
    let refused = |entry_point: &str, middlewares: &[&str]| {
        let output = on.try_apply(&app.ingress_route(entry_point, annotation, middlewares));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "it is stored");
        assert!(said.contains("middlewares: [{name: vestibule-shop}]"), "{said}");
    };
    for entry_point in ENTRY_POINTS {
        refused(entry_point, &[]);
        refused(entry_point, &["other", OURS]);
        // No policy is needed for that, nor the Middleware: Traefik serves no route that lacks one.
        on.apply(&app.ingress_route(entry_point, annotation, &[OURS]));
    }
    let spec = format!("  origins: ['{}']\n  routes: {ROUTES}", app.origin());
    on.apply(&app.policy_of("shop", &spec));
    app.wait_until_protected(&on);
    // Nor is it taken off afterwards, nor the annotation that keeps it.
    refused("web", &[]);
    let unannotated = on.try_apply(&app.ingress_route("web", "", &[]));
    let said = String::from_utf8_lossy(&unannotated.stderr).into_owned();
    assert!(!unannotated.status.success() && said.contains("vestibule.dev/release"), "{said}");
    assert_eq!(app.ask(&on, "/").status, 401);
    logs_in_with_chromium(&on, &app);
}
