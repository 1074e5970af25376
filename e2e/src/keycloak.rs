//! Keycloak, with a realm made by its own admin API, so that several may run from one installation.

mod mediation;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{Request, Response};
use crate::process::{Process, free_port, loopback};
use crate::provider::CLIENT_SECRET;
use crate::tools::{cached, version};

/// A running Keycloak.
#[derive(Debug)]
pub struct Keycloak {
    /// The realm's issuer identifier.
    pub issuer: String,
    address: SocketAddr,
    realm: &'static str,
    process: Process,
}

impl Keycloak {
    /// Starts one with the realm `shop`, whose client `shop` knows this origin, and whose user is
    /// alice / alice.
    #[must_use]
    pub fn start(dir: &Path, origin: &str) -> Self {
        let keycloak = Self::launch(dir, "shop", |kc| kc);
        keycloak.admin().create("", &realm(origin));
        keycloak
    }

    /// Starts one without the realm; `wrap` makes what is run of the command that runs it.
    fn launch(dir: &Path, realm: &'static str, wrap: impl FnOnce(Command) -> Command) -> Self {
        let (port, management) = (free_port(), free_port());
        let home = cached(&format!("keycloak-{}", version("KEYCLOAK_VERSION")));
        let mut command = Command::new(home.join("bin/kc.sh"));
        command.args(["start", "--optimized", "--http-enabled=true", "--hostname-strict=false"]);
        command.args([
            "--http-host=127.0.0.1",
            "--http-management-host=127.0.0.1",
            "--cache=local",
        ]);
        command.arg(format!("--http-port={port}"));
        command.arg(format!("--http-management-port={management}"));
        let mut command = wrap(command);
        command.env("KC_BOOTSTRAP_ADMIN_USERNAME", "admin");
        command.env("KC_BOOTSTRAP_ADMIN_PASSWORD", "admin");
        command.env("JAVA_OPTS_KC_HEAP", "-Xms128m -Xmx768m");
        let mut process = Process::spawn("keycloak", &mut command, &dir.join("keycloak.log"));
        process.wait_ready(Duration::from_mins(3), || {
            let answer =
                Request::get("/health/ready", "localhost").try_send(loopback(management))?;
            (answer.status == 200).then_some(())
        });
        let issuer = format!("http://127.0.0.1:{port}/realms/{realm}");
        Self { issuer, address: loopback(port), realm, process }
    }

    /// Its admin API, for a minute.
    fn admin(&self) -> Admin<'_> {
        let host = self.address.to_string();
        let token = Request::new("POST", "/realms/master/protocol/openid-connect/token", &host)
            .form("grant_type=password&client_id=admin-cli&username=admin&password=admin")
            .send(self.address);
        let token = token.json()["access_token"].as_str().expect("an admin token").to_owned();
        Admin { keycloak: self, host, token }
    }
}

/// An administrator.
struct Admin<'a> {
    keycloak: &'a Keycloak,
    host: String,
    token: String,
}

impl Admin<'_> {
    /// Creates something, below the realms.
    fn create(&self, path: &str, what: &Value) {
        let answer = self.ask("POST", path, Some(what));
        assert_eq!(answer.status, 201, "{path}: {answer}\n{}", self.keycloak.process.log());
    }

    /// Asks for something, below the realms.
    fn ask(&self, method: &str, path: &str, what: Option<&Value>) -> Response {
        let mut request = Request::new(method, format!("/admin/realms{path}"), &self.host)
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", "application/json");
        request.body = what.map(|what| what.to_string().into_bytes()).unwrap_or_default();
        request.send(self.keycloak.address)
    }
}

fn realm(origin: &str) -> Value {
    json!({
        "realm": "shop",
        "enabled": true,
        "sslRequired": "none",
        "groups": [{"name": "staff"}],
        "clients": [{
            "clientId": "shop",
            "secret": CLIENT_SECRET,
            "redirectUris": [format!("{origin}/bff/callback")],
            "attributes": {
                "post.logout.redirect.uris": format!("{origin}/bff/signed-out"),
                "pkce.code.challenge.method": "S256",
            },
            "protocolMappers": [{
                "name": "groups",
                "protocol": "openid-connect",
                "protocolMapper": "oidc-group-membership-mapper",
                "config": {"claim.name": "groups", "full.path": "false", "id.token.claim": "true"},
            }],
        }],
        "users": [{
            "username": "alice",
            "enabled": true,
            "firstName": "Alice",
            "lastName": "Example",
            "email": "alice@example.test",
            "emailVerified": true,
            "groups": ["staff"],
            "credentials": [{"type": "password", "value": "alice", "temporary": false}],
        }],
    })
}
