//! What the audit trail says of checks: who asked for more than their session suffices for.

use http::StatusCode;

use crate::audit_lines::AuditLines;
use crate::support::{Ask, DIALECTS, FETCH, TestApp};

const SHOP: &str = r#"
origins: ["https://shop.example.com"]
providerRef: {name: corp}
client: {id: shop, secretRef: {name: shop-oidc, key: client-secret}}
routes:
  - {path: /staff, require: {expression: '"staff" in claims.groups'}}
  - {path: /admin, require: {expression: '"admins" in claims.groups'}}
  - {path: /deny, access: Deny}
"#;

#[tokio::test]
async fn a_session_that_does_not_suffice_is_one_line_and_nothing_else_is() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let cookie = app.session("shop", |_| {}).await;
    let with = [("cookie", cookie.as_str())];
    let lines = AuditLines::keep();
    for dialect in DIALECTS {
        let refused = Ask::get("/admin").with(&FETCH).with(&with).ask(&app, dialect).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        let found = lines.take(["event", "policy", "subject", "reason"]);
        let expected = ["check_refused", "default/shop", "u-1", "require"].map(str::to_owned);
        assert_eq!(found, [expected]);

        let forged = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")];
        for ask in [
            Ask::get("/staff").with(&FETCH).with(&with),
            Ask::get("/admin").with(&FETCH),
            Ask::get("/admin").with(&forged).with(&with),
            Ask::get("/deny").with(&FETCH).with(&with),
        ] {
            ask.ask(&app, dialect).await;
            assert!(lines.take(["event"]).is_empty(), "{}", ask.target);
        }
    }
}

#[tokio::test]
async fn a_session_that_times_out_unused_is_one_line_over_all_replicas() {
    let app = TestApp::new(&[("shop", SHOP)]);
    app.session("shop", |_| {}).await;
    let policy = app.policy("shop");
    let lines = AuditLines::keep();
    app.app.sessions.end_timed_out(&policy).await.unwrap();
    assert!(lines.take(["event"]).is_empty(), "it is not over");
    app.clock.advance(policy.compiled.session.idle_timeout);
    for _ in 0..3 {
        app.app.sessions.end_timed_out(&policy).await.unwrap();
    }
    let found = lines.take(["event", "policy", "subject", "reason", "by"]);
    let expected = ["session_ended", "default/shop", "u-1", "timeout", "vestibule"];
    assert_eq!(found, [expected.map(str::to_owned)]);
}
