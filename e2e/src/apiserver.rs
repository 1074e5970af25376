//! A bare Kubernetes API: a real etcd and a real API server on loopback, with the kinds of Vestibule
//! and Traefik and nothing else. No kubelet, no controllers, no root: what the operator does to
//! objects shows here, and runs in seconds. What pods do does not (that is [`crate::cluster`]).

mod client;
mod operator;
mod proxy;
mod shared;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

pub use client::Version;
pub use operator::{NAMESPACE, Operator};
pub use proxy::{Call, Fate, FaultProxy};
pub use shared::Shared;

use crate::cluster::programs::{hyperkube, tool};
use crate::process::{Process, accepts, free_port, loopback};
use crate::tools::{cached, repository, version};

const LIMIT: Duration = Duration::from_mins(1);
/// It is for one run, and reachable from this machine only.
const TOKEN: &str = "administrator-of-one-run";
/// The kinds of Traefik that matter here.
const TRAEFIK_KINDS: [&str; 3] =
    ["ingressroutes.traefik.io", "ingressroutetcps.traefik.io", "middlewares.traefik.io"];

/// A running API.
#[derive(Debug)]
pub struct ApiServer {
    dir: TempDir,
    port: u16,
    leg: SocketAddr,
    // In the order in which they end.
    processes: Vec<Process>,
}

impl ApiServer {
    /// Starts one and waits until it knows all kinds.
    #[must_use]
    pub fn start() -> Self {
        let dir = TempDir::with_prefix("vestibule-api-").expect("a temporary folder");
        let etcd = start_etcd(dir.path());
        let port = free_port();
        let mut server = start_server(dir.path(), etcd.1, port);
        write_kubeconfig(dir.path(), port);
        let (leg_process, leg) = start_leg(dir.path());
        let ready = crate::http::Request::get("/readyz", "127.0.0.1");
        server.wait_ready(LIMIT, || (ready.try_send(leg)?.status == 200).then_some(()));
        let api = Self { dir, port, leg, processes: vec![leg_process, server, etcd.0] };
        api.install_kinds();
        api
    }

    /// The folder of its files and logs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The path of a kubeconfig that reaches it directly, with TLS, as administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        self.file("admin.kubeconfig")
    }

    /// The path of a kubeconfig that reaches it through something that speaks plain HTTP.
    #[must_use]
    pub fn kubeconfig_by(&self, address: SocketAddr) -> String {
        let name = format!("by-{}.kubeconfig", address.port());
        let text = kubeconfig(&format!("http://{address}"), "{}");
        std::fs::write(self.dir.path().join(&name), text).expect("writable");
        self.file(&name)
    }

    /// Where it answers in plain HTTP, as administrator: `kubectl proxy`.
    #[must_use]
    pub fn plain(&self) -> SocketAddr {
        self.leg
    }

    /// The port with TLS.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process ids of etcd and the API server.
    #[must_use]
    pub fn processes(&self) -> [u32; 2] {
        [self.processes[2].id(), self.processes[1].id()]
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn install_kinds(&self) {
        let crds = cached(&format!("traefik-crds-{}/crds.yaml", version("TRAEFIK_CRDS_VERSION")));
        let all = std::fs::read_to_string(crds).expect("Traefik's kinds");
        let named = |text: &&str| {
            TRAEFIK_KINDS.iter().any(|kind| text.contains(&format!("\n  name: {kind}\n")))
        };
        let traefik: Vec<&str> = all.split("\n---\n").filter(named).collect();
        assert_eq!(traefik.len(), TRAEFIK_KINDS.len(), "Traefik's kinds are not all there");
        let path = self.dir.path().join("traefik.yaml");
        std::fs::write(&path, traefik.join("\n---\n")).expect("writable");
        let ours = repository().join("crds");
        let mut kubectl = Command::new(tool("kubectl"));
        kubectl.args(["--kubeconfig", &self.kubeconfig(), "apply", "--server-side"]);
        kubectl.arg("-f").arg(&path);
        for file in ["bffpolicies", "bffproviders", "clusterbffproviders", "bffhostgrants"] {
            kubectl.arg("-f").arg(ours.join(format!("{file}.yaml")));
        }
        let output = kubectl.stdin(Stdio::null()).output().expect("kubectl runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the kinds are refused: {said}");
        for kind in ["traefik.io/v1alpha1/middlewares", "vestibule.dev/v1alpha1/bffpolicies"] {
            let path = format!("/apis/{kind}");
            let served = crate::process::eventually(LIMIT, || self.get(&path).map(|_| ()));
            assert!(served.is_some(), "{path} is not served");
        }
    }
}

fn start_etcd(dir: &Path) -> (Process, u16) {
    let (client, peer) = (free_port(), free_port());
    let (url, peer_url) =
        (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let mut command = Command::new("etcd");
    command.arg("--data-dir").arg(dir.join("etcd")).arg("--unsafe-no-fsync");
    command.args(["--name", "e2e", "--initial-cluster", &format!("e2e={peer_url}")]);
    command.args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url]);
    command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
    let mut etcd = Process::spawn("etcd", &mut command, &dir.join("etcd.log"));
    etcd.wait_ready(LIMIT, || accepts(loopback(client)).then_some(()));
    (etcd, client)
}

fn start_server(dir: &Path, etcd: u16, port: u16) -> Process {
    let path = |name: &str| dir.join(name).display().to_string();
    let (key, public, tokens) = (path("accounts.key"), path("accounts.pub"), path("tokens.csv"));
    let curve = ["ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", &key];
    openssl(&curve);
    openssl(&["ec", "-in", &key, "-pubout", "-out", &public]);
    let token = format!("{TOKEN},admin,admin,\"system:masters\"\n");
    std::fs::write(&tokens, token).expect("writable");
    let mut command = Command::new(hyperkube());
    command.arg("kube-apiserver");
    command.arg(format!("--etcd-servers=http://127.0.0.1:{etcd}"));
    command.args(["--bind-address=127.0.0.1", &format!("--secure-port={port}")]);
    // It makes its own certificate there.
    command.arg(format!("--cert-dir={}", path("certificates")));
    command.arg(format!("--token-auth-file={tokens}"));
    command.args(["--authorization-mode=RBAC", "--service-cluster-ip-range=10.97.0.0/16"]);
    // As on the cluster, so that admission policies of both sorts can be asked.
    command.arg("--feature-gates=MutatingAdmissionPolicy=true");
    command.arg("--runtime-config=admissionregistration.k8s.io/v1beta1=true");
    command.arg("--service-account-issuer=https://kubernetes.default.svc");
    command.arg(format!("--service-account-key-file={public}"));
    command.arg(format!("--service-account-signing-key-file={key}"));
    // Nobody makes service accounts here, and a pod is an object only.
    command.arg("--disable-admission-plugins=ServiceAccount");
    Process::spawn("kube-apiserver", &mut command, &dir.join("kube-apiserver.log"))
}

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output().expect("openssl runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {said}");
}

fn start_leg(dir: &Path) -> (Process, SocketAddr) {
    let address = loopback(free_port());
    let mut command = Command::new(tool("kubectl"));
    command.arg("--kubeconfig").arg(dir.join("admin.kubeconfig"));
    command.args(["proxy", "--address=127.0.0.1", &format!("--port={}", address.port())]);
    command.args(["--reject-paths=^$", "--accept-hosts=.*"]);
    let mut leg = Process::spawn("kubectl proxy", &mut command, &dir.join("kubectl-proxy.log"));
    leg.wait_ready(LIMIT, || accepts(address).then_some(()));
    (leg, address)
}

fn write_kubeconfig(dir: &Path, port: u16) {
    let server = format!("https://127.0.0.1:{port}");
    // Its certificate is of its own making.
    let text = kubeconfig(&server, &format!("{{token: {TOKEN}}}"))
        .replace("cluster: {server", "cluster: {insecure-skip-tls-verify: true, server");
    std::fs::write(dir.join("admin.kubeconfig"), text).expect("writable");
}

fn kubeconfig(server: &str, user: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
current-context: e2e
contexts: [{{name: e2e, context: {{cluster: e2e, user: admin}}}}]
clusters: [{{name: e2e, cluster: {{server: '{server}'}}}}]
users: [{{name: admin, user: {user}}}]
"
    )
}
