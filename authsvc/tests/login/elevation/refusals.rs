//! What the provider gives or refuses, and what becomes of it.

use serde_json::{Value, json};

use super::{AUTHORIZE, Area, FETCH, Sent, error_of};
use crate::idp::Reply;

/// A browser that was sent away, and the answer to it.
async fn answered(
    area: &Area,
    claims: impl FnOnce(&mut Value),
    response: impl FnOnce(&mut Value),
) -> (super::Browser, String) {
    let mut browser = area.logged_in().await;
    let sent = browser.leave(area, &format!("{AUTHORIZE}?scope=prod:read&redirectUri=/app")).await;
    let tokens = area.tokens(&sent, claims, response);
    let back = area.grant(&mut browser, &sent, &tokens).await;
    (browser, back.location().to_owned())
}

#[tokio::test]
async fn every_error_of_the_provider_comes_back_to_the_app_as_its_code() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let session = browser.jar.clone();
    for (error, code) in [
        ("access_denied", "access_denied"),
        ("invalid_scope", "invalid_scope"),
        ("invalid_target", "invalid_target"),
        ("unauthorized_client", "unauthorized_client"),
        ("server_error", "server_error"),
        ("temporarily_unavailable", "temporarily_unavailable"),
        ("unmet_authentication_requirements", "unmet_authentication_requirements"),
        ("insufficient_scope", "unknown_error"),
        ("step_up_failed", "unknown_error"),
        ("Access_Denied", "unknown_error"),
    ] {
        let sent = browser.leave(&area, &format!("{AUTHORIZE}?redirectUri=/app")).await;
        let back = browser.come_back(&area, &sent, &format!("error={error}")).await;
        assert_eq!(error_of(back.location()).as_deref(), Some(code), "{error}");
        assert!(area.counted(code), "{error}");
        assert_eq!(browser.jar, session, "{error}: nothing changed but the transaction's cookie");
    }
    assert!(area.elevation(&browser).await.is_none());
    assert!(area.redeemed("authorization_code").is_empty());
}

#[tokio::test]
async fn a_scope_that_nobody_asked_for_costs_the_whole_token() {
    for granted in [
        "openid prod:read prod:write",
        "openid prod:read offline_access",
        "prod:read PROD:READ",
        "prod:read *",
    ] {
        let area = Area::new().await;
        let (browser, back) = answered(&area, |_| {}, |all| all["scope"] = json!(granted)).await;
        assert_eq!(error_of(&back).as_deref(), Some("scope_refused"), "{granted}");
        assert!(area.elevation(&browser).await.is_none(), "{granted}");
        let revoked = area.revoked().await;
        assert_eq!(revoked.len(), 2, "{granted}: {revoked:?}");
        assert!(revoked.iter().all(|token| token.starts_with("canary-elevated")), "{revoked:?}");
        let check = browser.check(&area, "/api/production/x", &FETCH).await;
        assert_eq!(check.status, 401, "{granted}");
        assert!(area.session(&browser).await.is_some(), "the session lives");
    }
}

#[tokio::test]
async fn a_scope_that_the_provider_is_said_to_add_is_accepted_and_counts_for_nothing() {
    let area = Area::of(|authority| authority.added_scopes.push("email".to_owned())).await;
    let (browser, back) =
        answered(&area, |_| {}, |all| all["scope"] = json!("email prod:read openid")).await;
    assert_eq!(error_of(&back), None);
    let grant = area.elevation(&browser).await.unwrap().grant.clone().unwrap();
    assert_eq!(grant.granted, ["prod:read"]);
}

#[tokio::test]
async fn tokens_are_revoked_only_where_the_policy_wants_that() {
    let area = Area::with(|policy| policy.logout.revoke_tokens = false).await;
    let (_, back) = answered(&area, |_| {}, |all| all["scope"] = json!("prod:read x")).await;
    assert_eq!(error_of(&back).as_deref(), Some("scope_refused"));
    assert!(area.revoked().await.is_empty());
}

#[tokio::test]
async fn an_id_token_that_does_not_pass_gives_nothing() {
    type Alter = fn(&mut Value);
    let altered: [(&str, Alter); 6] = [
        ("aud", |claims| claims["aud"] = json!("bank")),
        ("nonce", |claims| claims["nonce"] = json!("another")),
        ("iss", |claims| claims["iss"] = json!("https://evil.example")),
        ("exp", |claims| claims["exp"] = json!(1)),
        ("no sub", |claims| claims["sub"] = json!(null)),
        ("no nonce", |claims| claims["nonce"] = json!(null)),
    ];
    for (what, alter) in altered {
        let area = Area::new().await;
        let (browser, back) = answered(&area, alter, |_| {}).await;
        assert_eq!(error_of(&back).as_deref(), Some("server_error"), "{what}");
        assert!(area.elevation(&browser).await.is_none(), "{what}");
    }
}

#[tokio::test]
async fn answers_of_the_token_endpoint_that_are_none_give_nothing() {
    for (reply, code) in [
        (Reply::status(400, &json!({"error": "invalid_grant"})), "invalid_grant"),
        (Reply::status(400, &json!({"error": "evil"})), "unknown_error"),
        (Reply::status(401, &json!({"error": "invalid_client"})), "invalid_client"),
        (Reply::status(500, &json!({})), "temporarily_unavailable"),
        (Reply::status(302, &json!({})), "temporarily_unavailable"),
        (Reply::json(&json!({"access_token": "x", "token_type": "Bearer"})), "server_error"),
        (
            Reply::json(&json!({"access_token": "x", "token_type": "DPoP", "id_token": "y"})),
            "server_error",
        ),
    ] {
        let area = Area::new().await;
        let mut browser = area.logged_in().await;
        let sent = browser.leave(&area, AUTHORIZE).await;
        area.idp.code("c", reply.clone());
        let back = browser.come_back(&area, &sent, "code=c").await;
        assert_eq!(error_of(back.location()).as_deref(), Some(code), "{reply:?}");
        assert!(area.elevation(&browser).await.is_none(), "{reply:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_over_when_it_comes_is_an_error_and_no_loop() {
    let area = Area::new().await;
    let (browser, back) = answered(&area, |_| {}, |all| all["expires_in"] = json!(0)).await;
    assert_eq!(error_of(&back).as_deref(), Some("expired"));
    assert!(area.elevation(&browser).await.is_none());
}

#[tokio::test]
async fn a_pushed_request_that_is_refused_comes_back_at_once() {
    let area = Area::new().await;
    let issuer = area.idp.issuer.clone();
    area.idp.set_metadata(|metadata| {
        metadata["pushed_authorization_request_endpoint"] = json!(format!("{issuer}/par"));
    });
    area.idp.reply("/par", Reply::status(400, &json!({"error": "invalid_scope"})));
    let mut browser = area.logged_in().await;
    let back = browser.navigate(&area, &format!("{AUTHORIZE}?redirectUri=/app")).await;
    assert_eq!(error_of(back.location()).as_deref(), Some("invalid_scope"));
    assert_eq!(browser.names(), ["__Host-bff"]);

    area.idp
        .reply("/par", Reply::status(201, &json!({"request_uri": "urn:par:1", "expires_in": 60})));
    let sent = browser.navigate(&area, AUTHORIZE).await;
    let sent = Sent::of(&area, &sent);
    assert_eq!(sent.one("request_uri"), Some("urn:par:1"));
    assert!(!sent.parameters.contains_key("scope"), "all of it is pushed");
    let pushed = area.idp.seen("/par").pop().unwrap();
    assert_eq!(pushed.one("prompt"), Some("none"));
    assert_eq!(pushed.one("scope"), Some("openid prod:read prod:write prod:admin"));
}

#[tokio::test]
async fn a_policy_that_changed_meanwhile_gives_nothing_of_what_it_was() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let target = format!("{AUTHORIZE}?scope=prod:admin&redirectUri=/app");
    let sent = browser.leave(&area, &target).await;
    area.install(|policy| {
        policy.authorities[0].scopes.retain(|scope| scope.name != "prod:admin");
        policy.authorities[0].permissions.truncate(2);
        policy.routes.pop();
    });
    let tokens = area.tokens(&sent, |_| {}, |_| {});
    let back = area.grant(&mut browser, &sent, &tokens).await;
    assert_eq!(error_of(back.location()).as_deref(), Some("expired"));

    let sent = browser.leave(&area, &format!("{AUTHORIZE}?redirectUri=/app")).await;
    area.install(|policy| policy.authorities.clear());
    let back = browser.come_back(&area, &sent, "code=c").await;
    assert_eq!(error_of(back.location()).as_deref(), Some("expired"));
    assert!(area.redeemed("authorization_code").is_empty(), "nothing was even redeemed");
}
