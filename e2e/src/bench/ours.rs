//! authsvc as a contender: sessions by real logins, kept in memory or in Redis, and what gateways ask.

use std::path::Path;

use super::contender::{Contender, Running};
use super::lab::{Lab, as_navigation, as_script, log_in, users};
use super::machine::version_of;
use super::results::Group;
use crate::authsvc::{Authsvc, Settings};
use crate::load::Ask;
use crate::provider::CLIENT_SECRET;

/// All of them, each asked straight at the check port.
pub const CONTENDERS: &[Contender] = &[
    Contender {
        name: "ours-warm-redis",
        title: "allow, session of Redis kept in memory",
        note: "no round trip",
        group: Group::Vestibule,
        without: None,
        start: |lab| on_redis(lab, 0),
    },
    Contender {
        name: "ours-warm-memory",
        title: "allow, session of the memory store",
        note: "one replica, no Redis",
        group: Group::Vestibule,
        without: None,
        start: in_memory,
    },
    Contender {
        name: "ours-cold-redis",
        title: "allow, session read from Redis",
        note: "one round trip; Redis is on the other core",
        group: Group::Vestibule,
        without: None,
        start: |lab| on_redis(lab, 1),
    },
    Contender {
        name: "ours-denial-redis",
        title: "denial: no session, 401",
        note: "",
        group: Group::Vestibule,
        without: None,
        start: |lab| {
            let ours = &lab.on_redis()[0];
            ours.running(vec![as_script(ours.nginx(API), &ours.origin)], 401)
        },
    },
    Contender {
        name: "ours-redirect-redis",
        title: "redirect to the login: no session, 302",
        note: "as Traefik asks",
        group: Group::Vestibule,
        without: None,
        start: |lab| {
            let ours = &lab.on_redis()[0];
            ours.running(vec![as_navigation(ours.traefik("/page/home"))], 302)
        },
    },
    Contender {
        name: "ours-public-redis",
        title: "allow, public route",
        note: "no session is looked for",
        group: Group::Vestibule,
        without: None,
        start: |lab| {
            let ours = &lab.on_redis()[0];
            ours.running(vec![as_script(ours.nginx("/public/logo.svg"), &ours.origin)], 200)
        },
    },
];

/// What an app asks of itself.
pub const API: &str = "/api/items?page=2";

/// The routes of the policy: a public one, and one for the signed in whose app gets token and name.
const ROUTES: &str = "
    - {path: /public, access: Public}
    - path: /
      upstream:
        authorization: AccessToken
        headers: [{name: X-User, value: claims.sub}, {name: X-Groups, value: claims.groups}]
";

/// A running authsvc with the policy `default/shop`.
#[derive(Debug)]
pub struct Ours {
    /// The app's public origin.
    pub origin: String,
    /// The program.
    pub authsvc: Authsvc,
    /// The session cookies of all [`users`], as `name=value`; empty until [`Ours::log_in_all`].
    pub cookies: Vec<String>,
}

impl Ours {
    /// Starts one on the server's core, for an origin of the lab, with further arguments.
    #[must_use]
    pub fn start(lab: &Lab, dir: &Path, origin: &str, store: &str, arguments: &[&str]) -> Self {
        let settings = Settings {
            store: store.to_owned(),
            policies: policy(origin, &lab.provider.issuer),
            log: "warn".to_owned(),
            secrets: vec![("default/shop-oidc/client-secret".into(), CLIENT_SECRET.into())],
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
            environment: Vec::new(),
        };
        let authsvc = lab.on_server(|| Authsvc::start(dir, &settings));
        Self { origin: origin.to_owned(), authsvc, cookies: Vec::new() }
    }

    /// Two replicas on the lab's Redis, the second without sessions in memory.
    #[must_use]
    pub fn start_two(lab: &Lab) -> [Self; 2] {
        let (origin, store) = (lab.origin(), lab.redis().url());
        let start =
            |name, arguments: &[&str]| Self::start(lab, &lab.dir(name), &origin, &store, arguments);
        let mut warm = start("ours-warm-redis", &[]);
        warm.log_in_all();
        [warm, start("ours-cold-redis", &["--session-cache-bytes", "0"])]
    }

    /// Logs all users in, at the browser port.
    pub fn log_in_all(&mut self) {
        let cookie = |user: String| {
            let at = self.authsvc.browser;
            let browser = log_in(&self.origin, at, "/bff/login?rd=%2F", &user);
            let value = browser.cookie("__Host-bff").expect("a session");
            format!("__Host-bff={value}")
        };
        self.cookies = users().map(cookie).collect();
    }

    /// What nginx asks about a GET of `path`.
    #[must_use]
    pub fn nginx(&self, path: &str) -> Ask {
        Ask::get("/check/nginx/default/shop", "vestibule_check")
            .header("X-Original-URL", &format!("{}{path}", self.origin))
            .header("X-Original-Method", "GET")
    }

    /// What Traefik asks about it.
    #[must_use]
    pub fn traefik(&self, path: &str) -> Ask {
        let host = self.origin.split("://").nth(1).unwrap_or_default();
        Ask::get("/check/traefik/default/shop", "vestibule")
            .header("X-Forwarded-For", "192.0.2.7")
            .header("X-Forwarded-Method", "GET")
            .header("X-Forwarded-Proto", "http")
            .header("X-Forwarded-Host", host)
            .header("X-Forwarded-Uri", path)
    }

    /// Checks that these sessions allow.
    fn allowed(&self, cookies: &[String]) -> Running {
        let ask =
            |cookie: &String| as_script(self.nginx(API), &self.origin).header("Cookie", cookie);
        self.running(cookies.iter().map(ask).collect(), 200)
    }

    /// As a contender that is asked at the check port; what lives on in the lab.
    fn running(&self, asks: Vec<Ask>, expected: u16) -> Running {
        Running {
            addr: self.authsvc.check,
            asks,
            expected,
            pids: vec![self.authsvc.id()],
            beside: Vec::new(),
            versions: Vec::new(),
            kept: Box::new(()),
        }
    }
}

/// Checks that are allowed, by one of the replicas of [`Lab::on_redis`]; they have the same sessions.
fn on_redis(lab: &Lab, replica: usize) -> Running {
    let replicas = lab.on_redis();
    Running {
        beside: vec![lab.redis().id()],
        versions: vec![("redis", version_of("redis-server", "--version"))],
        ..replicas[replica].allowed(&replicas[0].cookies)
    }
}

fn in_memory(lab: &Lab) -> Running {
    let name = "ours-warm-memory";
    let mut ours = Ours::start(lab, &lab.dir(name), &lab.origin(), "memory", &[]);
    ours.log_in_all();
    let running = ours.allowed(&ours.cookies);
    Running { kept: Box::new(ours), ..running }
}

/// Logins are not pushed to the provider: how many may begin would say how quick that is.
fn policy(origin: &str, issuer: &str) -> String {
    format!(
        "apiVersion: vestibule.dev/v1alpha1
kind: BffProvider
metadata: {{name: corp}}
spec: {{issuer: \"{issuer}\"}}
---
apiVersion: vestibule.dev/v1alpha1
kind: BffPolicy
metadata: {{name: shop}}
spec:
  origins: [\"{origin}\"]
  providerRef: {{name: corp}}
  client: {{id: shop, secretRef: {{name: shop-oidc, key: client-secret}}}}
  login: {{par: Never}}
  routes:{ROUTES}"
    )
}
