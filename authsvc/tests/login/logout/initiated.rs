//! Logout by the user: here, everywhere, and at the provider (OpenID Connect RP-Initiated Logout 1.0).

use http::StatusCode;
use serde_json::json;
use url::Url;
use vestibule_authsvc::session::store::SessionStore as _;
use vestibule_authsvc::session::{Purpose, SecretId, Session};

use super::{Answer, Apps, EXPIRED, FETCH, FORM, FORM_TYPE};
use crate::idp::ACCESS_TOKEN;

const LOGOUT: (&str, &str) = ("POST", "/bff/logout");

async fn by_form(apps: &Apps, cookie: &str) -> Answer {
    let headers = [&FORM[..], &[("cookie", cookie)]].concat();
    apps.ask("shop", LOGOUT, &headers, "").await
}

/// Logs out, and gives the URL at the provider and the cookie that waits for the return.
async fn off_to_the_provider(apps: &Apps) -> (Url, String) {
    let cookie = apps.session("shop", |_| {}).await;
    let answer = by_form(apps, &cookie).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(!apps.is_alive("shop", &cookie).await, "it ends here first");
    let cookies = answer.set_cookies();
    let [expired, state] = cookies[..] else { panic!("{cookies:?}") };
    assert_eq!(expired, EXPIRED, "t086");
    let attributes = "; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax";
    let state = state.strip_suffix(attributes).unwrap();
    assert!(state.starts_with("__Host-bff-login-out="), "{state}");
    (Url::parse(answer.header("location").unwrap()).unwrap(), state.to_owned())
}

fn parameter(url: &Url, wanted: &str) -> String {
    let found: Vec<_> = url.query_pairs().filter(|(name, _)| name == wanted).collect();
    let [(_, value)] = &found[..] else { panic!("{wanted} once in {url}") };
    value.clone().into_owned()
}

/// The browser comes back to our page.
async fn back(apps: &Apps, query: &str, cookie: &str) -> Answer {
    let target = format!("/bff/signed-out{query}");
    apps.ask("shop", ("GET", &target), &[("cookie", cookie)], "").await
}

#[tokio::test]
async fn oidcc_client_test_rp_init_logout() {
    let apps = Apps::new().await;
    let (url, cookie) = off_to_the_provider(&apps).await;
    assert!(url.as_str().starts_with(&format!("{}/end?", apps.idp.issuer)), "{url}");
    assert_eq!(parameter(&url, "client_id"), "shop");
    assert_eq!(parameter(&url, "id_token_hint").split('.').count(), 3);
    let return_to = "https://shop.example.com/bff/signed-out";
    assert_eq!(parameter(&url, "post_logout_redirect_uri"), return_to);
    let state = parameter(&url, "state");
    assert_eq!(state.len(), 43, "256 random bits");
    let (other, _) = off_to_the_provider(&apps).await;
    assert_ne!(state, parameter(&other, "state"));

    let page = back(&apps, &format!("?state={state}"), &cookie).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("You are logged out</h1>"), "{}", page.body);
    let gone = "__Host-bff-login-out=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax";
    assert_eq!(page.set_cookies(), [gone]);
}

#[tokio::test]
async fn oidcc_client_test_rp_init_logout_other_state() {
    let apps = Apps::new().await;
    let (url, cookie) = off_to_the_provider(&apps).await;
    let state = parameter(&url, "state");
    for query in [
        "?state=other".to_owned(),
        format!("?state={state}x"),
        format!("?state={}", state.to_uppercase()),
        format!("?state={state}&state={state}"),
        format!("?state=other&state={state}"),
    ] {
        let page = back(&apps, &query, &cookie).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(page.body.contains("You are logged out here") && page.set_cookies().is_empty());
    }
    let page = back(&apps, &format!("?state={state}"), &cookie).await;
    assert_eq!(page.status, StatusCode::OK, "the right one still counts");
}

#[tokio::test]
async fn oidcc_client_test_rp_init_logout_no_state() {
    let apps = Apps::new().await;
    let (_, cookie) = off_to_the_provider(&apps).await;
    for query in ["", "?", "?state", "?state=", "?State=x"] {
        let page = back(&apps, query, &cookie).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{query}");
    }
    let page = back(&apps, "", "theme=dark").await;
    assert_eq!(page.status, StatusCode::OK, "nothing is waited for");
}

#[tokio::test]
async fn r51_a_page_of_the_app_gets_no_state_that_it_would_not_know() {
    let apps = Apps::with(|policy| policy.logout_return_to = "/bye".to_owned()).await;
    let cookie = apps.session("shop", |_| {}).await;
    let answer = by_form(&apps, &cookie).await;
    let url = Url::parse(answer.header("location").unwrap()).unwrap();
    assert_eq!(parameter(&url, "post_logout_redirect_uri"), "https://shop.example.com/bye");
    assert!(url.query_pairs().all(|(name, _)| name != "state"));
    assert_eq!(answer.set_cookies(), [EXPIRED]);
}

#[tokio::test]
async fn r50_t005_after_a_logout_and_its_page_the_old_cookie_is_refused_by_every_replica() {
    let apps = Apps::new().await;
    let cookie = apps.session("shop", |_| {}).await;
    by_form(&apps, &cookie).await;
    for page in ["/bff/signed-out", "/bff/logout", "/bff/login"] {
        let answer = apps.ask("shop", ("GET", page), &[("cookie", &*cookie)], "").await;
        assert!(!answer.body.contains("alice"), "{page}");
        assert!(!apps.is_alive("shop", &cookie).await, "after {page}");
    }
}

#[tokio::test]
async fn t015_no_redirect_of_a_logout_leads_where_the_request_says() {
    let apps = Apps::new().await;
    let evil = "https%3A%2F%2Fevil.example%2F";
    let names =
        ["rd", "return_to", "post_logout_redirect_uri", "redirect_uri", "location", "state"];
    let query: Vec<_> = names.iter().map(|name| format!("{name}={evil}")).collect();
    let query = query.join("&");
    let target = format!("/bff/logout?{query}");
    for how in [&FORM[..], &FETCH[..]] {
        for logged_in in [true, false] {
            let cookie = apps.session("shop", |_| {}).await;
            let cookie = if logged_in { cookie.as_str() } else { "a=b" };
            let mut headers = [how, &[("cookie", cookie), FORM_TYPE]].concat();
            headers.push(("x-forwarded-host", "evil.example"));
            let answer = apps.ask("shop", ("POST", &target), &headers, &query).await;
            let text = format!("{:?}{}", answer.headers, answer.body);
            assert!(!text.contains("evil"), "{text}");
            assert!(!text.contains(ACCESS_TOKEN) && !text.contains("refresh-token"), "{text}");
        }
    }
    // The ID token goes to the provider's own endpoint and nowhere else.
    apps.idp.set_metadata(|_| {});
    apps.clock.advance(3600);
    let cookie = apps.session("shop", |_| {}).await;
    let headers = [&FETCH[..], &[("cookie", &*cookie)]].concat();
    let answer = apps.ask("shop", ("POST", &target), &headers, "").await;
    assert_eq!(answer.json(), json!({"location": "https://shop.example.com/bff/signed-out"}));
}

#[tokio::test]
async fn r50_everywhere_ends_all_sessions_of_the_user_in_all_apps_of_the_client() {
    let in_query = ("POST", "/bff/logout?everywhere=true");
    for (request, how, body) in [
        (LOGOUT, &FORM[..], "everywhere=true"),
        (in_query, &FORM[..], ""),
        (in_query, &FETCH[..], ""),
    ] {
        let apps = Apps::new().await;
        let own = apps.session("shop", |_| {}).await;
        let phone = apps.session("shop", |s| s.provider_session = Some("sid-2".to_owned())).await;
        let unknown = apps.session("shop", |session| session.provider_session = None).await;
        let desk = apps.session("desk", |s| s.provider_session = Some("sid-3".to_owned())).await;
        let bob = apps.session("shop", |session| session.subject = "bob".to_owned()).await;
        let bank = apps.session("bank", |_| {}).await;
        let headers = [how, &[("cookie", &*own), FORM_TYPE]].concat();
        let answer = apps.ask("shop", request, &headers, body).await;
        assert!(answer.status.is_success() || answer.status.is_redirection(), "{}", answer.status);
        for (name, cookie) in
            [("shop", &own), ("shop", &phone), ("shop", &unknown), ("desk", &desk)]
        {
            assert!(!apps.is_alive(name, cookie).await, "{name} {request:?}");
        }
        assert!(apps.is_alive("shop", &bob).await, "another user");
        assert!(apps.is_alive("bank", &bank).await, "another client");
    }
}

#[tokio::test]
async fn a_logout_takes_away_what_is_no_session_for_the_moment() {
    let apps = Apps::new().await;
    // As after an edit of the policy's provider that is taken back later.
    let former = |session: &mut Session| session.issuer = "https://former.example".to_owned();
    let cookie = apps.session("shop", former).await;
    let id = cookie.split_once('=').and_then(|(_, value)| SecretId::parse(value)).unwrap();
    let key = id.store_key(Purpose::Session, &apps.policy("shop").compiled.uid);
    assert!(apps.store.load(&key).await.unwrap().is_some());
    let headers = [&FETCH[..], &[("cookie", &*cookie)]].concat();
    let answer = apps.ask("shop", ("POST", "/bff/logout"), &headers, "").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(apps.store.load(&key).await.unwrap().is_none());
}

#[tokio::test]
async fn a_logout_without_everywhere_ends_one_session() {
    let apps = Apps::new().await;
    let own = apps.session("shop", |_| {}).await;
    let phone = apps.session("shop", |_| {}).await;
    by_form(&apps, &own).await;
    assert!(apps.is_alive("shop", &phone).await);
}

#[tokio::test]
async fn an_everywhere_that_is_not_understood_ends_nothing() {
    let apps = Apps::new().await;
    let own = apps.session("shop", |_| {}).await;
    for (query, body) in [
        ("?everywhere=1", ""),
        ("?everywhere", ""),
        ("?everywhere=false", ""),
        ("?everywhere=True", ""),
        ("", "everywhere=yes"),
        ("?everywhere=true", "everywhere=true"),
        ("?everywhere=true&everywhere=true", ""),
        ("", "everywhere=true&x=%ff"),
    ] {
        for how in [&FORM[..], &FETCH[..]] {
            let target = format!("/bff/logout{query}");
            let headers = [how, &[("cookie", &*own), FORM_TYPE]].concat();
            let answer = apps.ask("shop", ("POST", &target), &headers, body).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query} {body}");
            assert!(answer.set_cookies().is_empty(), "{query} {body}");
            if how == FETCH {
                let kind = "https://vestibule.dev/problems/invalid-request";
                assert_eq!(answer.json()["type"], kind);
            }
        }
    }
    assert!(apps.is_alive("shop", &own).await);
}

#[tokio::test]
async fn a_forged_everywhere_ends_nothing() {
    let apps = Apps::new().await;
    let own = apps.session("shop", |_| {}).await;
    let headers =
        [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("cookie", &own)];
    let target = ("POST", "/bff/logout?everywhere=true");
    assert_eq!(apps.ask("shop", target, &headers, "").await.status, StatusCode::FORBIDDEN);
    let get = ("GET", "/bff/logout?everywhere=true");
    assert_eq!(apps.ask("shop", get, &headers, "").await.status, StatusCode::OK, "it asks");
    assert!(apps.is_alive("shop", &own).await);
}

#[tokio::test]
async fn while_the_store_fails_the_user_can_ask_again_for_everywhere() {
    for calls in 0..80 {
        let apps = Apps::new().await;
        let own = apps.session("shop", |_| {}).await;
        let phone = apps.session("shop", |_| {}).await;
        let desk = apps.session("desk", |_| {}).await;
        let headers = [&FETCH[..], &[("cookie", &*own)]].concat();
        let request = ("POST", "/bff/logout?everywhere=true");
        apps.store.cut_after(calls);
        let answer = apps.ask("shop", request, &headers, "").await;
        apps.store.mend();
        let done = answer.status == StatusCode::OK;
        if !done {
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "after {calls} calls");
            assert!(answer.set_cookies().is_empty(), "after {calls} calls");
            let again = apps.ask("shop", request, &headers, "").await;
            assert_eq!(again.status, StatusCode::OK, "after {calls} calls");
        }
        for (name, cookie) in [("shop", &own), ("shop", &phone), ("desk", &desk)] {
            assert!(!apps.is_alive(name, cookie).await, "{name} after {calls} calls");
        }
        if done {
            assert!(calls > 3, "it did not fail before");
            return;
        }
    }
    panic!("it never succeeded");
}

#[tokio::test]
async fn the_confirmation_page_offers_both() {
    let apps = Apps::new().await;
    let own = apps.session("shop", |_| {}).await;
    let page = apps.ask("shop", ("GET", "/bff/logout"), &[("cookie", &*own)], "").await;
    assert!(page.body.contains(r#"<button class="first" type="submit">Log out</button>"#));
    assert!(page.body.contains(r#"name="everywhere" value="true""#), "{}", page.body);
}
