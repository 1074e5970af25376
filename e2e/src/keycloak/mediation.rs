//! The realm of the tests of mediation (`mediation.json`): APIs whose scopes are asked for when they are
//! needed, a second factor by level of authentication, token exchange. One Keycloak serves a whole test
//! binary, since it takes long to start; each test has users of its own.

use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::Keycloak;
use crate::http::Request;
use crate::provider::CLIENT_SECRET;

static SHARED: OnceLock<Keycloak> = OnceLock::new();

/// Ends Keycloak, and takes its files away, once the process that wanted it is gone: statics are never
/// dropped.
const WATCH: &str = r#"
"$@" &
while kill -0 "$OWNER" 2>/dev/null && kill -0 $! 2>/dev/null; do sleep 1; done
rm -rf "$FOLDER"
kill -KILL 0
"#;

impl Keycloak {
    /// The one of this process, with the realm `mediation`. Its clients know every port of `localhost`.
    #[must_use]
    pub fn shared() -> &'static Self {
        SHARED.get_or_init(|| {
            let owner = std::process::id();
            let folder = std::env::temp_dir().join(format!("vestibule-keycloak-{owner}"));
            std::fs::create_dir_all(&folder).expect("a writable folder");
            let keycloak = Self::launch(&folder, "mediation", |kc| {
                let mut command = Command::new("sh");
                command.args(["-c", WATCH, "watch"]).arg(kc.get_program()).args(kc.get_args());
                command.env("OWNER", owner.to_string()).env("FOLDER", &folder);
                command
            });
            keycloak.make_mediation();
            keycloak
        })
    }

    fn make_mediation(&self) {
        let text = include_str!("mediation.json").replace("CLIENT_SECRET", CLIENT_SECRET);
        let parts: Value = serde_json::from_str(&text).expect("JSON");
        let admin = self.admin();
        admin.create("", &parts["realm"]);
        for scope in parts["clientScopes"].as_array().expect("a list") {
            let mut scope = scope.clone();
            scope["protocol"] = "openid-connect".into();
            scope["attributes"] = json!({"include.in.token.scope": "true"});
            admin.create("/mediation/client-scopes", &scope);
        }
        for client in parts["clients"].as_array().expect("a list") {
            admin.create("/mediation/clients", client);
        }
    }

    /// Adds a user whose password is the name; with `otp`, the secret of a second factor (TOTP).
    pub fn add_user(&self, name: &str, otp: Option<&str>) {
        let mut credentials = vec![json!({"type": "password", "value": name, "temporary": false})];
        if let Some(secret) = otp {
            let kind = json!({
                "subType": "totp", "digits": 6, "counter": 0, "period": 30, "algorithm": "HmacSHA1",
            });
            credentials.push(json!({
                "type": "otp",
                "secretData": json!({"value": secret}).to_string(),
                "credentialData": kind.to_string(),
            }));
        }
        let user = json!({
            "username": name,
            "enabled": true,
            "firstName": name,
            "lastName": "Example",
            "email": format!("{name}@example.test"),
            "emailVerified": true,
            "groups": ["staff"],
            "credentials": credentials,
        });
        self.admin().create(&format!("/{}/users", self.realm), &user);
    }

    /// Ends all sessions of a user here, as an administrator does.
    pub fn end_sessions_of(&self, user: &str) {
        let path = format!("/{}/users?exact=true&username={user}", self.realm);
        let admin = self.admin();
        let found = admin.ask("GET", &path, None).json();
        let id = found[0]["id"].as_str().unwrap_or_else(|| panic!("no user {user}: {found}"));
        let path = format!("/{}/users/{id}/logout", self.realm);
        let answer = admin.ask("POST", &path, None);
        assert_eq!(answer.status, 204, "{answer}");
    }

    /// What the token endpoint says to this form.
    #[must_use]
    pub fn token(&self, form: &[(&str, &str)]) -> Value {
        let body = Serializer::new(String::new()).extend_pairs(form).finish();
        let path = format!("/realms/{}/protocol/openid-connect/token", self.realm);
        Request::new("POST", path, &self.address.to_string()).form(body).send(self.address).json()
    }
}
