//! Refresh: checks of an app whose provider rotates its refresh tokens and may say anything.

mod ahead;
mod claims;
mod failures;
mod of_cookies;
mod same_login;
mod users;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use futures_util::FutureExt as _;
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;
use vestibule_authsvc::app::App;
use vestibule_authsvc::clock::{Clock, ManualClock, Timestamp};
use vestibule_authsvc::metrics::Metrics;
use vestibule_authsvc::oidc::Providers;
use vestibule_authsvc::policies::{LivePolicy, Lookup, Policies, PolicyEntry};
use vestibule_authsvc::random::SystemRandom;
use vestibule_authsvc::session::keyring::Keyring;
use vestibule_authsvc::session::memory::MemoryStore;
use vestibule_authsvc::session::service::Sessions;
use vestibule_authsvc::session::{SecretId, Session};
use vestibule_authsvc::token::Token;
use vestibule_policy::model::{CompiledPolicy, CompiledRequire, UpstreamAuthorization};

use crate::idp::{FakeIdp, Reply, Seen};
use crate::site::{Browser, START, Shop, check_port, policy, route};

/// How long tokens live here.
pub const LIFETIME: u64 = 300;
/// The nonce of every login.
pub const NONCE: &str = "nonce-of-the-login";
/// How a script of the app asks, and how a browser asks for a page.
pub const FETCH: [(&str, &str); 3] =
    [("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty"), ("sec-fetch-site", "same-origin")];
pub const NAVIGATION: [(&str, &str); 3] =
    [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-fetch-site", "none")];

type Alter = Box<dyn Fn(&mut Value) + Send + Sync>;

/// A provider that gives out each refresh token for one use. Those of a user are `USER.0`, `USER.1`
/// and so on, and so are the access tokens that come along.
pub struct Rotation {
    idp: FakeIdp,
    clock: Arc<ManualClock>,
    rotates: Mutex<bool>,
    used: Mutex<HashSet<String>>,
    claims: Mutex<Option<Alter>>,
    response: Mutex<Option<Alter>>,
    instead: Mutex<Option<Reply>>,
    /// Answers wait while it is closed.
    open: watch::Sender<bool>,
}

impl Rotation {
    fn of(idp: &FakeIdp, clock: &Arc<ManualClock>) -> Arc<Self> {
        let rotation = Arc::new(Self {
            idp: idp.clone(),
            clock: Arc::clone(clock),
            rotates: Mutex::new(true),
            used: Mutex::default(),
            claims: Mutex::default(),
            response: Mutex::default(),
            instead: Mutex::default(),
            open: watch::Sender::new(true),
        });
        let weak = Arc::downgrade(&rotation);
        idp.on_refresh(Arc::new(move |seen| {
            let rotation = weak.upgrade().unwrap();
            async move { rotation.answer(&seen).await }.boxed()
        }));
        rotation
    }

    /// Alters the claims of the ID tokens from now on.
    pub fn claims(&self, alter: impl Fn(&mut Value) + Send + Sync + 'static) {
        *self.claims.lock().unwrap() = Some(Box::new(alter));
    }

    /// Alters the token responses from now on.
    pub fn response(&self, alter: impl Fn(&mut Value) + Send + Sync + 'static) {
        *self.response.lock().unwrap() = Some(Box::new(alter));
    }

    /// Answers this, and rotates nothing; `None`: as usual.
    pub fn instead(&self, reply: Option<Reply>) {
        *self.instead.lock().unwrap() = reply;
    }

    pub fn rotates(&self, rotates: bool) {
        *self.rotates.lock().unwrap() = rotates;
    }

    /// Closed, no answer comes.
    pub fn gate(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// The refresh tokens that were redeemed, in order.
    pub fn redeemed(&self) -> Vec<String> {
        let seen = self.idp.seen("/token");
        seen.iter().filter_map(|seen| seen.one("refresh_token")).map(ToOwned::to_owned).collect()
    }

    /// Waits until the provider was asked so often.
    pub async fn asked(&self, times: usize) {
        eventually(|| (self.redeemed().len() >= times).then_some(())).await;
    }

    async fn answer(&self, seen: &Seen) -> Reply {
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
        if let Some(reply) = self.instead.lock().unwrap().clone() {
            return reply;
        }
        let refresh_token = seen.one("refresh_token").unwrap();
        let rotates = *self.rotates.lock().unwrap();
        if rotates && !self.used.lock().unwrap().insert(refresh_token.to_owned()) {
            return Reply::status(400, &json!({"error": "invalid_grant"}));
        }
        let (user, count) = refresh_token.rsplit_once('.').unwrap();
        let next = format!("{user}.{}", count.parse::<u64>().unwrap() + 1);
        let id_token = self.idp.id_token("", self.clock.now().0, |claims| {
            claims["sub"] = json!(user);
            claims.as_object_mut().unwrap().remove("nonce");
            if let Some(alter) = &*self.claims.lock().unwrap() {
                alter(claims);
            }
        });
        let mut response = json!({
            "access_token": next, "token_type": "Bearer", "expires_in": LIFETIME,
            "id_token": id_token,
        });
        if rotates {
            response["refresh_token"] = json!(next);
        }
        if let Some(alter) = &*self.response.lock().unwrap() {
            alter(&mut response);
        }
        Reply::json(&response)
    }
}

/// The app behind the check port. Its routes: `/api` forwards the access token, `/id` the ID token,
/// all others nothing.
pub struct Checked {
    pub rotation: Arc<Rotation>,
    pub idp: FakeIdp,
    pub clock: Arc<ManualClock>,
    pub app: Arc<App>,
    router: Router,
}

/// An answer to a check.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
}

impl Answer {
    /// What is forwarded.
    pub fn bearer(&self) -> Option<&str> {
        let value = self.headers.get("authorization")?.to_str().unwrap();
        value.strip_prefix("Bearer ")
    }
}

impl Checked {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(alter: impl Fn(&mut CompiledPolicy)) -> Self {
        let idp = FakeIdp::start().await;
        let clock = Arc::new(ManualClock::new(Timestamp(START)));
        let as_clock: Arc<dyn Clock> = clock.clone();
        let random = Arc::new(SystemRandom);
        let store = Arc::new(MemoryStore::new(as_clock.clone()));
        let policies = Policies::new(Providers::new(as_clock.clone(), random.clone()));
        let entries = ["shop", "desk"].map(|name| {
            let mut compiled = policy(name, &idp.issuer);
            let mut id = route("/id", CompiledRequire::default(), false);
            id.upstream.authorization = UpstreamAuthorization::IdToken;
            compiled.routes.push(id);
            if name == "desk" {
                let origin = "https://desk.example.com";
                compiled.origins = vec![vestibule_policy::origin::Origin::parse(origin).unwrap()];
            }
            alter(&mut compiled);
            PolicyEntry::accepted(Arc::new(compiled))
        });
        let keyring = Arc::new(Keyring::ephemeral(&SystemRandom));
        assert!(policies.install(entries.into(), &keyring).is_empty());
        let app = Arc::new(App {
            policies: Arc::new(policies),
            sessions: Sessions::new(store, as_clock.clone(), random.clone()),
            clock: as_clock,
            random,
            metrics: Metrics::new(),
            overload: vestibule_authsvc::overload::Overload::default(),
        });
        let router = check_port(app.clone());
        Self { rotation: Rotation::of(&idp, &clock), idp, clock, app, router }
    }

    pub fn policy(&self, name: &str) -> Arc<LivePolicy> {
        match self.app.policies.find("default", name) {
            Lookup::Live(policy) => policy,
            Lookup::Refused | Lookup::Unknown => panic!("{name} is live"),
        }
    }

    /// A login of a user just now, at `shop`; gives the cookie's value.
    pub async fn log_in(&self, user: &str) -> String {
        self.log_in_with(user, |_| {}).await
    }

    pub async fn log_in_with(&self, user: &str, alter: impl FnOnce(&mut Session)) -> String {
        let now = self.clock.now();
        let id_token = self.idp.id_token(NONCE, now.0, |claims| claims["sub"] = json!(user));
        let mut claims = self.idp.claims(NONCE, now.0);
        claims["sub"] = json!(user);
        let mut session = Session {
            subject: user.to_owned(),
            issuer: self.idp.issuer.clone(),
            provider_session: Some("sid-1".to_owned()),
            id_token: Token::new(id_token),
            id_token_expires_at: now.plus(LIFETIME),
            access_token: Token::new(format!("{user}.0")),
            access_token_expires_at: Some(now.plus(LIFETIME)),
            refresh_token: Some(Token::new(format!("{user}.0"))),
            tokens_issued_at: now,
            nonce: Some(Token::new(NONCE)),
            claims: claims.as_object().unwrap().clone().into(),
            acr: None,
            auth_time: now,
            created_at: now,
            touched_at: now,
            grant: None,
        };
        alter(&mut session);
        self.app.sessions.create(&self.policy("shop"), &session).await.unwrap().encode()
    }

    /// The session of a cookie's value.
    pub async fn session(&self, cookie: &str) -> Option<Arc<Session>> {
        let id = SecretId::parse(cookie).unwrap();
        let loaded = self.app.sessions.load(&self.policy("shop"), &id).await.unwrap();
        loaded.map(|loaded| loaded.session)
    }

    /// A check of a script's request.
    pub async fn check(&self, cookie: &str, target: &str) -> Answer {
        self.check_as("shop", cookie, target, &FETCH).await
    }

    pub async fn check_as(
        &self,
        policy: &str,
        cookie: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::get(format!("/check/traefik/default/{policy}"))
            .header("host", "authsvc:8081")
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", format!("{policy}.example.com"))
            .header("x-forwarded-uri", target)
            .header("cookie", format!("__Host-bff={cookie}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        for secret in ["refresh", ".0", ".1"] {
            let text = String::from_utf8_lossy(&body);
            assert!(parts.status.is_success() || !text.contains(secret), "{text}");
        }
        Answer { status: parts.status, headers: parts.headers }
    }
}

/// Waits for a condition, for ten seconds at most.
pub async fn eventually<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(value) = condition() {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap()
}

#[tokio::test]
async fn an_expired_access_token_is_refreshed_inside_the_check() {
    let checked = Checked::new().await;
    let cookie = checked.log_in("alice").await;
    assert_eq!(checked.check(&cookie, "/api/x").await.bearer(), Some("alice.0"));
    for round in 1..4 {
        checked.clock.advance(LIFETIME);
        for _ in 0..3 {
            let answer = checked.check(&cookie, "/api/x").await;
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(answer.bearer(), Some(format!("alice.{round}").as_str()));
        }
        assert_eq!(checked.rotation.redeemed().len(), round);
    }
    assert_eq!(checked.rotation.redeemed(), ["alice.0", "alice.1", "alice.2"]);
}

#[tokio::test]
async fn the_request_for_it_is_authenticated_and_says_no_more_than_it_must() {
    let checked = Checked::with(|policy| {
        policy.login.resources = vec!["https://api.example".into(), "https://b.example".into()];
    })
    .await;
    let cookie = checked.log_in("alice").await;
    checked.clock.advance(LIFETIME);
    checked.check(&cookie, "/api/x").await;
    let [seen] = &checked.idp.seen("/token")[..] else { panic!("one request") };
    assert!(seen.authorization.as_deref().unwrap().starts_with("Basic "));
    let mut names: Vec<_> = seen.form.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["client_id", "grant_type", "refresh_token", "resource"]);
    assert_eq!(seen.one("grant_type"), Some("refresh_token"));
    assert_eq!(seen.one("refresh_token"), Some("alice.0"));
    assert_eq!(seen.form["resource"], ["https://api.example", "https://b.example"]);
}

#[tokio::test]
async fn a_provider_that_does_not_rotate_is_asked_with_the_same_refresh_token_again() {
    let checked = Checked::new().await;
    checked.rotation.rotates(false);
    let cookie = checked.log_in("alice").await;
    for _ in 0..3 {
        checked.clock.advance(LIFETIME);
        assert_eq!(checked.check(&cookie, "/api/x").await.bearer(), Some("alice.1"));
    }
    assert_eq!(checked.rotation.redeemed(), ["alice.0"; 3]);
}

#[tokio::test]
async fn without_a_refresh_token_only_routes_that_forward_the_token_need_a_login() {
    let checked = Checked::new().await;
    let cookie = checked.log_in_with("alice", |session| session.refresh_token = None).await;
    checked.clock.advance(LIFETIME);
    assert_eq!(checked.check(&cookie, "/api/x").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(checked.check(&cookie, "/x").await.status, StatusCode::OK);
    assert!(checked.rotation.redeemed().is_empty());
}

#[tokio::test]
async fn a_forged_request_refreshes_nothing() {
    let checked = Checked::new().await;
    let cookie = checked.log_in("alice").await;
    checked.clock.advance(LIFETIME);
    let forged =
        [("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty"), ("sec-fetch-site", "cross-site")];
    let answer = checked.check_as("shop", &cookie, "/api/x", &forged).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(checked.rotation.redeemed().is_empty());
}

#[tokio::test]
async fn a_login_keeps_what_a_refresh_needs_and_is_not_asked_for_again() {
    let shop = Shop::new().await;
    let mut browser = Browser::default();
    let begun = browser.begin(&shop, "/api/x").await;
    let id_token = shop.idp.id_token(begun.nonce(), shop.now(), |_| {});
    let response = json!({
        "access_token": "a", "token_type": "Bearer", "expires_in": 300, "id_token": id_token,
        "refresh_token": "r",
    });
    shop.idp.code("c", Reply::json(&response));
    assert_eq!(browser.come_back(&shop, "c", begun.state()).await.status, StatusCode::SEE_OTHER);
    let session = shop.session(&browser).await.unwrap();
    assert_eq!(session.refresh_token.as_ref().unwrap().expose(), "r");
    assert_eq!(session.nonce.as_ref().unwrap().expose(), begun.nonce());
    assert_eq!(session.tokens_issued_at.0, START);
    // The check of that page gets the new token; sending the browser to the provider would not.
    shop.clock.advance(1000);
    let reply = browser.navigate(&shop, "/bff/login?rd=/api/x").await;
    assert_eq!(reply.location(), format!("{}/api/x", crate::site::ORIGIN));
}
