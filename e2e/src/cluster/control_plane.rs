//! etcd, the API server, the controller manager and the scheduler: real ones, as processes of this
//! machine. They must listen on loopback and the node's address only.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use super::network::{NODE, PODS, SERVICES};
use super::pki::Pki;
use super::programs::{hyperkube, tool};
use super::record::{Made, Record, start_time};
use crate::process::{Process, accepts, free_port, loopback};

const LIMIT: Duration = Duration::from_mins(1);

/// The running control plane.
#[derive(Debug)]
pub(super) struct ControlPlane {
    record: Record,
    pki: Pki,
    etcd_port: u16,
    port: u16,
    api_server: Mutex<Option<Process>>,
    others: Vec<Process>,
}

impl ControlPlane {
    /// Starts it and waits until the API server is ready.
    pub fn start(record: &Record) -> Self {
        let port = free_port();
        let pki = Pki::create(&record.dir, port);
        let mut control_plane = Self {
            record: record.clone(),
            pki,
            etcd_port: free_port(),
            port,
            api_server: Mutex::default(),
            others: Vec::new(),
        };
        control_plane.start_etcd();
        control_plane.start_api_server();
        control_plane.start_controllers();
        control_plane
    }

    /// Its certificates and kubeconfigs.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    fn start_etcd(&mut self) {
        let (client, peer) = (self.etcd_port, free_port());
        let data = self.record.dir.join("etcd");
        let (client_url, peer_url) =
            (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(data).arg("--unsafe-no-fsync");
        command.args(["--name", "e2e", "--initial-cluster", &format!("e2e={peer_url}")]);
        command.args(["--listen-peer-urls", &peer_url]);
        command.args(["--initial-advertise-peer-urls", &peer_url]);
        command.args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url]);
        let mut etcd = spawn(&self.record, "etcd", &mut command);
        etcd.wait_ready(LIMIT, || accepts(loopback(client)).then_some(()));
        self.others.push(etcd);
    }

    /// Starts the API server, at the same address every time, and waits until it is ready.
    pub fn start_api_server(&self) {
        let pki = &self.pki;
        let mut command = Command::new(hyperkube());
        command.arg("kube-apiserver");
        command.arg(format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port));
        command.arg(format!("--secure-port={}", self.port));
        command.args([format!("--bind-address={NODE}"), format!("--advertise-address={NODE}")]);
        command.arg(format!("--service-cluster-ip-range={SERVICES}"));
        command.arg(format!("--tls-cert-file={}", pki.path("apiserver.crt")));
        command.arg(format!("--tls-private-key-file={}", pki.path("apiserver.key")));
        command.arg(format!("--client-ca-file={}", pki.path("ca.crt")));
        command.arg(format!("--kubelet-certificate-authority={}", pki.path("ca.crt")));
        command.arg(format!("--kubelet-client-certificate={}", pki.path("admin.crt")));
        command.arg(format!("--kubelet-client-key={}", pki.path("admin.key")));
        command.arg("--service-account-issuer=https://kubernetes.default.svc");
        command.arg(format!("--service-account-key-file={}", pki.path("accounts.pub")));
        command.arg(format!("--service-account-signing-key-file={}", pki.path("accounts.key")));
        command.args([
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            // Without it, `logs` and `exec` look the node's name up in this machine's DNS.
            "--kubelet-preferred-address-types=InternalIP",
            "--feature-gates=MutatingAdmissionPolicy=true",
            "--runtime-config=admissionregistration.k8s.io/v1beta1=true",
        ]);
        let mut process = spawn(&self.record, "kube-apiserver", &mut command);
        let kubeconfig = pki.path("admin.kubeconfig");
        process.wait_ready(LIMIT, || {
            let mut ask = Command::new(tool("kubectl"));
            ask.args(["--kubeconfig", &kubeconfig, "get", "--raw", "/readyz"]);
            ask.output().is_ok_and(|output| output.status.success()).then_some(())
        });
        *self.api_server.lock().expect("no panic while locked") = Some(process);
    }

    /// Ends the API server at once.
    pub fn stop_api_server(&self) {
        *self.api_server.lock().expect("no panic while locked") = None;
    }

    /// Gives its processes away.
    pub fn processes(&mut self) -> Vec<Process> {
        let mut processes = std::mem::take(&mut self.others);
        processes.extend(self.api_server.lock().expect("no panic while locked").take());
        processes
    }

    fn start_controllers(&mut self) {
        let pki = self.pki.clone();
        let mut command = self.component("kube-controller-manager", "controller-manager");
        command.arg(format!("--secure-port={}", free_port()));
        command.args(["--bind-address=127.0.0.1", "--leader-elect=false"]);
        command.arg("--use-service-account-credentials=true");
        command.args(["--allocate-node-cidrs=true", &format!("--cluster-cidr={PODS}")]);
        command.arg(format!("--service-cluster-ip-range={SERVICES}"));
        command.arg(format!("--root-ca-file={}", pki.path("ca.crt")));
        command.arg(format!("--service-account-private-key-file={}", pki.path("accounts.key")));
        self.others.push(spawn(&self.record, "kube-controller-manager", &mut command));

        let mut command = self.component("kube-scheduler", "scheduler");
        command.arg(format!("--secure-port={}", free_port()));
        command.args(["--bind-address=127.0.0.1", "--leader-elect=false"]);
        self.others.push(spawn(&self.record, "kube-scheduler", &mut command));
    }

    fn component(&self, name: &str, kubeconfig: &str) -> Command {
        let mut command = Command::new(hyperkube());
        let kubeconfig = self.pki.path(&format!("{kubeconfig}.kubeconfig"));
        command.args([name, &format!("--kubeconfig={kubeconfig}")]);
        command
    }
}

/// Starts a process of the cluster, with its log in the cluster's folder, and notes it.
pub(super) fn spawn(record: &Record, name: &str, command: &mut Command) -> Process {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    let process = Process::spawn(name, command, &log(&record.dir, name));
    let id = process.id();
    let start = start_time(id).unwrap_or_default();
    record.note(&Made::Process { id, start, name: name.to_owned() });
    process
}

/// The log of one of its processes.
pub(super) fn log(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.log"))
}
