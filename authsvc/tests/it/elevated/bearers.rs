//! Callers who bring a token of their own.

use http::StatusCode;
use serde_json::{Value, json};

use super::world::{SCRIPT, SHOP, World, assert_advised, assert_insufficient, assert_token};
use crate::idp::Reply;
use crate::support::{ACCESS_TOKEN, Answer, Ask, DIALECTS, NAVIGATION};

const MEDIATES: &str = "endpoint:mediate";

/// Below the base of the shop's orders.
const METADATA: &str = "https://shop.example.com/.well-known/oauth-protected-resource/production";

fn token(bearer: &str) -> &str {
    bearer.strip_prefix("Bearer ").unwrap()
}

async fn ask(world: &World, dialect: &str, target: &str, bearer: &str) -> Answer {
    world.ask(dialect, target, &[("authorization", bearer)]).await
}

fn assert_invalid(answer: &Answer, dialect: &str) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    let challenge = format!("Bearer error=\"invalid_token\", resource_metadata=\"{METADATA}\"");
    assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()));
    assert!(answer.header("authorization").is_none());
    if dialect == "traefik" {
        assert_eq!(answer.json()["type"], "https://vestibule.dev/problems/invalid-token");
    } else {
        assert_eq!(answer.body, "");
    }
}

#[tokio::test]
async fn a_token_that_has_the_scopes_itself_passes_untouched() {
    let world = World::new().await;
    for dialect in DIALECTS {
        for (target, scope) in [
            ("/production", "prod:read"),
            ("/production", "email prod:write"),
            ("/production/write", "prod:write"),
            ("/production/both", "prod:write prod:read"),
            ("/production/orders/7", "orders:read"),
        ] {
            let bearer = world.bearer(scope);
            let answer = ask(&world, dialect, target, &bearer).await;
            assert_token(&answer, token(&bearer));
        }
        let bearer = world.bearer("prod:read");
        let answer = ask(&world, dialect, "/production/optional", &bearer).await;
        assert_eq!(answer.header("x-user"), Some("u-1"), "of the token's claims");
    }
}

#[tokio::test]
async fn a_token_without_the_scopes_and_without_mediation_is_insufficient() {
    let world = World::new().await;
    for dialect in DIALECTS {
        for (target, scope, lacking) in [
            ("/production", "", "prod:read prod:write"),
            ("/production", "orders:read email", "prod:read prod:write"),
            ("/production/write", "prod:read", "prod:write"),
            ("/production/both", "prod:read", "prod:read prod:write"),
        ] {
            let answer = ask(&world, dialect, target, &world.bearer(scope)).await;
            assert_insufficient(&answer, dialect, lacking);
            let challenge = answer.header("www-authenticate").unwrap();
            assert!(challenge.ends_with(&format!("resource_metadata=\"{METADATA}\"")));
        }
        let answer = ask(&world, dialect, "/production/optional", &world.bearer("email")).await;
        assert_token(&answer, "");
    }
}

#[tokio::test]
async fn a_mediating_token_gets_the_elevated_one_of_its_cookies() {
    let world = World::new().await;
    let bearer = world.bearer(MEDIATES);
    let elevated = world.elevated("/production", "tok-elevated", &["prod:read"]);
    let cookies = world.in_cookies(&world.bearer_key("u-1"), "/production", &elevated);
    for dialect in DIALECTS {
        let without = ask(&world, dialect, "/production", &bearer).await;
        assert_advised(&without, dialect, "/production", "prod:read prod:write");
        let with = [("authorization", bearer.as_str()), ("cookie", cookies.as_str())];
        assert_token(&world.ask(dialect, "/production", &with).await, "tok-elevated");
        let write = world.ask(dialect, "/production/write", &with).await;
        assert_advised(&write, dialect, "/production", "prod:write");
        let orders = world.ask(dialect, "/production/orders", &with).await;
        assert_advised(&orders, dialect, "/production/orders", "orders:read");
        // Another user's token does not open them.
        let other = world.bearer_with(|claims| {
            claims["scope"] = json!(MEDIATES);
            claims["sub"] = json!("u-2");
        });
        let with = [("authorization", other.as_str()), ("cookie", cookies.as_str())];
        let answer = world.ask(dialect, "/production", &with).await;
        assert_advised(&answer, dialect, "/production", "prod:read prod:write");
    }
}

#[tokio::test]
async fn r47_a_token_that_is_no_good_is_refused_and_never_no_token() {
    let world = World::new().await;
    let user = world.user().await;
    world.elevate(&user, "/production", "tok-production", &["prod:read"]).await;
    let good = world.bearer("prod:read");
    let altered = |alter: fn(&mut Value)| {
        world.bearer_with(|claims| {
            claims["scope"] = json!("prod:read");
            alter(claims);
        })
    };
    let bad = [
        altered(|claims| claims["aud"] = json!("another-api")),
        altered(|claims| claims["iss"] = json!("https://other.example.com")),
        altered(|claims| claims["exp"] = json!(1)),
        altered(|claims| drop(claims.as_object_mut().unwrap().remove("exp"))),
        format!("{good}x"),
        "Bearer".to_owned(),
        "Bearer not-a-token".to_owned(),
        format!("bearer {}, {good}", token(&good)),
    ];
    for dialect in DIALECTS {
        for bearer in &bad {
            for target in ["/production", "/production/optional"] {
                let answer = ask(&world, dialect, target, bearer).await;
                assert_invalid(&answer, dialect);
                // Not even where a session would do.
                let with = [
                    &SCRIPT[..],
                    &[("cookie", user.cookie.as_str()), ("authorization", bearer.as_str())],
                ]
                .concat();
                assert_invalid(&world.ask(dialect, target, &with).await, dialect);
            }
        }
        let scheme = good.replacen("Bearer", "bEARER", 1);
        assert_token(&ask(&world, dialect, "/production", &scheme).await, token(&good));
    }
}

#[tokio::test]
async fn of_two_authorization_headers_none_counts() {
    let world = World::new().await;
    let good = world.bearer("prod:read");
    for dialect in DIALECTS {
        for two in [[good.as_str(), good.as_str()], [good.as_str(), "Basic eDp5"]] {
            let ask = Ask::get("/production").with(&two.map(|value| ("authorization", value)));
            assert_invalid(&ask.ask(&world.app, dialect).await, dialect);
        }
    }
}

#[tokio::test]
async fn a_token_counts_alone_and_the_session_beside_it_is_not_looked_at() {
    let world = World::new().await;
    let user = world.user().await;
    world.elevate(&user, "/production", "tok-session", &["prod:read"]).await;
    for dialect in DIALECTS {
        let both = |bearer: &str| {
            let bearer = bearer.to_owned();
            let cookie = user.cookie.clone();
            let world = &world;
            async move {
                let with = [("authorization", bearer.as_str()), ("cookie", cookie.as_str())];
                world.ask(dialect, "/production", &with).await
            }
        };
        let own = world.bearer("prod:read");
        assert_token(&both(&own).await, token(&own));
        let mediating = both(&world.bearer(MEDIATES)).await;
        assert_advised(&mediating, dialect, "/production", "prod:read prod:write");
        let neither = both(&world.bearer("email")).await;
        assert_insufficient(&neither, dialect, "prod:read prod:write");
        // Credentials of another scheme are none.
        assert_token(&both("Basic eDp5").await, "tok-session");
    }
}

#[tokio::test]
async fn a_token_needs_no_proof_against_forgery_since_no_browser_adds_it_by_itself() {
    let world = World::new().await;
    let bearer = world.bearer("prod:read");
    for dialect in DIALECTS {
        let ask = Ask::get("/production").method("POST").with(&[
            ("authorization", &bearer),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "cors"),
            ("origin", "https://other.example.com"),
        ]);
        assert_token(&ask.ask(&world.app, dialect).await, token(&bearer));
    }
}

#[tokio::test]
async fn outside_of_bases_a_token_counts_for_nothing() {
    let world = World::new().await;
    let user = world.user().await;
    let bearer = world.bearer("prod:read endpoint:mediate");
    for dialect in DIALECTS {
        for (bearer, cookie) in
            [(bearer.as_str(), true), (bearer.as_str(), false), ("Bearer x", true)]
        {
            let mut with = vec![("authorization", bearer)];
            if cookie {
                with.push(("cookie", user.cookie.as_str()));
            }
            for target in ["/api", "/productionx"] {
                let answer = world.ask(dialect, target, &with).await;
                if cookie {
                    assert_token(&answer, ACCESS_TOKEN);
                } else {
                    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
                    assert_eq!(answer.header("www-authenticate"), None);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_policy_that_takes_no_tokens_does_not_see_them() {
    let world = World::of(&SHOP.replace("bearer: {audiences: [shop-api]}\n", "")).await;
    let user = world.user().await;
    world.elevate(&user, "/production", "tok-production", &["prod:read"]).await;
    let bearer = world.bearer("prod:read");
    for dialect in DIALECTS {
        let with = [("authorization", bearer.as_str()), ("cookie", user.cookie.as_str())];
        assert_token(&world.ask(dialect, "/production", &with).await, "tok-production");
        let alone = ask(&world, dialect, "/production", &bearer).await;
        assert_eq!(alone.status, StatusCode::UNAUTHORIZED);
        assert_eq!(alone.header("www-authenticate"), None);
        let optional = ask(&world, dialect, "/production/optional", &bearer).await;
        assert_token(&optional, "");
    }
}

#[tokio::test]
async fn where_own_tokens_are_refused_only_elevated_ones_pass() {
    let refuses = "bearer: {audiences: [shop-api], ownTokens: Refuse}";
    let world = World::of(&SHOP.replace("bearer: {audiences: [shop-api]}", refuses)).await;
    let elevated = world.elevated("/production", "tok-elevated", &["prod:read"]);
    let cookies = world.in_cookies(&world.bearer_key("u-1"), "/production", &elevated);
    for dialect in DIALECTS {
        let own = ask(&world, dialect, "/production", &world.bearer("prod:read")).await;
        assert_insufficient(&own, dialect, "prod:read prod:write");
        let both = world.bearer("prod:read endpoint:mediate");
        let with = [("authorization", both.as_str()), ("cookie", cookies.as_str())];
        assert_token(&world.ask(dialect, "/production", &with).await, "tok-elevated");
    }
}

#[tokio::test]
async fn r46_what_rule_and_authority_ask_of_an_authentication_the_token_must_tell_of() {
    let world = World::new().await;
    let now = world.app.app.clock.now().0;
    let bearer = |scope: &str, acr: Option<&str>, auth_time: Option<u64>| {
        world.bearer_with(|claims| {
            claims["scope"] = json!(scope);
            if let Some(acr) = acr {
                claims["acr"] = json!(acr);
            }
            if let Some(auth_time) = auth_time {
                claims["auth_time"] = json!(auth_time);
            }
        })
    };
    for dialect in DIALECTS {
        let strong = bearer("prod:read", Some("strong"), None);
        assert_token(&ask(&world, dialect, "/production/strong", &strong).await, token(&strong));
        let golden = bearer("gold:use", Some("gold"), Some(now - 300));
        assert_token(&ask(&world, dialect, "/gold", &golden).await, token(&golden));
        for (target, bearer, values) in [
            (
                "/production/strong",
                bearer("prod:read", Some("weak"), None),
                "acr_values=\"strong\"",
            ),
            ("/production/strong", bearer("prod:read", None, None), "acr_values=\"strong\""),
            ("/gold", bearer("gold:use", Some("gold"), Some(now - 301)), "max_age=\"300\""),
            ("/gold", bearer("gold:use", Some("gold"), None), "max_age=\"300\""),
            ("/gold", bearer("gold:use", None, Some(now)), "acr_values=\"gold\""),
        ] {
            let answer = ask(&world, dialect, target, &bearer).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{target}");
            let challenge = answer.header("www-authenticate").unwrap();
            assert!(challenge.contains("insufficient_user_authentication"), "{challenge}");
            assert!(challenge.contains(values), "{challenge}");
        }
        // Who mediates may get a better one.
        let mediating = bearer("gold:use endpoint:mediate", None, None);
        let answer = ask(&world, dialect, "/gold", &mediating).await;
        assert_advised(&answer, dialect, "/gold", "gold:use");
    }
}

#[tokio::test]
async fn what_a_rule_requires_of_claims_the_token_must_say() {
    let world = World::new().await;
    for dialect in DIALECTS {
        for (groups, status) in [
            (json!(["ops"]), StatusCode::OK),
            (json!(["dev"]), StatusCode::FORBIDDEN),
            (json!(1), StatusCode::FORBIDDEN),
        ] {
            let bearer = world.bearer_with(|claims| {
                claims["scope"] = json!("prod:read");
                claims["groups"] = groups.clone();
            });
            let answer = ask(&world, dialect, "/production/ops", &bearer).await;
            assert_eq!(answer.status, status, "{groups}");
        }
    }
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_503() {
    let world = World::new().await;
    world.idp.reply("/jwks", Reply::status(503, &json!({})));
    for dialect in DIALECTS {
        for target in ["/production", "/production/optional"] {
            let answer = ask(&world, dialect, target, &world.bearer("prod:read")).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{target}");
        }
    }
}

#[tokio::test]
async fn a_navigation_with_a_token_goes_to_the_authority_where_it_mediates() {
    let world = World::new().await;
    let bearer = world.bearer(MEDIATES);
    let with = [&NAVIGATION[..], &[("authorization", &bearer)]].concat();
    let answer = world.ask("traefik", "/production/write", &with).await;
    assert_eq!(answer.status, StatusCode::FOUND);
    let location = answer.header("location").unwrap();
    assert!(location.starts_with("https://shop.example.com/production/authorize?"), "{location}");
    assert!(!location.contains(token(&bearer)));
}
