//! What is asked, in a world of so many policies and sessions: everything that a count needs and must not
//! hold.
//!
//! Time stands still, so that answers come from memory however slow valgrind is.

use std::sync::Arc;

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use vestibule_authsvc::check::gateway::Dialect;
use vestibule_authsvc::check::grant::{self, AppHeaders, Identity};
use vestibule_authsvc::check::request::CheckRequest;
use vestibule_authsvc::clock::ManualClock;
use vestibule_authsvc::endpoints::current_session;
use vestibule_authsvc::policies::{LivePolicy, Policies, PolicyEntry};
use vestibule_authsvc::server::check_port::CheckPort;
use vestibule_authsvc::session::memory::MemoryStore;
use vestibule_authsvc::session::service::Loaded;
use vestibule_authsvc::session::{Grant, SecretId, Session};
use vestibule_authsvc::token::Token;
use vestibule_policy::model::{CompiledPolicy, PolicyId};
use vestibule_policy::origin::Origin;
use vestibule_policy::path::{Target, parse_target};

use crate::support::{START, TestApp, compiled};

/// Until buffers, tables and caches are as they stay.
const WARM_UP: usize = 20;

const ELEVATED_TOKEN: &str = "canary-elevated-token";
const ELEVATED_SCOPE: &str = "production:read";

pub const SHOP: &str = r#"
origins: ["https://shop.example.com"]
providerRef: {name: corp}
client: {id: shop, secretRef: {name: shop-oidc, key: client-secret}}
routes:
  - {path: /static, access: Public}
  - {path: /assets/v2, access: Public}
  - {path: /admin, require: {expression: 'claims.groups.exists(g, g == "admins")'}}
  - {path: /webhooks, methods: [POST], access: Public}
  - {path: /health, pathType: Exact, access: Public}
  - path: /
    upstream:
      authorization: AccessToken
      headers: [{name: X-User, value: claims.sub}, {name: X-Groups, value: claims.groups}]
authorities:
  - {base: /production, scopes: [{name: "production:read"}]}
"#;

/// So many live policies, `shop` the first of them.
pub fn entries(policies: usize) -> Vec<PolicyEntry> {
    let shop = compiled("shop", SHOP);
    let others = (1..policies).map(|number| other(&shop, number));
    std::iter::once(shop.clone())
        .chain(others)
        .map(|one| PolicyEntry::accepted(Arc::new(one)))
        .collect()
}

/// As `shop`, of another name and host. Compiling each would take valgrind minutes.
fn other(shop: &CompiledPolicy, number: usize) -> CompiledPolicy {
    let name = format!("shop-{number}");
    CompiledPolicy {
        uid: format!("default/{name}"),
        origins: vec![Origin::parse(&format!("https://{name}.example.com")).unwrap()],
        id: PolicyId { namespace: "default".to_owned(), name },
        ..shop.clone()
    }
}

pub fn world(policies: usize) -> TestApp {
    let clock = Arc::new(ManualClock::new(START));
    TestApp::of(entries(policies), clock.clone(), Arc::new(MemoryStore::new(clock)))
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// The address and path of a check, still to be looked up.
pub struct Named {
    app: TestApp,
    pub target: Target<'static>,
}

impl Named {
    pub fn among(policies: usize) -> Self {
        let app = world(policies);
        let exceptions = &app.policy("shop").compiled.paths;
        let target = parse_target("/orders/17?page=2", exceptions).unwrap();
        Self { app, target }
    }

    pub fn policies(&self) -> &Policies {
        &self.app.app.policies
    }
}

/// A session that is in the store alone.
pub struct Cold {
    app: TestApp,
    policy: Arc<LivePolicy>,
    headers: HeaderMap,
}

impl Cold {
    /// With so many claims.
    pub fn with_claims(claims: usize) -> Self {
        let app = world(1);
        let more = |session: &mut Session| {
            for number in session.claims.len()..claims {
                session.claims.insert(format!("claim-{number}"), json!(format!("value {number}")));
            }
        };
        let cookie = app.session("shop", more).now_or_never().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("cookie", HeaderValue::try_from(format!("theme=dark; {cookie}")).unwrap());
        let cold = Self { policy: app.policy("shop"), app, headers };
        assert!(cold.session().is_some());
        cold
    }

    pub fn session(&self) -> Option<Loaded> {
        let session = current_session(&self.app.app, &self.policy, &self.headers);
        session.now_or_never().expect("the store is memory").unwrap()
    }
}

/// What is decided, and its headers still to be made.
pub struct Granted {
    policy: &'static LivePolicy,
    request: CheckRequest<'static>,
    session: Arc<Session>,
}

impl Granted {
    pub fn new((): ()) -> Self {
        let Cold { app, policy, headers } = Cold::with_claims(3);
        let session = current_session(&app.app, &policy, &headers).now_or_never().unwrap();
        let session = session.unwrap().unwrap().session;
        let asked = Asked::of(Kind::Plain).request(headers["cookie"].to_str().unwrap());
        // What is read of a request borrows from both, and here they outlive all.
        let (asked, policy) = (Box::leak(Box::new(asked)), Box::leak(Box::new(policy)));
        let request = Dialect::Nginx.parse(asked.headers(), policy).unwrap();
        let granted = Self { policy, request, session };
        granted.headers();
        granted
    }

    pub fn headers(&self) -> AppHeaders {
        let Self { policy, request, session } = self;
        let rule = policy.rule_for("GET", &request.target).unwrap();
        let identity = Some(Identity::Session(session));
        grant::headers(policy, rule, request, identity, START).unwrap()
    }
}

/// What kind of check.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Allowed: nginx asks about a page of the app.
    Plain,
    /// Allowed below the base of an authority.
    Elevated,
    /// Allowed without a session.
    Public,
    /// Refused: nginx asks for a script without a session.
    Nobody,
    /// Refused: Traefik asks for a page without a session, and gets where to log in.
    Redirect,
    /// Refused: what the session may is not enough.
    Forbidden,
}

/// A check, and among what.
#[derive(Clone, Copy)]
pub struct Asked {
    pub kind: Kind,
    pub policies: usize,
    pub sessions: usize,
}

impl Asked {
    pub fn of(kind: Kind) -> Self {
        Self { kind, policies: 1, sessions: 1 }
    }

    fn request(self, cookie: &str) -> Request<()> {
        let (dialect, path) = match self.kind {
            Kind::Plain | Kind::Nobody => ("nginx", "/orders/17?page=2"),
            Kind::Elevated => ("nginx", "/production/items?page=2"),
            Kind::Public => ("nginx", "/static/17?page=2"),
            Kind::Redirect => ("traefik", "/orders/17?page=2"),
            Kind::Forbidden => ("nginx", "/admin/17?page=2"),
        };
        let mut request = Request::get(format!("/check/{dialect}/default/shop"))
            .header("host", "authsvc:8081")
            .header("accept", "application/json")
            .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101")
            .header("sec-fetch-site", "same-origin");
        request = match dialect {
            "nginx" => request
                .header("x-original-url", format!("https://shop.example.com{path}"))
                .header("x-original-method", "GET")
                .header("sec-fetch-mode", "cors")
                .header("sec-fetch-dest", "empty"),
            _ => request
                .header("x-forwarded-uri", path)
                .header("x-forwarded-host", "shop.example.com")
                .header("x-forwarded-proto", "https")
                .header("x-forwarded-method", "GET")
                .header("sec-fetch-mode", "navigate")
                .header("sec-fetch-dest", "document"),
        };
        let cookie = match self.kind {
            Kind::Nobody | Kind::Redirect => "theme=dark".to_owned(),
            _ => format!("theme=dark; {cookie}"),
        };
        request.header("cookie", cookie).body(()).unwrap()
    }
}

/// A check that needs nothing but memory.
pub struct Warm {
    runtime: Runtime,
    port: CheckPort,
    request: Option<Request<()>>,
}

impl Warm {
    pub fn new(asked: Asked) -> Self {
        let runtime = runtime();
        let (port, cookie) = runtime.block_on(async {
            let app = world(asked.policies);
            let cookie = warmed_up(&app, asked.sessions).await;
            (CheckPort::new(app.app.clone(), watch::channel(false).1, false), cookie)
        });
        let request = asked.request(&cookie);
        let mut warm = Self { runtime, port, request: None };
        for _ in 0..WARM_UP {
            warm.request = Some(request.clone());
            warm = warm.ask().1;
        }
        Self { request: Some(request), ..warm }
    }

    /// One check, to the end of its answer.
    pub fn ask(mut self) -> (StatusCode, Self) {
        let request = self.request.take().expect("it is asked once");
        let within = self.runtime.enter();
        let answer = self.port.answer(request).now_or_never();
        let status = answer.expect("a warm check waits for nothing").status();
        drop(within);
        (status, self)
    }
}

/// So many sessions in memory, and the cookie of the last, which has an elevated token as well.
async fn warmed_up(app: &TestApp, sessions: usize) -> String {
    let following = Arc::clone(&app.app.sessions);
    tokio::spawn(async move { following.follow().await });
    while !app.app.sessions.answers_from_memory() {
        tokio::task::yield_now().await;
    }
    let policy = app.policy("shop");
    let mut last = None;
    for _ in 0..sessions {
        let cookie = app.session("shop", |_| {}).await;
        let id = SecretId::parse(cookie.split_once('=').unwrap().1).unwrap();
        let loaded = app.app.sessions.load(&policy, &id).await.unwrap().unwrap();
        last = Some((cookie, loaded));
    }
    let (cookie, loaded) = last.expect("there is one session at least");
    let scopes = vec![ELEVATED_SCOPE.to_owned()];
    let elevated = Session {
        access_token: Token::new(ELEVATED_TOKEN),
        grant: Some(Box::new(Grant { asked: scopes.clone(), granted: scopes })),
        ..(*loaded.session).clone()
    };
    let authority = Arc::clone(&policy.authorities()[0]);
    app.app.sessions.elevate(&policy, &authority, &loaded, elevated).await.unwrap().unwrap();
    cookie
}
