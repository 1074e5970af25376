//! Child processes, free ports and waiting: what every real part needs. It must not wait without a
//! deadline, and ends only processes that it started.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// A running part. Dropped, it is killed and waited for.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with standard output and error in the file `log`.
    pub fn spawn(name: &str, command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("log file");
        let child = command
            .stdin(Stdio::null())
            // A group of its own, so that a server's workers end with it.
            .process_group(0)
            .stdout(file.try_clone().expect("log file"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start ({command:?}): {error}"));
        Self { name: name.to_owned(), child, log: log.to_owned() }
    }

    /// Waits until `ready` gives something; panics with the log if the process ends or `limit` passes.
    pub fn wait_ready<T>(&mut self, limit: Duration, ready: impl FnMut() -> Option<T>) -> T {
        self.try_wait_ready(limit, ready).unwrap_or_else(|| {
            panic!("{} is not ready after {limit:?}:\n{}", self.name, self.log())
        })
    }

    /// The same, where a process that is not ready in time may be started anew; panics with the log
    /// if it ends.
    pub fn try_wait_ready<T>(
        &mut self,
        limit: Duration,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let start = Instant::now();
        loop {
            if let Some(value) = ready() {
                return Some(value);
            }
            let ended = self.child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "{} ended ({ended:?}):\n{}", self.name, self.log());
            if start.elapsed() > limit {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the process has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    /// Sends a signal, such as `STOP`, by its name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success(), "kill -{name} {}", self.name);
    }

    /// Ends it and its own children at once, and waits for it.
    pub fn kill(&mut self) {
        if self.is_running() {
            let group = format!("-{}", self.child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        }
        let _ = self.child.wait();
    }

    /// Asks it to end (`SIGTERM`) and returns its exit code, if it ends within `limit`.
    pub fn terminate(&mut self, limit: Duration) -> Option<i32> {
        self.signal("TERM");
        eventually(limit, || self.child.try_wait().expect("a child can be asked"))
            .and_then(|status| status.code())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks until there is an answer, or `limit` passes.
pub fn eventually<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = ask() {
            return Some(value);
        }
        if start.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether something accepts connections there.
#[must_use]
pub fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}

/// A loopback port that nothing listens on and no other test of this process was given. Below the
/// range that outgoing connections use, so that none of those takes it meanwhile.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Several test processes at once begin at different places.
    let offset = u16::try_from(std::process::id() % 97).expect("below 97") * 100;
    for _ in 0..10_000 {
        let port = 20_000 + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between 20000 and 30000");
}

/// The loopback address of a port.
#[must_use]
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
