//! The certified provider: oidc-provider on Node, see `e2e/node/provider.mjs`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::http::{Request, Response};
use crate::process::{Process, free_port, loopback};
use crate::tools::e2e_dir;

/// The client secret that tests use: looked for in logs, so it must be like nothing else.
pub const CLIENT_SECRET: &str = "canary-client-secret-5f2c9d0e7b41a683";

/// A running provider.
#[derive(Debug)]
pub struct Provider {
    /// Its issuer identifier.
    pub issuer: String,
    control: SocketAddr,
    authorization: &'static str,
    process: Process,
}

impl Provider {
    /// Starts one that knows the clients `shop`, `shop-post` and, with `client_jwks`, `shop-jwt`,
    /// at these origins. Users are `alice` (of the group staff), `bob` (guests) and any other name.
    #[must_use]
    pub fn start(dir: &Path, origins: &[&str], client_jwks: Option<Value>) -> Self {
        Self::start_at("127.0.0.1", dir, origins, client_jwks)
    }

    /// Starts one at another address of this machine, such as one that pods reach too.
    #[must_use]
    pub fn start_at(host: &str, dir: &Path, origins: &[&str], client_jwks: Option<Value>) -> Self {
        let more = client_jwks.map_or_else(|| json!({}), |jwks| json!({"clientJwks": jwks}));
        Self::launch(host, dir, origins, &more)
    }

    /// Starts one whose issuer and endpoints are as Auth0 has them. It knows the public client `spa`
    /// as well: an app at `/public/app` of these origins, which logs in by itself.
    #[must_use]
    pub fn start_as_auth0(dir: &Path, origins: &[&str]) -> Self {
        Self::launch("127.0.0.1", dir, origins, &json!({"auth0": true, "apps": origins}))
    }

    fn launch(host: &str, dir: &Path, origins: &[&str], more: &Value) -> Self {
        let (port, control) = (free_port(), free_port());
        let urls = |path: &str| origins.iter().map(|o| format!("{o}{path}")).collect::<Vec<_>>();
        let mut config = json!({
            "host": host,
            "port": port,
            "controlPort": control,
            "clientSecret": CLIENT_SECRET,
            "redirectUris": urls("/bff/callback"),
            "postLogoutRedirectUris":
                ([urls("/bff/signed-out"), urls("/page/goodbye"), urls("/")].concat()),
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            config[name] = value.clone();
        }
        let path = dir.join("provider.json");
        std::fs::write(&path, config.to_string()).expect("a writable folder");
        let mut command = Command::new("node");
        command.arg(e2e_dir().join("node/provider.mjs")).arg(path);
        let mut process = Process::spawn("oidc-provider", &mut command, &dir.join("provider.log"));
        process.wait_ready(Duration::from_mins(1), || {
            Request::get("/", "c").try_send(loopback(control))
        });
        let auth0 = config["auth0"] == true;
        Self {
            issuer: format!("http://{host}:{port}{}", if auth0 { "/" } else { "" }),
            control: loopback(control),
            authorization: if auth0 { "/authorize" } else { "/auth" },
            process,
        }
    }

    /// Its process, to be kept by another.
    #[must_use]
    pub fn into_process(self) -> Process {
        self.process
    }

    /// What it printed.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// How often it was asked at `path`.
    #[must_use]
    pub fn count(&self, path: &str) -> u64 {
        self.state()["counts"][path].as_u64().unwrap_or(0)
    }

    /// How many authorization requests it got.
    #[must_use]
    pub fn authorization_requests(&self) -> u64 {
        self.count(self.authorization)
    }

    /// All that it counts and is set to, as `e2e/node/provider.mjs` has it.
    #[must_use]
    pub fn state(&self) -> Value {
        Request::get("/", "control").send(self.control).json()
    }

    /// How many refresh tokens it took (`granted`) or did not take (`refused`).
    #[must_use]
    pub fn redeemed(&self, outcome: &str) -> u64 {
        self.state()["grants"][format!("refresh_token {outcome}")].as_u64().unwrap_or(0)
    }

    /// The tokens that it gave, in the order in which it did; kept with `{"keepIssued": true}`.
    #[must_use]
    pub fn issued(&self, kind: &str) -> Vec<String> {
        let state = self.state();
        let issued = state["issued"].as_array().expect("a list");
        issued.iter().filter_map(|tokens| tokens[kind].as_str().map(str::to_owned)).collect()
    }

    /// Ends everything that this account ever granted any client, with the tokens that came of it.
    pub fn revoke_all_of(&self, account: &str) {
        self.set(&json!({"revoke": {"account": account}}));
    }

    /// Revokes a refresh token of the client `shop`, and all that came of the same login.
    pub fn revoke(&self, refresh_token: &str) {
        let _ = self.ask_about("/token/revocation", refresh_token);
    }

    /// Whether a token of the client `shop` is good still.
    #[must_use]
    pub fn is_active(&self, token: &str) -> bool {
        self.ask_about("/token/introspection", token).json()["active"] == true
    }

    fn ask_about(&self, path: &str, token: &str) -> Response {
        let client = STANDARD.encode(format!("shop:{CLIENT_SECRET}"));
        let host = self.issuer.trim_start_matches("http://").trim_end_matches('/');
        let address = host.parse().expect("an address");
        let answer = Request::new("POST", path, "provider")
            .header("Authorization", format!("Basic {client}"))
            .form(format!("token={token}"))
            .send(address);
        assert_eq!(answer.status, 200, "{answer}");
        answer
    }

    /// Changes its behaviour: `{"rotate": true}`, `{"fail": {"/token": 500}}`,
    /// `{"delay": {"/token": 2000}}`, `{"delayAfter": {"/token": 2000}}`, `{"par": false}`,
    /// `{"claims": {"alice": {…}}}`, `{"refreshTokens": true, "accessTokenTtl": 2,
    /// "reuseWindow": 60}`, `{"counts": {}}`, `{"backChannelLogoutUri": "http://…"}`,
    /// `{"consentFor": ["production:write"], "refuse": ["warehouse:read"]}`,
    /// `{"refuseExchange": "invalid_target"}`.
    pub fn set(&self, change: &Value) {
        let mut request = Request::new("POST", "/", "control");
        request.body = change.to_string().into_bytes();
        assert_eq!(request.send(self.control).status, 200);
    }
}
