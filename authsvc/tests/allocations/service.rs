//! The service as its program starts it, with a user who has logged in.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use url::Url;
use vestibule_authsvc::clock::{Clock as _, SystemClock};
use vestibule_authsvc::server::{Running, start};
use vestibule_authsvc::settings::Settings;

use crate::idp::FakeIdp;
use crate::wire::{Connection, request};

/// The address of a check.
pub const ADDRESS: &str = "/check/nginx/default/shop";

const HOST: &str = "shop.example.com";
const NAVIGATION: [(&str, &str); 4] = [
    ("host", HOST),
    ("sec-fetch-site", "none"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
];

pub struct Service {
    pub check_addr: SocketAddr,
    session: String,
    _running: Running,
    _folder: TempDir,
}

impl Service {
    pub fn start(runtime: &Runtime) -> Self {
        let idp = runtime.block_on(FakeIdp::start());
        let folder = folder(&idp.issuer);
        let settings = Settings {
            secrets: Some(folder.path().join("secrets")),
            ..Settings::embedded(folder.path().join("policies"))
        };
        let running = runtime.block_on(async {
            let running = start(settings).await.unwrap();
            let ready = async {
                while !running.is_ready() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), ready).await.unwrap();
            running
        });
        let session = log_in(running.browser_addr, &idp);
        Self { check_addr: running.check_addr, session, _running: running, _folder: folder }
    }

    /// A check by nginx of a page of the app, with the session or without.
    pub fn ask(&self, with_session: bool) -> Vec<u8> {
        let cookie =
            if with_session { &format!("theme=dark; {}", self.session) } else { "theme=dark" };
        let headers = [
            ("host", "authsvc"),
            ("x-original-url", "https://shop.example.com/orders?page=2"),
            ("x-original-method", "GET"),
            ("cookie", cookie),
            ("accept", "application/json"),
            (
                "user-agent",
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            ),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-mode", "cors"),
            ("sec-fetch-dest", "empty"),
        ];
        request(ADDRESS, &headers)
    }
}

fn folder(issuer: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (policies, secrets) =
        (folder.path().join("policies"), folder.path().join("secrets/default/shop-oidc"));
    fs::create_dir_all(&policies).unwrap();
    fs::create_dir_all(&secrets).unwrap();
    fs::write(secrets.join("client-secret"), "canary-client-secret").unwrap();
    let policy = format!(
        "apiVersion: vestibule.dev/v1alpha1
kind: BffProvider
metadata: {{name: corp}}
spec: {{issuer: {issuer}}}
---
apiVersion: vestibule.dev/v1alpha1
kind: BffPolicy
metadata: {{name: shop}}
spec:
  origins: [https://{HOST}]
  providerRef: {{name: corp}}
  client: {{id: shop, secretRef: {{name: shop-oidc, key: client-secret}}}}
  routes:
    - {{path: /static, access: Public}}
    - path: /
      upstream: {{authorization: AccessToken, headers: [{{name: X-User, value: claims.sub}}]}}
"
    );
    fs::write(policies.join("shop.yaml"), policy).unwrap();
    folder
}

/// Logs in as a browser does, and gives the session's cookie.
fn log_in(browser_addr: SocketAddr, idp: &FakeIdp) -> String {
    let mut connection = Connection::open(browser_addr);
    let begun = connection.head(&request("/bff/login?rd=%2F", &NAVIGATION));
    let login_cookie = cookie(begun, "__Host-bff-login-");
    let location = Url::parse(field(begun, "location")).unwrap();
    let of = |name| location.query_pairs().find(|(n, _)| n == name).unwrap().1;
    let (state, nonce) = (of("state"), of("nonce"));
    idp.grant("code-1", &idp.id_token(&nonce, SystemClock.now().0, |_| {}));
    let mut headers = NAVIGATION.to_vec();
    headers.push(("cookie", &login_cookie));
    let target = format!("/bff/callback?code=code-1&state={state}");
    let mut connection = Connection::open(browser_addr);
    cookie(connection.head(&request(&target, &headers)), "__Host-bff=")
}

/// The value of a header.
fn field<'a>(head: &'a str, name: &str) -> &'a str {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(n, _)| *n == name).unwrap_or_else(|| panic!("{head}")).1
}

/// The cookie that is set whose text begins so, as `name=value`.
fn cookie(head: &str, begins: &str) -> String {
    let set = head.lines().filter_map(|line| line.strip_prefix("set-cookie: "));
    let mut ours = set.filter(|cookie| cookie.starts_with(begins));
    let cookie = ours.next().unwrap_or_else(|| panic!("{head}"));
    cookie.split(';').next().unwrap().to_owned()
}
