//! The cluster's network on this machine: a bridge that carries the node's address, and the settings
//! of the kernel that Services need. It must leave every other interface, table and rule alone.

use std::fs;
use std::process::Command;

use super::record::{Made, Record};

/// The name of the pods' network.
pub(super) const NAME: &str = "vestibule-cluster";
/// The node's address: pods and this machine both reach it.
pub const NODE: &str = "10.77.0.1";
/// The addresses of pods.
pub(super) const PODS: &str = "10.244.0.0/16";
/// The addresses of Services.
pub(super) const SERVICES: &str = "10.96.0.0/16";
/// The address of the cluster's DNS.
pub(super) const DNS: &str = "10.96.0.10";
/// The bridge of the node's address, and that of the pods.
pub(super) const BRIDGES: [&str; 2] = ["node0", "cni0"];
/// The tables that kube-proxy makes.
pub(super) const TABLES: [[&str; 2]; 2] = [["ip", "kube-proxy"], ["ip6", "kube-proxy"]];

/// Makes it.
pub(super) fn create(record: &Record) {
    let left: Vec<_> = existing();
    assert!(left.is_empty(), "another Kubernetes seems to use this machine: {left:?}");
    run("ip", &["link", "add", BRIDGES[0], "type", "bridge"]);
    run("ip", &["addr", "add", &format!("{NODE}/32"), "dev", BRIDGES[0]]);
    run("ip", &["link", "set", BRIDGES[0], "up"]);
    let bridged = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    if fs::metadata(bridged).is_err() {
        // Built into some kernels, a module of others.
        let _ = command("modprobe", &["br_netfilter"]).output();
    }
    for path in ["/proc/sys/net/ipv4/ip_forward", bridged] {
        let before = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        if before.trim() != "1" {
            let before = before.trim().to_owned();
            record.note(&Made::Setting { path: path.to_owned(), before });
            fs::write(path, "1").unwrap_or_else(|error| panic!("{path}: {error}"));
        }
    }
    allow_forwarding(record);
}

/// Bridges and tables of the cluster that are there.
pub(super) fn existing() -> Vec<String> {
    let mut found = Vec::new();
    for bridge in BRIDGES {
        if fs::metadata(format!("/sys/class/net/{bridge}")).is_ok() {
            found.push(format!("interface {bridge}"));
        }
    }
    for [family, table] in TABLES {
        let listed = command("nft", &["list", "table", family, table]).output();
        if listed.is_ok_and(|output| output.status.success()) {
            found.push(format!("nft table {family} {table}"));
        }
    }
    found
}

/// Removes it, whatever of it is there.
pub(super) fn remove() {
    for bridge in BRIDGES {
        if fs::metadata(format!("/sys/class/net/{bridge}")).is_ok() {
            run("ip", &["link", "delete", bridge]);
        }
    }
    for [family, table] in TABLES {
        let _ = command("nft", &["delete", "table", family, table]).output();
    }
}

/// A container engine on the same machine drops whatever it does not forward itself.
fn allow_forwarding(record: &Record) {
    let chain = command("nft", &["list", "chain", "ip", "filter", "FORWARD"]).output();
    let drops =
        chain.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("policy drop"));
    if drops {
        record.note(&Made::Forward);
        for direction in ["-i", "-o"] {
            run("iptables", &["-w", "-I", "FORWARD", direction, BRIDGES[1], "-j", "ACCEPT"]);
        }
    }
}

/// Undoes what [`allow_forwarding`] did.
pub(super) fn forbid_forwarding() {
    for direction in ["-i", "-o"] {
        let rule = ["-w", "-D", "FORWARD", direction, BRIDGES[1], "-j", "ACCEPT"];
        let _ = command("iptables", &rule).output();
    }
}

/// A command that finds the system's own programs too.
pub(super) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.args(arguments).env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// Runs it; panics with what it says when it fails.
pub(super) fn run(program: &str, arguments: &[&str]) {
    let output = command(program, arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program} does not run: {error}: run e2e/setup.sh"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}
