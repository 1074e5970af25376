//! The one node: containerd, the kubelet and kube-proxy, each with its files in the cluster's
//! folder. Where a container engine runs on this machine too, neither sees the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cgroups;
use super::control_plane::{ControlPlane, spawn};
use super::images::Image;
use super::network::{BRIDGES, DNS, NAME, NODE, PODS};
use super::programs::hyperkube;
use super::record::Record;
use crate::process::{Process, free_port};

const LIMIT: Duration = Duration::from_mins(1);

/// The running node.
#[derive(Debug)]
pub(super) struct Node {
    dir: PathBuf,
    snapshotter: &'static str,
    pub processes: Vec<Process>,
}

impl Node {
    /// Starts containerd.
    pub fn start(record: &Record, pause: &Image) -> Self {
        let dir = record.dir.clone();
        let snapshotter = snapshotter(&dir);
        for (file, text) in [
            ("containerd.toml", containerd_config(&dir, snapshotter, &pause.reference())),
            ("cni/10-pods.conflist", pod_network(&dir)),
            ("resolv.conf", String::new()),
        ] {
            let path = dir.join(file);
            fs::create_dir_all(path.parent().expect("in the folder")).expect("writable");
            fs::write(path, text).expect("writable");
        }
        let mut command = Command::new("containerd");
        command.arg("--config").arg(dir.join("containerd.toml"));
        let mut containerd = spawn(record, "containerd", &mut command);
        let node = Self { dir, snapshotter, processes: Vec::new() };
        containerd.wait_ready(LIMIT, || {
            node.ctr(&["version"]).output().ok()?.status.success().then_some(())
        });
        let node = Self { processes: vec![containerd], ..node };
        node.import(pause);
        node
    }

    /// Starts the kubelet and kube-proxy.
    pub fn join(&mut self, record: &Record, control_plane: &ControlPlane) {
        cgroups::create();
        let pki = control_plane.pki();
        let config = self.dir.join("kubelet.yaml");
        fs::write(&config, kubelet_config(&self.dir, &pki.path(""))).expect("writable");
        let mut command = Command::new(hyperkube());
        command.args(["kubelet", "--hostname-override=node1", &format!("--node-ip={NODE}")]);
        command.arg(format!("--kubeconfig={}", pki.path("node.kubeconfig")));
        command.arg(format!("--config={}", config.display()));
        command.arg(format!("--root-dir={}", self.dir.join("kubelet").display()));
        self.processes.push(spawn(record, "kubelet", &mut command));

        let mut command = Command::new(hyperkube());
        command.args(["kube-proxy", "--proxy-mode=nftables", "--hostname-override=node1"]);
        command.arg(format!("--kubeconfig={}", pki.path("proxy.kubeconfig")));
        command.arg(format!("--cluster-cidr={PODS}"));
        command.arg(format!("--metrics-bind-address=127.0.0.1:{}", free_port()));
        command.arg(format!("--healthz-bind-address=127.0.0.1:{}", free_port()));
        // The machine's own limits of connections stay as they are.
        command.args(["--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s"]);
        command.arg("--conntrack-tcp-timeout-close-wait=0s");
        self.processes.push(spawn(record, "kube-proxy", &mut command));
    }

    /// Gives an image to the node.
    pub fn import(&self, image: &Image) {
        let mut command = self.ctr(&["images", "import", "--snapshotter", self.snapshotter]);
        let output = command.arg(image.archive()).output().expect("ctr runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} is not imported: {said}", image.reference());
    }

    fn ctr(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.dir.join("containerd.sock"));
        command.args(["--namespace", "k8s.io"]).args(arguments);
        command
    }
}

/// Layers are mounts over each other, unless the folder is such a mount itself.
fn snapshotter(dir: &Path) -> &'static str {
    let mut stat = Command::new("stat");
    let output = stat.args(["-f", "-c", "%T"]).arg(dir).output().expect("stat runs");
    if output.stdout.starts_with(b"overlay") { "native" } else { "overlayfs" }
}

fn containerd_config(dir: &Path, snapshotter: &str, pause: &str) -> String {
    let dir = dir.display();
    let cri = "plugins.\"io.containerd.grpc.v1.cri\"";
    // restrict_oom_score_adj: else runc fails where this machine lacks CAP_SYS_RESOURCE.
    format!(
        r#"version = 2
root = "{dir}/containerd/root"
state = "{dir}/containerd/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
address = "{dir}/containerd.sock"
[{cri}]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[{cri}.containerd]
snapshotter = "{snapshotter}"
[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{cri}.containerd.runtimes.runc.options]
Root = "{dir}/runc"
[{cri}.cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{dir}/cni"
"#
    )
}

/// No masquerading: pods reach each other, Services and this machine, and nothing beyond it.
fn pod_network(dir: &Path) -> String {
    serde_json::json!({
        "cniVersion": "1.0.0",
        "name": NAME,
        "plugins": [{
            "type": "bridge",
            "bridge": BRIDGES[1],
            "isGateway": true,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "dataDir": dir.join("addresses"),
                "ranges": [[{"subnet": "10.244.0.0/24"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
    .to_string()
}

fn kubelet_config(dir: &Path, pki: &str) -> String {
    let (dir, port, group) = (dir.display(), free_port(), cgroups::NAME);
    // Nothing is evicted and no image collected: the machine's disk is not the cluster's business.
    format!(
        "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {NODE}
port: {port}
healthzPort: 0
containerRuntimeEndpoint: unix://{dir}/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /{group}
failCgroupV1: false
failSwapOn: false
localStorageCapacityIsolation: false
makeIPTablesUtilChains: false
clusterDomain: cluster.local
clusterDNS: [{DNS}]
resolvConf: {dir}/resolv.conf
podLogsDir: {dir}/pod-logs
volumePluginDir: {dir}/volume-plugins
tlsCertFile: {pki}node.crt
tlsPrivateKeyFile: {pki}node.key
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: true}}
  x509: {{clientCAFile: {pki}ca.crt}}
authorization: {{mode: Webhook}}
evictionHard: {{memory.available: 0%, nodefs.available: 0%, imagefs.available: 0%}}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
serializeImagePulls: false
"
    )
}
