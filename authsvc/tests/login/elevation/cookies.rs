//! Elevated tokens in cookies of the browser.

use http::StatusCode;
use serde_json::{Value, json};
use vestibule_policy::model::TokenStorage;

use super::{AUTHORIZE, Area, BASE, Browser, FETCH, error_of};
use crate::idp::Reply;

async fn area() -> Area {
    Area::of(|authority| authority.storage = TokenStorage::Cookie).await
}

fn elevated(browser: &Browser) -> Vec<(String, String)> {
    let ours = |name: &str| name.starts_with("__Secure-bff-");
    browser.jar.keys().filter(|(name, _)| ours(name)).cloned().collect()
}

#[tokio::test]
async fn the_tokens_lie_sealed_in_two_cookies_of_the_base_and_nowhere_else() {
    let area = area().await;
    let mut browser = area.logged_in().await;
    let sent = browser.leave(&area, AUTHORIZE).await;
    let tokens = area.tokens(&sent, |_| {}, |_| {});
    let back = area.grant(&mut browser, &sent, &tokens).await;
    assert_eq!(error_of(back.location()), None);
    let set: Vec<_> =
        back.set_cookies().into_iter().filter(|one| one.starts_with("__Secure-")).collect();
    assert_eq!(set.len(), 2);
    for cookie in set {
        assert!(
            cookie.contains(&format!("; Path={BASE}; Secure; HttpOnly; SameSite=Lax")),
            "{cookie}"
        );
        assert!(cookie.len() <= 4000, "{}", cookie.len());
    }
    let names = elevated(&browser);
    assert!(
        names[0].0.starts_with("__Secure-bff-at-") && names[1].0.starts_with("__Secure-bff-rt-")
    );
    assert!(area.elevation(&browser).await.is_none(), "the store has nothing");
    assert_eq!(browser.fetch(&area, AUTHORIZE).await.permissions().len(), 3);
    let check = browser.check(&area, "/api/production/x", &FETCH).await;
    assert_eq!(check.status, StatusCode::OK);
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    assert_eq!(check.header("authorization"), Some(&*bearer));
}

#[tokio::test]
async fn a_cookie_of_another_base_session_or_user_is_as_good_as_none() {
    let area = Area::with(|policy| {
        policy.authorities.push(super::authority("/api/staging"));
        for authority in &mut policy.authorities {
            authority.storage = TokenStorage::Cookie;
        }
        policy.routes.push(super::staging());
    })
    .await;
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, AUTHORIZE).await;
    let mut same_user = area.logged_in().await;
    let mut other_user = area.logged_in_as(|session| session.subject = "bob".to_owned()).await;
    for thief in [&mut same_user, &mut other_user] {
        for key in elevated(&browser) {
            thief.jar.insert(key.clone(), browser.jar[&key].clone());
        }
        assert_eq!(thief.fetch(&area, AUTHORIZE).await.problem(), "mediation-advised");
        let check = thief.check(&area, "/api/production/x", &FETCH).await;
        assert_eq!(check.status, StatusCode::UNAUTHORIZED);
    }
    let mut moved = browser.clone();
    area.elevate(&mut moved, "/api/staging/authorize").await;
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for key in elevated(&moved) {
        if key.1 == BASE { here.push(key) } else { there.push(key) }
    }
    for (here, there) in here.iter().zip(&there) {
        let value = moved.jar[here].clone();
        moved.jar.insert(there.clone(), value);
    }
    let check = moved.check(&area, "/api/staging/x", &FETCH).await;
    assert_eq!(check.status, StatusCode::UNAUTHORIZED);
    assert_eq!(moved.fetch(&area, "/api/staging/authorize").await.problem(), "mediation-advised");
}

#[tokio::test]
async fn a_check_refreshes_nothing_and_the_fetch_does_without_a_page() {
    let area = area().await;
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, AUTHORIZE).await;
    let before = browser.jar.clone();
    area.clock.advance(61);
    let check = browser.check(&area, "/api/production/x", &FETCH).await;
    assert!(check.header("www-authenticate").unwrap().contains("Mediation Advised"));
    assert!(check.set_cookies().is_empty() && area.redeemed("refresh_token").is_empty());
    let renewed = json!({
        "access_token": area.hide("canary-renewed"), "token_type": "Bearer", "expires_in": 60,
        "refresh_token": area.hide("canary-renewed-refresh"),
    });
    area.idp.reply("/token", Reply::json(&renewed));
    let answer = browser.fetch(&area, AUTHORIZE).await;
    assert_eq!(answer.json()["expiresAt"], "2027-01-15T08:02:01Z");
    assert_ne!(browser.jar, before);
    let check = browser.check(&area, "/api/production/x", &FETCH).await;
    assert_eq!(check.header("authorization"), Some("Bearer canary-renewed"));
    // Late requests of the browser with what it had before get the same.
    let mut late = Browser { jar: before };
    assert_eq!(late.fetch(&area, AUTHORIZE).await.status, StatusCode::OK);
    assert_eq!(area.redeemed("refresh_token").len(), 1);
}

#[tokio::test]
async fn a_refused_refresh_takes_the_cookies_away_and_is_advised() {
    let area = area().await;
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, AUTHORIZE).await;
    area.clock.advance(61);
    area.idp.reply("/token", Reply::status(400, &json!({"error": "invalid_grant"})));
    let answer = browser.fetch(&area, AUTHORIZE).await;
    assert_eq!(answer.problem(), "mediation-advised");
    assert!(elevated(&browser).is_empty());
    assert!(area.session(&browser).await.is_some());
}

#[tokio::test]
async fn a_navigation_refreshes_and_goes_straight_back() {
    let area = area().await;
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, AUTHORIZE).await;
    area.clock.advance(61);
    let renewed = json!({
        "access_token": area.hide("canary-renewed"), "token_type": "Bearer", "expires_in": 60,
    });
    area.idp.reply("/token", Reply::json(&renewed));
    let answer = browser.navigate(&area, &format!("{AUTHORIZE}?redirectUri=/app")).await;
    assert!(answer.location().ends_with("/app"));
    assert_eq!(answer.set_cookies().len(), 2);
    let check = browser.check(&area, "/api/production/x", &FETCH).await;
    assert_eq!(check.header("authorization"), Some("Bearer canary-renewed"));
}

#[tokio::test]
async fn a_token_that_does_not_fit_is_an_error_that_says_so() {
    let area = area().await;
    let mut browser = area.logged_in().await;
    for name in ["access_token", "refresh_token"] {
        let sent = browser.leave(&area, &format!("{AUTHORIZE}?redirectUri=/app")).await;
        let large = area.hide(&format!("canary-{}", "x".repeat(3500)));
        let tokens = area.tokens(&sent, |_| {}, |all| all[name] = json!(large));
        let back = area.grant(&mut browser, &sent, &tokens).await;
        assert_eq!(error_of(back.location()).as_deref(), Some("token_too_large"), "{name}");
        assert!(elevated(&browser).is_empty(), "{name}: neither of them is set");
    }
    let line = "vestibule_elevations_total{outcome=\"token_too_large\"} 2";
    assert!(area.app.metrics.render().contains(line), "each is counted once");
}

#[tokio::test]
async fn a_refresh_that_does_not_fit_is_advised() {
    let area = area().await;
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, AUTHORIZE).await;
    area.clock.advance(61);
    let large = area.hide(&format!("canary-{}", "x".repeat(3500)));
    let renewed = json!({"access_token": large, "token_type": "Bearer", "expires_in": 60});
    area.idp.reply("/token", Reply::json(&renewed));
    let answer = browser.fetch(&area, AUTHORIZE).await;
    assert_eq!(answer.problem(), "mediation-advised");
    assert!(elevated(&browser).is_empty() && area.counted("token_too_large"));
}

#[tokio::test]
async fn a_logout_takes_the_cookies_of_all_bases_away() {
    let area = Area::with(|policy| {
        policy.authorities[0].storage = TokenStorage::Cookie;
        policy.authorities.push(super::authority("/api/staging"));
        policy.authorities[1].storage = TokenStorage::Cookie;
        policy.authorities.push(super::authority("/api/beside"));
    })
    .await;
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, AUTHORIZE).await;
    area.elevate(&mut browser, "/api/staging/authorize").await;
    assert_eq!(elevated(&browser).len(), 4);
    let kept = browser.clone();
    let out = browser.ask(&area, "POST", "/bff/logout", &FETCH).await;
    assert_eq!(out.status, StatusCode::OK);
    assert!(browser.jar.is_empty(), "{:?}", browser.jar);
    assert_eq!(out.set_cookies().len(), 5, "nothing for the base whose tokens the store keeps");
    // Who kept them has nothing either.
    let mut thief = kept;
    assert_eq!(thief.fetch(&area, AUTHORIZE).await.problem(), "unauthenticated");
    let back = area.logged_in().await;
    thief.jar.extend(back.jar);
    assert_eq!(thief.fetch(&area, AUTHORIZE).await.problem(), "mediation-advised");
}

#[tokio::test]
async fn cookies_that_are_altered_are_as_if_they_were_not_there() {
    type Alter = fn(&str) -> String;
    let area = area().await;
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, AUTHORIZE).await;
    let alters: [Alter; 6] = [
        |value| value[..value.len() - 1].to_owned(),
        |value| format!("{value}A"),
        |value| {
            let (start, rest) = value.split_at(20);
            let other = if rest.starts_with('A') { 'B' } else { 'A' };
            format!("{start}{other}{}", &rest[1..])
        },
        |_| String::new(),
        |_| "A".repeat(4000),
        |value| value.to_uppercase(),
    ];
    for alter in alters {
        let mut altered = browser.clone();
        for key in elevated(&browser) {
            let value = alter(&altered.jar[&key]);
            altered.jar.insert(key, value);
        }
        let answer = altered.fetch(&area, AUTHORIZE).await;
        assert_eq!(answer.problem(), "mediation-advised");
    }
    let swapped: Vec<Value> =
        elevated(&browser).iter().map(|key| json!(browser.jar[key])).collect();
    let mut altered = browser.clone();
    for (key, value) in elevated(&browser).into_iter().zip(swapped.iter().rev()) {
        altered.jar.insert(key, value.as_str().unwrap().to_owned());
    }
    assert_eq!(altered.fetch(&area, AUTHORIZE).await.problem(), "mediation-advised");
}
