//! Navigations straight to what an elevated token is needed for: they end there, by way of the provider, and
//! what is not ours to answer is no way around.

use vestibule_e2e::gateway::Kind;

use crate::harness::{api_scopes, authorize, is_advised, scopes, token_at, with_oidc_provider};

#[test]
fn a_navigation_below_a_base_is_mediated_on_its_way_through_nginx() {
    is_mediated_on_its_way(Kind::Nginx);
}

#[test]
fn a_navigation_below_a_base_is_mediated_on_its_way_through_traefik() {
    is_mediated_on_its_way(Kind::Traefik);
}

fn is_mediated_on_its_way(kind: Kind) {
    let stack = with_oidc_provider(kind, ["Session", "Cookie"]).start();
    let mut alice = stack.browser();
    let page = alice.log_in(&stack.url("/production/list?x=1&y=a%20b"), "alice");
    assert_eq!(page.url.as_str(), stack.url("/production/list?x=1&y=a%20b"), "{page}");
    assert_eq!(page.response.status, 200, "{page}");
    let token = token_at(&stack.app, "/production/list?x=1&y=a%20b");
    assert_eq!(api_scopes(&token), scopes(["production:read"]));

    // Logged in already, nobody sees a form.
    let page = alice.open(&stack.url("/warehouse/list"));
    assert_eq!(page.url.as_str(), stack.url("/warehouse/list"), "{page}");
    assert_eq!(page.response.status, 200, "{page}");
    assert_eq!(api_scopes(&token_at(&stack.app, "/warehouse/list")), scopes(["warehouse:read"]));

    // The user says no: the app learns it, and there is no loop.
    let refuse = serde_json::json!({"refuse": ["vault:open"]});
    stack.provider().set(&refuse);
    let before = stack.provider().authorization_requests();
    let page = alice.log_in(&authorize(&stack, "/vault", "vault%3Aopen"), "alice");
    assert!(page.url.as_str().starts_with(&stack.url("/page/back")), "{page}");
    assert_eq!(stack.provider().authorization_requests(), before + 2, "silently, then by a form");
    let answer = alice.fetch(&stack.origin, &stack.url("/vault/gold"));
    assert_eq!(answer.status, 401, "{answer}");
    assert!(!is_advised(&answer), "{answer}");
}

#[test]
fn only_the_endpoints_of_bases_go_past_the_check() {
    for kind in [Kind::Nginx, Kind::Traefik] {
        let stack = with_oidc_provider(kind, ["Session", "Session"]).start();
        for path in [
            "/production/authorize/",
            "/production/authorize/x",
            "/production//authorize",
            "/production/x/authorize",
            "/production/authorize%2f",
            "/production/authoriz%65",
            "/production/authorize;x",
            "/other/authorize",
            "/.well-known/oauth-protected-resource",
            "/.well-known/oauth-protected-resource/other",
            "/.well-known/oauth-protected-resource/production/list",
        ] {
            let answer = stack.browser().fetch(&stack.origin, &stack.url(path));
            assert!(answer.status >= 400, "{kind:?} {path}: {answer}");
        }
        assert_eq!(stack.app.seen().len(), 0, "{kind:?}: something reached the app");
    }
}
