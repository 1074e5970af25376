//! The services that are looked at: one with its sessions in Redis, one with them in memory, and the
//! provider of both.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::authsvc::{Authsvc, Settings};
use crate::process::free_port;
use crate::provider::{CLIENT_SECRET, Provider};
use crate::redis::Redis;

/// Seconds without use until a session is over, and at most.
pub(super) const IDLE: u64 = 30;
pub(super) const ABSOLUTE: u64 = 90;
/// Seconds until an access token is over.
const ACCESS_TOKEN: u64 = 20;

/// Both services.
#[derive(Debug)]
pub struct Place {
    /// They share it.
    pub provider: Provider,
    /// The services.
    pub services: Vec<Service>,
    _dir: TempDir,
}

/// One authsvc.
#[derive(Debug)]
pub struct Service {
    /// Where its sessions are.
    pub name: &'static str,
    /// The program.
    pub authsvc: Authsvc,
    /// Its store, if it is a server.
    pub redis: Option<Redis>,
    /// The public origin of its app.
    pub origin: String,
}

impl Place {
    /// Starts everything.
    #[must_use]
    pub fn start() -> Self {
        let dir = TempDir::with_prefix("vestibule-soak-").expect("a temporary folder");
        // Nothing listens there: browsers are told where to go.
        let origins = [free_port(), free_port()].map(|port| format!("http://localhost:{port}"));
        let origins = [origins[0].as_str(), origins[1].as_str()];
        let provider = Provider::start(dir.path(), &origins, None);
        provider.set(&json!({"refreshTokens": true, "accessTokenTtl": ACCESS_TOKEN}));
        let redis =
            Redis::start_with(&dir.path().join("redis"), free_port(), &["--appendonly", "no"]);
        let services = vec![
            Service::start("redis", dir.path(), origins[0], &provider, Some(redis)),
            Service::start("memory", dir.path(), origins[1], &provider, None),
        ];
        Self { provider, services, _dir: dir }
    }
}

impl Service {
    fn start(
        name: &'static str,
        dir: &Path,
        origin: &str,
        provider: &Provider,
        redis: Option<Redis>,
    ) -> Self {
        let dir = dir.join(format!("authsvc-{name}"));
        std::fs::create_dir_all(&dir).expect("a writable folder");
        let settings = Settings {
            store: redis.as_ref().map_or_else(|| "memory".to_owned(), Redis::url),
            policies: shop(origin, &provider.issuer, 0),
            log: "warn".to_owned(),
            secrets: vec![("default/shop-oidc/client-secret".into(), CLIENT_SECRET.into())],
            arguments: Vec::new(),
            environment: Vec::new(),
        };
        let authsvc = Authsvc::start(&dir, &settings);
        Self { name, authsvc, redis, origin: origin.to_owned() }
    }

    /// The public host.
    #[must_use]
    pub fn host(&self) -> &str {
        self.origin.split("://").nth(1).unwrap_or_default()
    }
}

/// The policy `default/shop` with its provider, in a version of its own.
pub(super) fn shop(origin: &str, issuer: &str, version: u64) -> String {
    format!(
        "apiVersion: vestibule.dev/v1alpha1
kind: BffProvider
metadata: {{name: corp}}
spec: {{issuer: \"{issuer}\"}}
---
{}",
        policy("shop", origin, version)
    )
}

/// A policy of that name, of the provider `corp`. Each version has another header and another expression.
pub(super) fn policy(name: &str, origin: &str, version: u64) -> String {
    format!(
        "apiVersion: vestibule.dev/v1alpha1
kind: BffPolicy
metadata: {{name: {name}}}
spec:
  origins: [\"{origin}\"]
  providerRef: {{name: corp}}
  client: {{id: shop, secretRef: {{name: shop-oidc, key: client-secret}}}}
  login: {{par: Never}}
  session: {{idleTimeout: {IDLE}s, absoluteTimeout: {ABSOLUTE}s}}
  routes:
    - {{path: /public, access: Public}}
    - {{path: /staff, require: {{expression: 'claims.groups.exists(g, g == \"staff-{version}\")'}}}}
    - path: /
      upstream:
        authorization: AccessToken
        headers: [{{name: X-Version, value: '\"{version}\"'}}, {{name: X-User, value: claims.sub}}]
"
    )
}
