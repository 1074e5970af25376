//! A Redis primary with two replicas, watched by three Sentinels: what fails over when the primary
//! ends.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::process::{Process, eventually, free_port, loopback};
use crate::redis::{Redis, cli};

/// How the Sentinels call the primary.
pub const NAME: &str = "vestibule";

/// Long enough for a Sentinel's own timers.
const LIMIT: Duration = Duration::from_mins(1);

/// A running set.
#[derive(Debug)]
pub struct Sentinel {
    /// The servers; the first one began as primary.
    pub servers: Vec<Redis>,
    sentinels: Vec<(SocketAddr, Process)>,
}

impl Sentinel {
    /// Starts all six with their files in `dir`, and waits until they know each other.
    #[must_use]
    pub fn start(dir: &Path) -> Self {
        let everysec = ["--appendfsync", "everysec"];
        let primary = Redis::start_with(&dir.join("redis-0"), free_port(), &everysec);
        let port = primary.address.port().to_string();
        let mut servers = vec![primary];
        for name in ["redis-1", "redis-2"] {
            let follow = [everysec.as_slice(), &["--replicaof", "127.0.0.1", &port]].concat();
            servers.push(Redis::start_with(&dir.join(name), free_port(), &follow));
        }
        let sentinels = (0..3).map(|n| watch(&dir.join(format!("sentinel-{n}")), &port)).collect();
        let set = Self { servers, sentinels };
        let ready = eventually(LIMIT, || set.is_complete().then_some(()));
        assert!(ready.is_some(), "the Sentinels do not know each other: {}", set.describe());
        set
    }

    /// The URL for `--store`.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<String> =
            self.sentinels.iter().map(|(address, _)| address.to_string()).collect();
        format!("redis-sentinel://{}/0?master={NAME}", hosts.join(","))
    }

    /// The server that is primary, as the majority of Sentinels has it and as it has it itself.
    #[must_use]
    pub fn primary(&self) -> Option<&Redis> {
        let named: Vec<String> = self
            .sentinels
            .iter()
            .map(|(sentinel, _)| cli(*sentinel, &["SENTINEL", "get-master-addr-by-name", NAME]))
            .collect();
        self.servers.iter().find(|server| {
            let port = server.address.port().to_string();
            let votes = named.iter().filter(|lines| lines.lines().nth(1) == Some(port.as_str()));
            votes.count() >= 2 && server.cli(&["ROLE"]).starts_with("master")
        })
    }

    /// Waits until another server than `old` is primary.
    #[must_use]
    pub fn promoted_after(&self, old: SocketAddr) -> &Redis {
        let promoted = eventually(LIMIT, || self.primary().filter(|server| server.address != old));
        promoted.unwrap_or_else(|| panic!("nobody was promoted: {}", self.describe()))
    }

    /// Tears the two first replicas off the primary: what is written from now on stays there. Sentinel
    /// mends that after six seconds.
    pub fn stop_replication(&self) {
        for replica in &self.servers[1..] {
            // Nothing listens at this port.
            assert_eq!(replica.cli(&["REPLICAOF", "127.0.0.1", "1"]).trim(), "OK");
        }
    }

    /// Whether everybody knows everybody, and both replicas have all that the primary has.
    fn is_complete(&self) -> bool {
        let linked = self.servers[1..]
            .iter()
            .all(|replica| replica.cli(&["INFO", "replication"]).contains("master_link_status:up"));
        linked
            && self.sentinels.iter().all(|(sentinel, _)| {
                let known = cli(*sentinel, &["SENTINEL", "master", NAME]);
                field(&known, "num-slaves") == Some("2")
                    && field(&known, "num-other-sentinels") == Some("2")
            })
    }

    fn describe(&self) -> String {
        let masters = self
            .sentinels
            .iter()
            .map(|(sentinel, process)| cli(*sentinel, &["SENTINEL", "masters"]) + &process.log());
        masters.collect::<Vec<_>>().join("\n")
    }
}

fn watch(dir: &Path, primary_port: &str) -> (SocketAddr, Process) {
    std::fs::create_dir_all(dir).expect("a writable folder");
    let address = loopback(free_port());
    let file = dir.join("sentinel.conf");
    let (port, folder) = (address.port(), dir.display());
    // `failover-timeout`: a split vote is repeated after twice that.
    let text = format!(
        "bind 127.0.0.1\nport {port}\ndir {folder}\n\
         sentinel monitor {NAME} 127.0.0.1 {primary_port} 2\n\
         sentinel down-after-milliseconds {NAME} 1000\n\
         sentinel failover-timeout {NAME} 6000\n"
    );
    std::fs::write(&file, text).expect("a writable folder");
    let mut command = Command::new("redis-server");
    command.arg(&file).arg("--sentinel");
    let mut process = Process::spawn("sentinel", &mut command, &dir.join("sentinel.log"));
    process.wait_ready(Duration::from_secs(20), || {
        cli(address, &["PING"]).contains("PONG").then_some(())
    });
    (address, process)
}

/// The value that follows a name in an answer of redis-cli.
fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = answer.lines();
    lines.find(|line| *line == name)?;
    lines.next()
}
