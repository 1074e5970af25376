//! The rules of a policy hold below a base as anywhere.

use http::StatusCode;

use super::world::{SCRIPT, World, assert_token};
use crate::audit_lines::AuditLines;
use crate::support::{Ask, DIALECTS, TestApp};

async fn elevated(world: &World) -> super::world::User {
    let user = world.user().await;
    world.elevate(&user, "/production", "tok-production", &["prod:read"]).await;
    user
}

#[tokio::test]
async fn public_passes_without_a_token_and_deny_not_at_all() {
    let world = World::new().await;
    let user = elevated(&world).await;
    for dialect in DIALECTS {
        assert_token(&world.fetch(dialect, "/production/public", &user).await, "");
        let denied = world.fetch(dialect, "/production/deny", &user).await;
        assert_eq!(denied.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn t096_optional_passes_with_the_elevated_token_or_as_nobody() {
    let world = World::new().await;
    let (with, without) = (elevated(&world).await, world.user().await);
    for dialect in DIALECTS {
        let answer = world.fetch(dialect, "/production/optional", &with).await;
        assert_token(&answer, "tok-production");
        assert_eq!(answer.header("x-user"), Some("u-1"));
        let answer = world.fetch(dialect, "/production/optional", &without).await;
        assert_token(&answer, "");
        assert_eq!(answer.header("x-user"), Some(""), "without a token nobody asks");
        let answer = world.ask(dialect, "/production/optional", &SCRIPT).await;
        assert_token(&answer, "");
    }
}

#[tokio::test]
async fn what_a_rule_requires_of_the_session_comes_before_the_elevated_token() {
    let world = World::new().await;
    let user = elevated(&world).await;
    for dialect in DIALECTS {
        assert_token(&world.fetch(dialect, "/production/ops", &user).await, "tok-production");
        let audit = AuditLines::keep();
        let refused = world.fetch(dialect, "/production/none", &user).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        let lines = audit.take(["event", "reason", "session"]);
        assert_eq!(lines, [["check_refused", "require", &user.session.key.name()]]);
        let weak = world.fetch(dialect, "/production/strong", &user).await;
        assert_eq!(weak.status, StatusCode::UNAUTHORIZED);
        assert_eq!(
            weak.header("www-authenticate"),
            Some("Bearer error=\"insufficient_user_authentication\", acr_values=\"strong\"")
        );
    }
}

#[tokio::test]
async fn a_forged_request_gets_no_elevated_token() {
    let world = World::new().await;
    let user = elevated(&world).await;
    let cross = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")];
    let with = [&cross[..], &[("cookie", &user.cookie)]].concat();
    for dialect in DIALECTS {
        for method in ["GET", "POST"] {
            let ask = Ask::get("/production").method(method).with(&with);
            let answer = ask.ask(&world.app, dialect).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method}");
            let ask = Ask::get("/production/optional").method(method).with(&with);
            assert_token(&ask.ask(&world.app, dialect).await, "");
        }
    }
}

#[tokio::test]
async fn t097_a_preflight_below_a_base_passes_without_identity_from_allowed_origins_alone() {
    let world = World::new().await;
    let user = elevated(&world).await;
    for dialect in DIALECTS {
        for (origin, status) in [
            ("https://spa.example.com", StatusCode::OK),
            ("https://evil.example.com", StatusCode::FORBIDDEN),
        ] {
            let ask = Ask::get("/production").method("OPTIONS").with(&[
                ("origin", origin),
                ("access-control-request-method", "POST"),
                ("cookie", &user.cookie),
            ]);
            let answer = ask.ask(&world.app, dialect).await;
            assert_eq!(answer.status, status, "{origin}");
            assert!(answer.header("authorization").is_none_or(str::is_empty));
        }
    }
}

#[tokio::test]
async fn our_own_endpoints_of_a_base_are_not_the_apps() {
    let world = World::new().await;
    let user = elevated(&world).await;
    for dialect in DIALECTS {
        for target in [
            "/production/authorize",
            "/production/authorize?scope=prod:read",
            "/production/orders/authorize",
            "/.well-known/oauth-protected-resource/production",
        ] {
            let answer = world.fetch(dialect, target, &user).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{target}");
        }
        // Below the endpoint, and beside it, is the app's.
        for target in ["/production/authorize/x", "/production/authorizex"] {
            assert_token(&world.fetch(dialect, target, &user).await, "tok-production");
        }
    }
}

#[tokio::test]
async fn without_authorities_everything_is_as_it_was() {
    let app = TestApp::new(&[("shop", crate::check_access::SHOP)]);
    let cookie = app.session("shop", |_| {}).await;
    for dialect in DIALECTS {
        let ask = Ask::get("/api").with(&[("cookie", &cookie), ("authorization", "Bearer x")]);
        assert_token(&ask.ask(&app, dialect).await, crate::support::ACCESS_TOKEN);
        let nobody = Ask::get("/api").with(&[("authorization", "Bearer x")]);
        let answer = nobody.ask(&app, dialect).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.header("www-authenticate"), None);
    }
}
