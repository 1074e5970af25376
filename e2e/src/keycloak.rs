//! Keycloak, with a realm made by its own admin API, so that several may run from one installation.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::Request;
use crate::process::{Process, free_port, loopback};
use crate::provider::CLIENT_SECRET;
use crate::tools::{cached, version};

/// A running Keycloak with the realm `shop`.
#[derive(Debug)]
pub struct Keycloak {
    /// The realm's issuer identifier.
    pub issuer: String,
    process: Process,
}

impl Keycloak {
    /// Starts one whose client `shop` knows this origin, and whose user is alice / alice.
    #[must_use]
    pub fn start(dir: &Path, origin: &str) -> Self {
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
        command.env("KC_BOOTSTRAP_ADMIN_USERNAME", "admin");
        command.env("KC_BOOTSTRAP_ADMIN_PASSWORD", "admin");
        command.env("JAVA_OPTS_KC_HEAP", "-Xms128m -Xmx768m");
        let mut process = Process::spawn("keycloak", &mut command, &dir.join("keycloak.log"));
        process.wait_ready(Duration::from_mins(3), || {
            let answer =
                Request::get("/health/ready", "localhost").try_send(loopback(management))?;
            (answer.status == 200).then_some(())
        });
        let base = format!("127.0.0.1:{port}");
        let keycloak = Self { issuer: format!("http://{base}/realms/shop"), process };
        keycloak.make_realm(&base, origin);
        keycloak
    }

    fn make_realm(&self, base: &str, origin: &str) {
        let address = base.parse().expect("an address");
        let token = Request::new("POST", "/realms/master/protocol/openid-connect/token", base)
            .form("grant_type=password&client_id=admin-cli&username=admin&password=admin")
            .send(address);
        let token = token.json()["access_token"].as_str().expect("an admin token").to_owned();
        let mut request = Request::new("POST", "/admin/realms", base)
            .header("Authorization", format!("Bearer {token}"))
            .header("Content-Type", "application/json");
        request.body = realm(origin).to_string().into_bytes();
        let answer = request.send(address);
        assert_eq!(answer.status, 201, "{answer}\n{}", self.process.log());
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
