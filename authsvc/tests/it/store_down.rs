//! A store that does not answer: 503, the cookie kept, nothing deleted, nothing allowed.

use std::sync::Arc;

use http::StatusCode;
use vestibule_authsvc::clock::ManualClock;

use crate::check_access::SHOP;
use crate::cuttable::{Cuttable, cuttable};
use crate::support::{Ask, DIALECTS, FETCH, NAVIGATION, START, TestApp};

fn app() -> (TestApp, Arc<Cuttable>) {
    let clock = Arc::new(ManualClock::new(START));
    let store = Arc::new(cuttable(clock.clone()));
    (TestApp::with_store(&[("shop", SHOP)], clock, store.clone()), store)
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_503_and_the_session_works_again_afterwards() {
    let (app, store) = app();
    let cookie = app.session("shop", |_| {}).await;
    for dialect in DIALECTS {
        for how in [&NAVIGATION, &FETCH] {
            let ask = Ask::get("/api").with(how).with(&[("cookie", &cookie)]);
            store.cut_after(0);
            let answer = ask.ask(&app, dialect).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert!(answer.set_cookies().is_empty(), "the cookie is kept");
            assert!(dialect == "traefik" || answer.body.is_empty());
            store.mend();
            assert_eq!(ask.ask(&app, dialect).await.status, StatusCode::OK);
        }
    }
    assert_eq!(store.deletions(), 0, "nothing is deleted");
}

#[tokio::test]
async fn what_needs_no_session_passes_while_the_store_is_down() {
    let (app, store) = app();
    let cookie = app.session("shop", |_| {}).await;
    store.cut_after(0);
    for dialect in DIALECTS {
        let public = Ask::get("/public").with(&[("cookie", &cookie)]);
        assert_eq!(public.ask(&app, dialect).await.status, StatusCode::OK);
        let denied = Ask::get("/deny").with(&[("cookie", &cookie)]);
        assert_eq!(denied.ask(&app, dialect).await.status, StatusCode::FORBIDDEN);
        let preflight = Ask::get("/api").method("OPTIONS").with(&[
            ("cookie", &cookie),
            ("origin", "https://evil.example"),
            ("access-control-request-method", "GET"),
        ]);
        assert_eq!(preflight.ask(&app, dialect).await.status, StatusCode::FORBIDDEN);
        let anonymous = Ask::get("/api").with(&FETCH).ask(&app, dialect).await;
        assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED, "no cookie, no question");
    }
}

#[tokio::test]
async fn our_own_endpoints_answer_503_and_keep_the_cookie() {
    let (app, store) = app();
    let cookie = app.session("shop", |_| {}).await;
    store.cut_after(0);
    let with = [("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
    for (method, target) in [("GET", "/bff/session"), ("POST", "/bff/logout")] {
        let answer = app.browse(method, "shop.example.com", target, &with).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{target}");
        assert!(answer.set_cookies().is_empty());
    }
}
