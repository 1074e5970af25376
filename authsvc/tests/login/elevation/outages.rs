//! A provider or a store that is down, at every step: 503, and nothing is lost.

use http::StatusCode;
use serde_json::json;
use vestibule_policy::model::TokenStorage;

use super::{AUTHORIZE, Area, Browser, FETCH, NAVIGATION, error_of};
use crate::idp::Reply;

#[tokio::test]
async fn a_store_that_is_down_is_503_at_every_step_and_nothing_is_lost() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let before = browser.jar.clone();
    for calls in 0..2 {
        area.store.cut_after(calls);
        let answer = browser.fetch(&area, AUTHORIZE).await;
        area.store.mend();
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "after {calls} calls");
        assert_eq!(answer.problem(), "store-unavailable");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    for calls in 0..3 {
        area.store.cut_after(calls);
        let page = browser.navigate(&area, AUTHORIZE).await;
        area.store.mend();
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "after {calls} calls");
        assert!(page.is_page() && page.body.contains(AUTHORIZE), "{}", page.body);
        assert_eq!(page.header("retry-after"), Some("1"));
    }
    assert_eq!(browser.jar, before, "no cookie came or went");
    assert_eq!(area.store.deletions(), 0);
    assert!(area.counted("store_unavailable"));
    browser.leave(&area, AUTHORIZE).await;
}

#[tokio::test]
async fn a_store_that_is_down_at_the_callback_can_be_asked_again_or_the_way_be_begun_again() {
    for storage in [TokenStorage::Session, TokenStorage::Cookie] {
        let area = Area::of(|authority| authority.storage = storage).await;
        let mut browser = area.logged_in().await;
        let mut taken = 0;
        for calls in 0..12 {
            let sent = browser.leave(&area, &format!("{AUTHORIZE}?redirectUri=/app")).await;
            let tokens = area.tokens(&sent, |_| {}, |_| {});
            area.store.cut_after(calls);
            let answer = area.grant(&mut browser, &sent, &tokens).await;
            area.store.mend();
            if answer.status == StatusCode::SEE_OTHER {
                assert_eq!(error_of(answer.location()), None, "{storage:?} {calls}");
                break;
            }
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{storage:?} {calls}");
            assert!(answer.is_page() && answer.header("retry-after").is_some());
            assert!(area.session(&browser).await.is_some(), "{storage:?} {calls}");
            if area.redeemed("authorization_code").is_empty() {
                // Nothing was taken: the browser may come back with the same answer.
                let answer = area.grant(&mut browser.clone(), &sent, &tokens).await;
                assert_eq!(error_of(answer.location()), None, "{storage:?} {calls}");
                area.install(|policy| policy.authorities[0].storage = storage);
            }
            taken += 1;
            browser = area.logged_in().await;
        }
        assert!(taken > 1, "{storage:?}: it was down at more than one step");
    }
}

#[tokio::test]
async fn a_provider_that_is_down_before_the_browser_leaves_is_a_page_and_a_503() {
    let area = Area::with(|policy| policy.provider.issuer = "http://127.0.0.1:1".to_owned()).await;
    let issuer = "http://127.0.0.1:1".to_owned();
    let mut browser = area.logged_in_as(|session| session.issuer = issuer).await;
    let before = browser.jar.clone();
    let page = browser.navigate(&area, &format!("{AUTHORIZE}?redirectUri=/app")).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.is_page() && page.body.contains("redirectUri=/app"), "{}", page.body);
    assert_eq!(browser.jar, before);
    assert!(area.counted("temporarily_unavailable"));
    let advised = browser.fetch(&area, AUTHORIZE).await;
    assert_eq!(advised.problem(), "mediation-advised", "which is all that is known");
}

#[tokio::test]
async fn a_provider_that_is_down_while_the_user_is_there_is_an_error_at_the_app() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let sent = browser.leave(&area, &format!("{AUTHORIZE}?redirectUri=/app")).await;
    area.idp.code("down", Reply::status(503, &json!({})));
    let back = browser.come_back(&area, &sent, "code=down").await;
    assert_eq!(error_of(back.location()).as_deref(), Some("temporarily_unavailable"));
    assert!(area.session(&browser).await.is_some());

    let sent = browser.leave(&area, &format!("{AUTHORIZE}?redirectUri=/app")).await;
    area.idp.reply("/jwks", Reply::status(502, &json!({})));
    let tokens = area.tokens(&sent, |_| {}, |_| {});
    let back = area.grant(&mut browser, &sent, &tokens).await;
    assert_eq!(error_of(back.location()).as_deref(), Some("temporarily_unavailable"));
}

#[tokio::test]
async fn a_provider_that_cannot_log_anyone_in_safely_is_a_page() {
    let area = Area::new().await;
    area.idp.set_metadata(|metadata| {
        metadata["code_challenge_methods_supported"] = json!(["plain"]);
    });
    let mut browser = area.logged_in().await;
    let page = browser.navigate(&area, AUTHORIZE).await;
    assert_eq!(page.status, StatusCode::BAD_GATEWAY);
    assert!(page.is_page());
}

#[tokio::test]
async fn a_refresh_that_gets_no_answer_is_503_for_a_script_and_a_new_way_for_a_page() {
    for storage in [TokenStorage::Session, TokenStorage::Cookie] {
        let area = Area::of(|authority| authority.storage = storage).await;
        let mut browser = area.logged_in().await;
        area.elevate(&mut browser, AUTHORIZE).await;
        let before = browser.jar.clone();
        area.clock.advance(61);
        area.idp.reply("/token", Reply::status(502, &json!({})));
        let answer = browser.fetch(&area, AUTHORIZE).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{storage:?}");
        assert_eq!(answer.problem(), "authority-unavailable", "{storage:?}");
        assert_eq!(browser.jar, before, "{storage:?}: it may be had later");
    }
}

#[tokio::test]
async fn a_policy_that_is_not_there_or_another_host_is_refused_before_anything() {
    let area = Area::new().await;
    area.install(|policy| policy.authorities.clear());
    let mut browser = area.logged_in().await;
    for headers in [&FETCH, &NAVIGATION] {
        let answer = browser.ask(&area, "GET", AUTHORIZE, headers).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        let both = [&headers[..], &[("host", "evil.example")]].concat();
        let answer = Browser::default().ask(&area, "GET", AUTHORIZE, &both).await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "two hosts are none");
    }
}
