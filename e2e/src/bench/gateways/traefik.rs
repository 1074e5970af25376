//! Traefik with `docs/gateways/traefik/*.yaml`. Without Vestibule its router has no middleware.

use super::{app, must_refuse, running, wiring};
use crate::bench::contender::Running;
use crate::bench::lab::Lab;
use crate::tools::version;
use crate::traefik::Traefik;

/// Before an app, and nobody is asked.
pub fn plain(lab: &Lab) -> Running {
    start(lab, "traefik-plain", false)
}

/// Before an app, and Vestibule is asked.
pub fn ours(lab: &Lab) -> Running {
    start(lab, "traefik-ours", true)
}

fn start(lab: &Lab, name: &str, checked: bool) -> Running {
    let ours = &lab.on_redis()[0];
    let (address, app) = app(lab, name);
    let (wiring, dir) = (wiring(ours, address), lab.dir(name));
    let traefik = lab.on_server(|| {
        if checked {
            Traefik::start(&dir, &wiring, &[], "reject")
        } else {
            Traefik::start_unprotected(&dir, &wiring)
        }
    });
    let mut pids = vec![traefik.id()];
    if checked {
        must_refuse(ours, wiring.listen);
        pids.push(ours.authsvc.id());
    }
    Running {
        beside: vec![app.id()],
        versions: vec![("traefik", version("TRAEFIK_VERSION").to_owned())],
        ..running(ours, wiring.listen, pids, (traefik, app))
    }
}
