//! Envoy, answering each request by itself: alone, with its oauth2 filter, and asking Vestibule. Envoy is
//! no dialect of Vestibule yet, so it asks as nginx does, and only what is allowed is measured.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use super::{ask, asks_of_the_logged_in, running};
use crate::bench::contender::Running;
use crate::bench::gateways;
use crate::bench::lab::Lab;
use crate::load::Ask;
use crate::process::{Process, accepts, free_port, loopback};
use crate::provider::CLIENT_SECRET;
use crate::tools::{cached, version};

/// Logs nobody in.
pub fn plain(lab: &Lab) -> Running {
    let (address, process) = start(lab, "envoy", "", "[]");
    let asks = vec![ask(&lab.origin()).header("Cookie", &format!("session={}", "x".repeat(43)))];
    finish(address, asks, vec![process.id()], process)
}

/// Logs users in by itself.
pub fn oauth2(lab: &Lab) -> Running {
    let (origin, issuer) = (lab.origin(), &lab.provider.issuer);
    let filters = include_str!("envoy-oauth2.yaml").replace("ISSUER", issuer);
    let provider = issuer.trim_start_matches("http://").parse().expect("the issuer is an address");
    let clusters = cluster("provider", provider);
    let filters = filters.replace("ORIGIN", &origin);
    let (address, process) = start(lab, "envoy-oauth2", &filters, &clusters);
    let asks = asks_of_the_logged_in(&origin, address);
    finish(address, asks, vec![process.id()], process)
}

/// Asks Vestibule, which is the replica of `ours-warm-redis`.
pub fn ours(lab: &Lab) -> Running {
    let ours = &lab.on_redis()[0];
    let clusters = cluster("vestibule", ours.authsvc.check);
    let filters = include_str!("envoy-ext-authz.yaml");
    let (address, process) = start(lab, "envoy-ours", filters, &clusters);
    gateways::must_refuse(ours, address);
    let pids = vec![process.id(), ours.authsvc.id()];
    finish(address, gateways::asks(ours), pids, process)
}

fn finish(address: SocketAddr, asks: Vec<Ask>, pids: Vec<u32>, process: Process) -> Running {
    let versions = vec![("envoy", version("ENVOY_VERSION").to_owned())];
    Running { versions, ..running(address, asks, pids, process) }
}

fn start(lab: &Lab, name: &str, filters: &str, clusters: &str) -> (SocketAddr, Process) {
    let dir = lab.dir(name);
    let address = loopback(free_port());
    let configuration = include_str!("envoy.yaml")
        .replace("LISTEN_PORT", &address.port().to_string())
        .replace("FILTERS", filters)
        .replace("CLUSTERS", clusters)
        .replace("CLIENT_SECRET", CLIENT_SECRET);
    let file = dir.join("envoy.yaml");
    std::fs::write(&file, configuration).expect("a writable folder");
    let program = cached(&format!("envoy-{}/envoy", version("ENVOY_VERSION")));
    let mut command = Command::new(program);
    // One core, so one worker; and no hand-over to a next process, which would need shared memory.
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]);
    command.arg("--config-path").arg(file);
    let log = dir.join("envoy.log");
    let mut process = lab.on_server(|| Process::spawn("envoy", &mut command, &log));
    process.wait_ready(Duration::from_secs(30), || accepts(address).then_some(()));
    (address, process)
}

fn cluster(name: &str, at: SocketAddr) -> String {
    let (host, port) = (at.ip(), at.port());
    let address = format!("{{socket_address: {{address: {host}, port_value: {port}}}}}");
    let endpoints = format!("[{{lb_endpoints: [{{endpoint: {{address: {address}}}}}]}}]");
    format!(
        "[{{name: {name}, type: STATIC, connect_timeout: 2s, \
          load_assignment: {{cluster_name: {name}, endpoints: {endpoints}}}}}]"
    )
}
