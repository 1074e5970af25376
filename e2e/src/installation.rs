//! Vestibule as a platform team installs it: both charts by Helm, the image of the repository's
//! Dockerfile, two Traefiks in front. One per cluster, shared by its tests. It must not know the
//! apps (that is [`crate::app`]).

mod deviation;
mod previous;

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

pub use deviation::Deviation;
pub use previous::Previous;

use crate::cluster::programs::tool;
use crate::cluster::{Cluster, Image, Shared};
use crate::process::eventually;
use crate::tools::{cached, repository, version};

/// Where Vestibule is installed.
pub const NAMESPACE: &str = "vestibule";
/// How long a rollout may take.
pub const LIMIT: Duration = Duration::from_mins(2);

static INSTALLED: OnceLock<bool> = OnceLock::new();

/// The way a target Ingress is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guise {
    /// Traefik's own provider: a Middleware, named by an annotation.
    Traefik,
    /// Traefik's provider of ingress-nginx's annotations.
    NginxAnnotations,
}

impl Guise {
    /// The class of its Ingresses.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Traefik => "traefik",
            Self::NginxAnnotations => "nginx",
        }
    }

    fn deployment(self) -> &'static str {
        match self {
            Self::Traefik => "traefik",
            Self::NginxAnnotations => "traefik-nginx",
        }
    }
}

/// The shared cluster with Vestibule in it.
#[derive(Debug)]
pub struct Installation {
    cluster: Shared,
}

impl Deref for Installation {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl Installation {
    /// The installation of this process, for a test that works in namespaces of its own.
    #[must_use]
    pub fn shared() -> Self {
        Self::on(Cluster::shared())
    }

    /// The installation of this process, for a test that disturbs the others: it runs alone.
    #[must_use]
    pub fn shared_alone() -> Self {
        Self::on(Cluster::shared_alone())
    }

    fn on(cluster: Shared) -> Self {
        // Once: a second try would only hide why the first one failed.
        let installed = INSTALLED.get_or_init(|| {
            let install = std::panic::AssertUnwindSafe(|| install(&cluster));
            std::panic::catch_unwind(install).is_ok()
        });
        assert!(installed, "the installation failed: the first test says why");
        Self { cluster }
    }
}

/// What is asked of a cluster that has Vestibule.
impl Cluster {
    /// The address of a gateway's entry point: 8000 in plain HTTP, 8443 with TLS.
    #[must_use]
    pub fn gateway(&self, guise: Guise, port: u16) -> SocketAddr {
        let selector = format!("app={}", guise.deployment());
        let pod = self.pods("traefik", &selector).pop().expect("a gateway runs");
        SocketAddr::new(self.pod_ip("traefik", &pod), port)
    }

    /// The addresses of the ready authsvc pods.
    #[must_use]
    pub fn authsvc(&self) -> Vec<IpAddr> {
        self.addresses("authsvc")
    }

    /// The addresses of a component's pods.
    #[must_use]
    pub fn addresses(&self, component: &str) -> Vec<IpAddr> {
        let pods = self.component(component);
        pods.iter().map(|pod| self.pod_ip(NAMESPACE, pod)).collect()
    }

    /// The names of a component's pods.
    #[must_use]
    pub fn component(&self, component: &str) -> Vec<String> {
        self.pods(NAMESPACE, &format!("app.kubernetes.io/component={component}"))
    }

    /// The compiled Secret of a namespace's policy.
    #[must_use]
    pub fn compiled_secret(&self, namespace: &str) -> Value {
        let label = "vestibule.dev/compiled-policy=true";
        let secrets = self.get(&["-n", NAMESPACE, "secret", "-l", label]);
        let of = |secret: &&Value| {
            secret["metadata"]["annotations"]["vestibule.dev/policy-namespace"] == namespace
        };
        let found = secrets["items"].as_array().and_then(|secrets| secrets.iter().find(of));
        found.cloned().unwrap_or_else(|| panic!("nothing is handed over for {namespace}"))
    }

    /// The operator pod that leads, by its Lease.
    #[must_use]
    pub fn leader(&self) -> Option<String> {
        let lease = ["-n", NAMESPACE, "get", "lease", "vestibule-operator", "-o"];
        let holder = self.try_kubectl(&[&lease[..], &["jsonpath={.spec.holderIdentity}"]].concat());
        let holder = String::from_utf8_lossy(&holder.stdout).trim().to_owned();
        (!holder.is_empty()).then_some(holder)
    }

    /// Scales a Deployment of the installation and waits until it is so.
    pub fn scale(&self, component: &str, replicas: usize) {
        let deployment = format!("deployment/vestibule-{component}");
        let replicas = format!("--replicas={replicas}");
        self.kubectl(&["-n", NAMESPACE, "scale", &deployment, &replicas]);
        self.wait_for_rollout(NAMESPACE, &format!("vestibule-{component}"), LIMIT);
        let wanted: usize = replicas["--replicas=".len()..].parse().expect("a number");
        let gone = eventually(LIMIT, || (self.component(component).len() == wanted).then_some(()));
        assert!(gone.is_some(), "{component} is not {wanted} pods");
    }
}

/// The values of the test installation.
#[must_use]
pub fn values() -> String {
    format!("{}admin: {{sessions: {{enabled: true}}}}\n", values_for_earlier_charts())
}

/// The same without what the charts before the present ones may refuse.
#[must_use]
pub fn values_for_earlier_charts() -> String {
    let (vestibule, redis) = (Image::vestibule(), Image::redis());
    format!(
        "image: {{repository: {}, tag: \"{}\", pullPolicy: Never}}
redis:
  embedded:
    enabled: true
    image: {{repository: {}, tag: \"{}\", pullPolicy: Never}}
    command: [redis-server]
ingressClasses:
  traefik: {{controller: traefik.io/ingress-controller}}
  nginx: {{controller: k8s.io/ingress-nginx, servedBy: Traefik}}
allowInsecureIssuers: true
networkPolicy: {{gatewayNamespaces: [traefik]}}
logLevel: info,vestibule_operator=debug,vestibule_authsvc=debug
authsvc: {{drainSeconds: 3}}
",
        vestibule.repository(),
        vestibule.tag(),
        redis.repository(),
        redis.tag(),
    )
}

/// Helm, without a cluster: `lint` and `template`.
#[must_use]
pub fn helm(arguments: &[&str]) -> Output {
    let mut command = Command::new(tool("helm"));
    command.args(arguments).env("KUBECONFIG", "/dev/null").stdin(Stdio::null());
    command.output().unwrap_or_else(|error| panic!("helm does not run: {error}"))
}

/// The folder of this repository's charts.
#[must_use]
pub fn charts() -> PathBuf {
    repository().join("charts")
}

/// The path of a chart of this repository.
#[must_use]
pub fn chart(name: &str) -> String {
    charts().join(name).display().to_string()
}

/// Installs Vestibule, and two Traefiks before it.
pub fn install(cluster: &Cluster) {
    let traefik = Image::traefik();
    for image in [Image::vestibule(), Image::redis(), Image::echo(), traefik.clone()] {
        cluster.import(&image);
    }
    let crds = cached(&format!("traefik-crds-{}/crds.yaml", version("TRAEFIK_CRDS_VERSION")));
    // Too large for the annotation of a client-side apply.
    cluster.kubectl(&["apply", "--server-side", "-f", &crds.display().to_string()]);
    cluster.apply(
        &include_str!("installation/traefik.yaml").replace("TRAEFIK_IMAGE", &traefik.reference()),
    );
    cluster.apply(&format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: {NAMESPACE}, labels: {{pod-security.kubernetes.io/enforce: restricted}}}}
"
    ));
    install_charts(cluster);
    for guise in [Guise::Traefik, Guise::NginxAnnotations] {
        cluster.wait_for_rollout("traefik", guise.deployment(), LIMIT);
    }
}

/// Installs both charts, as the notes of the first say.
pub fn install_charts(cluster: &Cluster) {
    let values_file = cluster.dir().join("values.yaml");
    std::fs::write(&values_file, values()).expect("a writable folder");
    cluster.helm(&["install", "vestibule-crds", &chart("vestibule-crds"), "-n", NAMESPACE]);
    let values_file = values_file.display().to_string();
    let arguments = ["install", "vestibule", &chart("vestibule"), "-n", NAMESPACE];
    cluster.helm(&[&arguments[..], &["-f", &values_file, "--wait", "--timeout=3m"]].concat());
}
