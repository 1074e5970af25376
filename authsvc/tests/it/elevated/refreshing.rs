//! Elevated tokens that are over: refreshed within the check, once, and what becomes of a refusal.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};
use vestibule_authsvc::session::Session;
use vestibule_authsvc::token::Token;

use super::world::{SCRIPT, User, World, assert_advised, assert_token};
use crate::audit_lines::AuditLines;
use crate::idp::{Reply, Seen};
use crate::support::{ACCESS_TOKEN, DIALECTS};

const TOKEN: &str = "/token";
/// After which a refresh that failed is tried again, in seconds.
const PAUSE: u64 = 10;

/// A user whose token of `/production` is over, and can be refreshed.
async fn with_old_token(world: &World) -> User {
    let user = world.user().await;
    let elevated = Session {
        refresh_token: Some(Token::new("tok-refresh")),
        ..world.elevated("/production", "tok-old", &["prod:read"])
    };
    world.keep(&user, "/production", elevated).await;
    world.app.clock.advance(300);
    user
}

fn answers(world: &World, reply: impl Fn(Seen) -> Reply + Send + Sync + 'static) {
    world.idp.on_refresh(Arc::new(move |seen| {
        let reply = reply(seen);
        async move { reply }.boxed()
    }));
}

fn tokens(access_token: &str, scope: Option<&str>) -> Value {
    let mut tokens = json!({
        "access_token": access_token, "token_type": "Bearer", "expires_in": 300,
        "refresh_token": "tok-refresh-2",
    });
    if let Some(scope) = scope {
        tokens["scope"] = json!(scope);
    }
    tokens
}

#[tokio::test]
async fn a_token_that_is_over_is_refreshed_once_for_all_who_ask() {
    let world = World::new().await;
    let user = with_old_token(&world).await;
    answers(&world, |_| Reply::json(&tokens("tok-new", Some("openid prod:read"))));
    let asked = (0..40).map(|one| world.fetch(DIALECTS[one % 2], "/production", &user));
    for answer in join_all(asked).await {
        assert_token(&answer, "tok-new");
    }
    let redeemed = world.idp.seen(TOKEN);
    assert_eq!(redeemed.len(), 1);
    assert_eq!(redeemed[0].one("refresh_token"), Some("tok-refresh"));
    assert_token(&world.fetch("nginx", "/production", &user).await, "tok-new");
    assert_eq!(world.idp.seen(TOKEN).len(), 1);
}

#[tokio::test]
async fn a_token_that_is_nearly_over_still_serves_while_its_successor_is_fetched() {
    let world = World::new().await;
    let user = world.user().await;
    let elevated = Session {
        refresh_token: Some(Token::new("tok-refresh")),
        ..world.elevated("/production", "tok-old", &["prod:read"])
    };
    world.keep(&user, "/production", elevated).await;
    answers(&world, |_| Reply::json(&tokens("tok-new", None)));
    world.app.clock.advance(299);
    assert_token(&world.fetch("nginx", "/production", &user).await, "tok-old");
    let within = std::time::Duration::from_secs(10);
    assert!(world.app.app.sessions.finish_refreshes(within).await);
    assert_token(&world.fetch("nginx", "/production", &user).await, "tok-new");
    assert_eq!(world.idp.seen(TOKEN).len(), 1);
}

#[tokio::test]
async fn a_token_that_was_revoked_at_the_provider_is_mediation_advised_and_ends_once() {
    let world = World::new().await;
    let user = with_old_token(&world).await;
    answers(&world, |_| Reply::status(400, &json!({"error": "invalid_grant"})));
    let audit = AuditLines::keep();
    for dialect in DIALECTS {
        for _ in 0..3 {
            let answer = world.fetch(dialect, "/production", &user).await;
            assert_advised(&answer, dialect, "/production", "prod:read prod:write");
        }
        assert_token(&world.fetch(dialect, "/production/optional", &user).await, "");
        assert_token(&world.fetch(dialect, "/api", &user).await, ACCESS_TOKEN);
    }
    assert_eq!(world.idp.seen(TOKEN).len(), 1, "the provider is not asked again");
    let lines = audit.take(["event", "session", "base", "reason"]);
    let session = user.session.key.name();
    assert_eq!(lines, [["elevation_ended", &session, "/production", "refresh_refused"]]);
    // A new one takes its place at once.
    world.elevate(&user, "/production", "tok-new", &["prod:read"]).await;
    assert_token(&world.fetch("traefik", "/production", &user).await, "tok-new");
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_503_and_the_token_is_kept() {
    let world = World::new().await;
    let user = with_old_token(&world).await;
    answers(&world, |_| Reply::status(502, &json!({})));
    for target in ["/production", "/production/optional"] {
        let answer = world.fetch("traefik", target, &user).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{target}");
        let kind = "https://vestibule.dev/problems/authority-unavailable";
        assert_eq!(answer.json()["type"], kind);
        world.app.clock.advance(PAUSE);
    }
    answers(&world, |_| Reply::json(&tokens("tok-new", None)));
    assert_token(&world.fetch("nginx", "/production", &user).await, "tok-new");
}

#[tokio::test]
async fn a_refresh_that_brings_a_scope_nobody_asked_for_ends_the_token() {
    for scope in ["prod:read prod:write", "prod:read admin"] {
        let world = World::new().await;
        let issuer = world.idp.issuer.clone();
        world.idp.set_metadata(|metadata| {
            metadata["revocation_endpoint"] = json!(format!("{issuer}/revoke"));
        });
        world.idp.reply("/revoke", Reply::json(&json!({})));
        let user = with_old_token(&world).await;
        answers(&world, move |_| Reply::json(&tokens("tok-new", Some(scope))));
        let audit = AuditLines::keep();
        let answer = world.fetch("nginx", "/production", &user).await;
        assert_advised(&answer, "nginx", "/production", "prod:read prod:write");
        let lines = audit.take(["event", "reason"]);
        assert_eq!(lines, [["elevation_ended", "scope_refused"]]);
        let within = std::time::Duration::from_secs(10);
        let left = world.app.app.policies.providers().revocations_done(within).await;
        assert_eq!(left, 0);
        let revoked: Vec<_> = world
            .idp
            .seen("/revoke")
            .iter()
            .map(|seen| seen.one("token").unwrap().to_owned())
            .collect();
        assert_eq!(revoked, ["tok-refresh-2", "tok-new"], "what came is made worthless");
    }
}

#[tokio::test]
async fn a_refresh_that_brings_fewer_scopes_leaves_the_rest_insufficient() {
    let world = World::new().await;
    let user = world.user().await;
    let elevated = Session {
        refresh_token: Some(Token::new("tok-refresh")),
        ..world.elevated("/production", "tok-old", &["prod:read", "prod:write"])
    };
    world.keep(&user, "/production", elevated).await;
    assert_token(&world.fetch("nginx", "/production/write", &user).await, "tok-old");
    world.app.clock.advance(300);
    answers(&world, |_| Reply::json(&tokens("tok-new", Some("prod:read"))));
    for dialect in DIALECTS {
        let answer = world.fetch(dialect, "/production/write", &user).await;
        super::world::assert_insufficient(&answer, dialect, "prod:write");
        assert_token(&world.fetch(dialect, "/production", &user).await, "tok-new");
    }
}

#[tokio::test]
async fn r38_a_refreshed_id_token_of_another_user_ends_the_elevated_token() {
    for (claim, value) in [("sub", "u-2"), ("iss", "https://other.example.com")] {
        let world = World::new().await;
        let user = with_old_token(&world).await;
        let now = world.app.app.clock.now().0;
        let id_token = world.idp.id_token("n", now, |claims| {
            claims["sub"] = json!("u-1");
            claims.as_object_mut().unwrap().remove("nonce");
            claims[claim] = json!(value);
        });
        answers(&world, move |_| {
            let mut tokens = tokens("tok-new", None);
            tokens["id_token"] = json!(id_token);
            Reply::json(&tokens)
        });
        let answer = world.fetch("nginx", "/production", &user).await;
        assert_advised(&answer, "nginx", "/production", "prod:read prod:write");
    }
}

#[tokio::test]
async fn r45_an_exchanged_token_that_is_over_is_exchanged_again_from_the_sessions_own() {
    let world = World::new().await;
    let user = world.user_who(|session| {
        session.refresh_token = Some(Token::new("tok-session-refresh"));
        session.access_token_expires_at =
            Some(vestibule_authsvc::clock::Timestamp(session.created_at.0 + 200));
    });
    let user = user.await;
    world.elevate(&user, "/exchange", "tok-old", &["x:read"]).await;
    assert_token(&world.fetch("nginx", "/exchange", &user).await, "tok-old");
    world.app.clock.advance(300);
    // The session's own token is over as well, and is refreshed first.
    answers(&world, |seen| {
        assert_eq!(seen.one("refresh_token"), Some("tok-session-refresh"));
        Reply::json(
            &json!({"access_token": "tok-session", "token_type": "Bearer", "expires_in": 600}),
        )
    });
    let exchanged = |token: &str| {
        Reply::json(&json!({
            "access_token": token, "token_type": "Bearer", "expires_in": 300,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "scope": "x:read",
        }))
    };
    world.idp.reply(TOKEN, exchanged("tok-new"));
    assert_token(&world.fetch("traefik", "/exchange", &user).await, "tok-new");
    let asked = world.idp.seen(TOKEN);
    let exchange = asked.last().unwrap();
    for (name, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", "tok-session"),
        ("scope", "x:read"),
        ("audience", "x-api"),
    ] {
        assert_eq!(exchange.one(name), Some(value), "{name}");
    }
    assert_eq!(asked.len(), 2);
    // No for good is Mediation Advised; the endpoint exchanges without a page.
    world.app.clock.advance(300);
    world.idp.reply(TOKEN, Reply::status(400, &json!({"error": "access_denied"})));
    let answer = world.fetch("nginx", "/exchange", &user).await;
    assert_advised(&answer, "nginx", "/exchange", "x:read");
}

#[tokio::test]
async fn a_provider_that_exchanges_nothing_just_now_is_503() {
    let world = World::new().await;
    let user = world.user().await;
    world.elevate(&user, "/exchange", "tok-old", &["x:read"]).await;
    world.app.clock.advance(300);
    for error in ["temporarily_unavailable", "invalid_target", "unauthorized_client"] {
        world.idp.reply(TOKEN, Reply::status(400, &json!({"error": error})));
        let with = [&SCRIPT[..], &[("cookie", &user.cookie)]].concat();
        let answer = world.ask("nginx", "/exchange", &with).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{error}");
        world.app.clock.advance(PAUSE);
    }
}
