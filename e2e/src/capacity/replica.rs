//! One authsvc that takes its policies from the API server, as in a cluster.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::apiserver::{ApiServer, NAMESPACE};
use crate::asker::check;
use crate::http::Request;
use crate::process::{Process, free_port};
use crate::tools::binary;

const LIMIT: Duration = Duration::from_mins(2);

/// A running authsvc.
#[derive(Debug)]
pub struct Replica {
    /// The port for gateways.
    pub check: SocketAddr,
    /// From its start until it said that it is ready.
    pub ready_after: Duration,
    process: Process,
}

impl Replica {
    /// Starts one at this address, with the keyring that is in the folder of `api`, and waits until it
    /// is ready.
    #[must_use]
    pub fn start(api: &ApiServer, ip: IpAddr, admin_port: u16, more: &[&str]) -> Self {
        let (browser, check) = (SocketAddr::new(ip, free_port()), SocketAddr::new(ip, free_port()));
        let admin = SocketAddr::new(ip, admin_port);
        let mut command = Command::new(binary("vestibule-authsvc"));
        command.args(["serve", "--kubernetes", "--namespace", NAMESPACE, "--drain-delay", "0s"]);
        command.arg("--keyring").arg(api.dir().join("keyring.yaml"));
        command.args(["--browser-addr", &browser.to_string(), "--check-addr", &check.to_string()]);
        command.args(["--admin-addr", &admin.to_string(), "--allow-insecure-issuers"]).args(more);
        command.env("KUBECONFIG", api.kubeconfig());
        let log = api.dir().join(format!("authsvc-{ip}.log"));
        let start = Instant::now();
        let mut process = Process::spawn("authsvc", &mut command, &log);
        let ready = Request::get("/readyz", "admin");
        let is_ready = || ready.try_send(admin).is_some_and(|answer| answer.status == 200);
        // Asked closely, since this is what is measured.
        process.wait_ready(LIMIT, || {
            (0..10).find(|_| {
                let done = is_ready();
                if !done {
                    std::thread::sleep(Duration::from_millis(2));
                }
                done
            })
        });
        Self { check, ready_after: start.elapsed(), process }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// A check of a path of policy `number` of those that `seed` makes, as a script of the app asks.
#[must_use]
pub fn check_of(number: usize, path: &str) -> Request {
    check(&format!("load/app-{number}"), &format!("app-{number}.example.com"), path)
}
