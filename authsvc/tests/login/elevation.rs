//! Elevated tokens: an app whose production API has a Route Authority, and browsers that visit it. No
//! answer of any of these tests may hold a token: each is looked through.

mod bearer;
mod browser;
mod cookies;
mod ending;
mod exchange;
mod fetch;
mod fixation;
mod injection;
mod journey;
mod loops;
mod outages;
mod redirects;
mod refusals;
mod step_up;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use url::Url;
use vestibule_authsvc::app::App;
use vestibule_authsvc::clock::{Clock, ManualClock, Timestamp};
use vestibule_authsvc::metrics::Metrics;
use vestibule_authsvc::oidc::Providers;
use vestibule_authsvc::policies::{LivePolicy, Lookup, Policies, PolicyEntry};
use vestibule_authsvc::random::SystemRandom;
use vestibule_authsvc::router;
use vestibule_authsvc::session::keyring::Keyring;
use vestibule_authsvc::session::service::{Loaded, Sessions};
use vestibule_authsvc::session::{SecretId, Session};
use vestibule_authsvc::token::Token;
use vestibule_policy::model::{
    CompiledAuthority, CompiledBearer, CompiledPermission, CompiledPolicy, CompiledRequire,
    CompiledRoute, CompiledScope, Obtain, OwnTokens, TokenStorage,
};

use self::browser::read;
pub use self::browser::{Answer, Browser, Sent};
use crate::cuttable::{Cuttable, cuttable};
use crate::idp::{FakeIdp, Reply};
use crate::jose::{self, Signer};
use crate::site::{ORIGIN, START, check_port, policy, route};

pub const BASE: &str = "/api/production";
pub const AUTHORIZE: &str = "/api/production/authorize";
/// How a script of the app asks, and how a browser asks for a page.
pub const FETCH: [(&str, &str); 3] =
    [("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty"), ("sec-fetch-site", "same-origin")];
pub const NAVIGATION: [(&str, &str); 3] = [
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-site", "same-origin"),
];
/// The scope that mediates.
pub const MEDIATE: &str = "endpoint:mediate";

/// The authority: three scopes, and a permission for each.
pub fn authority(base: &str) -> CompiledAuthority {
    let names = ["prod:read", "prod:write", "prod:admin"];
    let scope = |name: &str| CompiledScope { name: name.to_owned(), description: None };
    let permission = |name: &str| CompiledPermission {
        name: name.to_owned(),
        description: Some(format!("May {name}")),
        scopes: vec![name.to_owned()],
        check: None,
    };
    CompiledAuthority {
        base: base.to_owned(),
        scopes: names.map(scope).into(),
        added_scopes: vec!["openid".to_owned()],
        obtain: Obtain::AuthorizationCode,
        audience: None,
        resources: Vec::new(),
        acr: None,
        max_age: None,
        storage: TokenStorage::Session,
        client: None,
        permissions: names.map(permission).into(),
    }
}

/// The rule of another API.
pub fn staging() -> CompiledRoute {
    route("/api/staging", CompiledRequire::default(), false)
}

/// Callers may bring tokens.
pub fn bearer() -> CompiledBearer {
    CompiledBearer {
        audiences: vec!["shop-api".to_owned()],
        token_types: vec!["at+jwt".to_owned()],
        mediation_scope: MEDIATE.to_owned(),
        own_tokens: OwnTokens::Pass,
    }
}

/// The app.
pub struct Area {
    pub idp: FakeIdp,
    pub clock: Arc<ManualClock>,
    pub store: Arc<Cuttable>,
    pub app: Arc<App>,
    keyring: Arc<Keyring>,
    browser: Router,
    check: Router,
    /// What no answer may hold.
    secrets: Mutex<Vec<String>>,
}

impl Area {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With another authority than the usual one.
    pub async fn of(alter: impl FnOnce(&mut CompiledAuthority)) -> Self {
        Self::with(|policy| alter(&mut policy.authorities[0])).await
    }

    pub async fn with(alter: impl FnOnce(&mut CompiledPolicy)) -> Self {
        let idp = FakeIdp::start().await;
        idp.set_metadata(|metadata| {
            metadata["revocation_endpoint"] = json!(format!("{}/revoke", idp.issuer));
        });
        idp.reply("/revoke", Reply::json(&json!({})));
        let clock = Arc::new(ManualClock::new(Timestamp(START)));
        let store = Arc::new(cuttable(clock.clone()));
        let as_clock: Arc<dyn Clock> = clock.clone();
        let random = Arc::new(SystemRandom);
        let app = Arc::new(App {
            policies: Arc::new(Policies::new(Providers::new(as_clock.clone(), random.clone()))),
            sessions: Sessions::new(store.clone(), as_clock.clone(), random.clone()),
            clock: as_clock,
            random,
            metrics: Metrics::new(),
            overload: vestibule_authsvc::overload::Overload::default(),
        });
        let keyring = Arc::new(Keyring::ephemeral(&SystemRandom));
        let (browser, check) = (router::browser(app.clone()), check_port(app.clone()));
        let secrets = Mutex::default();
        let area = Self { idp, clock, store, app, keyring, browser, check, secrets };
        area.install(alter);
        area
    }

    /// Puts the policy in force, altered.
    pub fn install(&self, alter: impl FnOnce(&mut CompiledPolicy)) {
        let mut compiled = policy("shop", &self.idp.issuer);
        compiled.authorities = vec![authority(BASE)];
        let admin = vec!["prod:admin".to_owned()];
        let require = CompiledRequire { scopes: admin, ..CompiledRequire::default() };
        compiled.routes.push(route(BASE, CompiledRequire::default(), false));
        compiled.routes.push(route("/api/production/admin", require, false));
        alter(&mut compiled);
        let entry = PolicyEntry::accepted(Arc::new(compiled));
        assert_eq!(self.app.policies.install(vec![entry], &self.keyring), []);
    }

    pub fn policy(&self) -> Arc<LivePolicy> {
        match self.app.policies.find("default", "shop") {
            Lookup::Live(policy) => policy,
            Lookup::Refused | Lookup::Unknown => panic!("it is live"),
        }
    }

    pub fn now(&self) -> u64 {
        self.clock.now().0
    }

    async fn send(&self, router: &Router, request: Request<Body>) -> Answer {
        let answer = read(router.clone(), request).await;
        let headers = format!("{:?}", answer.headers);
        for secret in &*self.secrets.lock().unwrap() {
            let held = headers.contains(secret) || answer.body.contains(secret);
            assert!(!held, "{secret} is in an answer: {headers}\n{}", answer.body);
        }
        answer
    }

    /// From now on this may be in no answer.
    pub fn hide(&self, secret: &str) -> String {
        self.secrets.lock().unwrap().push(secret.to_owned());
        secret.to_owned()
    }

    /// A browser with a session of `alice`, which is altered.
    pub async fn logged_in_as(&self, alter: impl FnOnce(&mut Session)) -> Browser {
        let now = self.clock.now();
        let mut session = Session {
            subject: "alice".to_owned(),
            issuer: self.idp.issuer.clone(),
            provider_session: Some("sid-1".to_owned()),
            id_token: Token::new(self.hide("canary-id-token")),
            id_token_expires_at: now.plus(36000),
            access_token: Token::new(self.hide("canary-own-access-token")),
            access_token_expires_at: Some(now.plus(300)),
            refresh_token: Some(Token::new(self.hide("canary-own-refresh-token"))),
            tokens_issued_at: now,
            nonce: None,
            claims: json!({"sub": "alice", "role": "clerk"}).as_object().unwrap().clone().into(),
            acr: None,
            auth_time: now,
            created_at: now,
            touched_at: now,
            grant: None,
        };
        alter(&mut session);
        let id = self.app.sessions.create(&self.policy(), &session).await.unwrap();
        let mut browser = Browser::default();
        browser.jar.insert(("__Host-bff".to_owned(), "/".to_owned()), id.encode());
        browser
    }

    pub async fn logged_in(&self) -> Browser {
        self.logged_in_as(|_| {}).await
    }

    pub async fn session(&self, browser: &Browser) -> Option<Loaded> {
        let id = browser.jar.get(&("__Host-bff".to_owned(), "/".to_owned()))?;
        let id = SecretId::parse(id).unwrap();
        self.app.sessions.load(&self.policy(), &id).await.unwrap()
    }

    /// The elevated token that a browser's session has.
    pub async fn elevation(&self, browser: &Browser) -> Option<Arc<Session>> {
        let (policy, session) = (self.policy(), self.session(browser).await?);
        let authority = policy.authority(BASE).unwrap();
        let found = self.app.sessions.elevation(&policy, authority, &session).await.unwrap();
        found.map(|found| found.session)
    }

    /// The token response for a browser at the provider: all that was asked for; ID token and response are
    /// altered.
    pub fn tokens(
        &self,
        sent: &Sent,
        claims: impl FnOnce(&mut Value),
        response: impl FnOnce(&mut Value),
    ) -> Value {
        let now = self.now();
        let id_token = self.idp.id_token(&sent.parameters["nonce"], now, |all| {
            all["auth_time"] = json!(now);
            claims(all);
        });
        let number = self.secrets.lock().unwrap().len();
        let mut tokens = json!({
            "access_token": self.hide(&format!("canary-elevated-{number}")),
            "refresh_token": self.hide(&format!("canary-elevated-refresh-{number}")),
            "token_type": "Bearer", "expires_in": 60, "scope": sent.one("scope").unwrap(),
            "id_token": self.hide(&id_token),
        });
        response(&mut tokens);
        tokens
    }

    /// The browser comes back with a code for these tokens.
    pub async fn grant(&self, browser: &mut Browser, sent: &Sent, tokens: &Value) -> Answer {
        let code = self.hide(&format!("code-{}", sent.state()));
        self.idp.code(&code, Reply::json(tokens));
        browser.come_back(self, sent, &format!("code={code}")).await
    }

    /// The provider grants what it is asked for; gives where the browser comes back to.
    pub async fn elevate(&self, browser: &mut Browser, target: &str) -> String {
        let sent = browser.leave(self, target).await;
        let tokens = self.tokens(&sent, |_| {}, |_| {});
        self.grant(browser, &sent, &tokens).await.location().to_owned()
    }

    /// A bearer token of `alice`, its claims altered.
    pub fn bearer(&self, scope: &str, alter: impl FnOnce(&mut Value)) -> String {
        let now = self.now();
        let mut claims = json!({
            "iss": self.idp.issuer, "sub": "alice", "aud": "shop-api", "scope": scope,
            "client_id": "spa", "iat": now, "exp": now + 300, "jti": "j", "role": "clerk",
        });
        alter(&mut claims);
        let header = json!({"alg": "RS256", "kid": "rsa1", "typ": "at+jwt"});
        self.hide(&jose::jwt(&header, &claims, &Signer::Rsa))
    }

    /// What was asked of the token endpoint with this grant type.
    pub fn redeemed(&self, grant_type: &str) -> Vec<crate::idp::Seen> {
        let seen = self.idp.seen("/token");
        seen.into_iter().filter(|seen| seen.one("grant_type") == Some(grant_type)).collect()
    }

    /// Waits until so many revocations are done, and gives their tokens.
    pub async fn revoked(&self) -> Vec<String> {
        let within = std::time::Duration::from_secs(10);
        assert_eq!(self.app.policies.providers().revocations_done(within).await, 0);
        let seen = self.idp.seen("/revoke");
        seen.iter().map(|seen| seen.one("token").unwrap().to_owned()).collect()
    }

    pub fn counted(&self, outcome: &str) -> bool {
        let line = format!("vestibule_elevations_total{{outcome=\"{outcome}\"}}");
        self.app.metrics.render().contains(&line)
    }
}

/// The one `mediation_error` of an address of the app.
pub fn error_of(url: &str) -> Option<String> {
    let url = Url::parse(url).unwrap();
    assert_eq!(url.origin().ascii_serialization(), ORIGIN, "{url}");
    let found: Vec<_> = url.query_pairs().filter(|(name, _)| name == "mediation_error").collect();
    assert!(found.len() <= 1, "{url}");
    found.first().map(|(_, code)| code.clone().into_owned())
}

pub fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|one| (*one).to_owned()).collect()
}
