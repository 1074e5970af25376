//! A browser that wants a page below a base ends somewhere, whatever the provider says, behind each
//! gateway: it is never sent round for ever.

use http::header::{COOKIE, HOST, LOCATION};
use http::{Request, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;
use vestibule_policy::model::{Obtain, TokenStorage};

use super::{Answer, Area, Browser, FETCH, NAVIGATION, Sent, error_of};
use crate::idp::Reply;
use crate::site::ORIGIN;

/// How often a browser is sent on at most: browsers give up after 20.
const MOST: usize = 16;

/// What the provider does with one who wants an elevated token; logins succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Provider {
    GrantsAll,
    GrantsNothing,
    GrantsReading,
    Refuses(&'static str),
    /// Silently; it grants what a user agrees to.
    NeedsUser(&'static str),
    IsWeak,
    IsOld,
    OtherUser,
    TooManyScopes,
    OverAtOnce,
    TooLarge,
    Garbage,
    Down,
}

const PROVIDERS: [Provider; 16] = [
    Provider::GrantsAll,
    Provider::GrantsNothing,
    Provider::GrantsReading,
    Provider::Refuses("access_denied"),
    Provider::Refuses("login_required"),
    Provider::Refuses("interaction_required"),
    Provider::Refuses("unheard_of"),
    Provider::NeedsUser("login_required"),
    Provider::IsWeak,
    Provider::IsOld,
    Provider::OtherUser,
    Provider::TooManyScopes,
    Provider::OverAtOnce,
    Provider::TooLarge,
    Provider::Garbage,
    Provider::Down,
];

impl Provider {
    /// The browser comes back from it.
    async fn answer(self, area: &Area, browser: &mut Browser, sent: &Sent) -> Answer {
        let is_login = sent.one("scope") == Some("openid email");
        let error = match self {
            _ if is_login => None,
            Self::Refuses(error) => Some(error),
            Self::NeedsUser(error) => sent.is_silent().then_some(error),
            _ => None,
        };
        if let Some(error) = error {
            return browser.come_back(area, sent, &format!("error={error}")).await;
        }
        let (now, large) = (area.now(), area.hide(&format!("canary-{}", "x".repeat(5000))));
        let claims = |claims: &mut Value| {
            claims["acr"] = json!(if self == Self::IsWeak && !is_login { "lead" } else { "gold" });
            match self {
                _ if is_login => {}
                Self::IsOld => claims["auth_time"] = json!(now - 100_000),
                Self::OtherUser => claims["sub"] = json!("bob"),
                Self::Garbage => claims["aud"] = json!("bank"),
                _ => {}
            }
        };
        let response = |all: &mut Value| match self {
            _ if is_login => {}
            Self::GrantsNothing => all["scope"] = json!("openid"),
            Self::GrantsReading => {
                let asked = sent.one("scope").unwrap().split(' ');
                let reads = asked.filter(|scope| ["openid", "prod:read"].contains(scope));
                all["scope"] = json!(reads.collect::<Vec<_>>().join(" "));
            }
            Self::TooManyScopes => all["scope"] = json!("openid prod:read evil"),
            Self::OverAtOnce => all["expires_in"] = json!(0),
            Self::TooLarge => all["access_token"] = json!(large),
            _ => {}
        };
        let tokens = area.tokens(sent, claims, response);
        if self == Self::Down && !is_login {
            area.idp.code("down", Reply::status(502, &json!({})));
            return browser.come_back(area, sent, "code=down").await;
        }
        area.grant(browser, sent, &tokens).await
    }
}

/// Where it ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The app was asked.
    Allowed,
    /// A page of ours, or the gateway's.
    Refused(StatusCode),
}

/// A browser opens a page of the app behind a gateway, and goes wherever it is sent.
async fn open(
    area: &Area,
    browser: &mut Browser,
    gateway: &str,
    page: &str,
    provider: Provider,
) -> (End, String) {
    let mut url = format!("{ORIGIN}{page}");
    for _ in 0..MOST {
        let target = url.strip_prefix(ORIGIN).map(str::to_owned);
        let answer = match target {
            None => {
                let sent = sent_to(area, &url);
                provider.answer(area, browser, &sent).await
            }
            Some(own)
                if own.starts_with("/bff/") || own.starts_with("/api/production/authorize?") =>
            {
                browser.navigate(area, &own).await
            }
            Some(page) => {
                let check = ask(area, browser, gateway, &page).await;
                match check.status {
                    StatusCode::OK => return (End::Allowed, url),
                    StatusCode::FOUND => {
                        check.headers[LOCATION].to_str().unwrap().clone_into(&mut url);
                        continue;
                    }
                    StatusCode::UNAUTHORIZED if gateway == "nginx" => {
                        // auth-signin: .../bff/login?rd=$escaped_request_uri
                        let rd: String = byte_serialize(page.as_bytes()).collect();
                        url = format!("{ORIGIN}/bff/login?rd={rd}");
                        continue;
                    }
                    status => return (End::Refused(status), url),
                }
            }
        };
        let Some(location) = answer.headers.get(LOCATION) else {
            return (End::Refused(answer.status), url);
        };
        location.to_str().unwrap().clone_into(&mut url);
    }
    panic!("{gateway}, {provider:?}, {page}: still on the way, at {url:.200}");
}

fn sent_to(area: &Area, url: &str) -> Sent {
    let headers = [(LOCATION, url.parse().unwrap())].into_iter().collect();
    Sent::of(area, &Answer { status: StatusCode::SEE_OTHER, headers, body: String::new() })
}

async fn ask(area: &Area, browser: &Browser, gateway: &str, page: &str) -> Answer {
    if gateway == "nginx" {
        return browser.check(area, page, &NAVIGATION).await;
    }
    let mut request = Request::get("/check/traefik/default/shop")
        .header(HOST, "authsvc")
        .header("x-forwarded-method", "GET")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "shop.example.com")
        .header("x-forwarded-uri", page);
    for (name, value) in NAVIGATION {
        request = request.header(name, value);
    }
    if let Some(cookies) = browser.cookies(page) {
        request = request.header(COOKIE, cookies);
    }
    super::read(area.check.clone(), request.body(axum::body::Body::empty()).unwrap()).await
}

async fn area(storage: TokenStorage) -> Area {
    Area::of(|authority| {
        authority.storage = storage;
        authority.acr = Some("gold".to_owned());
        authority.max_age = Some(3600);
    })
    .await
}

#[tokio::test]
async fn r46_whatever_the_provider_says_the_browser_ends_somewhere() {
    for storage in [TokenStorage::Session, TokenStorage::Cookie] {
        for provider in PROVIDERS {
            for gateway in ["nginx", "traefik"] {
                let area = area(storage).await;
                for page in ["/api/production/page?x=1", "/api/production/admin/page"] {
                    for mut browser in [Browser::default(), area.logged_in().await] {
                        let (end, url) = open(&area, &mut browser, gateway, page, provider).await;
                        let read = page.starts_with("/api/production/page");
                        let fits =
                            storage == TokenStorage::Session || provider != Provider::TooLarge;
                        let allowed = match provider {
                            Provider::GrantsAll | Provider::NeedsUser(_) => true,
                            Provider::TooLarge => fits,
                            // Nothing says that the second page's scope is there.
                            Provider::GrantsReading => read,
                            _ => false,
                        };
                        let what =
                            format!("{storage:?} {provider:?} {gateway} {page}: {end:?} {url}");
                        assert_eq!(end == End::Allowed, allowed, "{what}");
                        assert!(!url.contains("canary") && !url.contains("code-"), "{what}");
                        // And once more, now that it is known how that ended.
                        let (again, _) = open(&area, &mut browser, gateway, page, provider).await;
                        assert_eq!(again == End::Allowed, allowed, "{what}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn an_exchange_that_is_refused_ends_too() {
    for (error, gateway) in [
        ("access_denied", "nginx"),
        ("access_denied", "traefik"),
        ("invalid_target", "nginx"),
        ("invalid_target", "traefik"),
    ] {
        let area = Area::of(|authority| authority.obtain = Obtain::TokenExchange).await;
        area.idp.reply("/token", Reply::status(400, &json!({"error": error})));
        let mut browser = area.logged_in().await;
        let page = "/api/production/page";
        let (end, url) = open(&area, &mut browser, gateway, page, Provider::GrantsAll).await;
        assert!(matches!(end, End::Refused(_)), "{error} {gateway}: {url}");
    }
}

#[tokio::test]
async fn behind_nginx_the_login_endpoint_says_what_the_check_could_not_say() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let login = "/bff/login?rd=%2Fapi%2Fproduction%2Fadmin%2Fx%3Fy%3D1";
    let advised = browser.fetch(&area, login).await;
    assert_eq!(advised.status, StatusCode::UNAUTHORIZED);
    assert_eq!(advised.problem(), "mediation-advised");
    assert_eq!(advised.json()["scope"], "prod:admin");
    assert_eq!(
        advised.header("www-authenticate").unwrap(),
        "Bearer error=\"insufficient_scope\", error_description=\"Mediation Advised\", \
         scope=\"prod:admin\""
    );
    let answer = browser.navigate(&area, login).await;
    let url = format!(
        "{ORIGIN}/api/production/authorize?scope=prod%3Aadmin&redirectUri=\
         /api/production/admin/x%3Fy%3D1"
    );
    assert_eq!(answer.location(), url);
    assert_eq!(advised.json()["authorizeUrl"], *url);

    // With an error in the address the browser stays, and a script may ask all the same.
    let failed = "/bff/login?rd=%2Fapi%2Fproduction%2Fadmin%2Fx%3Fmediation_error%3Daccess_denied";
    let page = browser.navigate(&area, failed).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.is_page() && page.body.contains("/api/production/authorize?scope=prod%3Aadmin"));
    assert!(!page.body.contains("mediation_error"), "{}", page.body);
    assert_eq!(browser.fetch(&area, failed).await.problem(), "mediation-advised");

    let sent = browser.leave(&area, "/api/production/authorize?scope=prod:admin").await;
    let tokens = area.tokens(&sent, |_| {}, |all| all["scope"] = json!("openid"));
    let back = area.grant(&mut browser, &sent, &tokens).await;
    assert_eq!(error_of(back.location()), None);
    let page = browser.navigate(&area, login).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.fetch(&area, login).await.problem(), "insufficient-scope");
}

#[tokio::test]
async fn what_lacks_nothing_goes_straight_back_from_the_login_endpoint() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    area.elevate(&mut browser, "/api/production/authorize").await;
    let login = "/bff/login?rd=%2Fapi%2Fproduction%2Fadmin%2Fx";
    // Also where the session's own token is over: it goes nowhere here.
    for _ in 0..2 {
        let answer = browser.navigate(&area, login).await;
        assert_eq!(answer.location(), format!("{ORIGIN}/api/production/admin/x"));
        area.clock.advance(301);
    }
    area.idp.reply("/token", Reply::status(502, &json!({})));
    let check = browser.check(&area, "/api/production/admin/x", &FETCH).await;
    assert_eq!(check.status, StatusCode::SERVICE_UNAVAILABLE, "it is to be renewed, not to log in");
}

#[tokio::test]
async fn someone_who_was_refused_and_asks_again_is_asked_again() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let target = "/api/production/authorize?scope=prod:admin&redirectUri=/app";
    for round in 0..3 {
        let sent = browser.leave(&area, target).await;
        let tokens = area.tokens(&sent, |_| {}, |all| all["scope"] = json!("openid"));
        let back = area.grant(&mut browser, &sent, &tokens).await;
        let expected = (round > 0).then_some("insufficient_scope");
        assert_eq!(error_of(back.location()).as_deref(), expected, "round {round}");
    }
    let sent = browser.leave(&area, target).await;
    let tokens = area.tokens(&sent, |_| {}, |_| {});
    let back = area.grant(&mut browser, &sent, &tokens).await;
    assert_eq!(back.location(), format!("{ORIGIN}/app"), "and then it was granted");
}
