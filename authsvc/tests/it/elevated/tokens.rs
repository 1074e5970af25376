//! Which token goes upstream.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::timeout;
use vestibule_authsvc::clock::ManualClock;

use super::world::{SHOP, World, assert_advised, assert_token};
use crate::cuttable::cuttable;
use crate::support::{ACCESS_TOKEN, DIALECTS, START};

#[tokio::test]
async fn r46_the_token_of_the_innermost_base_goes_upstream_and_the_sessions_own_stays_apart() {
    let world = World::new().await;
    let user = world.user().await;
    world.elevate(&user, "/production", "tok-production", &["prod:read"]).await;
    world.elevate(&user, "/production/orders", "tok-orders", &["orders:read"]).await;
    world.elevate(&user, "/billing", "tok-billing", &["bill:pay"]).await;
    for dialect in DIALECTS {
        for (target, token) in [
            ("/production", "tok-production"),
            ("/production/", "tok-production"),
            ("/production/items?x=1", "tok-production"),
            ("/production/orders", "tok-orders"),
            ("/production/orders/7", "tok-orders"),
            ("/production/ordersx", "tok-production"),
            ("/billing/pay", "tok-billing"),
            ("/productionx", ACCESS_TOKEN),
            ("/api", ACCESS_TOKEN),
            ("/page", ""),
        ] {
            let answer = world.fetch(dialect, target, &user).await;
            assert_token(&answer, token);
            assert_eq!(answer.header("cookie"), Some(""), "{target}");
        }
        let answer = world.fetch(dialect, "/production", &user).await;
        assert_eq!(answer.header("x-user"), Some("u-1"), "of the session's claims");
    }
}

#[tokio::test]
async fn a_token_of_one_base_is_none_of_another() {
    let world = World::new().await;
    let user = world.user().await;
    world.elevate(&user, "/production", "tok-production", &["prod:read", "prod:write"]).await;
    for dialect in DIALECTS {
        let orders = world.fetch(dialect, "/production/orders", &user).await;
        assert_advised(&orders, dialect, "/production/orders", "orders:read");
        let billing = world.fetch(dialect, "/billing", &user).await;
        assert_advised(&billing, dialect, "/billing", "bill:pay");
    }
    let other = world.user().await;
    let answer = world.fetch("traefik", "/production", &other).await;
    assert_advised(&answer, "traefik", "/production", "prod:read prod:write");
}

#[tokio::test]
async fn the_sessions_own_token_may_be_over_below_a_base() {
    let world = World::new().await;
    let user = world.user_who(|session| session.access_token_expires_at = Some(START)).await;
    world.elevate(&user, "/production", "tok-production", &["prod:read"]).await;
    for dialect in DIALECTS {
        assert_token(&world.fetch(dialect, "/production", &user).await, "tok-production");
        let plain = world.fetch(dialect, "/api", &user).await;
        assert_eq!(plain.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn an_encoding_that_hides_a_base_is_refused() {
    let world = World::new().await;
    let user = world.user().await;
    world.elevate(&user, "/deep/inside", "tok-deep", &["deep:read"]).await;
    for dialect in DIALECTS {
        for target in ["/deep%2Finside", "/deep%2Finside/x"] {
            // The same rule, but the app may read a path of the authority.
            let answer = world.fetch(dialect, target, &user).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{target}");
        }
        let below = world.fetch(dialect, "/deep/inside/a%2Fb", &user).await;
        assert_token(&below, "tok-deep");
    }
}

#[tokio::test]
async fn a_warm_check_of_an_elevated_token_asks_the_store_nothing() {
    let clock = Arc::new(ManualClock::new(START));
    let store = Arc::new(cuttable(clock.clone()));
    let world = World::over(&[("shop", SHOP)], clock, store.clone()).await;
    let sessions = Arc::clone(&world.app.app.sessions);
    let following = tokio::spawn(async move { sessions.follow().await });
    let warm = async {
        while !world.app.app.sessions.answers_from_memory() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), warm).await.unwrap();
    let user = world.user().await;
    world.elevate(&user, "/production", "tok-production", &["prod:read"]).await;
    assert_token(&world.fetch("nginx", "/production", &user).await, "tok-production");
    store.cut_after(0);
    for dialect in DIALECTS {
        for _ in 0..10 {
            assert_token(&world.fetch(dialect, "/production", &user).await, "tok-production");
        }
    }
    following.abort();
}

#[tokio::test]
async fn a_store_that_does_not_answer_for_the_elevated_token_is_503() {
    let clock = Arc::new(ManualClock::new(START));
    let store = Arc::new(cuttable(clock.clone()));
    let world = World::over(&[("shop", SHOP)], clock, store.clone()).await;
    let user = world.user().await;
    world.elevate(&user, "/production", "tok-production", &["prod:read"]).await;
    for dialect in DIALECTS {
        for target in ["/production", "/production/optional"] {
            // The session is answered, its elevated token is not.
            store.cut_after(1);
            let answer = world.fetch(dialect, target, &user).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{target}");
            store.mend();
        }
        assert_token(&world.fetch(dialect, "/production", &user).await, "tok-production");
    }
}
