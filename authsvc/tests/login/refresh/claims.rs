//! What the provider says of the user today counts today.

use http::StatusCode;
use serde_json::{Value, json};
use vestibule_policy::expression::Expression;
use vestibule_policy::model::{CompiledPolicy, CompiledRequire};

use super::{Checked, LIFETIME, eventually};
use crate::idp::Reply;
use crate::site::route;

fn staff_only(policy: &mut CompiledPolicy) {
    let require = |source: &str| CompiledRequire {
        expression: Some(Expression::parse(source).unwrap()),
        ..CompiledRequire::default()
    };
    policy.routes.push(route("/api/staff", require("'staff' in claims.groups"), true));
    policy.routes.push(route("/staff", require("'staff' in claims.groups"), false));
}

fn groups(names: &[&str]) -> impl Fn(&mut Value) + Send + Sync + 'static {
    let names = json!(names);
    move |claims| claims["groups"] = names.clone()
}

async fn log_in(checked: &Checked, names: &[&str]) -> String {
    let names = json!(names);
    checked
        .log_in_with("alice", |session| {
            session.claims.insert("groups", names);
        })
        .await
}

#[tokio::test]
async fn t016_changed_groups_change_the_very_decision_that_refreshed_them() {
    let checked = Checked::with(staff_only).await;
    let cookie = log_in(&checked, &["staff"]).await;
    assert_eq!(checked.check(&cookie, "/api/staff").await.status, StatusCode::OK);
    checked.rotation.claims(groups(&["guests"]));
    checked.clock.advance(LIFETIME);
    assert_eq!(checked.check(&cookie, "/api/staff").await.status, StatusCode::FORBIDDEN);
    assert_eq!(checked.check(&cookie, "/staff").await.status, StatusCode::FORBIDDEN);
    assert_eq!(checked.check(&cookie, "/api/x").await.status, StatusCode::OK);

    checked.rotation.claims(groups(&["staff"]));
    checked.clock.advance(LIFETIME);
    assert_eq!(checked.check(&cookie, "/api/staff").await.status, StatusCode::OK);
}

#[tokio::test]
async fn t016_groups_that_are_gone_from_the_new_id_token_are_gone() {
    let checked = Checked::with(staff_only).await;
    let cookie = log_in(&checked, &["staff"]).await;
    checked.clock.advance(LIFETIME);
    assert_eq!(checked.check(&cookie, "/api/staff").await.status, StatusCode::FORBIDDEN);
    assert!(!checked.session(&cookie).await.unwrap().claims.contains_key("groups"));
}

#[tokio::test]
async fn t016_a_refused_user_who_was_let_in_since_gets_in_though_no_token_is_forwarded() {
    let checked = Checked::with(staff_only).await;
    let cookie = log_in(&checked, &["guests"]).await;
    checked.rotation.claims(groups(&["staff"]));
    checked.clock.advance(LIFETIME);
    assert_eq!(checked.check(&cookie, "/staff").await.status, StatusCode::FORBIDDEN);
    checked.rotation.asked(1).await;
    assert!(checked.app.sessions.finish_refreshes(std::time::Duration::from_secs(10)).await);
    assert_eq!(checked.check(&cookie, "/staff").await.status, StatusCode::OK);
}

#[tokio::test]
async fn r50_t028_a_disabled_user_is_out_by_the_end_of_the_access_token() {
    let disabled = || Some(Reply::status(400, &json!({"error": "invalid_grant"})));
    for target in ["/api/x", "/x"] {
        let checked = Checked::new().await;
        let cookie = checked.log_in("alice").await;
        checked.rotation.instead(disabled());
        checked.clock.advance(LIFETIME);
        // At once where the token is forwarded; elsewhere the first request brings it to light.
        let first = checked.check(&cookie, target).await;
        if target == "/api/x" {
            assert_eq!(first.status, StatusCode::UNAUTHORIZED);
        }
        checked.rotation.asked(1).await;
        assert!(checked.app.sessions.finish_refreshes(std::time::Duration::from_secs(10)).await);
        assert_eq!(checked.check(&cookie, target).await.status, StatusCode::UNAUTHORIZED);
        assert!(checked.session(&cookie).await.is_none());
    }
}

#[tokio::test]
async fn what_a_new_id_token_leaves_out_of_the_login_stays_and_a_weaker_acr_counts() {
    let checked = Checked::with(|policy| {
        let gold = CompiledRequire { acr: Some("gold".to_owned()), ..CompiledRequire::default() };
        policy.routes.push(route("/api/gold", gold, true));
    })
    .await;
    let cookie = checked
        .log_in_with("alice", |session| {
            session.acr = Some("gold".to_owned());
            for (name, value) in [("acr", json!("gold")), ("amr", json!(["otp"]))] {
                session.claims.insert(name, value);
            }
        })
        .await;
    checked.clock.advance(LIFETIME);
    assert_eq!(checked.check(&cookie, "/api/gold").await.status, StatusCode::OK);
    let session = checked.session(&cookie).await.unwrap();
    assert_eq!((&session.claims["acr"], &session.claims["amr"]), (&json!("gold"), &json!(["otp"])));

    checked.rotation.claims(|claims| claims["acr"] = json!("bronze"));
    checked.clock.advance(LIFETIME);
    assert_eq!(checked.check(&cookie, "/api/gold").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(checked.session(&cookie).await.unwrap().acr.as_deref(), Some("bronze"));
}

#[tokio::test]
async fn user_info_is_asked_again_and_completes_the_new_claims() {
    let checked = Checked::with(|policy| policy.login.user_info = true).await;
    let cookie = log_in(&checked, &["staff"]).await;
    let info = json!({"sub": "alice", "groups": ["guests"], "email": "not the ID token's"});
    checked.idp.reply("/userinfo", Reply::json(&info));
    checked.clock.advance(LIFETIME);
    assert_eq!(checked.check(&cookie, "/api/x").await.status, StatusCode::OK);
    let [seen] = &checked.idp.seen("/userinfo")[..] else { panic!("one request") };
    assert_eq!(seen.authorization.as_deref(), Some("Bearer alice.1"));
    let session = checked.session(&cookie).await.unwrap();
    assert_eq!(session.claims["groups"], json!(["guests"]));
    assert_eq!(session.claims["email"], json!("alice@example.com"));

    // Also where the provider gives no new ID token.
    checked.idp.reply("/userinfo", Reply::json(&json!({"sub": "alice", "groups": []})));
    checked.rotation.response(|response| {
        response.as_object_mut().unwrap().remove("id_token");
    });
    checked.clock.advance(LIFETIME);
    assert_eq!(checked.check(&cookie, "/api/x").await.status, StatusCode::OK);
    let session = checked.session(&cookie).await.unwrap();
    assert_eq!(session.claims["groups"], json!([]));
    assert_eq!(session.claims["email"], json!("alice@example.com"));
}

#[tokio::test]
async fn t016_what_the_new_id_token_leaves_out_is_gone_though_user_info_fails() {
    let checked = Checked::with(|policy| policy.login.user_info = true).await;
    let cookie = checked.log_in("alice").await;
    checked.idp.reply("/userinfo", Reply::json(&json!({"sub": "alice", "team": "blue"})));
    checked.rotation.claims(groups(&["staff"]));
    checked.clock.advance(LIFETIME);
    assert_eq!(checked.check(&cookie, "/api/x").await.status, StatusCode::OK);
    assert_eq!(checked.session(&cookie).await.unwrap().claims["groups"], json!(["staff"]));

    checked.idp.reply("/userinfo", Reply::status(404, &json!({})));
    checked.rotation.claims(|_| {});
    checked.clock.advance(LIFETIME);
    assert_eq!(checked.check(&cookie, "/api/x").await.status, StatusCode::OK);
    let session = checked.session(&cookie).await.unwrap();
    assert!(!session.claims.contains_key("groups"), "the group came back");
    assert_eq!(session.claims["team"], json!("blue"), "what UserInfo said stays");
}

#[tokio::test]
async fn user_info_of_somebody_else_or_none_for_this_token_ends_the_session() {
    for reply in [
        Reply::json(&json!({"sub": "mallory"})),
        Reply::json(&json!({"groups": ["staff"]})),
        Reply::status(401, &json!({})),
        Reply::status(403, &json!({})),
    ] {
        let checked = Checked::with(|policy| policy.login.user_info = true).await;
        let cookie = checked.log_in("alice").await;
        checked.idp.reply("/userinfo", reply);
        checked.clock.advance(LIFETIME);
        assert_eq!(checked.check(&cookie, "/api/x").await.status, StatusCode::UNAUTHORIZED);
        assert!(checked.session(&cookie).await.is_none());
    }
}

#[tokio::test]
async fn user_info_that_is_away_is_asked_for_again_and_does_not_cost_the_tokens() {
    let checked = Checked::with(|policy| policy.login.user_info = true).await;
    let cookie = log_in(&checked, &["staff"]).await;
    checked.idp.reply("/userinfo", Reply::status(503, &json!({})));
    checked.clock.advance(LIFETIME);
    let back = async {
        eventually(|| (checked.idp.seen("/userinfo").len() > 1).then_some(())).await;
        let info = json!({"sub": "alice", "groups": ["guests"]});
        checked.idp.reply("/userinfo", Reply::json(&info));
    };
    let (answer, ()) = tokio::join!(checked.check(&cookie, "/api/x"), back);
    assert_eq!(answer.bearer(), Some("alice.1"));
    let session = checked.session(&cookie).await.unwrap();
    assert_eq!(session.claims["groups"], json!(["guests"]));

    // What it cannot say stays as it was.
    checked.idp.reply("/userinfo", Reply::status(404, &json!({})));
    checked.clock.advance(LIFETIME);
    assert_eq!(checked.check(&cookie, "/api/x").await.bearer(), Some("alice.2"));
    let session = checked.session(&cookie).await.unwrap();
    assert_eq!(session.claims["groups"], json!(["guests"]));
    assert_eq!(checked.rotation.redeemed().len(), 2);
}
