//! An app for tests: the real routers and handlers over a memory store, a clock that tests move and
//! repeatable randomness. Policies come through the real `compile`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;
use vestibule_authsvc::app::App;
use vestibule_authsvc::clock::{Clock, ManualClock, Timestamp};
use vestibule_authsvc::metrics::Metrics;
use vestibule_authsvc::oidc::Providers;
use vestibule_authsvc::policies::{LivePolicy, Lookup, Policies, PolicyEntry};
use vestibule_authsvc::random::{Random, SeededRandom};
use vestibule_authsvc::router;
use vestibule_authsvc::server::check_port::CheckPort;
use vestibule_authsvc::session::Session;
use vestibule_authsvc::session::keyring::Keyring;
use vestibule_authsvc::session::memory::MemoryStore;
use vestibule_authsvc::session::service::Sessions;
use vestibule_authsvc::session::store::SessionStore;
use vestibule_authsvc::token::Token;
use vestibule_crds::v1alpha1::{BffPolicySpec, BffProviderSpec, SecretKeyRef};
use vestibule_policy::compile::{Input, compile};
use vestibule_policy::model::{CompiledPolicy, PolicyId};

/// When every test begins.
pub const START: Timestamp = Timestamp(1_800_000_000);

/// The tokens of every test session; none may ever be seen in a page, log or metric.
pub const ACCESS_TOKEN: &str = "canary-access-token";
pub const ID_TOKEN: &str = "canary-id-token";

pub struct TestApp {
    pub app: Arc<App>,
    pub clock: Arc<ManualClock>,
    pub check: Router,
    pub browser: Router,
}

/// A policy as YAML spec, compiled under `default/NAME`.
pub fn compiled(name: &str, spec: &str) -> CompiledPolicy {
    compiled_at(json!({"issuer": "https://id.example.com"}), name, spec)
}

/// As [`compiled`], with a provider as it is specified.
pub fn compiled_at(provider: Value, name: &str, spec: &str) -> CompiledPolicy {
    let spec: BffPolicySpec = serde_saphyr::from_str(spec).unwrap();
    let provider: BffProviderSpec = serde_json::from_value(provider).unwrap();
    let secrets = |_: &SecretKeyRef| Ok(SecretString::from("canary-client-secret"));
    compile(&Input {
        id: PolicyId { namespace: "default".to_owned(), name: name.to_owned() },
        uid: format!("default/{name}"),
        spec: &spec,
        provider: Some(&provider),
        secrets: &secrets,
        allow_insecure: true,
    })
    .unwrap()
}

fn accepted<'a>(policies: &'a [(&str, &str)]) -> impl Iterator<Item = PolicyEntry> + 'a {
    policies.iter().map(|(name, spec)| PolicyEntry::accepted(Arc::new(compiled(name, spec))))
}

impl TestApp {
    pub fn new(policies: &[(&str, &str)]) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let store: Arc<dyn SessionStore> = Arc::new(MemoryStore::new(clock.clone()));
        Self::with_store(policies, clock, store)
    }

    /// One whose gateways are wired by the operator.
    pub fn wired(policies: &[(&str, &str)]) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let store: Arc<dyn SessionStore> = Arc::new(MemoryStore::new(clock.clone()));
        let entries = accepted(policies).map(|entry| PolicyEntry { wired: true, ..entry });
        Self::of(entries.collect(), clock, store)
    }

    pub fn with_store(
        policies: &[(&str, &str)],
        clock: Arc<ManualClock>,
        store: Arc<dyn SessionStore>,
    ) -> Self {
        Self::of(accepted(policies).collect(), clock, store)
    }

    pub fn of(
        entries: Vec<PolicyEntry>,
        clock: Arc<ManualClock>,
        store: Arc<dyn SessionStore>,
    ) -> Self {
        let random: Arc<dyn Random> = Arc::new(SeededRandom::default());
        let as_clock: Arc<dyn Clock> = clock.clone();
        let live = Policies::new(Providers::new(as_clock.clone(), random.clone()));
        let keyring = Arc::new(Keyring::ephemeral(&*random));
        assert!(live.install(entries, &keyring).is_empty());
        let app = Arc::new(App {
            policies: Arc::new(live),
            sessions: Sessions::new(store, as_clock.clone(), random.clone()),
            clock: as_clock,
            random,
            metrics: Metrics::new(),
            overload: vestibule_authsvc::overload::Overload::default(),
        });
        let check = CheckPort::new(app.clone(), watch::channel(false).1, false);
        let check = Router::new()
            .fallback(|request: Request<Body>| async move { check.answer(request).await });
        let browser = router::browser(app.clone());
        Self { app, clock, check, browser }
    }

    pub fn policy(&self, name: &str) -> Arc<LivePolicy> {
        match self.app.policies.find("default", name) {
            Lookup::Live(policy) => policy,
            Lookup::Refused | Lookup::Unknown => panic!("{name} is live"),
        }
    }

    /// Logs a user in behind the provider's back and gives the `Cookie` header.
    pub async fn session(&self, policy: &str, change: impl FnOnce(&mut Session)) -> String {
        let now = self.app.clock.now();
        let mut session = Session {
            subject: "u-1".to_owned(),
            issuer: "https://id.example.com".to_owned(),
            provider_session: None,
            id_token: Token::new(ID_TOKEN),
            id_token_expires_at: now.plus(3600),
            access_token: Token::new(ACCESS_TOKEN),
            access_token_expires_at: Some(now.plus(3600)),
            refresh_token: None,
            tokens_issued_at: now,
            nonce: None,
            claims: json!({"sub": "u-1", "name": "Ada", "groups": ["staff", "ops"]})
                .as_object()
                .unwrap()
                .clone()
                .into(),
            acr: None,
            auth_time: now,
            created_at: now,
            touched_at: now,
            grant: None,
        };
        change(&mut session);
        let policy = self.policy(policy);
        let id = self.app.sessions.create(&policy, &session).await.unwrap();
        format!("{}={}", policy.compiled.session.cookie_name, id.encode())
    }

    pub async fn send(&self, router: &Router, request: Request<Body>) -> Answer {
        Answer::of(router.clone().oneshot(request).await.unwrap()).await
    }

    /// A browser's request to one of our endpoints on `host`.
    pub async fn browse(
        &self,
        method: &str,
        host: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(target).header("host", host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(&self.browser, request.body(Body::empty()).unwrap()).await
    }
}

/// One original request, asked about in either dialect.
#[derive(Clone)]
pub struct Ask<'a> {
    pub policy: &'a str,
    pub method: &'a str,
    pub host: &'a str,
    pub target: &'a str,
    /// What follows the path of the check's address.
    pub list: &'a str,
    pub headers: Vec<(&'a str, Vec<u8>)>,
}

pub const DIALECTS: [&str; 2] = ["nginx", "traefik"];

/// How Chromium asks for a page, and how its scripts ask for data.
pub const NAVIGATION: [(&str, &str); 3] =
    [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-fetch-site", "none")];
pub const FETCH: [(&str, &str); 3] =
    [("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty"), ("sec-fetch-site", "same-origin")];

impl<'a> Ask<'a> {
    pub fn get(target: &'a str) -> Self {
        let (policy, method, host) = ("shop", "GET", "shop.example.com");
        Self { policy, method, host, target, list: "", headers: vec![] }
    }

    pub fn method(mut self, method: &'a str) -> Self {
        self.method = method;
        self
    }

    pub fn host(mut self, host: &'a str) -> Self {
        self.host = host;
        self
    }

    pub fn listing(mut self, list: &'a str) -> Self {
        self.list = list;
        self
    }

    pub fn with(mut self, headers: &[(&'a str, &str)]) -> Self {
        self.headers.extend(headers.iter().map(|(n, v)| (*n, v.as_bytes().to_vec())));
        self
    }

    pub async fn ask(&self, app: &TestApp, dialect: &str) -> Answer {
        let uri = format!("/check/{dialect}/default/{}{}", self.policy, self.list);
        let mut request = Request::builder().uri(uri).header("host", "authsvc:8081");
        request = match dialect {
            "nginx" => {
                let url = [b"http://", self.host.as_bytes(), self.target.as_bytes()].concat();
                request.header("x-original-url", url).header("x-original-method", self.method)
            }
            _ => request
                .header("x-forwarded-method", self.method)
                .header("x-forwarded-proto", "http")
                .header("x-forwarded-host", self.host)
                .header("x-forwarded-uri", self.target),
        };
        for (name, value) in &self.headers {
            request = request.header(*name, value.as_slice());
        }
        app.send(&app.check, request.body(Body::empty()).unwrap()).await
    }
}

/// A response, read whole.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&bytes).into_owned();
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn set_cookies(&self) -> Vec<&str> {
        self.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect()
    }
}

/// The lines of a corpus of this crate or of the policy crate, split at tabs, escapes resolved (a
/// byte beyond ASCII as the character of that number), comments left out.
pub fn corpus(path: &str) -> Vec<Vec<String>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(&path).unwrap();
    let rows: Vec<Vec<String>> = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| line.split('\t').map(unescape).collect())
        .collect();
    assert!(rows.len() > 10, "{} has rows", path.display());
    rows
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, (c == '\\').then(|| rest.next()).flatten()) {
            ('\\', Some('t')) => out.push('\t'),
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('r')) => out.push('\r'),
            ('\\', Some('x')) => {
                let digits: String = rest.by_ref().take(2).collect();
                out.push(char::from(u8::from_str_radix(&digits, 16).unwrap()));
            }
            ('\\', Some(escaped)) => out.push(escaped),
            (c, _) => out.push(c),
        }
    }
    out
}
