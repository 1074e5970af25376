//! Elevated tokens in cookies: read by checks, never set by them.

use http::StatusCode;
use vestibule_authsvc::session::{Session, StoreKey};
use vestibule_authsvc::token::Token;

use super::world::{SCRIPT, User, World, assert_advised, assert_insufficient, assert_token};
use crate::support::{Answer, DIALECTS};

async fn ask(world: &World, dialect: &str, target: &str, cookies: &[&str]) -> Answer {
    let cookies = cookies.join("; ");
    let with = [&SCRIPT[..], &[("cookie", &cookies)]].concat();
    world.ask(dialect, target, &with).await
}

/// A user, and the cookies with their token for `/cookies`.
async fn with_cookies(world: &World, change: impl FnOnce(&mut Session)) -> (User, String) {
    let user = world.user().await;
    let mut elevated = world.elevated("/cookies", "tok-cookie", &["cookie:use"]);
    change(&mut elevated);
    let cookies = world.in_cookies(&user.session.key, "/cookies", &elevated);
    (user, cookies)
}

#[tokio::test]
async fn a_token_in_cookies_goes_upstream_and_the_cookies_do_not() {
    let world = World::new().await;
    let (user, cookies) = with_cookies(&world, |_| {}).await;
    for dialect in DIALECTS {
        let all = [user.cookie.as_str(), &cookies, "theme=dark"];
        let answer = ask(&world, dialect, "/cookies/x", &all).await;
        assert_token(&answer, "tok-cookie");
        assert_eq!(answer.header("cookie"), Some("theme=dark"));
        let without = ask(&world, dialect, "/cookies/x", &[&user.cookie]).await;
        assert_advised(&without, dialect, "/cookies", "cookie:use cookie:eat");
        let optional = ask(&world, dialect, "/cookies/optional", &[&user.cookie]).await;
        assert_token(&optional, "");
        let eats = ask(&world, dialect, "/cookies/eat", &all).await;
        assert_advised(&eats, dialect, "/cookies", "cookie:eat");
    }
}

#[tokio::test]
async fn a_token_that_is_over_is_for_the_endpoint_to_refresh_since_a_check_sets_no_cookie() {
    let world = World::new().await;
    let (user, cookies) = with_cookies(&world, |elevated| {
        elevated.refresh_token = Some(Token::new("tok-refresh"));
    })
    .await;
    world.app.clock.advance(300);
    for dialect in DIALECTS {
        let answer = ask(&world, dialect, "/cookies", &[&user.cookie, &cookies]).await;
        assert_advised(&answer, dialect, "/cookies", "cookie:use cookie:eat");
    }
    assert!(world.idp.seen("/token").is_empty());
}

#[tokio::test]
async fn scopes_that_were_not_granted_are_insufficient_from_cookies_too() {
    let world = World::new().await;
    let (user, cookies) = with_cookies(&world, |elevated| {
        elevated.grant.as_mut().unwrap().asked.push("cookie:eat".to_owned());
    })
    .await;
    for dialect in DIALECTS {
        let answer = ask(&world, dialect, "/cookies/eat", &[&user.cookie, &cookies]).await;
        assert_insufficient(&answer, dialect, "cookie:eat");
    }
}

#[tokio::test]
async fn cookies_of_another_session_base_or_caller_are_as_if_they_were_not_there() {
    let world = World::new().await;
    let user = world.user().await;
    let other = world.user().await;
    let of_cookies = |key: &StoreKey| {
        let elevated = world.elevated("/cookies", "tok-cookie", &["cookie:use"]);
        world.in_cookies(key, "/cookies", &elevated)
    };
    // The other base's, under the names of this one.
    let elsewhere = world.elevated("/billing", "tok-billing", &["bill:pay"]);
    let elsewhere = world.in_cookies(&user.session.key, "/billing", &elsewhere);
    let ours = of_cookies(&user.session.key);
    let name = |pair: &str| pair.split_once('=').unwrap().0.to_owned();
    let value = |pair: &str| pair.split_once('=').unwrap().1.split(';').next().unwrap().to_owned();
    let renamed = format!("{}={}", name(&ours), value(&elsewhere));
    for dialect in DIALECTS {
        for cookies in [
            of_cookies(&other.session.key),
            of_cookies(&world.bearer_key("u-1")),
            elsewhere.clone(),
            renamed.clone(),
            format!("{ours}; {ours}"),
        ] {
            let answer = ask(&world, dialect, "/cookies", &[&user.cookie, &cookies]).await;
            assert_advised(&answer, dialect, "/cookies", "cookie:use cookie:eat");
        }
        let nobody = ask(&world, dialect, "/cookies", &[&ours]).await;
        assert_eq!(nobody.status, StatusCode::UNAUTHORIZED, "cookies alone are nobody's");
        let ours = ask(&world, dialect, "/cookies", &[&user.cookie, &ours]).await;
        assert_token(&ours, "tok-cookie");
    }
}

#[tokio::test]
async fn what_is_kept_beside_the_session_is_not_looked_for_in_cookies() {
    let world = World::new().await;
    let user = world.user().await;
    let elevated = world.elevated("/production", "tok-production", &["prod:read"]);
    let cookies = world.in_cookies(&user.session.key, "/production", &elevated);
    let answer = ask(&world, "nginx", "/production", &[&user.cookie, &cookies]).await;
    assert_advised(&answer, "nginx", "/production", "prod:read prod:write");
}
