//! Servers that do nothing: what a check cannot cost less than. They are asked what `ours-warm-redis` is
//! asked, header for header, with a session cookie of no session.

use std::any::Any;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use super::contender::{Contender, Running};
use super::lab::{Lab, as_script};
use super::machine::version_of;
use super::ours::API;
use super::results::Group;
use crate::load::Ask;
use crate::nginx::Nginx;
use crate::process::{Process, accepts, free_port, loopback};
use crate::tools::binary;

/// What the others are compared to.
pub const HYPER: &str = "hyper";

/// All of them.
pub const CONTENDERS: &[Contender] = &[
    Contender {
        name: HYPER,
        title: "bare hyper, 204",
        note: "what all are compared to",
        group: Group::Floor,
        without: None,
        start: |lab| bare(lab, "hyper"),
    },
    Contender {
        name: "hyper-again",
        title: "bare hyper, once more",
        note: "how far the same program is from itself: the noise",
        group: Group::Floor,
        without: None,
        start: |lab| bare(lab, "hyper"),
    },
    Contender {
        name: "axum",
        title: "bare axum handler, 204",
        note: "",
        group: Group::Floor,
        without: None,
        start: |lab| bare(lab, "axum"),
    },
    Contender {
        name: "nginx-204",
        title: "nginx, `return 204`",
        note: "one worker",
        group: Group::Floor,
        without: None,
        start: nginx,
    },
];

fn bare(lab: &Lab, kind: &str) -> Running {
    let address = loopback(free_port());
    let mut command = Command::new(binary("bare_hyper"));
    command.args([kind, &address.to_string()]);
    let log = lab.dir("floor").join("bare.log");
    let mut process = lab.on_server(|| Process::spawn("bare_hyper", &mut command, &log));
    process.wait_ready(Duration::from_secs(20), || accepts(address).then_some(()));
    running(address, process.id(), process)
}

fn nginx(lab: &Lab) -> Running {
    let address = loopback(free_port());
    let server = format!("server {{ listen {address}; location / {{ return 204; }} }}");
    let dir = lab.dir("nginx-204");
    let nginx = lab.on_server(|| Nginx::start_to_measure(&dir, &server, address));
    let versions = vec![("nginx", version_of("nginx", "-v"))];
    Running { versions, ..running(address, nginx.id(), nginx) }
}

fn running(addr: SocketAddr, pid: u32, kept: impl Any) -> Running {
    Running {
        addr,
        asks: vec![ask()],
        expected: 204,
        pids: vec![pid],
        beside: Vec::new(),
        versions: Vec::new(),
        kept: Box::new(kept),
    }
}

fn ask() -> Ask {
    let origin = "http://localhost:20000";
    let ask = Ask::get("/check/nginx/default/shop", "vestibule_check")
        .header("X-Original-URL", &format!("{origin}{API}"))
        .header("X-Original-Method", "GET");
    as_script(ask, origin).header("Cookie", &format!("__Host-bff={}", "x".repeat(43)))
}
