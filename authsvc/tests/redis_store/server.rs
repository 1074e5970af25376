//! Real servers, started and broken by the tests.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::sleep;
use vestibule_authsvc::clock::SystemClock;
use vestibule_authsvc::session::redis::RedisStore;

/// Every server's password.
pub const PASSWORD: &str = "hunter2@/";
/// Every sentinel's.
const WATCH_PASSWORD: &str = "hunter5";

/// A server on a loopback port, ended when dropped.
pub struct Server {
    process: Child,
    /// Where it listens.
    pub port: u16,
    directory: TempDir,
    kind: Kind,
}

/// How a server is started.
#[derive(Clone)]
enum Kind {
    /// One that holds data, with these arguments.
    Data(Vec<String>),
    /// A sentinel, with this configuration.
    Sentinel(String),
}

impl Server {
    /// `None` where there is no `redis-server` and none is required. `PORT` in an argument is the
    /// server's port.
    pub async fn start(arguments: &[&str]) -> Option<Self> {
        Self::begin(Kind::Data(arguments.iter().map(|&text| text.to_owned()).collect())).await
    }

    /// A replica of it, with more arguments.
    pub async fn replica_with(&self, arguments: &[&str]) -> Option<Self> {
        let primary = self.port.to_string();
        let replica = ["--replicaof", "127.0.0.1", &primary, "--masterauth", PASSWORD];
        Self::start(&[&replica, arguments].concat()).await
    }

    /// A sentinel that watches it.
    pub async fn watched(&self) -> Option<Self> {
        let configuration = format!(
            "bind 127.0.0.1\nlogfile log\nrequirepass {WATCH_PASSWORD}\n\
             sentinel sentinel-pass {WATCH_PASSWORD}\n\
             sentinel monitor shop 127.0.0.1 {} 2\n\
             sentinel auth-pass shop {PASSWORD}\n\
             sentinel down-after-milliseconds shop 500\n\
             sentinel failover-timeout shop 5000\n",
            self.port
        );
        Self::begin(Kind::Sentinel(configuration)).await
    }

    async fn begin(kind: Kind) -> Option<Self> {
        // Another process may take the port between our asking and the server's binding.
        for _ in 0..5 {
            let directory = tempfile::tempdir().expect("a directory");
            let port = free_port();
            let Some(process) = spawn(port, directory.path(), &kind) else {
                skip("redis-server");
                return None;
            };
            let mut server = Self { process, port, directory, kind: kind.clone() };
            if server.is_listening().await {
                return Some(server);
            }
        }
        panic!("redis-server does not start");
    }

    pub fn url(&self) -> String {
        url_at(self.port)
    }

    pub fn store(&self) -> RedisStore {
        RedisStore::new(&self.url(), Arc::new(SystemClock)).expect("the URL is good")
    }

    /// Whether it came up, and is not another's server on our port.
    async fn is_listening(&mut self) -> bool {
        for _ in 0..500 {
            if self.process.try_wait().expect("the process is ours").is_some() {
                return false;
            }
            if std::fs::read_to_string(self.directory.path().join("log"))
                .is_ok_and(|log| log.contains(self.kind.says_when_ready()))
            {
                return true;
            }
            sleep(Duration::from_millis(10)).await;
        }
        false
    }

    pub fn stop(&mut self) {
        self.process.kill().expect("the process is ours");
        self.process.wait().expect("the process ends");
        // What it says when it is ready it has to say again.
        std::fs::remove_file(self.directory.path().join("log")).expect("there is a log");
    }

    pub async fn start_again(&mut self) {
        let directory = self.directory.path();
        self.process = spawn(self.port, directory, &self.kind).expect("it started before");
        assert!(self.is_listening().await, "redis-server does not start again");
    }

    /// What `redis-cli` answers.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "--no-auth-warning"])
            .args(["-a", self.kind.password()])
            .args(arguments)
            .output()
            .expect("redis-cli runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn signal(&self, name: &str) {
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

impl Kind {
    fn says_when_ready(&self) -> &'static str {
        match self {
            Self::Data(_) => "Ready to accept connections",
            Self::Sentinel(_) => "+monitor master",
        }
    }

    fn password(&self) -> &'static str {
        match self {
            Self::Data(_) => PASSWORD,
            Self::Sentinel(_) => WATCH_PASSWORD,
        }
    }
}

/// The URL of a server of ours behind this port, its own or a relay's.
pub fn url_at(port: u16) -> String {
    format!("redis://:hunter2%40%2F@127.0.0.1:{port}/1")
}

/// A port of loopback that nobody has now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn spawn(port: u16, directory: &Path, kind: &Kind) -> Option<Child> {
    let mut command = Command::new("redis-server");
    let port = port.to_string();
    match kind {
        Kind::Data(arguments) => command
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--repl-diskless-sync-delay", "0"])
            .args(["--logfile", "log", "--requirepass", PASSWORD, "--port", &port])
            .args(arguments.iter().map(|argument| argument.replace("PORT", &port)))
            .arg("--dir")
            .arg(directory),
        Kind::Sentinel(configuration) => {
            let file = directory.join("sentinel.conf");
            let place = format!("dir {}\nport {port}\n", directory.display());
            std::fs::write(&file, place + configuration).expect("the directory is ours");
            command.arg(file).arg("--sentinel")
        }
    };
    command.stdout(Stdio::null()).spawn().ok()
}

pub fn skip(missing: &str) {
    let required = std::env::var_os("VESTIBULE_REQUIRE_REAL").is_some();
    assert!(!required, "{missing} is not in PATH, and VESTIBULE_REQUIRE_REAL is set");
    eprintln!("SKIPPED: {missing} is not in PATH");
}

/// Waits, half a minute at most, until it is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("it never was so that {what}");
}
