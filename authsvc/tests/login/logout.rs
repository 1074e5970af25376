//! Logout: apps of one provider behind the real router, on one store and in two replicas.

mod backchannel;
mod frontchannel;
mod initiated;
mod matrix;
mod revocation;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::{Body, to_bytes};
use http::header::{COOKIE, HOST, SET_COOKIE};
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use vestibule_authsvc::app::App;
use vestibule_authsvc::clock::{Clock, ManualClock, Timestamp};
use vestibule_authsvc::metrics::Metrics;
use vestibule_authsvc::oidc::Providers;
use vestibule_authsvc::policies::{LivePolicy, Lookup, Policies, PolicyEntry};
use vestibule_authsvc::random::SystemRandom;
use vestibule_authsvc::router;
use vestibule_authsvc::session::Session;
use vestibule_authsvc::session::keyring::Keyring;
use vestibule_authsvc::session::service::Sessions;
use vestibule_authsvc::token::Token;
use vestibule_policy::model::CompiledPolicy;
use vestibule_policy::origin::Origin;

use crate::cuttable::{Cuttable, cuttable};
use crate::idp::FakeIdp;
use crate::jose::{self, Signer};
use crate::site::{Browser, START, Shop, policy};

/// The member of `events` that makes a logout token.
pub const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How a script of the app asks, and how our own page posts its form.
pub const FETCH: [(&str, &str); 3] =
    [("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty"), ("sec-fetch-site", "same-origin")];
pub const FORM: [(&str, &str); 3] = [
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-site", "same-origin"),
];
pub const FORM_TYPE: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
/// What removes the session cookie; `Secure` and `Path` are repeated, or browsers keep it.
pub const EXPIRED: &str = "__Host-bff=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax";

/// The apps `shop` and `desk` of one client, and `bank` of another, at one provider; each at
/// `NAME.example.com`.
pub struct Apps {
    pub idp: FakeIdp,
    pub clock: Arc<ManualClock>,
    pub store: Arc<Cuttable>,
    /// Two replicas.
    pub replicas: [Arc<App>; 2],
    template: Session,
    tokens: AtomicU64,
}

/// An answer, read whole.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn set_cookies(&self) -> Vec<&str> {
        self.headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect()
    }
}

impl Apps {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(alter: impl Fn(&mut CompiledPolicy)) -> Self {
        let login = Shop::new().await;
        let mut browser = Browser::default();
        let token = |nonce: &str| login.idp.id_token(nonce, START, |_| {});
        login.log_in(&mut browser, "/", token).await;
        let template = (*login.session(&browser).await.unwrap()).clone();

        let idp = login.idp.clone();
        let issuer = &idp.issuer;
        idp.set_metadata(|metadata| {
            metadata["end_session_endpoint"] = json!(format!("{issuer}/end"));
            metadata["revocation_endpoint"] = json!(format!("{issuer}/revoke"));
        });
        idp.reply("/revoke", crate::idp::Reply::json(&json!({})));
        let clock = Arc::new(ManualClock::new(Timestamp(START)));
        let store = Arc::new(cuttable(clock.clone()));
        let keyring = Arc::new(Keyring::ephemeral(&SystemRandom));
        let replicas = [(); 2].map(|()| {
            let as_clock: Arc<dyn Clock> = clock.clone();
            let random = Arc::new(SystemRandom);
            let policies = Policies::new(Providers::new(as_clock.clone(), random.clone()));
            let entries = ["shop", "desk", "bank"].map(|name| {
                let mut compiled = policy(name, issuer);
                let origin = format!("https://{name}.example.com");
                compiled.origins = vec![Origin::parse(&origin).unwrap()];
                "/bff/signed-out".clone_into(&mut compiled.logout_return_to);
                if name == "bank" {
                    "bank".clone_into(&mut compiled.client.id);
                }
                alter(&mut compiled);
                PolicyEntry::accepted(Arc::new(compiled))
            });
            assert!(policies.install(entries.into(), &keyring).is_empty());
            Arc::new(App {
                policies: Arc::new(policies),
                sessions: Sessions::new(store.clone(), as_clock.clone(), random.clone()),
                clock: as_clock,
                random,
                metrics: Metrics::new(),
                overload: vestibule_authsvc::overload::Overload::default(),
            })
        });
        Self { idp, clock, store, replicas, template, tokens: AtomicU64::new(0) }
    }

    pub fn now(&self) -> u64 {
        self.clock.now().0
    }

    pub fn policy(&self, name: &str) -> Arc<LivePolicy> {
        match self.replicas[0].policies.find("default", name) {
            Lookup::Live(policy) => policy,
            Lookup::Refused | Lookup::Unknown => panic!("{name} is live"),
        }
    }

    /// A session of `alice` with `sid-1` that is altered; gives its `Cookie` header.
    pub async fn session(&self, name: &str, alter: impl FnOnce(&mut Session)) -> String {
        let now = self.clock.now();
        let mut session = Session {
            refresh_token: Some(Token::new("refresh-token-of-alice")),
            created_at: now,
            touched_at: now,
            ..self.template.clone()
        };
        alter(&mut session);
        let id = self.replicas[0].sessions.create(&self.policy(name), &session).await.unwrap();
        format!("__Host-bff={}", id.encode())
    }

    pub async fn send(&self, replica: usize, request: Request<Body>) -> Answer {
        let router = router::browser(Arc::clone(&self.replicas[replica]));
        let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// A request to an app.
    pub async fn ask(
        &self,
        name: &str,
        (method, target): (&str, &str),
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let request = Request::builder().method(method).uri(target);
        let request = request.header(HOST, format!("{name}.example.com"));
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.send(0, request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// Whether a cookie is a session, which every replica must say alike.
    pub async fn is_alive(&self, name: &str, cookie: &str) -> bool {
        let mut answers = Vec::new();
        for replica in 0..self.replicas.len() {
            let mut request = Request::get("/bff/session")
                .header(HOST, format!("{name}.example.com"))
                .header(COOKIE, cookie);
            for (header, value) in FETCH {
                request = request.header(header, value);
            }
            answers.push(self.send(replica, request.body(Body::empty()).unwrap()).await.status);
        }
        assert_eq!(answers[0], answers[1], "the replicas disagree");
        assert!(matches!(answers[0], StatusCode::OK | StatusCode::UNAUTHORIZED), "{answers:?}");
        answers[0] == StatusCode::OK
    }

    /// The claims of a good logout token of `alice` and `sid-1`, for `shop`.
    pub fn logout_claims(&self) -> Value {
        let now = self.now();
        let number = self.tokens.fetch_add(1, Ordering::SeqCst);
        json!({
            "iss": self.idp.issuer, "aud": "shop", "iat": now, "exp": now + 120,
            "jti": format!("jti-{number}"), "sub": "alice", "sid": "sid-1", "events": {EVENT: {}},
        })
    }

    /// A good logout token, its claims altered.
    pub fn logout_token(&self, alter: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.logout_claims();
        alter(&mut claims);
        let header = json!({"alg": "RS256", "kid": "rsa1", "typ": "logout+jwt"});
        jose::jwt(&header, &claims, &Signer::Rsa)
    }

    /// Posts a token to the back channel of an app.
    pub async fn back_channel(&self, name: &str, token: &str) -> Answer {
        let form = format!("logout_token={token}");
        self.ask(name, ("POST", "/bff/backchannel-logout"), &[FORM_TYPE], &form).await
    }
}

/// Takes a claim away.
pub fn without(claims: &mut Value, name: &str) {
    claims.as_object_mut().unwrap().remove(name);
}
