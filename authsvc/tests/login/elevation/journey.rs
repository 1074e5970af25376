//! The whole way: what the app is told, where the browser goes, and what it has then.

use http::StatusCode;
use http::header::{CACHE_CONTROL, REFERRER_POLICY};
use serde_json::json;
use vestibule_policy::model::SameSite;

use super::{AUTHORIZE, Area, BASE, Browser, FETCH, NAVIGATION, Sent, error_of, owned};
use crate::audit_lines::AuditLines;
use crate::site::ORIGIN;

#[tokio::test]
async fn a_silent_elevation_shows_no_page_and_gives_only_what_was_asked_for() {
    let area = Area::with(|policy| {
        let authority = &mut policy.authorities[0];
        authority.resources = owned(&["https://production.example.com"]);
        authority.audience = Some("production".to_owned());
        policy.login.extra_parameters.insert("ui_locales".to_owned(), "de".to_owned());
        policy.login.extra_parameters.insert("prompt".to_owned(), "login".to_owned());
    })
    .await;
    let mut browser = area.logged_in().await;
    let session = browser.jar.clone();

    let target = format!("{AUTHORIZE}?scope=prod%3Awrite+prod%3Aread&redirectUri=%2Fapp%3Fx%3D1");
    let advised = browser.fetch(&area, &target).await;
    assert_eq!(advised.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        advised.header("www-authenticate").unwrap(),
        "Bearer error=\"insufficient_scope\", error_description=\"Mediation Advised\", \
         scope=\"prod:read prod:write\""
    );
    let url =
        format!("{ORIGIN}{AUTHORIZE}?scope=prod%3Aread%20prod%3Awrite&redirectUri=/app%3Fx%3D1");
    assert_eq!(
        advised.json(),
        json!({
            "type": "https://vestibule.dev/problems/mediation-advised",
            "title": "Mediation Advised",
            "status": 401,
            "detail": "Navigate to authorizeUrl to obtain a token with these scopes.",
            "base": BASE,
            "scope": "prod:read prod:write",
            "authorizeUrl": url,
        })
    );

    let answer = browser.follow(&area, &url).await;
    assert_eq!(answer.header(CACHE_CONTROL.as_str()), Some("no-store"));
    assert_eq!(answer.header(REFERRER_POLICY.as_str()), Some("no-referrer"));
    let sent = Sent::of(&area, &answer);
    assert_eq!(sent.one("scope"), Some("openid prod:read prod:write"));
    assert!(sent.is_silent(), "and prompt only once");
    assert_eq!(sent.one("resource"), Some("https://production.example.com"));
    assert_eq!(sent.one("audience"), Some("production"));
    assert_eq!(sent.one("ui_locales"), Some("de"));
    assert_eq!(sent.one("redirect_uri"), Some(&*format!("{ORIGIN}/bff/callback")));
    assert_eq!(sent.one("code_challenge_method"), Some("S256"));
    let tokens = area.tokens(&sent, |_| {}, |_| {});
    let back = area.grant(&mut browser, &sent, &tokens).await;
    assert_eq!(back.location(), format!("{ORIGIN}/app?x=1"));
    assert_eq!(back.header(CACHE_CONTROL.as_str()), Some("no-store"));
    assert_eq!(browser.jar, session, "no cookie is new, and no session");

    let granted = browser.fetch(&area, &target).await;
    assert_eq!(
        granted.json(),
        json!({
            "base": BASE,
            "permissions": [
                {"name": "prod:read", "description": "May prod:read", "granted": true},
                {"name": "prod:write", "description": "May prod:write", "granted": true},
            ],
            "scopes": {"granted": ["prod:read", "prod:write"], "missing": []},
            "expiresAt": "2027-01-15T08:01:00Z",
        })
    );
    assert_eq!(granted.header(CACHE_CONTROL.as_str()), Some("no-store"));
    let elevated = area.elevation(&browser).await.unwrap();
    assert_eq!(elevated.access_token.expose(), tokens["access_token"]);
    assert_eq!(elevated.subject, "alice");
    let check = browser.check(&area, "/api/production/orders", &FETCH).await;
    assert_eq!(check.status, StatusCode::OK);
    let bearer = format!("Bearer {}", elevated.access_token.expose());
    assert_eq!(check.header("authorization"), Some(&*bearer));
    assert!(area.counted("started") && area.counted("completed"));
}

#[tokio::test]
async fn what_suffices_goes_straight_back() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, &format!("{AUTHORIZE}?scope=prod:read")).await;
    let asked = area.idp.seen("/token").len();
    let target =
        format!("{AUTHORIZE}?scope=prod:read&redirectUri=/app%3Fmediation_error%3Dexpired");
    let answer = browser.navigate(&area, &target).await;
    assert_eq!(answer.location(), format!("{ORIGIN}/app"), "an old error is over");
    assert_eq!(area.idp.seen("/token").len(), asked);

    // Over, but it can be renewed without the browser.
    area.clock.advance(61);
    area.idp.reply(
        "/token",
        crate::idp::Reply::json(&json!({
            "access_token": area.hide("canary-renewed"), "token_type": "Bearer", "expires_in": 60,
        })),
    );
    let answer = browser.navigate(&area, &target).await;
    assert_eq!(answer.location(), format!("{ORIGIN}/app"));
    assert_eq!(area.redeemed("refresh_token").len(), 1);
    assert_eq!(area.elevation(&browser).await.unwrap().access_token.expose(), "canary-renewed");
}

#[tokio::test]
async fn the_user_is_asked_once_where_the_provider_needs_a_page() {
    for error in
        ["login_required", "interaction_required", "consent_required", "account_selection_required"]
    {
        let area = Area::new().await;
        let mut browser = area.logged_in().await;
        let sent = browser.leave(&area, &format!("{AUTHORIZE}?redirectUri=/app")).await;
        assert!(sent.is_silent());
        let again = browser.come_back(&area, &sent, &format!("error={error}")).await;
        let again = Sent::of(&area, &again);
        assert!(!again.parameters.contains_key("prompt"), "it may show pages");
        assert_ne!(again.state(), sent.state());
        assert_ne!(again.one("nonce"), sent.one("nonce"));
        assert_eq!(again.one("scope"), sent.one("scope"));
        assert_eq!(browser.names().len(), 2, "the first one's cookie is gone");

        // The same once more is final.
        let mut other = browser.clone();
        let refused = other.come_back(&area, &again, &format!("error={error}")).await;
        assert_eq!(error_of(refused.location()).as_deref(), Some(error));
        assert_eq!(other.names(), ["__Host-bff"]);
    }
}

#[tokio::test]
async fn a_login_in_between_gives_the_token_and_leaves_the_session_as_it_was() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let session = browser.jar.clone();
    let sent = browser.leave(&area, &format!("{AUTHORIZE}?redirectUri=/app")).await;
    let again = browser.come_back(&area, &sent, "error=login_required").await;
    let again = Sent::of(&area, &again);
    let tokens = area.tokens(&again, |_| {}, |_| {});
    let back = area.grant(&mut browser, &again, &tokens).await;
    assert_eq!(back.location(), format!("{ORIGIN}/app"));
    assert_eq!(browser.jar, session);
    let own = area.session(&browser).await.unwrap();
    assert_eq!(own.session.access_token.expose(), "canary-own-access-token");
    assert!(area.elevation(&browser).await.is_some());
}

#[tokio::test]
async fn more_scopes_are_asked_for_together_with_those_that_are_there() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, &format!("{AUTHORIZE}?scope=prod:write")).await;
    let more = format!("{AUTHORIZE}?scope=prod:read");
    let advised = browser.fetch(&area, &more).await;
    assert_eq!(advised.problem(), "mediation-advised");
    assert_eq!(advised.json()["scope"], "prod:read prod:write");
    let sent = browser.leave(&area, &more).await;
    assert_eq!(sent.one("scope"), Some("openid prod:read prod:write"));
    let tokens = area.tokens(&sent, |_| {}, |_| {});
    area.grant(&mut browser, &sent, &tokens).await;
    let grant = area.elevation(&browser).await.unwrap().grant.clone().unwrap();
    assert_eq!(grant.granted, owned(&["prod:read", "prod:write"]));
}

#[tokio::test]
async fn one_base_does_not_get_the_token_of_another() {
    let area = Area::with(|policy| {
        policy.authorities.push(super::authority("/api/staging"));
        policy.routes.push(super::staging());
    })
    .await;
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, AUTHORIZE).await;
    let here = browser.check(&area, "/api/production/x", &FETCH).await;
    assert_eq!(here.status, StatusCode::OK);
    let there = browser.check(&area, "/api/staging/x", &FETCH).await;
    assert_eq!(there.status, StatusCode::UNAUTHORIZED);
    let advised = browser.fetch(&area, "/api/staging/authorize").await;
    assert_eq!(advised.json()["base"], "/api/staging");
    // Elsewhere it is the session's own token that goes upstream.
    let own = browser.check(&area, "/api/orders", &FETCH).await;
    assert_eq!(own.header("authorization"), Some("Bearer canary-own-access-token"));
}

#[tokio::test]
async fn without_a_session_the_login_comes_first() {
    let area = Area::new().await;
    let mut browser = Browser::default();
    let target = format!("{AUTHORIZE}?scope=prod:read&redirectUri=%2Fapp%3Fx%3Da%2520b");
    let answer = browser.navigate(&area, &target).await;
    let login = answer.location().to_owned();
    assert!(login.starts_with(&format!("{ORIGIN}/bff/login?rd=")), "{login}");
    let sent = Sent::of(&area, &browser.follow(&area, &login).await);
    assert_eq!(sent.one("scope"), Some("openid email"), "a login as any other");
    let tokens = area.tokens(&sent, |_| {}, |_| {});
    let back = area.grant(&mut browser, &sent, &tokens).await;
    let back = back.location().to_owned();
    let sent = Sent::of(&area, &browser.follow(&area, &back).await);
    assert_eq!(sent.one("scope"), Some("openid prod:read"));
    let tokens = area.tokens(&sent, |_| {}, |_| {});
    let back = area.grant(&mut browser, &sent, &tokens).await;
    assert_eq!(back.location(), format!("{ORIGIN}/app?x=a%20b"));
    assert!(area.elevation(&browser).await.is_some());
}

#[tokio::test]
async fn a_strict_session_cookie_that_stays_away_on_the_way_back_is_no_hindrance() {
    let area = Area::with(|policy| policy.session.same_site = SameSite::Strict).await;
    let mut browser = area.logged_in().await;
    let sent = browser.leave(&area, &format!("{AUTHORIZE}?redirectUri=/app")).await;
    let session = browser.jar.clone().into_iter().filter(|((name, _), _)| name == "__Host-bff");
    let mut without = browser.clone();
    without.jar.retain(|(name, _), _| name != "__Host-bff");
    let tokens = area.tokens(&sent, |_| {}, |_| {});
    let back = area.grant(&mut without, &sent, &tokens).await;
    assert_eq!(back.status, StatusCode::OK);
    assert!(back.is_page() && back.body.contains(&format!("{ORIGIN}/app")), "{}", back.body);
    without.jar.extend(session);
    assert!(area.elevation(&without).await.is_some());
}

#[tokio::test]
async fn the_audit_trail_says_who_got_what_for_which_base() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let lines = AuditLines::keep();
    area.elevate(&mut browser, &format!("{AUTHORIZE}?scope=prod:read")).await;
    let name = area.session(&browser).await.unwrap().key.name();
    let found = lines.take(["event", "policy", "session", "subject", "issuer", "base", "scopes"]);
    let line = ["elevated", "default/shop", &name, "alice", &area.idp.issuer, BASE, "prod:read"];
    assert_eq!(found, [line.map(str::to_owned)]);

    let sent = browser.leave(&area, &format!("{AUTHORIZE}?scope=prod:write")).await;
    browser.come_back(&area, &sent, "error=access_denied").await;
    let found = lines.take(["event", "policy", "base", "reason"]);
    let line = ["elevation_refused", "default/shop", BASE, "access_denied"];
    assert_eq!(found, [line.map(str::to_owned)]);
}

#[tokio::test]
async fn a_browser_has_at_most_sixteen_transactions_logins_and_elevations_together() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let mut last = None;
    for round in 0..20 {
        area.clock.advance(1);
        let target = if round % 2 == 0 { AUTHORIZE } else { "/bff/login?rd=/admin" };
        last = Some(browser.leave(&area, target).await);
        assert!(browser.jar.len() <= 17, "with the session's");
    }
    let answer = browser.come_back(&area, &last.unwrap(), "error=access_denied").await;
    assert!(answer.is_page(), "the last was a login");
}

#[tokio::test]
async fn without_fetch_metadata_a_page_is_what_accepts_html() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let page = browser.ask(&area, "GET", AUTHORIZE, &[("accept", "text/html,*/*")]).await;
    assert!(Sent::of(&area, &page).is_silent());
    let data = browser.ask(&area, "GET", AUTHORIZE, &[("accept", "application/json")]).await;
    assert_eq!(data.problem(), "mediation-advised");
    let prefetch = [&NAVIGATION[..], &[("sec-purpose", "prefetch")]].concat();
    let ahead = browser.ask(&area, "GET", AUTHORIZE, &prefetch).await;
    assert_eq!(ahead.problem(), "mediation-advised");
}
