//! The Redis store against a real server, with outages. Needs `redis-server` (and for TLS `openssl`)
//! in `PATH`; without them the tests say so and pass, unless `VESTIBULE_REQUIRE_REAL` is set.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "../src/session/store_contract.rs"]
mod store_contract;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use vestibule_authsvc::clock::SystemClock;
use vestibule_authsvc::random::SystemRandom;
use vestibule_authsvc::session::redis::RedisStore;
use vestibule_authsvc::session::store::{SessionStore as _, StoreError};
use vestibule_authsvc::session::{Purpose, SecretId, StoreKey, store};

const LONG: Duration = Duration::from_hours(1);
/// What an outage may take to be answered, and to be over after the server's return.
const BOUND: Duration = Duration::from_secs(2);
/// Set in the process that the TLS test runs itself in again, with its own certificate authority.
const TLS_URL: &str = "VESTIBULE_TEST_TLS_URL";

/// A server on a loopback port, ended when dropped.
struct Server {
    process: Child,
    port: u16,
    directory: TempDir,
    arguments: Vec<String>,
}

impl Server {
    /// `None` where there is no `redis-server` and none is required.
    async fn start(arguments: &[&str]) -> Option<Self> {
        let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
        // Another process may take the port between our asking and the server's binding.
        for _ in 0..5 {
            let directory = tempfile::tempdir().expect("a directory");
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let port = listener.local_addr().expect("an address").port();
            drop(listener);
            let Some(process) = spawn(port, directory.path(), &arguments) else {
                skip("redis-server");
                return None;
            };
            let mut server = Self { process, port, directory, arguments: arguments.clone() };
            if server.is_listening().await {
                return Some(server);
            }
        }
        panic!("redis-server does not start");
    }

    fn url(&self) -> String {
        format!("redis://:hunter2%40%2F@127.0.0.1:{}/1", self.port)
    }

    fn store(&self) -> RedisStore {
        RedisStore::new(&self.url(), Arc::new(SystemClock)).expect("the URL is good")
    }

    /// Whether it came up, and is not another's server on our port.
    async fn is_listening(&mut self) -> bool {
        for _ in 0..500 {
            if self.process.try_wait().expect("the process is ours").is_some() {
                return false;
            }
            if std::fs::read_to_string(self.directory.path().join("log"))
                .is_ok_and(|log| log.contains("Ready to accept connections"))
            {
                return true;
            }
            sleep(Duration::from_millis(10)).await;
        }
        false
    }

    fn stop(&mut self) {
        self.process.kill().expect("the process is ours");
        self.process.wait().expect("the process ends");
        std::fs::remove_file(self.directory.path().join("log")).expect("there is a log");
    }

    async fn start_again(&mut self) {
        let directory = self.directory.path();
        self.process = spawn(self.port, directory, &self.arguments).expect("it started before");
        assert!(self.is_listening().await, "redis-server does not start again");
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let status = Command::new("kill").args([name, &pid]).status();
        assert!(status.expect("kill runs").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(port: u16, directory: &Path, arguments: &[String]) -> Option<Child> {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--logfile", "log", "--requirepass", "hunter2@/"])
        .args(["--port", &port.to_string()])
        .args(arguments.iter().map(|argument| argument.replace("PORT", &port.to_string())))
        .arg("--dir")
        .arg(directory)
        .stdout(Stdio::null())
        .spawn()
        .ok()
}

fn skip(missing: &str) {
    let required = std::env::var_os("VESTIBULE_REQUIRE_REAL").is_some();
    assert!(!required, "{missing} is not in PATH, and VESTIBULE_REQUIRE_REAL is set");
    eprintln!("SKIPPED: {missing} is not in PATH");
}

fn fresh() -> StoreKey {
    SecretId::generate(&SystemRandom).store_key(Purpose::Session, "default/shop")
}

/// The answer, which must come within the bound, error or not.
async fn bounded<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(BOUND, call).await.expect("the store answers within two seconds")
}

/// Calls until there is no error, as requests would; panics after the bound.
async fn recovered(store: &RedisStore, key: &StoreKey) -> Option<Vec<u8>> {
    let until_good = async {
        loop {
            match store.load(key).await {
                Ok(record) => return record.map(|record| record.value),
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    };
    timeout(BOUND, until_good).await.expect("the store is back within two seconds")
}

#[tokio::test]
async fn keeps_replaces_and_deletes_records() {
    let Some(server) = Server::start(&[]).await else { return };
    store_contract::keeps_replaces_and_deletes_records(&server.store(), fresh).await;
}

#[tokio::test]
async fn records_end_with_their_time() {
    let Some(server) = Server::start(&[]).await else { return };
    let pass = async || sleep(Duration::from_millis(10)).await;
    store_contract::records_end_with_their_time(&server.store(), fresh, pass).await;
}

#[tokio::test]
async fn a_store_that_is_down_at_the_start_is_used_once_it_is_up() {
    let Some(mut server) = Server::start(&[]).await else { return };
    server.stop();
    let (store, key) = (server.store(), fresh());
    for _ in 0..3 {
        let error = bounded(store.load(&key)).await.expect_err("there is no server");
        assert!(!error.to_string().contains("hunter2"), "{error} shows the password");
    }
    server.start_again().await;
    assert_eq!(recovered(&store, &key).await, None);
    bounded(store.create(&key, b"up".to_vec(), LONG)).await.expect("creates");
}

#[tokio::test]
async fn an_outage_is_an_error_within_two_seconds_and_over_two_seconds_after_it() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let (store, key) = (server.store(), fresh());
    bounded(store.create(&key, b"before".to_vec(), LONG)).await.expect("creates");
    server.stop();
    for _ in 0..3 {
        bounded(store.load(&key)).await.expect_err("there is no server");
        bounded(store.take(&key)).await.expect_err("there is no server");
        bounded(store.replace_if_version(&key, 1, vec![1], LONG)).await.expect_err("no server");
    }
    server.start_again().await;
    assert_eq!(recovered(&store, &key).await, None, "it kept nothing on disk");
}

#[tokio::test]
async fn a_connection_that_died_unused_is_noticed_by_no_caller() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let (store, key) = (server.store(), fresh());
    for _ in 0..3 {
        bounded(store.create(&key, b"kept".to_vec(), LONG)).await.expect("creates");
        server.stop();
        server.start_again().await;
    }
    assert!(bounded(store.load(&key)).await.expect("loads").is_none());
}

#[tokio::test]
async fn a_server_that_hangs_is_an_error_and_its_records_are_there_afterwards() {
    let Some(server) = Server::start(&[]).await else { return };
    let (store, key) = (server.store(), fresh());
    bounded(store.create(&key, b"kept".to_vec(), LONG)).await.expect("creates");
    server.signal("-STOP");
    for _ in 0..3 {
        bounded(store.load(&key)).await.expect_err("the server hangs");
    }
    server.signal("-CONT");
    assert_eq!(recovered(&store, &key).await.as_deref(), Some(b"kept".as_slice()));
}

#[tokio::test]
async fn a_wrong_password_is_an_error_that_does_not_show_it() {
    let Some(server) = Server::start(&[]).await else { return };
    let url = server.url().replace("hunter2", "hunter3");
    let store = RedisStore::new(&url, Arc::new(SystemClock)).expect("the URL is good");
    let error = bounded(store.load(&fresh())).await.expect_err("the password is wrong");
    assert!(!error.to_string().contains("hunter"), "{error} shows the password");
}

#[tokio::test]
async fn a_server_without_room_is_an_error_and_still_reads() {
    let Some(server) = Server::start(&["--maxmemory", "4mb"]).await else { return };
    let (store, key) = (server.store(), fresh());
    bounded(store.create(&key, b"kept".to_vec(), LONG)).await.expect("creates");
    let mut refused = None;
    for _ in 0..100 {
        refused = bounded(store.create(&fresh(), vec![7; 100_000], LONG)).await.err();
        if refused.is_some() {
            break;
        }
    }
    let error = refused.expect("the server is full").to_string();
    assert!(error.contains("OOM"), "{error} does not say what is wrong");
    assert!(bounded(store.load(&key)).await.expect("loads").is_some());
}

/// What a server's user for us must be allowed; `GETRANGE` within the script, `SELECT` for a database
/// other than 0.
const COMMANDS: [&str; 7] = ["set", "get", "getdel", "del", "eval", "getrange", "select"];

/// A server with one user, who may run these commands on our keys and nothing else.
async fn server_with_user(commands: &[&str]) -> Option<(Server, RedisStore)> {
    let allowed: Vec<String> = commands.iter().map(|command| format!("+{command}")).collect();
    let mut arguments = vec!["--user", "vestibule", "on", ">hunter4", "~vestibule:*"];
    arguments.extend(allowed.iter().map(String::as_str));
    let server = Server::start(&arguments).await?;
    let url = format!("redis://vestibule:hunter4@127.0.0.1:{}/3", server.port);
    let store = RedisStore::new(&url, Arc::new(SystemClock)).expect("the URL is good");
    Some((server, store))
}

/// Everything that a store does, and that it does not say no to.
async fn use_all(store: &RedisStore) -> Result<(), StoreError> {
    let key = fresh();
    bounded(store.create(&key, b"first".to_vec(), LONG)).await?;
    bounded(store.load(&key)).await?;
    bounded(store.replace_if_version(&key, 1, b"second".to_vec(), LONG)).await?;
    bounded(store.take(&key)).await?;
    bounded(store.delete(&key)).await.map(|_| ())
}

#[tokio::test]
async fn a_user_of_just_our_commands_and_keys_suffices_in_any_database() {
    let Some((server, store)) = server_with_user(&COMMANDS).await else { return };
    store_contract::keeps_replaces_and_deletes_records(&store, fresh).await;
    let key = fresh();
    bounded(store.create(&key, b"third".to_vec(), LONG)).await.expect("creates");
    let elsewhere = bounded(server.store().load(&key)).await.expect("loads");
    assert_eq!(elsewhere, None, "database 1 does not have what database 3 has");
}

#[tokio::test]
async fn a_user_who_lacks_one_of_our_commands_gets_an_error_that_names_the_kind() {
    for missing in COMMANDS {
        let others: Vec<&str> = COMMANDS.into_iter().filter(|other| *other != missing).collect();
        let Some((_server, store)) = server_with_user(&others).await else { return };
        let error = use_all(&store).await.expect_err(missing).to_string();
        // Within a script, and while connecting, the kind is no more than an error.
        let code = if matches!(missing, "getrange" | "select") { "ERR" } else { "NOPERM" };
        assert!(error.contains(&format!("answered {code}")), "{missing}: {error}");
        assert!(!error.contains("hunter4"), "{error} shows the password");
    }
}

#[tokio::test]
async fn rediss_trusts_the_systems_authorities_only() {
    if let Ok(url) = std::env::var(TLS_URL) {
        let store = RedisStore::new(&url, Arc::new(SystemClock)).expect("the URL is good");
        store_contract::keeps_replaces_and_deletes_records(&store, fresh).await;
        return;
    }
    let certificates = tempfile::tempdir().expect("a directory");
    let path = |name: &str| certificates.path().join(name).display().to_string();
    let (key, certificate) = (path("key.pem"), path("cert.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=store", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-days", "2"])
        .args(["-keyout", &key, "-out", &certificate])
        .stderr(Stdio::null())
        .status();
    let Ok(made) = made else { return skip("openssl") };
    assert!(made.success(), "openssl makes a certificate");
    let arguments = ["--port", "0", "--tls-port", "PORT", "--tls-auth-clients", "no"];
    let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
    let Some(server) = Server::start(&[arguments.as_slice(), &files].concat()).await else {
        return;
    };
    let url = server.url().replace("redis:", "rediss:");
    let untrusting = RedisStore::new(&url, Arc::new(SystemClock)).expect("the URL is good");
    bounded(untrusting.load(&fresh())).await.expect_err("nobody vouches for the server");
    let trusting = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "rediss_trusts_the_systems_authorities_only"])
        .env(TLS_URL, url)
        .env("SSL_CERT_FILE", certificate)
        .output()
        .expect("this program runs again");
    assert!(trusting.status.success(), "{}", String::from_utf8_lossy(&trusting.stdout));
}
