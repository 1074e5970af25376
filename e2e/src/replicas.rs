//! Several replicas of authsvc on one store, with one provider, asked straight at their ports: no
//! gateway is between, so that every check goes where the test wants it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::asker::{Asker, check};
use crate::authsvc::{Authsvc, Settings, write_keyring};
use crate::browser::Browser;
use crate::fault_relay::FaultRelay;
use crate::http::{Request, Response};
use crate::process::{eventually, free_port, loopback};
use crate::provider::{CLIENT_SECRET, Provider};
use crate::redis::Redis;
use crate::sentinel::Sentinel;

/// Longer than the lease of a refresh, and than anything that a replica waits for.
const LIMIT: Duration = Duration::from_mins(1);

/// How to start [`Replicas`].
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many.
    pub replicas: usize,
    /// Lines of the policy's `spec`.
    pub spec: String,
    /// `VESTIBULE_LOG`.
    pub log: String,
    /// Whether the store is a primary with replicas under Sentinel, without relays.
    pub sentinel: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self { replicas: 3, spec: String::new(), log: "info".to_owned(), sentinel: false }
    }
}

/// One replica.
#[derive(Debug)]
pub struct Replica {
    /// The program.
    pub authsvc: Authsvc,
    /// Between it and the store, where there is one server.
    pub link: Option<FaultRelay>,
    keyring: PathBuf,
}

/// What they share.
#[derive(Debug)]
enum Store {
    Single(Redis),
    Sentinel(Sentinel),
}

/// All replicas and what is around them.
#[derive(Debug)]
pub struct Replicas {
    /// The app's public origin.
    pub origin: String,
    /// The replicas.
    pub replicas: Vec<Replica>,
    /// The provider. It gives refresh tokens that rotate, and ends the grant when an old one is used.
    pub provider: Provider,
    store: Store,
    _dir: TempDir,
}

/// A session and the browser that has it.
#[derive(Clone, Debug)]
pub struct LoggedIn {
    /// The browser.
    pub browser: Browser,
    /// The session cookie's value.
    pub cookie: String,
}

impl Plan {
    /// Starts everything.
    #[must_use]
    pub fn start(self) -> Replicas {
        let dir = TempDir::with_prefix("vestibule-replicas-").expect("a temporary folder");
        let port = free_port();
        let origin = format!("http://localhost:{port}");
        let provider = Provider::start(dir.path(), &[&origin], None);
        provider.set(&json!({
            "refreshTokens": true,
            "backChannelLogoutUri": format!("{origin}/bff/backchannel-logout"),
        }));
        let store = if self.sentinel {
            Store::Sentinel(Sentinel::start(dir.path()))
        } else {
            Store::Single(Redis::start_quick(dir.path()))
        };
        let policies = policy(&origin, &provider.issuer, &self.spec);
        let replicas = (0..self.replicas).map(|number| {
            let (link, url) = match &store {
                Store::Single(redis) => {
                    let link = FaultRelay::start(redis.address);
                    let url = format!("redis://{}/0", link.address);
                    (Some(link), url)
                }
                Store::Sentinel(set) => (None, set.url()),
            };
            let dir = dir.path().join(format!("replica-{number}"));
            std::fs::create_dir_all(&dir).expect("a writable folder");
            let settings = Settings {
                store: url,
                policies: policies.clone(),
                log: self.log.clone(),
                secrets: vec![("default/shop-oidc/client-secret".into(), CLIENT_SECRET.into())],
                arguments: Vec::new(),
                environment: Vec::new(),
            };
            let authsvc = Authsvc::start(&dir, &settings);
            Replica { authsvc, link, keyring: dir.join("keyring.yaml") }
        });
        let replicas: Vec<Replica> = replicas.collect();
        // What the provider sends to the origin arrives at the last one.
        let last = replicas.last().expect("at least one replica");
        let _ = FaultRelay::listen(loopback(port), last.authsvc.browser);
        Replicas { origin, replicas, provider, store, _dir: dir }
    }
}

impl Replicas {
    /// The public URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// The public host, with its port.
    #[must_use]
    pub fn host(&self) -> &str {
        self.origin.split("://").nth(1).unwrap_or_default()
    }

    /// The one server of the store.
    #[must_use]
    pub fn redis(&self) -> &Redis {
        match &self.store {
            Store::Single(redis) => redis,
            Store::Sentinel(set) => &set.servers[0],
        }
    }

    /// The store under Sentinel.
    #[must_use]
    pub fn sentinel(&self) -> &Sentinel {
        match &self.store {
            Store::Sentinel(set) => set,
            Store::Single(_) => panic!("the plan has no Sentinel"),
        }
    }

    /// The link of a replica to the store.
    #[must_use]
    pub fn link(&self, replica: usize) -> &FaultRelay {
        self.replicas[replica].link.as_ref().expect("the store is one server")
    }

    /// Logs `user` in; the login begins at this replica and ends at the next.
    #[must_use]
    pub fn log_in(&self, user: &str, replica: usize) -> LoggedIn {
        let mut browser = Browser::default();
        browser.resolve(&self.origin, self.browser_address(replica));
        let form = browser.open(&self.url("/bff/login?rd=%2F"));
        assert!(form.url.path().starts_with("/interaction/"), "not the provider's form: {form}");
        browser.resolve(&self.origin, self.browser_address(replica + 1));
        let end = browser.submit(&form, &[("login", user), ("password", "any")]);
        let cookie = browser.cookie("__Host-bff").unwrap_or_else(|| panic!("no session: {end}"));
        LoggedIn { cookie: cookie.to_owned(), browser }
    }

    /// One more session of a user whom the provider knows still, as in another browser.
    #[must_use]
    pub fn log_in_again(&self, known: &LoggedIn, replica: usize) -> LoggedIn {
        let mut browser = known.browser.clone();
        browser.set_cookie("localhost", "__Host-bff", "");
        browser.resolve(&self.origin, self.browser_address(replica));
        let end = browser.open(&self.url("/bff/login?rd=%2F"));
        let cookie = browser.cookie("__Host-bff").filter(|value| !value.is_empty());
        let cookie = cookie.unwrap_or_else(|| panic!("no session: {end}")).to_owned();
        LoggedIn { browser, cookie }
    }

    /// A session whose access token is over; the next one lasts an hour. Counters of the provider
    /// begin anew.
    #[must_use]
    pub fn log_in_and_let_expire(&self, user: &str) -> LoggedIn {
        self.provider.set(&json!({"accessTokenTtl": 1, "keepIssued": true}));
        let session = self.log_in(user, 0);
        let begun = Instant::now();
        self.provider.set(&json!({
            "accessTokenTtl": 3600, "counts": {}, "grants": {}, "dropped": 0,
        }));
        let over = || (begun.elapsed() > Duration::from_secs(2)).then_some(());
        eventually(LIMIT, over).expect("time passes");
        session
    }

    fn browser_address(&self, replica: usize) -> SocketAddr {
        self.replicas[replica % self.replicas.len()].authsvc.browser
    }

    /// A client of a replica's check port.
    #[must_use]
    pub fn asker(&self, replica: usize) -> Asker {
        Asker::new(self.replicas[replica % self.replicas.len()].authsvc.check)
    }

    /// A check of `/api` with a session, as Traefik asks for a script of the app.
    #[must_use]
    pub fn check(&self, cookie: &str) -> Request {
        self.check_of("/api", cookie)
    }

    /// The same, of another path.
    #[must_use]
    pub fn check_of(&self, path: &str, cookie: &str) -> Request {
        self.check_of_nobody(path).header("Cookie", format!("__Host-bff={cookie}"))
    }

    /// The same, without a session.
    #[must_use]
    pub fn check_of_nobody(&self, path: &str) -> Request {
        check("default/shop", self.host(), path)
    }

    /// What a replica answers to that check; 0 where it does not.
    #[must_use]
    pub fn status(&self, replica: usize, cookie: &str) -> u16 {
        self.asker(replica).send(&self.check(cookie)).map_or(0, |answer| answer.status)
    }

    /// Logs a session out, at this replica.
    #[must_use]
    pub fn log_out(&self, replica: usize, cookie: &str) -> Response {
        Request::new("POST", "/bff/logout", self.host())
            .header("Cookie", format!("__Host-bff={cookie}"))
            .header("Origin", &self.origin)
            .header("Sec-Fetch-Site", "same-origin")
            .header("X-Bff", "1")
            .send(self.browser_address(replica))
    }

    /// Signs a user out at the provider, which then tells the replicas.
    pub fn sign_out_at_provider(&self, session: &LoggedIn) {
        let mut browser = session.browser.clone();
        let page = browser.open(&format!("{}/session/end", self.provider.issuer));
        let page = browser.submit(&page, &[("logout", "yes")]);
        assert_eq!(page.response.status, 200, "{page}");
    }

    /// The names of all sessions in the store.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let keys = self.redis().cli(&["--scan", "--pattern", "vestibule:session:*"]);
        keys.lines()
            .filter_map(|key| Some(key.split_once('{')?.1.trim_end_matches('}').into()))
            .collect()
    }

    /// Gives a replica these keys, the first one active, and waits until it uses them.
    pub fn set_keyring(&self, replica: usize, ids: &[&str]) {
        let Replica { authsvc, keyring, .. } = &self.replicas[replica];
        let reloads = || authsvc.log().matches("keyring reloaded").count();
        let before = reloads();
        let staged = keyring.with_extension("new");
        write_keyring(&staged, ids);
        std::fs::rename(staged, keyring).expect("writable");
        let reloaded = eventually(LIMIT, || (reloads() > before).then_some(()));
        assert!(reloaded.is_some(), "the keyring is not reloaded: {}", authsvc.log());
    }

    /// Fails if the store ever held a token, a claim, a user or an id that opens a session; `cookies`
    /// are the sessions that there were. The provider must have kept what it issued.
    pub fn assert_the_store_shows_nothing(&self, cookies: &[&str]) {
        let files = String::from_utf8_lossy(&self.redis().files()).into_owned();
        assert!(files.contains("vestibule:session:"), "nothing was stored");
        let kinds = ["access_token", "refresh_token", "id_token"];
        let tokens: Vec<String> =
            kinds.iter().flat_map(|kind| self.provider.issued(kind)).collect();
        assert!(!tokens.is_empty(), "the provider has issued nothing");
        let fixed = ["alice", "Alice Example", "example.test", "staff", "Bearer", "eyJ"];
        let known = [CLIENT_SECRET, self.provider.issuer.as_str()];
        let secrets = fixed.iter().chain(&known).chain(cookies).copied();
        for secret in secrets.chain(tokens.iter().map(String::as_str)) {
            assert!(!files.contains(secret), "the store shows {secret}");
        }
        // No name in it is an id that opens anything.
        for name in self.names() {
            assert_ne!(self.status(0, &name), 200, "{name} opens a session");
        }
    }

    /// The lines of the audit trail of all replicas that contain `text`.
    #[must_use]
    pub fn audit(&self, text: &str) -> Vec<String> {
        let logs = self.replicas.iter().map(|replica| replica.authsvc.log());
        let lines = logs.flat_map(|log| log.lines().map(str::to_owned).collect::<Vec<_>>());
        lines.filter(|line| line.contains("vestibule::audit") && line.contains(text)).collect()
    }
}

/// The access token that a check's answer gives the app.
#[must_use]
pub fn bearer(answer: &Response) -> &str {
    let value = answer.header("authorization").unwrap_or_default();
    value.strip_prefix("Bearer ").unwrap_or_else(|| panic!("no bearer token: {answer}"))
}

/// A policy `default/shop`: `/staff` is for staff, and everything else gets the access token.
fn policy(origin: &str, issuer: &str, spec: &str) -> String {
    format!(
        "apiVersion: vestibule.dev/v1alpha1
kind: BffProvider
metadata: {{name: corp}}
spec: {{issuer: \"{issuer}\", requestTimeout: 30s}}
---
apiVersion: vestibule.dev/v1alpha1
kind: BffPolicy
metadata: {{name: shop}}
spec:
  origins: [\"{origin}\"]
  providerRef: {{name: corp}}
  client: {{id: shop, secretRef: {{name: shop-oidc, key: client-secret}}}}
  login: {{par: Never}}
{spec}
  routes:
    - {{path: /staff, require: {{expression: 'claims.groups.exists(g, g == \"staff\")'}}}}
    - path: /
      upstream:
        authorization: AccessToken
        headers: [{{name: X-User, value: claims.sub}}]
"
    )
}
