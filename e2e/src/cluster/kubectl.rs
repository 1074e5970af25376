//! What tests do with a cluster: kubectl and helm, and waiting for conditions. It must not know what
//! is installed.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::Cluster;
use super::programs::tool;
use crate::process::eventually;

impl Cluster {
    /// Runs kubectl and returns what it prints; panics where it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        printed("kubectl", arguments, &self.try_kubectl(arguments))
    }

    /// Runs kubectl, which may fail.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Output {
        self.kubectl_command().args(arguments).output().expect("kubectl runs")
    }

    /// A kubectl command that is not run yet, such as one that goes on in the background.
    #[must_use]
    pub fn kubectl_command(&self) -> Command {
        let mut command = Command::new(tool("kubectl"));
        command.env("KUBECONFIG", self.kubeconfig()).stdin(Stdio::null());
        command
    }

    /// Creates or changes objects; panics where one is refused.
    pub fn apply(&self, yaml: &str) -> String {
        printed("kubectl apply", &[yaml], &self.try_apply(yaml))
    }

    /// Creates or changes objects, which may be refused.
    pub fn try_apply(&self, yaml: &str) -> Output {
        let mut command = self.kubectl_command();
        command.args(["apply", "-f", "-"]).stdin(Stdio::piped());
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kubectl runs");
        let mut input = child.stdin.take().expect("a pipe");
        // A kubectl that ends early says why itself.
        let _ = input.write_all(yaml.as_bytes());
        drop(input);
        child.wait_with_output().expect("kubectl ends")
    }

    /// Runs helm and returns what it prints; panics where it fails.
    pub fn helm(&self, arguments: &[&str]) -> String {
        printed("helm", arguments, &self.try_helm(arguments))
    }

    /// Runs helm, which may fail.
    pub fn try_helm(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(tool("helm"));
        // Its own settings come with the cluster and go with it.
        for kind in ["CACHE", "CONFIG", "DATA"] {
            command.env(format!("HELM_{kind}_HOME"), self.dir().join("helm"));
        }
        command.env("KUBECONFIG", self.kubeconfig()).args(arguments);
        command.stdin(Stdio::null()).output().expect("helm runs")
    }

    /// An object, by kubectl's arguments such as `["-n", "shop", "pod/one"]`.
    #[must_use]
    pub fn get(&self, what: &[&str]) -> Value {
        let text = self.kubectl(&[&["get", "-o", "json"], what].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("not JSON ({error}): {text}"))
    }

    /// Waits as `kubectl wait` does, also for what does not exist yet; panics with what the object
    /// looks like. `what` is as in `["-n", "shop", "deployment/echo"]`, `condition` as in
    /// `condition=Available` or `jsonpath={.status.phase}=Running`.
    pub fn wait_for(&self, what: &[&str], condition: &str, limit: Duration) {
        let wait = format!("--for={condition}");
        let met = eventually(limit, || {
            // Short turns: a wait that began before the object was replaced ends with an error.
            let waited = self.try_kubectl(&[&["wait", &wait, "--timeout=5s"], what].concat());
            waited.status.success().then_some(())
        });
        if met.is_none() {
            let now = self.try_kubectl(&[&["get", "-o", "yaml"], what].concat());
            panic!(
                "no {condition} of {what:?} in {limit:?}; it is\n{}{}",
                String::from_utf8_lossy(&now.stdout),
                String::from_utf8_lossy(&now.stderr)
            );
        }
    }

    /// Waits until all replicas of a Deployment are those of its latest form.
    pub fn wait_for_rollout(&self, namespace: &str, deployment: &str, limit: Duration) {
        let (name, limit) = (format!("deployment/{deployment}"), format!("{}s", limit.as_secs()));
        self.kubectl(&["-n", namespace, "rollout", "status", &name, "--timeout", &limit]);
    }

    /// The names of the pods with these labels that are not being deleted.
    #[must_use]
    pub fn pods(&self, namespace: &str, selector: &str) -> Vec<String> {
        let list = self.get(&["-n", namespace, "pods", "-l", selector]);
        let pods = list["items"].as_array().cloned().unwrap_or_default();
        pods.iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
            .collect()
    }

    /// The address of a pod, which this machine reaches.
    #[must_use]
    pub fn pod_ip(&self, namespace: &str, pod: &str) -> IpAddr {
        let pod = self.get(&["-n", namespace, "pod", pod]);
        parse(&pod["status"]["podIP"])
    }

    /// The cluster address of a Service and one of its ports, which this machine reaches.
    #[must_use]
    pub fn service(&self, namespace: &str, name: &str, port: u16) -> SocketAddr {
        let service = self.get(&["-n", namespace, "service", name]);
        SocketAddr::new(parse(&service["spec"]["clusterIP"]), port)
    }

    /// What a pod, or `deployment/NAME`, has printed.
    pub fn logs(&self, namespace: &str, what: &str) -> String {
        self.kubectl(&["-n", namespace, "logs", "--all-containers", what])
    }

    /// Runs a command in a pod and returns what it prints.
    pub fn exec(&self, namespace: &str, pod: &str, command: &[&str]) -> String {
        self.kubectl(&[&["-n", namespace, "exec", pod, "--"], command].concat())
    }

    /// Deletes a pod as a crash of its machine would: at once, without its end.
    pub fn kill_pod(&self, namespace: &str, pod: &str) {
        let now = ["--grace-period=0", "--force"];
        self.kubectl(&[&["-n", namespace, "delete", "pod", pod], now.as_slice()].concat());
    }

    /// Deletes a pod and waits until it has ended.
    pub fn delete_pod(&self, namespace: &str, pod: &str) {
        self.kubectl(&["-n", namespace, "delete", "pod", pod, "--wait=true"]);
    }

    /// What happened in the cluster: pods, events and logs, for a test that failed.
    #[must_use]
    pub fn story(&self) -> String {
        let mut story = String::new();
        let mut tell = |arguments: &[&str]| {
            let output = self.try_kubectl(arguments);
            let _ = writeln!(story, "\n# kubectl {}", arguments.join(" "));
            story.push_str(&String::from_utf8_lossy(&output.stdout));
            story.push_str(&String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        tell(&["get", "pods", "-A", "-o", "wide"]);
        tell(&["get", "events", "-A", "--sort-by=.metadata.creationTimestamp"]);
        let format =
            r#"jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}{"\n"}{end}"#;
        let pods = self.try_kubectl(&["get", "pods", "-A", "-o", format]);
        for line in String::from_utf8_lossy(&pods.stdout).lines() {
            if let Some((namespace, pod)) = line.split_once(' ') {
                let tail = ["--all-containers", "--prefix", "--tail=60", "--ignore-errors"];
                tell(&[&["-n", namespace, "logs", pod], tail.as_slice()].concat());
            }
        }
        for name in ["kube-apiserver", "kubelet", "containerd", "kube-proxy"] {
            let log = self.process_log(name);
            let lines: Vec<_> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(15)..].join("\n");
            let _ = writeln!(story, "\n# the end of {name}'s log\n{last}");
        }
        story
    }
}

fn printed(program: &str, arguments: &[&str], output: &Output) -> String {
    let (out, said) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {}\n{out}{said}", arguments.join(" "));
    out.into_owned()
}

fn parse(value: &Value) -> IpAddr {
    let text = value.as_str().unwrap_or_default();
    text.parse().unwrap_or_else(|error| panic!("{value} is no address: {error}"))
}
