//! The program under test: `vestibule-operator run`, on a kubeconfig. It can be ended as by a crash.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::http::Request;
use crate::process::{Process, free_port, loopback};
use crate::tools::binary;

/// Where Vestibule is installed.
pub const NAMESPACE: &str = "vestibule";

const LIMIT: Duration = Duration::from_secs(30);

/// A running operator.
#[derive(Debug)]
pub struct Operator {
    process: Process,
}

impl Operator {
    /// Starts one and waits until its caches are filled. Of the same name as one that crashed, it
    /// leads at once.
    #[must_use]
    pub fn start(kubeconfig: &str, dir: &Path, more: &[&str]) -> Self {
        let admin = loopback(free_port());
        let mut operator = Self::launch(kubeconfig, dir, admin, more);
        let ready = Request::get("/readyz", "admin");
        let is_ready = || (ready.try_send(admin)?.status == 200).then_some(());
        operator.process.wait_ready(LIMIT, is_ready);
        operator
    }

    /// Starts one and waits for nothing.
    #[must_use]
    pub fn begin(kubeconfig: &str, dir: &Path, more: &[&str]) -> Self {
        Self::launch(kubeconfig, dir, loopback(free_port()), more)
    }

    fn launch(kubeconfig: &str, dir: &Path, admin: SocketAddr, more: &[&str]) -> Self {
        let mut command = Command::new(binary("vestibule-operator"));
        command.args(["run", "--namespace", NAMESPACE, "--identity", "operator-1"]);
        command.args(["--admin-addr", &admin.to_string(), "--lease-duration", "6s"]);
        command.args(["--ingress-class", "nginx=k8s.io/ingress-nginx:Traefik"]);
        command.args(["--ingress-class", "traefik=traefik.io/ingress-controller"]);
        command.arg("--allow-insecure-issuers").args(more);
        command.env("KUBECONFIG", kubeconfig);
        command.env("VESTIBULE_LOG", "info,vestibule_operator=debug");
        Self { process: Process::spawn("operator", &mut command, &dir.join("operator.log")) }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Everything that it, and those before it in the same folder, have logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Ends it at once, as a crash would.
    pub fn kill(mut self) {
        self.process.kill();
    }
}
