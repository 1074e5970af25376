//! OpenFGA with stores, models and tuples in its memory; it speaks AuthZEN as well.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::Request;
use crate::process::{Process, free_port, loopback};
use crate::tools::built;

/// The preshared key that it wants: looked for in logs, so it must be like nothing else.
pub const KEY: &str = "canary-openfga-key-3e8d41c07b92f65a";

/// A running OpenFGA.
#[derive(Debug)]
pub struct OpenFga {
    address: SocketAddr,
    process: Process,
}

impl OpenFga {
    /// Starts one with its log in `dir`.
    #[must_use]
    pub fn start(dir: &Path) -> Self {
        let (address, grpc) = (loopback(free_port()), loopback(free_port()));
        let program = built("openfga", "openfga/go.mod", "openfga/main.go");
        let mut command = Command::new(program);
        command.args(["run", "--datastore-engine", "memory", "--authn-method", "preshared"]);
        command.args(["--http-addr", &address.to_string(), "--grpc-addr", &grpc.to_string()]);
        command.args(["--playground-enabled=false", "--metrics-enabled=false"]);
        command.args(["--log-level", "warn", "--experimentals", "authzen"]);
        command.env("OPENFGA_AUTHN_PRESHARED_KEYS", KEY).current_dir(dir);
        let mut process = Process::spawn("openfga", &mut command, &dir.join("openfga.log"));
        process.wait_ready(Duration::from_mins(1), || {
            (Request::get("/healthz", "fga").try_send(address)?.status == 200).then_some(())
        });
        Self { address, process }
    }

    /// The URL of its HTTP API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A new store; its id.
    #[must_use]
    pub fn create_store(&self, name: &str) -> String {
        text(&self.post("/stores", &json!({"name": name})), "id")
    }

    /// A new model of a store; its id.
    #[must_use]
    pub fn write_model(&self, store: &str, model: &Value) -> String {
        let path = format!("/stores/{store}/authorization-models");
        text(&self.post(&path, model), "authorization_model_id")
    }

    /// The user has the relation to the object, each written as OpenFGA does.
    pub fn write(&self, store: &str, user: &str, relation: &str, object: &str) {
        self.change(store, "writes", [user, relation, object]);
    }

    /// The user does not have it any more.
    pub fn delete(&self, store: &str, user: &str, relation: &str, object: &str) {
        self.change(store, "deletes", [user, relation, object]);
    }

    fn change(&self, store: &str, how: &str, [user, relation, object]: [&str; 3]) {
        let key = json!({"user": user, "relation": relation, "object": object});
        self.post(&format!("/stores/{store}/write"), &json!({how: {"tuple_keys": [key]}}));
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let mut request = Request::new("POST", path, "fga")
            .header("Authorization", format!("Bearer {KEY}"))
            .header("Content-Type", "application/json");
        request.body = body.to_string().into_bytes();
        let answer = request.send(self.address);
        assert!(answer.status < 300, "{path}: {answer}\n{body:#}");
        answer.json()
    }

    /// Stops it in its tracks (`SIGSTOP`): connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.process.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process.signal("CONT");
    }

    /// Ends it, with all that it knew.
    pub fn stop(&mut self) {
        self.process.kill();
    }
}

fn text(answer: &Value, name: &str) -> String {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name}: {answer}")).to_owned()
}
