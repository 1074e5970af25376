//! What asking Vestibule costs a gateway: nginx and Traefik with the files that users copy, with the check
//! and without it. What a gateway must be told for a measurement (no log, one app) is the same with and
//! without; it must not be tuned where the files are not.

use std::any::Any;
use std::net::SocketAddr;
use std::path::Path;

use super::contender::{Contender, Running};
use super::lab::{Lab, as_script};
use super::ours::{API, Ours};
use super::results::Group;
use crate::gateway::Wiring;
use crate::http::Request;
use crate::load::Ask;
use crate::nginx::Nginx;
use crate::process::{free_port, loopback};

mod nginx;
mod traefik;

/// All of them. Vestibule is the replica of `ours-warm-redis`.
pub const CONTENDERS: &[Contender] = &[
    Contender {
        name: "nginx-plain",
        title: "nginx to an app",
        note: "asks nobody",
        group: Group::Gateway,
        without: None,
        start: nginx::plain,
    },
    Contender {
        name: "nginx-ours",
        title: "nginx to an app, asking Vestibule",
        note: "auth_request; docs/gateways/nginx",
        group: Group::Gateway,
        without: Some("nginx-plain"),
        start: nginx::ours,
    },
    Contender {
        name: "nginx-file",
        title: "nginx with an empty file",
        note: "asks nobody",
        group: Group::Gateway,
        without: None,
        start: nginx::plain_file,
    },
    Contender {
        name: "nginx-file-ours",
        title: "nginx with an empty file, asking Vestibule",
        note: "auth_request; what Apache with mod_auth_openidc does",
        group: Group::Gateway,
        without: Some("nginx-file"),
        start: nginx::file_and_ours,
    },
    Contender {
        name: "traefik-plain",
        title: "Traefik to an app",
        note: "asks nobody",
        group: Group::Gateway,
        without: None,
        start: traefik::plain,
    },
    Contender {
        name: "traefik-ours",
        title: "Traefik to an app, asking Vestibule",
        note: "ForwardAuth; docs/gateways/traefik",
        group: Group::Gateway,
        without: Some("traefik-plain"),
        start: traefik::ours,
    },
];

/// The app behind a gateway: nginx that says 200 and nothing more. It has the server's core too, and its
/// processor time is not the gateway's.
fn app(lab: &Lab, name: &str) -> (SocketAddr, Nginx) {
    let listen = loopback(free_port());
    let server = format!("server {{ listen {listen}; location / {{ return 200 \"\"; }} }}");
    let dir = lab.dir(name).join("app");
    (listen, lab.on_server(|| Nginx::start_to_measure(&dir, &server, listen)))
}

/// What a gateway's file is filled in with. The origin is that of the lab's sessions, whatever the port
/// that the gateway listens on: it is the `Host` that counts.
fn wiring(ours: &Ours, app: SocketAddr) -> Wiring {
    Wiring {
        listen: loopback(free_port()),
        origin: ours.origin.clone(),
        check: ours.authsvc.check,
        browser: ours.authsvc.browser,
        app,
        hosted_backend: None,
    }
}

/// What the app's page asks of its API, by every session.
pub(super) fn asks(ours: &Ours) -> Vec<Ask> {
    let host = ours.origin.split("://").nth(1).unwrap_or_default();
    let ask =
        |cookie: &String| as_script(Ask::get(API, host), &ours.origin).header("Cookie", cookie);
    ours.cookies.iter().map(ask).collect()
}

/// Fails unless what listens there lets nobody through without a session: a gateway that asks nobody
/// must not win.
pub(super) fn must_refuse(ours: &Ours, listen: SocketAddr) {
    let host = ours.origin.split("://").nth(1).unwrap_or_default();
    let answer = Request::get(API, host).send(listen);
    assert!(matches!(answer.status, 302 | 303 | 401), "without a session it is not: {answer}");
}

/// An empty file below `root`, at the path that contenders are asked for.
pub(super) fn write_empty_file(root: &Path) {
    let file = root.join(API.trim_start_matches('/').split('?').next().unwrap_or_default());
    std::fs::create_dir_all(file.parent().unwrap_or(root)).expect("a writable folder");
    std::fs::write(file, "").expect("a writable folder");
}

/// A gateway that is asked what [`asks`] says. `pids`: the gateway's own, and ours where it asks us.
fn running(ours: &Ours, listen: SocketAddr, pids: Vec<u32>, kept: impl Any) -> Running {
    Running {
        addr: listen,
        asks: asks(ours),
        expected: 200,
        pids,
        beside: Vec::new(),
        versions: Vec::new(),
        kept: Box::new(kept),
    }
}
