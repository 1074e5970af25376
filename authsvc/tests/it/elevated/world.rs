//! An app with Route Authorities, a provider on loopback, and callers with elevated tokens.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use vestibule_authsvc::clock::ManualClock;
use vestibule_authsvc::oidc::Exchanged;
use vestibule_authsvc::policies::{LiveAuthority, LivePolicy, PolicyEntry};
use vestibule_authsvc::session::elevation::{Of, record_exchanged};
use vestibule_authsvc::session::memory::MemoryStore;
use vestibule_authsvc::session::service::Loaded;
use vestibule_authsvc::session::store::SessionStore;
use vestibule_authsvc::session::{SecretId, Session, StoreKey, elevation_cookies};
use vestibule_authsvc::token::Token;

use crate::idp::FakeIdp;
use crate::jose::{Signer, jwt};
use crate::support::{ACCESS_TOKEN, Answer, Ask, START, TestApp, compiled_at};

pub const SHOP: &str = r#"
origins: ["https://shop.example.com"]
providerRef: {name: corp}
client: {id: shop, secretRef: {name: shop-oidc, key: client-secret}}
session: {idleTimeout: 10m, absoluteTimeout: 1h}
cors: {allowedOrigins: ["https://spa.example.com"]}
bearer: {audiences: [shop-api]}
authorities:
  - {base: /production, scopes: [{name: "prod:read"}, {name: "prod:write"}]}
  - {base: /production/orders, scopes: [{name: "orders:read"}]}
  - {base: /billing, scopes: [{name: "bill:pay"}]}
  - {base: /gold, scopes: [{name: "gold:use"}], acr: gold, maxAge: 5m}
  - {base: /exchange, scopes: [{name: "x:read"}], obtain: TokenExchange, audience: x-api}
  - {base: /cookies, scopes: [{name: "cookie:use"}, {name: "cookie:eat"}], storage: Cookie}
  - {base: /deep/inside, scopes: [{name: "deep:read"}]}
paths: {admit: [{prefix: /, encodings: [EncodedSlash]}]}
routes:
  - {path: /production/public, access: Public}
  - {path: /production/deny, access: Deny}
  - path: /production/optional
    access: Optional
    upstream: {headers: [{name: X-User, value: claims.sub}]}
  - {path: /production/write, require: {scopes: ["prod:write"]}}
  - {path: /production/both, require: {scopes: ["prod:read", "prod:write"]}}
  - {path: /production/quiet, unauthenticated: Unauthorized}
  - {path: /production/ops, require: {expression: 'claims.groups.exists(g, g == "ops")'}}
  - {path: /production/none, require: {expression: 'claims.groups.exists(g, g == "none")'}}
  - {path: /production/strong, require: {acr: strong}}
  - path: /production
    upstream: {headers: [{name: X-User, value: claims.sub}]}
  - {path: /productionx, upstream: {authorization: AccessToken}}
  - {path: /cookies/eat, require: {scopes: ["cookie:eat"]}}
  - {path: /cookies/optional, access: Optional}
  - {path: /api, upstream: {authorization: AccessToken}}
"#;

/// How a browser's script of the app asks.
pub const SCRIPT: [(&str, &str); 3] =
    [("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty"), ("sec-fetch-site", "same-origin")];

pub struct World {
    pub app: TestApp,
    pub idp: FakeIdp,
}

/// A user who is logged in.
pub struct User {
    pub cookie: String,
    pub session: Loaded,
}

impl World {
    pub async fn new() -> Self {
        Self::of(SHOP).await
    }

    pub async fn of(spec: &str) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let store = Arc::new(MemoryStore::new(clock.clone()));
        Self::over(&[("shop", spec)], clock, store).await
    }

    pub async fn over(
        policies: &[(&str, &str)],
        clock: Arc<ManualClock>,
        store: Arc<dyn SessionStore>,
    ) -> Self {
        let idp = FakeIdp::start().await;
        let provider = json!({"issuer": idp.issuer, "addedScopes": ["openid", "email"]});
        let entry = |(name, spec): &(&str, &str)| {
            PolicyEntry::accepted(Arc::new(compiled_at(provider.clone(), name, spec)))
        };
        let app = TestApp::of(policies.iter().map(entry).collect(), clock, store);
        Self { app, idp }
    }

    pub fn policy(&self) -> Arc<LivePolicy> {
        self.app.policy("shop")
    }

    pub fn authority(&self, base: &str) -> Arc<LiveAuthority> {
        Arc::clone(self.policy().authority(base).unwrap())
    }

    pub async fn user(&self) -> User {
        self.user_who(|_| {}).await
    }

    pub async fn user_who(&self, change: impl FnOnce(&mut Session)) -> User {
        let issuer = self.idp.issuer.clone();
        let change = |session: &mut Session| {
            session.issuer = issuer;
            change(session);
        };
        let cookie = self.app.session("shop", change).await;
        let id = SecretId::parse(cookie.split_once('=').unwrap().1).unwrap();
        let session = self.app.app.sessions.load(&self.policy(), &id).await.unwrap().unwrap();
        User { cookie, session }
    }

    /// An elevated token of `u-1`, for these scopes and with them, that ends in five minutes.
    pub fn elevated(&self, base: &str, token: &str, scopes: &[&str]) -> Session {
        let now = self.app.app.clock.now();
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let exchanged = Exchanged {
            access_token: Token::new(token),
            expires_at: Some(now.plus(300)),
            refresh_token: None,
            scopes: None,
        };
        let of = Of { subject: "u-1", issuer: &self.idp.issuer, auth_time: now };
        record_exchanged(exchanged, of, scopes, &self.authority(base), now).unwrap()
    }

    /// Gives a session an elevated token for a base.
    pub async fn elevate(&self, user: &User, base: &str, token: &str, scopes: &[&str]) {
        self.keep(user, base, self.elevated(base, token, scopes)).await;
    }

    pub async fn keep(&self, user: &User, base: &str, elevated: Session) {
        let (policy, authority) = (self.policy(), self.authority(base));
        let sessions = &self.app.app.sessions;
        let kept = sessions.elevate(&policy, &authority, &user.session, elevated).await;
        assert!(kept.unwrap().is_some());
    }

    /// The `Cookie` header with an elevated token for a caller.
    pub fn in_cookies(&self, caller: &StoreKey, base: &str, elevated: &Session) -> String {
        let (policy, authority) = (self.policy(), self.authority(base));
        let random = &*self.app.app.random;
        let written = elevation_cookies::write(&policy, &authority, caller, elevated, random);
        let written = written.unwrap();
        let pairs = written.iter().map(|cookie| cookie.split(';').next().unwrap());
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// The caller who brings a token of this user.
    pub fn bearer_key(&self, subject: &str) -> StoreKey {
        StoreKey::of_bearer(&self.policy().compiled.uid, &self.idp.issuer, subject)
    }

    /// `Authorization` with a token of `u-1`.
    pub fn bearer(&self, scope: &str) -> String {
        self.bearer_with(|claims| claims["scope"] = json!(scope))
    }

    pub fn bearer_with(&self, alter: impl FnOnce(&mut Value)) -> String {
        let now = self.app.app.clock.now().0;
        let mut claims = json!({
            "iss": self.idp.issuer, "sub": "u-1", "aud": "shop-api", "client_id": "spa",
            "iat": now, "exp": now + 300, "jti": "t-1", "scope": "",
        });
        alter(&mut claims);
        let header = json!({"alg": "RS256", "kid": "rsa1", "typ": "at+jwt"});
        format!("Bearer {}", jwt(&header, &claims, &Signer::Rsa))
    }

    pub async fn ask(&self, dialect: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        Ask::get(target).with(headers).ask(&self.app, dialect).await
    }

    /// Asks as a script of the app, with this session.
    pub async fn fetch(&self, dialect: &str, target: &str, user: &User) -> Answer {
        let with = [&SCRIPT[..], &[("cookie", &user.cookie)]].concat();
        self.ask(dialect, target, &with).await
    }
}

/// That it passed, and with which token.
pub fn assert_token(answer: &Answer, token: &str) {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let expected = if token.is_empty() { String::new() } else { format!("Bearer {token}") };
    assert_eq!(answer.header("authorization"), Some(expected.as_str()));
    assert!(answer.set_cookies().is_empty());
}

/// That it is Mediation Advised for these scopes, in the words of the dialect.
pub fn assert_advised(answer: &Answer, dialect: &str, base: &str, scopes: &str) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    let challenge = format!(
        "Bearer error=\"insufficient_scope\", error_description=\"Mediation Advised\", \
         scope=\"{scopes}\""
    );
    assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()));
    assert_nothing_shown(answer);
    if dialect == "nginx" {
        assert_eq!(answer.body, "");
        return;
    }
    let problem = answer.json();
    assert_eq!(problem["type"], "https://vestibule.dev/problems/mediation-advised");
    assert_eq!(problem["title"], "Mediation Advised");
    assert_eq!((&problem["base"], &problem["scope"]), (&json!(base), &json!(scopes)));
    let encoded = scopes.replace(':', "%3A").replace(' ', "%20");
    let url = format!("https://shop.example.com{base}/authorize?scope={encoded}");
    assert_eq!(problem["authorizeUrl"], json!(url));
}

/// That it is 401 for good: no navigation would help.
pub fn assert_insufficient(answer: &Answer, dialect: &str, scopes: &str) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    let challenge = answer.header("www-authenticate").unwrap();
    let expected = format!("Bearer error=\"insufficient_scope\", scope=\"{scopes}\"");
    assert!(challenge.starts_with(&expected), "{challenge}");
    assert_nothing_shown(answer);
    if dialect == "traefik" {
        let problem = answer.json();
        assert_eq!(problem["type"], "https://vestibule.dev/problems/insufficient-scope");
        assert_eq!(problem["scope"], json!(scopes));
        assert!(problem.get("authorizeUrl").is_none());
    } else {
        assert_eq!(answer.body, "");
    }
}

pub fn assert_nothing_shown(answer: &Answer) {
    let headers = format!("{:?}", answer.headers);
    for secret in ["tok-", ACCESS_TOKEN, "canary"] {
        assert!(!headers.contains(secret) && !answer.body.contains(secret), "{headers}");
    }
    assert!(answer.set_cookies().is_empty());
}
