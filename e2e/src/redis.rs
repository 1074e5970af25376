//! A Redis server with an append-only file, so that it comes back with what it had, and so that tests
//! see all that was ever written to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{Process, accepts, free_port, loopback};

/// A running Redis.
#[derive(Debug)]
pub struct Redis {
    /// Where it listens.
    pub address: SocketAddr,
    dir: PathBuf,
    arguments: Vec<String>,
    process: Process,
}

impl Redis {
    /// Starts one with its files in `dir`.
    #[must_use]
    pub fn start(dir: &Path) -> Self {
        Self::start_with(&dir.join("redis"), free_port(), &["--appendfsync", "always"])
    }

    /// A server whose files are on disk a second after a write, for load: it must not be ended as a
    /// power cut would.
    #[must_use]
    pub fn start_quick(dir: &Path) -> Self {
        Self::start_with(&dir.join("redis"), free_port(), &["--appendfsync", "everysec"])
    }

    /// Starts one with its files in just `dir`, at this port, with further arguments.
    #[must_use]
    pub fn start_with(dir: &Path, port: u16, arguments: &[&str]) -> Self {
        std::fs::create_dir_all(dir).expect("a writable folder");
        let (dir, address) = (dir.to_owned(), loopback(port));
        let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
        let process = Self::spawn(&dir, address, &arguments);
        Self { address, dir, arguments, process }
    }

    /// The URL for `--store`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it as a power cut would.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// The same, while others use it.
    pub fn crash(&self) {
        self.process.signal("KILL");
    }

    /// Starts it again, on the same port with the same data.
    pub fn start_again(&mut self) {
        self.process = Self::spawn(&self.dir, self.address, &self.arguments);
    }

    /// Stops it in its tracks (`SIGSTOP`): connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.process.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process.signal("CONT");
    }

    /// Runs a command with redis-cli.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> String {
        cli(self.address, arguments)
    }

    /// Everything it has written to disk: every key and value since its start.
    #[must_use]
    pub fn files(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut folders = vec![self.dir.join("appendonlydir")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                bytes.extend(std::fs::read(entry.path()).unwrap_or_default());
            }
        }
        bytes
    }

    fn spawn(dir: &Path, address: SocketAddr, arguments: &[String]) -> Process {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]).arg("--dir");
        command.arg(dir).args(["--save", "", "--appendonly", "yes"]);
        // Rewritten, the file would not show any more what was once in it.
        command.args(["--auto-aof-rewrite-percentage", "0"]).args(arguments);
        let mut process = Process::spawn("redis", &mut command, &dir.join("redis.log"));
        process.wait_ready(Duration::from_secs(20), || {
            (accepts(address) && ping(address)).then_some(())
        });
        process
    }
}

/// Runs a command with redis-cli, at a Redis or a Sentinel. Nothing comes of it after five seconds
/// without an answer.
#[must_use]
pub fn cli(address: SocketAddr, arguments: &[&str]) -> String {
    let output = Command::new("timeout")
        .args([
            "5",
            "redis-cli",
            "-h",
            &address.ip().to_string(),
            "-p",
            &address.port().to_string(),
        ])
        .args(arguments)
        .output()
        .expect("redis-cli runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// It accepts connections before it has read its file back.
fn ping(address: SocketAddr) -> bool {
    use std::io::{Read as _, Write as _};
    let mut answer = [0; 5];
    std::net::TcpStream::connect(address).is_ok_and(|mut stream| {
        stream.write_all(b"PING\r\n").is_ok()
            && stream.read_exact(&mut answer).is_ok()
            && &answer == b"+PONG"
    })
}
