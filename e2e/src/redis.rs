//! A Redis server with an append-only file, so that it comes back with what it had.

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
    process: Process,
}

impl Redis {
    /// Starts one with its files in `dir`.
    #[must_use]
    pub fn start(dir: &Path) -> Self {
        let dir = dir.join("redis");
        std::fs::create_dir_all(&dir).expect("a writable folder");
        let address = loopback(free_port());
        let process = Self::spawn(&dir, address);
        Self { address, dir, process }
    }

    /// The URL for `--store`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// Ends it as a power cut would.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Starts it again, on the same port with the same data.
    pub fn start_again(&mut self) {
        self.process = Self::spawn(&self.dir, self.address);
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
        let output = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &self.address.port().to_string()])
            .args(arguments)
            .output()
            .expect("redis-cli runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
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

    fn spawn(dir: &Path, address: SocketAddr) -> Process {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]).arg("--dir");
        command.arg(dir).args(["--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
        let mut process = Process::spawn("redis", &mut command, &dir.join("redis.log"));
        process.wait_ready(Duration::from_secs(20), || {
            (accepts(address) && ping(address)).then_some(())
        });
        process
    }
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
