//! An app's origin with its login endpoints, and browsers that visit it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::routing::get;
use axum::{Extension, Router};
use http::header::{COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, Request, StatusCode};
use secrecy::SecretString;
use tokio::sync::watch;
use tower::ServiceExt as _;
use url::Url;
use vestibule_authsvc::app::App;
use vestibule_authsvc::clock::{Clock, ManualClock, Timestamp};
use vestibule_authsvc::endpoints::{Site, callback, login};
use vestibule_authsvc::metrics::Metrics;
use vestibule_authsvc::oidc::{Provider, Providers};
use vestibule_authsvc::overload::Overload;
use vestibule_authsvc::overload::logins::LoginLimits;
use vestibule_authsvc::policies::{LivePolicy, Policies};
use vestibule_authsvc::random::SystemRandom;
use vestibule_authsvc::server::check_port::CheckPort;
use vestibule_authsvc::session::keyring::Keyring;
use vestibule_authsvc::session::memory::MemoryStore;
use vestibule_authsvc::session::service::Sessions;
use vestibule_authsvc::session::{SecretId, Session};
use vestibule_policy::model::{
    Access, CompiledClient, CompiledLogin, CompiledLogout, CompiledPolicy, CompiledProvider,
    CompiledRequire, CompiledRoute, CompiledSession, CompiledUpstream, Credential, Par, PolicyId,
    SameSite, UpstreamAuthorization,
};
use vestibule_policy::origin::Origin;
use vestibule_policy::path::Exceptions;

use crate::idp::FakeIdp;

pub const START: u64 = 1_800_000_000;
pub const ORIGIN: &str = "https://shop.example.com";

/// Where gateways ask.
pub fn check_port(app: Arc<App>) -> Router {
    let port = CheckPort::new(app, watch::channel(false).1, false);
    Router::new().fallback(|request: Request<Body>| async move { port.answer(request).await })
}

pub fn provider_config(issuer: &str) -> CompiledProvider {
    CompiledProvider {
        issuer: issuer.to_owned(),
        ca_bundle: None,
        request_timeout: Duration::from_secs(5),
        allow_insecure: false,
    }
}

pub fn client() -> CompiledClient {
    let value = SecretString::from("s3cret/+ value");
    CompiledClient { id: "shop".to_owned(), credential: Credential::Secret { method: None, value } }
}

pub fn login_spec() -> CompiledLogin {
    CompiledLogin {
        scopes: vec!["openid".to_owned(), "email".to_owned()],
        par: Par::WhenSupported,
        acr_values: Vec::new(),
        max_age: None,
        resources: Vec::new(),
        extra_parameters: BTreeMap::new(),
        user_info: false,
    }
}

/// A rule below a path.
pub fn route(path: &str, require: CompiledRequire, forward: bool) -> CompiledRoute {
    let authorization =
        if forward { UpstreamAuthorization::AccessToken } else { UpstreamAuthorization::None };
    CompiledRoute {
        path: path.to_owned(),
        require,
        upstream: CompiledUpstream { authorization, ..CompiledUpstream::default() },
        access: Access::Session,
        ..CompiledRoute::unmatched()
    }
}

pub fn policy(name: &str, issuer: &str) -> CompiledPolicy {
    CompiledPolicy {
        id: PolicyId { namespace: "default".to_owned(), name: name.to_owned() },
        uid: format!("default/{name}"),
        origins: vec![Origin::parse(ORIGIN).unwrap()],
        provider: provider_config(issuer).into(),
        client: client(),
        login: login_spec().into(),
        session: CompiledSession {
            idle_timeout: 1800,
            absolute_timeout: 43200,
            cookie_name: "__Host-bff".to_owned(),
            same_site: SameSite::Lax,
            claims: vec!["sub".to_owned()],
        }
        .into(),
        routes: vec![
            route("/api", CompiledRequire::default(), true),
            route(
                "/admin",
                CompiledRequire { acr: Some("gold".to_owned()), ..CompiledRequire::default() },
                false,
            ),
            route(
                "/fresh",
                CompiledRequire { max_age: Some(60), ..CompiledRequire::default() },
                false,
            ),
        ]
        .into(),
        authorities: Vec::new(),
        bearer: None,
        open_fga: None,
        auth_zen: None,
        paths: Exceptions::default(),
        csrf_header: "x-bff".to_owned(),
        cors_origins: Vec::new(),
        logout_return_to: "/".to_owned(),
        logout: CompiledLogout::default(),
        base_path: "/bff".to_owned(),
        hosted_backend: None,
        upstream_headers: Vec::new(),
    }
}

/// One provider, apart from any policy.
pub fn provider(issuer: &str, clock: &Arc<ManualClock>) -> Arc<Provider> {
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
    Providers::new(clock, Arc::new(SystemRandom)).get(&provider_config(issuer)).unwrap()
}

/// The app's origin. Several policies share one store, as in production.
pub struct Shop {
    pub idp: FakeIdp,
    pub clock: Arc<ManualClock>,
    pub app: Arc<App>,
    pub policy: Arc<LivePolicy>,
    keyring: Arc<Keyring>,
    router: Router,
}

impl Shop {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(alter: impl FnOnce(&mut CompiledPolicy)) -> Self {
        Self::with_limits(LoginLimits::default(), alter).await
    }

    pub async fn with_limits(limits: LoginLimits, alter: impl FnOnce(&mut CompiledPolicy)) -> Self {
        let idp = FakeIdp::start().await;
        let clock = Arc::new(ManualClock::new(Timestamp(START)));
        let as_clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let random = Arc::new(SystemRandom);
        let store = Arc::new(MemoryStore::new(Arc::clone(&as_clock)));
        let app = Arc::new(App {
            policies: Arc::new(Policies::new(Providers::new(
                Arc::clone(&as_clock),
                random.clone(),
            ))),
            sessions: Sessions::new(store, Arc::clone(&as_clock), random.clone()),
            clock: as_clock,
            random,
            metrics: Metrics::new(),
            overload: Overload::new(limits),
        });
        let keyring = Arc::new(Keyring::ephemeral(&SystemRandom));
        let mut compiled = policy("shop", &idp.issuer);
        alter(&mut compiled);
        Self::assemble(idp, clock, app, keyring, compiled)
    }

    /// Another policy beside this one: same provider, store and keys.
    pub fn beside(&self, alter: impl FnOnce(&mut CompiledPolicy)) -> Self {
        let mut compiled = policy("other", &self.idp.issuer);
        alter(&mut compiled);
        let (idp, clock) = (self.idp.clone(), Arc::clone(&self.clock));
        Self::assemble(idp, clock, Arc::clone(&self.app), Arc::clone(&self.keyring), compiled)
    }

    fn assemble(
        idp: FakeIdp,
        clock: Arc<ManualClock>,
        app: Arc<App>,
        keyring: Arc<Keyring>,
        compiled: CompiledPolicy,
    ) -> Self {
        let provider = provider(&compiled.provider.issuer, &clock);
        let policy = Arc::new(LivePolicy::new(compiled, &keyring, provider).unwrap());
        let site = Site { policy: Arc::clone(&policy), origin: policy.compiled.origins[0].clone() };
        let router = Router::new()
            .route("/bff/login", get(login::login))
            .route("/bff/callback", get(callback::callback))
            .layer(Extension(site))
            .with_state(Arc::clone(&app));
        Self { idp, clock, app, policy, keyring, router }
    }

    pub fn now(&self) -> u64 {
        self.clock.now().0
    }

    /// The session that a browser's cookie names.
    pub async fn session(&self, browser: &Browser) -> Option<Arc<Session>> {
        let id = SecretId::parse(browser.cookies.get("__Host-bff")?)?;
        self.app.sessions.load(&self.policy, &id).await.unwrap().map(|loaded| loaded.session)
    }

    /// A whole login of a browser; gives the answer to the callback.
    pub async fn log_in(
        &self,
        browser: &mut Browser,
        rd: &str,
        id_token: impl FnOnce(&str) -> String,
    ) -> Reply {
        let begun = browser.begin(self, rd).await;
        let code = format!("code-{}", begun.state());
        self.idp.grant(&code, &id_token(begun.nonce()));
        browser.come_back(self, &code, begun.state()).await
    }
}

/// An answer of the site.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Reply {
    pub fn location(&self) -> &str {
        self.headers[LOCATION].to_str().unwrap()
    }

    pub fn is_page_without_redirect(&self) -> bool {
        !self.headers.contains_key(LOCATION) && self.body.contains("<html")
    }
}

/// A login on its way: what the provider was asked.
pub struct Begun {
    pub parameters: HashMap<String, String>,
}

impl Begun {
    pub fn state(&self) -> &str {
        &self.parameters["state"]
    }

    pub fn nonce(&self) -> &str {
        &self.parameters["nonce"]
    }
}

/// A browser with its cookies.
#[derive(Clone, Default)]
pub struct Browser {
    pub cookies: BTreeMap<String, String>,
}

/// The headers of a navigation.
pub const NAVIGATION: &[(&str, &str)] = &[
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
];

impl Browser {
    pub async fn get(&mut self, shop: &Shop, uri: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
            request = request.header(COOKIE, pairs.join("; "));
        }
        let request = request.body(Body::empty()).unwrap();
        let response = shop.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for cookie in parts.headers.get_all(SET_COOKIE) {
            self.keep(cookie.to_str().unwrap());
        }
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    fn keep(&mut self, cookie: &str) {
        assert!(cookie.contains("; Path=/; Secure; HttpOnly; SameSite="), "{cookie}");
        let (name, rest) = cookie.split_once('=').unwrap();
        assert!(name.starts_with("__Host-bff"), "{cookie}");
        if cookie.contains("Max-Age=0") {
            self.cookies.remove(name);
        } else {
            let value = rest.split(';').next().unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }

    pub async fn navigate(&mut self, shop: &Shop, uri: &str) -> Reply {
        self.get(shop, uri, NAVIGATION).await
    }

    /// Goes to the login endpoint and expects to be sent to the provider.
    pub async fn begin(&mut self, shop: &Shop, rd: &str) -> Begun {
        let rd: String = url::form_urlencoded::byte_serialize(rd.as_bytes()).collect();
        let reply = self.navigate(shop, &format!("/bff/login?rd={rd}")).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
        let url = Url::parse(reply.location()).unwrap();
        assert!(url.as_str().starts_with(&format!("{}/authorize?", shop.idp.issuer)), "{url}");
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        let parameters: HashMap<String, String> = pairs.iter().cloned().collect();
        assert_eq!(parameters.len(), pairs.len(), "every parameter once: {url}");
        Begun { parameters }
    }

    pub async fn come_back(&mut self, shop: &Shop, code: &str, state: &str) -> Reply {
        self.navigate(shop, &format!("/bff/callback?code={code}&state={state}")).await
    }
}
