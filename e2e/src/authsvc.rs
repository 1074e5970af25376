//! The program under test: `vestibule-authsvc serve`, with its policies, secrets and keyring in a
//! folder of its own.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::http::{Request, Response};
use crate::process::{Process, eventually};
use crate::tools::binary;

/// Starts and files of one authsvc.
#[derive(Debug)]
pub struct Authsvc {
    /// The port for browsers.
    pub browser: SocketAddr,
    /// The port for gateways.
    pub check: SocketAddr,
    /// The port for health and metrics.
    pub admin: SocketAddr,
    /// The folder of policies.
    pub policies: PathBuf,
    process: Process,
}

/// What it starts with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `--store`.
    pub store: String,
    /// The policies, as one YAML file.
    pub policies: String,
    /// `VESTIBULE_LOG`.
    pub log: String,
    /// Secrets as `NAMESPACE/NAME/KEY` and value.
    pub secrets: Vec<(String, String)>,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// Further environment variables.
    pub environment: Vec<(String, String)>,
}

impl Authsvc {
    /// Starts one with its files in `dir` and waits until it is ready.
    #[must_use]
    pub fn start(dir: &Path, settings: &Settings) -> Self {
        let policies = dir.join("policies");
        let secrets = dir.join("secrets");
        std::fs::create_dir_all(&policies).expect("a writable folder");
        std::fs::write(policies.join("shop.yaml"), &settings.policies).expect("writable");
        for (path, value) in &settings.secrets {
            let path = secrets.join(path);
            std::fs::create_dir_all(path.parent().expect("below secrets")).expect("writable");
            std::fs::write(path, format!("{value}\n")).expect("writable");
        }
        let keyring = dir.join("keyring.yaml");
        write_keyring(&keyring, &["k1"]);
        let addresses = dir.join("addresses.json");
        let _ = std::fs::remove_file(&addresses);

        let mut command = Command::new(binary("vestibule-authsvc"));
        command.arg("serve").arg("--policies").arg(&policies).arg("--secrets").arg(&secrets);
        command.arg("--keyring").arg(&keyring).args(["--store", &settings.store]);
        command.args(["--browser-addr", "127.0.0.1:0", "--check-addr", "127.0.0.1:0"]);
        command.args(["--admin-addr", "127.0.0.1:0"]).arg("--addr-file").arg(&addresses);
        command.args(["--drain-delay", "0s"]).args(&settings.arguments);
        command.env("VESTIBULE_LOG", &settings.log);
        command.envs(settings.environment.iter().map(|(name, value)| (name, value)));
        let mut process = Process::spawn("authsvc", &mut command, &dir.join("authsvc.log"));
        let limit = Duration::from_secs(20);
        let bound: serde_json::Value = process
            .wait_ready(limit, || serde_json::from_slice(&std::fs::read(&addresses).ok()?).ok());
        let address = |name: &str| -> SocketAddr {
            bound[name]
                .as_str()
                .and_then(|text| text.parse().ok())
                .unwrap_or_else(|| panic!("--addr-file has no address of {name}: {bound}"))
        };
        let admin = address("admin");
        process.wait_ready(limit, || {
            (Request::get("/readyz", "admin").try_send(admin)?.status == 200).then_some(())
        });
        Self { browser: address("browser"), check: address("check"), admin, policies, process }
    }

    /// Writes a file of policies, whole at once as editors and `kubectl` mounts do.
    pub fn write_policy(&self, name: &str, yaml: &str) {
        let staged = self.policies.join(format!(".{name}.tmp"));
        std::fs::write(&staged, yaml).expect("writable");
        std::fs::rename(staged, self.policies.join(name)).expect("writable");
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Everything it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its metrics.
    #[must_use]
    pub fn metrics(&self) -> String {
        Request::get("/metrics", "admin").send(self.admin).text()
    }

    /// Whether it says it is ready.
    #[must_use]
    pub fn readiness(&self) -> Response {
        Request::get("/readyz", "admin").send(self.admin)
    }

    /// Waits until its log contains `text`.
    #[must_use]
    pub fn logs(&self, text: &str, limit: Duration) -> bool {
        eventually(limit, || self.log().contains(text).then_some(())).is_some()
    }

    /// Asks it to end, and returns its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.process.terminate(Duration::from_secs(20))
    }

    /// Sends it a signal, such as `KILL`, by its name.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

/// Writes a keyring whose keys follow from their ids; the first one is active.
pub fn write_keyring(path: &Path, ids: &[&str]) {
    let mut keys = String::from("keys:\n");
    for id in ids {
        let mut secret = [0x5a; 32];
        for (slot, byte) in secret.iter_mut().zip(id.bytes()) {
            *slot ^= byte;
        }
        let secret = STANDARD.encode(secret);
        writeln!(keys, "  - {{id: {id}, secret: \"{secret}\"}}").expect("a string takes it");
    }
    std::fs::write(path, keys).expect("writable");
}
