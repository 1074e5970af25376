//! `require.permission`: who may, below a base and elsewhere.

use http::StatusCode;
use serde_json::json;

use super::world::{World, assert_advised, assert_token};
use crate::audit_lines::AuditLines;
use crate::support::{ACCESS_TOKEN, Ask, DIALECTS};

/// Nothing listens at the server: what is asked there has no answer.
const POLICY: &str = r#"
origins: ["https://shop.example.com"]
providerRef: {name: corp}
client: {id: shop, secretRef: {name: shop-oidc, key: client-secret}}
bearer: {audiences: [shop-api]}
openFga:
  server: {url: "http://127.0.0.1:9", timeout: 500ms}
  storeId: 01ARZ3NDEKTSV4RRFFQ69G5FAV
authorities:
  - {base: /production, scopes: [{name: "prod:read"}]}
routes:
  - path: /production/ops
    require: {permission: {expression: '"ops" in claims.groups'}}
  - path: /production/none
    require: {permission: {expression: '"none" in claims.groups'}}
  - path: /production/far
    require: {permission: {openFga: {relation: viewer, object: {type: document, id: one}}}}
  - path: /ops
    require: {permission: {expression: '"ops" in claims.groups'}}
    upstream: {authorization: AccessToken}
  - {path: /none, require: {permission: {expression: '"none" in claims.groups'}}}
  - path: /far
    require: {permission: {openFga: {relation: viewer, object: {type: document, id: one}}}}
"#;

#[tokio::test]
async fn who_is_not_permitted_is_refused_and_the_trail_says_so() {
    let world = World::of(POLICY).await;
    let user = world.user().await;
    world.elevate(&user, "/production", "tok-production", &["prod:read"]).await;
    for dialect in DIALECTS {
        assert_token(&world.fetch(dialect, "/production/ops", &user).await, "tok-production");
        assert_token(&world.fetch(dialect, "/ops", &user).await, ACCESS_TOKEN);
        for target in ["/production/none", "/none"] {
            let audit = AuditLines::keep();
            let answer = world.fetch(dialect, target, &user).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{target}");
            let lines = audit.take(["event", "reason", "session"]);
            assert_eq!(lines, [["check_refused", "permission", &user.session.key.name()]]);
        }
    }
}

#[tokio::test]
async fn scopes_come_before_permissions_and_a_session_before_both() {
    let world = World::of(POLICY).await;
    let user = world.user().await;
    for dialect in DIALECTS {
        for target in ["/production/none", "/production/far"] {
            let answer = world.fetch(dialect, target, &user).await;
            assert_advised(&answer, dialect, "/production", "prod:read");
        }
        for target in ["/production/far", "/far"] {
            let answer = world.ask(dialect, target, &super::world::SCRIPT).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{target}");
        }
    }
}

#[tokio::test]
async fn r55_a_decision_point_that_does_not_answer_is_503_and_never_an_allow() {
    let world = World::of(POLICY).await;
    let user = world.user().await;
    world.elevate(&user, "/production", "tok-production", &["prod:read"]).await;
    for dialect in DIALECTS {
        for target in ["/production/far", "/far"] {
            let answer = world.fetch(dialect, target, &user).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{target}");
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert!(answer.header("authorization").is_none());
            if dialect == "traefik" {
                let kind = "https://vestibule.dev/problems/authority-unavailable";
                assert_eq!(answer.json()["type"], kind);
            }
        }
    }
    let text = world.app.app.metrics.render();
    assert!(text.contains("source=\"openfga\",outcome=\"unavailable\"} 4"), "{text}");
}

#[tokio::test]
async fn of_a_bearer_its_own_claims_are_asked() {
    let world = World::of(POLICY).await;
    let bearer = |groups: &[&str]| {
        world.bearer_with(|claims| {
            claims["scope"] = json!("prod:read");
            claims["groups"] = json!(groups);
        })
    };
    for dialect in DIALECTS {
        for (groups, status) in [(["ops"], StatusCode::OK), (["dev"], StatusCode::FORBIDDEN)] {
            let bearer = bearer(&groups);
            let ask = Ask::get("/production/ops").with(&[("authorization", &bearer)]);
            assert_eq!(ask.ask(&world.app, dialect).await.status, status, "{groups:?}");
        }
    }
}
