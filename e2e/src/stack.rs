//! One app with everything around it: Redis, provider, authsvc, gateway and echo app, each of its own
//! for every test, so that tests run at once and none sees another's counters.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::authsvc::{Authsvc, Settings};
use crate::browser::Browser;
use crate::echo::Echo;
use crate::gateway::{Gateway, Kind, Wiring};
use crate::provider::{CLIENT_SECRET, Provider};
use crate::redis::Redis;
use crate::relay::Relay;

/// How to start a [`Stack`].
#[derive(Clone, Debug)]
pub struct Plan {
    /// The gateway.
    pub gateway: Kind,
    /// Whether a load balancer that ends TLS is before the gateway: browsers then say
    /// `https://shop.example.com` and the gateway gets plain HTTP.
    pub behind_tls: bool,
    /// Lines of the policy's `spec`, besides those of [`Stack`].
    pub spec: String,
    /// Lines of the provider's `spec`, besides the issuer.
    pub provider: String,
    /// The bases of the policy's authorities, which the gateway must know too, without their slash.
    pub bases: Vec<&'static str>,
    /// The path of the policy's hosted backend, which the gateway must know too, without its slash.
    pub hosted_backend: Option<&'static str>,
    /// The policy's `client`.
    pub client: String,
    /// Further secrets as `NAMESPACE/NAME/KEY` and value.
    pub secrets: Vec<(String, String)>,
    /// The public keys of the provider's client `shop-jwt`.
    pub client_jwks: Option<Value>,
    /// The policy's routes.
    pub routes: String,
    /// `VESTIBULE_LOG`.
    pub log: String,
    /// Further arguments of authsvc.
    pub arguments: Vec<String>,
    /// Further environment variables of authsvc.
    pub environment: Vec<(String, String)>,
    /// Where the gateway listens, if something else must know it first.
    pub listen: Option<SocketAddr>,
    /// The issuer, if it is not a provider of the stack's own.
    pub issuer: Option<String>,
    /// Where the app is, if it is not the echo.
    pub app: Option<SocketAddr>,
    /// Whether the echo keeps what reached it to itself, and which files it has at which paths then.
    pub discreet: Option<Vec<(String, PathBuf)>>,
    /// Whether the stack's own provider is as Auth0.
    pub auth0: bool,
}

impl Plan {
    /// The usual one.
    #[must_use]
    pub fn new(gateway: Kind) -> Self {
        Self {
            gateway,
            behind_tls: false,
            spec: String::new(),
            provider: String::new(),
            bases: Vec::new(),
            hosted_backend: None,
            client: CLIENT.to_owned(),
            secrets: Vec::new(),
            client_jwks: None,
            routes: ROUTES.to_owned(),
            log: "info,vestibule_authsvc=debug".to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            listen: None,
            issuer: None,
            app: None,
            discreet: None,
            auth0: false,
        }
    }

    /// Starts everything.
    #[must_use]
    pub fn start(self) -> Stack {
        Stack::start(self)
    }

    /// A policy `default/shop` with its provider.
    fn policy(&self, origin: &str, issuer: &str) -> String {
        let Self { provider, client, spec, routes, .. } = self;
        format!(
            "apiVersion: vestibule.dev/v1alpha1
kind: BffProvider
metadata: {{name: corp}}
spec:
  issuer: \"{issuer}\"
{provider}
---
apiVersion: vestibule.dev/v1alpha1
kind: BffPolicy
metadata: {{name: shop}}
spec:
  origins: [\"{origin}\"]
  providerRef: {{name: corp}}
  client: {client}
{spec}
  routes:{routes}"
        )
    }
}

/// The usual client: authenticated by a secret, as the provider prefers.
const CLIENT: &str = "{id: shop, secretRef: {name: shop-oidc, key: client-secret}}";

/// Routes that show every kind of access.
pub const ROUTES: &str = r#"
    - {path: /public, access: Public}
    - {path: /denied, access: Deny}
    - path: /optional
      access: Optional
      upstream:
        authorization: AccessToken
        headers: [{name: X-User, value: claims.sub}, {name: X-Groups, value: claims.groups}]
    - {path: /quiet, unauthenticated: Unauthorized}
    - path: /staff
      require: {expression: 'claims.groups.exists(g, g == "staff")'}
    - {path: /gold, require: {acr: gold}}
    - {path: /identity, upstream: {authorization: IdToken}}
    - {path: /signed, upstream: {authorization: IdentityJwt, audience: api}}
    - path: /
      upstream:
        authorization: AccessToken
        headers: [{name: X-User, value: claims.sub}, {name: X-Groups, value: claims.groups}]
"#;

/// A running app with everything around it.
#[derive(Debug)]
pub struct Stack {
    /// The app's public origin.
    pub origin: String,
    /// The gateway.
    pub gateway: Gateway,
    /// The program under test.
    pub authsvc: Authsvc,
    provider: Option<Provider>,
    /// The session store.
    pub redis: Redis,
    /// The app.
    pub app: Echo,
    /// Between the gateway and the check port.
    pub checks: Relay,
    /// The policies it started with.
    pub policies: String,
    /// Everything's files.
    pub dir: TempDir,
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("authsvc said:\n{}", self.authsvc.log());
        }
    }
}

impl Stack {
    fn start(plan: Plan) -> Self {
        let dir = TempDir::with_prefix("vestibule-e2e-").expect("a temporary folder");
        let listen = plan.listen.unwrap_or_else(Gateway::free_address);
        let origin = if plan.behind_tls {
            "https://shop.example.com".to_owned()
        } else {
            format!("http://localhost:{}", listen.port())
        };
        let redis = Redis::start(dir.path());
        let provider = match (&plan.issuer, plan.auth0) {
            (Some(_), _) => None,
            (None, true) => Some(Provider::start_as_auth0(dir.path(), &[&origin])),
            (None, false) => {
                Some(Provider::start(dir.path(), &[&origin], plan.client_jwks.clone()))
            }
        };
        let issuer = provider.as_ref().map(|p| &p.issuer).or(plan.issuer.as_ref());
        let policies = plan.policy(&origin, issuer.expect("a provider's or the plan's"));
        let app = plan.discreet.map_or_else(Echo::start, Echo::start_discreet);
        let mut secrets = plan.secrets;
        secrets.push(("default/shop-oidc/client-secret".into(), CLIENT_SECRET.into()));
        let authsvc = Authsvc::start(
            dir.path(),
            &Settings {
                store: redis.url(),
                policies: policies.clone(),
                log: plan.log,
                secrets,
                arguments: plan.arguments,
                environment: plan.environment,
            },
        );
        let checks = Relay::start(authsvc.check);
        let wiring = Wiring {
            listen,
            origin: origin.clone(),
            check: checks.address,
            browser: authsvc.browser,
            app: plan.app.unwrap_or(app.address),
            hosted_backend: plan.hosted_backend,
        };
        let gateway = Gateway::start_for(plan.gateway, dir.path(), &wiring, &plan.bases);
        app.forget();
        Self { origin, gateway, authsvc, provider, redis, app, checks, policies, dir }
    }

    /// The stack's own provider.
    #[must_use]
    pub fn provider(&self) -> &Provider {
        self.provider.as_ref().expect("the plan names another issuer")
    }

    /// The public URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// The public host, with its port where there is one.
    #[must_use]
    pub fn host(&self) -> &str {
        self.origin.split("://").nth(1).unwrap_or_default()
    }

    /// Where the gateway listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.gateway.address
    }

    /// A browser without cookies, that finds the app.
    #[must_use]
    pub fn browser(&self) -> Browser {
        let mut browser = Browser::default();
        browser.resolve(&self.origin, self.gateway.address);
        browser
    }

    /// A browser that is logged in as `user`.
    #[must_use]
    pub fn logged_in(&self, user: &str) -> Browser {
        self.logged_in_at("/page/home", user)
    }

    /// A browser that is logged in as `user`, by asking for `path`.
    #[must_use]
    pub fn logged_in_at(&self, path: &str, user: &str) -> Browser {
        let mut browser = self.browser();
        let page = browser.log_in(&self.url(path), user);
        assert_eq!(page.response.status, 200, "after the login of {user}: {page}");
        browser
    }
}
