//! What is said where no token goes upstream.

use http::StatusCode;
use vestibule_authsvc::clock::Timestamp;
use vestibule_authsvc::session::{Grant, Session};
use vestibule_authsvc::token::Token;

use super::world::{
    World, assert_advised, assert_insufficient, assert_nothing_shown, assert_token,
};
use crate::support::{DIALECTS, NAVIGATION, START};

/// What makes a token another.
type Change = Box<dyn Fn(&mut Session)>;

#[tokio::test]
async fn a_missing_token_is_mediation_advised_for_what_the_rule_needs() {
    let world = World::new().await;
    let user = world.user().await;
    for dialect in DIALECTS {
        let answer = world.fetch(dialect, "/production/items", &user).await;
        assert_advised(&answer, dialect, "/production", "prod:read prod:write");
        let answer = world.fetch(dialect, "/production/write", &user).await;
        assert_advised(&answer, dialect, "/production", "prod:write");
    }
}

#[tokio::test]
async fn a_navigation_without_a_token_goes_to_the_authority_and_back() {
    let world = World::new().await;
    let user = world.user().await;
    let with = [&NAVIGATION[..], &[("cookie", &user.cookie)]].concat();
    let answer = world.ask("traefik", "/production/write?a=1&b=%20x", &with).await;
    assert_eq!(answer.status, StatusCode::FOUND);
    assert_eq!(
        answer.header("location"),
        Some(
            "https://shop.example.com/production/authorize?scope=prod%3Awrite\
             &redirectUri=/production/write%3Fa%3D1%26b%3D%2520x"
        )
    );
    assert_eq!(answer.header("www-authenticate"), None);
    assert_nothing_shown(&answer);
    // nginx cannot redirect; the login endpoint does, behind auth-signin.
    let nginx = world.ask("nginx", "/production/write", &with).await;
    assert_advised(&nginx, "nginx", "/production", "prod:write");
    let quiet = world.ask("traefik", "/production/quiet", &with).await;
    assert_advised(&quiet, "traefik", "/production", "prod:read prod:write");
}

#[tokio::test]
async fn every_kind_of_useless_token_has_its_answer() {
    enum Expected {
        Token,
        Advised(&'static str),
        Insufficient(&'static str),
    }
    use Expected::{Advised, Insufficient, Token as Passes};
    let spent = |session: &mut Session| {
        session.access_token = Token::new("");
        session.grant = Some(Box::new(Grant { asked: vec![], granted: vec![] }));
    };
    let asks_too = |scope: &'static str| {
        move |session: &mut Session| {
            session.grant.as_mut().unwrap().asked.push(scope.to_owned());
        }
    };
    let none_granted = |session: &mut Session| session.grant.as_mut().unwrap().granted.clear();
    let over = |session: &mut Session| session.access_token_expires_at = Some(START);
    let rows: [(&str, Change, Expected); 9] = [
        ("/production", Box::new(|_| {}), Passes),
        ("/production", Box::new(spent), Advised("prod:read prod:write")),
        ("/production", Box::new(over), Advised("prod:read prod:write")),
        ("/production", Box::new(none_granted), Insufficient("prod:read prod:write")),
        ("/production/write", Box::new(|_| {}), Advised("prod:write")),
        ("/production/write", Box::new(asks_too("prod:write")), Insufficient("prod:write")),
        ("/production/both", Box::new(|_| {}), Advised("prod:read prod:write")),
        (
            "/production/both",
            Box::new(asks_too("prod:write")),
            Insufficient("prod:read prod:write"),
        ),
        ("/production/write", Box::new(over), Advised("prod:write")),
    ];
    let world = World::new().await;
    for (row, (target, change, expected)) in rows.iter().enumerate() {
        let user = world.user().await;
        let mut elevated = world.elevated("/production", "tok-production", &["prod:read"]);
        change(&mut elevated);
        world.keep(&user, "/production", elevated).await;
        for dialect in DIALECTS {
            println!("row {row}, {dialect}");
            let answer = world.fetch(dialect, target, &user).await;
            match expected {
                Passes => assert_token(&answer, "tok-production"),
                Advised(scopes) => assert_advised(&answer, dialect, "/production", scopes),
                Insufficient(scopes) => assert_insufficient(&answer, dialect, scopes),
            }
        }
    }
}

#[tokio::test]
async fn r46_an_elevated_login_that_is_too_weak_or_too_old_is_mediation_advised() {
    let world = World::new().await;
    for (acr, age, passes) in [
        (Some("gold"), 0, true),
        (Some("gold"), 300, true),
        (Some("gold"), 301, false),
        (Some("silver"), 0, false),
        (None, 0, false),
    ] {
        // The session's own login does not count.
        let user = world.user_who(|session| session.acr = Some("gold".to_owned())).await;
        let elevated = Session {
            acr: acr.map(str::to_owned),
            auth_time: Timestamp(START.0 - age),
            ..world.elevated("/gold", "tok-gold", &["gold:use"])
        };
        world.keep(&user, "/gold", elevated).await;
        for dialect in DIALECTS {
            let answer = world.fetch(dialect, "/gold", &user).await;
            if passes {
                assert_token(&answer, "tok-gold");
            } else {
                assert_advised(&answer, dialect, "/gold", "gold:use");
            }
        }
    }
}

#[tokio::test]
async fn nobody_is_asked_to_log_in_first_and_tokens_are_offered_where_they_count() {
    let world = World::new().await;
    let navigation = world.ask("traefik", "/production/x", &NAVIGATION).await;
    assert_eq!(navigation.status, StatusCode::FOUND);
    assert_eq!(
        navigation.header("location"),
        Some("https://shop.example.com/bff/login?rd=/production/x")
    );
    for dialect in DIALECTS {
        let fetch = world.ask(dialect, "/production/orders/7", &super::world::SCRIPT).await;
        assert_eq!(fetch.status, StatusCode::UNAUTHORIZED);
        assert_eq!(
            fetch.header("www-authenticate"),
            Some(
                "Bearer resource_metadata=\"https://shop.example.com/.well-known/\
                 oauth-protected-resource/production/orders\""
            )
        );
        let elsewhere = world.ask(dialect, "/api", &super::world::SCRIPT).await;
        assert_eq!(elsewhere.status, StatusCode::UNAUTHORIZED);
        assert_eq!(elsewhere.header("www-authenticate"), None, "tokens do not count there");
    }
}
