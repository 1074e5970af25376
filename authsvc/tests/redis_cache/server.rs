//! A Redis on a loopback port, ended when dropped.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

pub struct Server {
    process: Child,
    port: u16,
    directory: TempDir,
}

impl Server {
    /// `None` where there is no `redis-server` and none is required.
    pub async fn start() -> Option<Self> {
        // Another process may take the port between our asking and the server's binding.
        for _ in 0..5 {
            let directory = tempfile::tempdir().unwrap();
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let process = Command::new("redis-server")
                .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
                .args(["--port", &port.to_string(), "--logfile", "log", "--dir"])
                .arg(directory.path())
                .stdout(Stdio::null())
                .spawn();
            let Ok(process) = process else {
                let required = std::env::var_os("VESTIBULE_REQUIRE_REAL").is_some();
                assert!(
                    !required,
                    "redis-server is not in PATH, and VESTIBULE_REQUIRE_REAL is set"
                );
                eprintln!("SKIPPED: redis-server is not in PATH");
                return None;
            };
            let mut server = Self { process, port, directory };
            if server.is_up().await {
                return Some(server);
            }
        }
        panic!("redis-server does not start");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// Whether it came up, and is not another's server on our port.
    async fn is_up(&mut self) -> bool {
        let log = self.directory.path().join("log");
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        for _ in 0..500 {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            let log = std::fs::read_to_string(&log);
            if log.is_ok_and(|log| log.contains("Ready to accept connections")) {
                return true;
            }
            ticks.tick().await;
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
