//! A real Kubernetes with one node, on this machine, for as long as a test binary lives: the real
//! components and containerd, see `e2e/cluster`. It needs root. However its maker ends, nothing of
//! it stays: a second process waits for that and removes it.

mod cgroups;
mod control_plane;
mod images;
mod kubectl;
mod lock;
mod network;
mod node;
mod pki;
pub(crate) mod programs;
mod record;
mod shared;
mod teardown;

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use control_plane::ControlPlane;
pub use images::{Context, Image};
use lock::Lock;
pub use network::NODE;
use node::Node;
use record::Record;
pub use shared::Shared;

use crate::tools::binary;

/// How long a cluster waits for the one before it.
const PATIENCE: Duration = Duration::from_mins(30);
/// How long its parts may take to start.
const LIMIT: Duration = Duration::from_mins(2);

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    record: Record,
    control_plane: ControlPlane,
    node: Node,
    reaper: Option<(Child, ChildStdin)>,
    kept: bool,
    ready_after: Duration,
    _lock: Lock,
}

impl Cluster {
    /// Starts one and waits until its node is ready and its DNS answers. Waits for the cluster of
    /// another process to end, and first removes what a crashed one left.
    #[must_use]
    pub fn start() -> Self {
        let lock = Lock::take("tests", PATIENCE);
        if let Some(former) = Record::existing() {
            assert!(
                !former.is_kept(),
                "`make cluster` left a cluster running on this machine: run `make cluster-down`"
            );
            teardown::remove(&former);
        }
        let start = Instant::now();
        let record = Record::create();
        let reaper = start_reaper(&lock);
        network::create(&record);
        let pause = Image::pause();
        // Images are built while the API server comes up.
        let (control_plane, (mut node, coredns)) = std::thread::scope(|scope| {
            let node = scope.spawn(|| (Node::start(&record, &pause), Image::coredns()));
            let control_plane = ControlPlane::start(&record);
            (control_plane, node.join().expect("the node starts"))
        });
        node.join(&record, &control_plane);
        node.import(&coredns);
        let reaper = Some(reaper);
        let ready_after = Duration::ZERO;
        let mut cluster =
            Self { record, control_plane, node, reaper, kept: false, ready_after, _lock: lock };
        cluster.apply(
            &include_str!("cluster/dns.yaml")
                .replace("COREDNS_IMAGE", &coredns.reference())
                .replace("DNS_ADDRESS", network::DNS)
                .replace("NODE_ADDRESS", NODE),
        );
        cluster.wait_for(&["node/node1"], "condition=Ready", LIMIT);
        cluster.ready_after = start.elapsed();
        cluster.wait_for_rollout("kube-system", "coredns", LIMIT);
        cluster
    }

    /// Gives an image to the node.
    pub fn import(&self, image: &Image) {
        self.node.import(image);
    }

    /// How long it took until its node was ready.
    #[must_use]
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// The path of the administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        self.control_plane.pki().path("admin.kubeconfig")
    }

    /// The URL of the API server.
    #[must_use]
    pub fn api_server(&self) -> &str {
        self.control_plane.pki().server()
    }

    /// The folder of its files and logs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.record.dir
    }

    /// What one of its processes has logged: `kube-apiserver`, `kubelet`, `containerd`, ….
    #[must_use]
    pub fn process_log(&self, name: &str) -> String {
        std::fs::read_to_string(control_plane::log(self.dir(), name)).unwrap_or_default()
    }

    /// Ends the API server as a crash would.
    pub fn stop_api_server(&self) {
        self.control_plane.stop_api_server();
    }

    /// Starts the API server again, where it was, and waits until it is ready.
    pub fn start_api_server(&self) {
        self.control_plane.start_api_server();
    }

    /// Lets a process outlive this one; it ends with the cluster.
    pub fn adopt(&self, name: &str, process: crate::process::Process) {
        let id = process.id();
        let start = record::start_time(id).expect("the process runs");
        self.record.note(&record::Made::Process { id, start, name: name.to_owned() });
        std::mem::forget(process);
    }

    /// Leaves it running when this process ends, until [`Cluster::remove_kept`].
    pub fn keep(mut self) {
        self.record.keep();
        if let Some((mut reaper, mut input)) = self.reaper.take() {
            let _ = input.write_all(b"keep");
            drop(input);
            let _ = reaper.wait();
        }
        self.kept = true;
    }

    /// Removes a cluster that was left running, or what a crashed process left. Says whether there
    /// was one.
    #[must_use]
    pub fn remove_kept() -> bool {
        let _lock = Lock::take("removal", PATIENCE);
        Record::existing().is_some_and(|record| {
            teardown::remove(&record);
            true
        })
    }

    /// What of a cluster with that folder is still on this machine: nothing, once it is removed.
    #[must_use]
    pub fn remains(dir: &Path) -> Vec<String> {
        let mut remains = network::existing();
        remains
            .extend(teardown::mounts(dir).iter().map(|path| format!("mount {}", path.display())));
        remains.extend(teardown::processes_of(dir).iter().map(|id| format!("process {id}")));
        remains.extend(cgroups::processes().iter().map(|id| format!("process {id} of a pod")));
        let groups = cgroups::groups().into_iter().filter(|group| group.exists());
        remains.extend(groups.map(|group| format!("control group {}", group.display())));
        if dir.exists() {
            remains.push(format!("folder {}", dir.display()));
        }
        remains
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.kept {
            self.forget_processes();
            return;
        }
        if std::thread::panicking() {
            eprintln!("{}", self.story());
        }
        teardown::remove(&self.record);
        // With its input closed it finds nothing left to do.
        if let Some((mut reaper, input)) = self.reaper.take() {
            drop(input);
            let _ = reaper.wait();
        }
    }
}

impl Cluster {
    /// A process that is dropped is killed, so these are not.
    fn forget_processes(&mut self) {
        let mut processes = std::mem::take(&mut self.node.processes);
        processes.extend(self.control_plane.processes());
        processes.into_iter().for_each(std::mem::forget);
    }
}

/// Starts the process that removes the cluster when this one ends without doing so: it reads from a
/// pipe that closes then, and has a copy of the lock, so that no other cluster starts meanwhile.
fn start_reaper(lock: &Lock) -> (Child, ChildStdin) {
    use std::os::unix::process::CommandExt as _;
    let mut reaper = Command::new(binary("cluster"))
        .arg("reap")
        .stdin(Stdio::piped())
        .stdout(lock.file.try_clone().expect("a copy of the lock"))
        .stderr(Stdio::null())
        // What ends this process by its group does not end that one.
        .process_group(0)
        .spawn()
        .expect("the reaper starts");
    let input = reaper.stdin.take().expect("a pipe");
    (reaper, input)
}

/// The reaper: waits until its input closes, and removes the cluster unless told to keep it.
pub fn reap() {
    let mut told = String::new();
    let _ = std::io::Read::read_to_string(&mut std::io::stdin(), &mut told);
    if told != "keep"
        && let Some(record) = Record::existing()
    {
        teardown::remove(&record);
    }
}
