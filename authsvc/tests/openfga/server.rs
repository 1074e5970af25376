//! A real OpenFGA, started by a test, and its API as far as tests write by it.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use vestibule_policy::model::CompiledDecisionPoint;

/// Every server's key.
const KEY: &str = "canary-openfga-key-7d1f0b52";

/// A server on loopback ports, ended when dropped. What it knows is in its memory alone.
pub struct OpenFga {
    process: Child,
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
    _directory: TempDir,
}

/// A user has a relation to an object, each as OpenFGA writes it.
#[derive(Clone, Debug)]
pub struct Tuple {
    pub user: String,
    pub relation: String,
    pub object: String,
}

impl OpenFga {
    /// `None` where the program is not built and not required.
    pub async fn start() -> Option<Self> {
        let program = program();
        if !program.exists() {
            let required = std::env::var_os("VESTIBULE_REQUIRE_REAL").is_some();
            assert!(!required, "{} is missing: run e2e/setup.sh", program.display());
            eprintln!("SKIPPED: OpenFGA is not built; e2e/setup.sh builds it");
            return None;
        }
        // Another process may take a port between our asking and the server's binding.
        for _ in 0..5 {
            let mut server = Self::begin(&program);
            if server.is_serving().await {
                return Some(server);
            }
        }
        panic!("OpenFGA does not start");
    }

    fn begin(program: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (http, grpc) = (free_port(), free_port());
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let process = Command::new(program)
            .arg("run")
            .args(["--datastore-engine", "memory", "--authn-method", "preshared"])
            .args(["--http-addr", &format!("127.0.0.1:{http}")])
            .args(["--grpc-addr", &format!("127.0.0.1:{grpc}")])
            .args(["--playground-enabled=false", "--metrics-enabled=false"])
            .args(["--log-level", "warn", "--experimentals", "authzen"])
            .env("OPENFGA_AUTHN_PRESHARED_KEYS", KEY)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            process,
            url: format!("http://127.0.0.1:{http}"),
            client: Client::builder(TokioExecutor::new()).build_http(),
            _directory: directory,
        }
    }

    async fn is_serving(&mut self) -> bool {
        for _ in 0..1_500 {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            if matches!(self.call(Method::GET, "/healthz", None).await, Some((StatusCode::OK, _))) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// How it is reached, without a memory.
    pub fn decision_point(&self) -> CompiledDecisionPoint {
        CompiledDecisionPoint {
            url: self.url.clone(),
            token: Some(SecretString::from(KEY)),
            // It is plain HTTP. Without these, each client would read all the system's.
            ca_bundle: Some(include_str!("../login/tls/ca.pem").to_owned()),
            timeout: Duration::from_secs(10),
            cache_for: Duration::ZERO,
            allow_insecure: false,
        }
    }

    /// A new store; its id.
    pub async fn create_store(&self) -> String {
        let answer = self.post("/stores", &json!({"name": "test"})).await;
        answer["id"].as_str().unwrap().to_owned()
    }

    /// A new model of a store; its id, or what is said against it.
    pub async fn write_model(&self, store: &str, model: &Value) -> Result<String, String> {
        let path = format!("/stores/{store}/authorization-models");
        let (_, answer) = self.call(Method::POST, &path, Some(model)).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let id = answer["authorization_model_id"].as_str();
        id.map(str::to_owned).ok_or_else(|| answer.to_string())
    }

    pub async fn write(&self, store: &str, tuples: &[Tuple]) {
        self.change(store, "writes", tuples).await;
    }

    pub async fn delete(&self, store: &str, tuples: &[Tuple]) {
        self.change(store, "deletes", tuples).await;
    }

    async fn change(&self, store: &str, how: &str, tuples: &[Tuple]) {
        for some in tuples.chunks(100) {
            let key = |Tuple { user, relation, object }: &Tuple| json!({"user": user, "relation": relation, "object": object});
            let keys: Vec<Value> = some.iter().map(key).collect();
            self.post(&format!("/stores/{store}/write"), &json!({how: {"tuple_keys": keys}})).await;
        }
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(Method::POST, path, Some(body)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(status.is_success(), "{path}: {status} {answer}\n{body:#}");
        serde_json::from_str(&answer).unwrap()
    }

    /// `None` where it does not answer.
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Option<(StatusCode, Bytes)> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {KEY}"))
            .body(Full::from(body))
            .unwrap();
        let response = self.client.request(request).await.ok()?;
        let status = response.status();
        Some((status, response.into_body().collect().await.ok()?.to_bytes()))
    }

    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let status = Command::new("kill").args([format!("-{name}"), pid]).status();
        assert!(status.unwrap().success());
    }

    pub fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for OpenFga {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where `e2e/setup.sh` puts the program: it is keyed by what it is made of.
fn program() -> PathBuf {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e/openfga");
    let mut hash = Context::new(&SHA256);
    for file in ["go.mod", "main.go"] {
        hash.update(&std::fs::read(module.join(file)).unwrap());
    }
    let mut key = String::new();
    for byte in hash.finish().as_ref() {
        write!(key, "{byte:02x}").unwrap();
    }
    let cache = std::env::var_os("VESTIBULE_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/vestibule"),
        PathBuf::from,
    );
    cache.join("tools").join(format!("openfga-{key}/openfga"))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
