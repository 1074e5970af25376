//! nginx with `docs/gateways/nginx/vestibule.conf`. Without Vestibule it is that file but for the lines of
//! the check.

use super::{app, must_refuse, running, wiring, write_empty_file};
use crate::bench::contender::Running;
use crate::bench::lab::Lab;
use crate::bench::machine::version_of;
use crate::gateway::Wiring;
use crate::nginx::Nginx;
use crate::tools::repository;

/// Before an app, and nobody is asked.
pub fn plain(lab: &Lab) -> Running {
    to_app(lab, "nginx-plain", false)
}

/// Before an app, and Vestibule is asked.
pub fn ours(lab: &Lab) -> Running {
    to_app(lab, "nginx-ours", true)
}

/// With an empty file of its own, and nobody is asked.
pub fn plain_file(lab: &Lab) -> Running {
    with_file(lab, "nginx-file", false)
}

/// With an empty file of its own, and Vestibule is asked.
pub fn file_and_ours(lab: &Lab) -> Running {
    with_file(lab, "nginx-file-ours", true)
}

fn to_app(lab: &Lab, name: &str, checked: bool) -> Running {
    let (address, app) = app(lab, name);
    let wiring = wiring(&lab.on_redis()[0], address);
    let running = start(lab, name, &wiring, checked, |servers| servers);
    Running { beside: vec![app.id()], kept: Box::new((running.kept, app)), ..running }
}

fn with_file(lab: &Lab, name: &str, checked: bool) -> Running {
    let root = lab.dir(name).join("files");
    write_empty_file(&root);
    let wiring = wiring(&lab.on_redis()[0], "127.0.0.1:9".parse().expect("an address"));
    start(lab, name, &wiring, checked, |servers| {
        let to_app = "proxy_pass http://shop;";
        assert!(servers.contains(to_app), "the example's app is an upstream");
        servers.replace(to_app, &format!("root {};", root.display()))
    })
}

fn start(
    lab: &Lab,
    name: &str,
    wiring: &Wiring,
    checked: bool,
    edit: impl FnOnce(String) -> String,
) -> Running {
    let ours = &lab.on_redis()[0];
    let example = repository().join("docs/gateways/nginx/vestibule.conf");
    let example = std::fs::read_to_string(example).expect("the example is there");
    let example = if checked { example } else { unchecked(&example) };
    let servers = edit(wiring.fill(&example, &[]));
    let dir = lab.dir(name);
    let nginx = lab.on_server(|| Nginx::start_to_measure(&dir, &servers, wiring.listen));
    let mut pids = vec![nginx.id()];
    if checked {
        must_refuse(ours, wiring.listen);
        pids.push(ours.authsvc.id());
    }
    Running {
        versions: vec![("nginx", version_of("/usr/sbin/nginx", "-v"))],
        ..running(ours, wiring.listen, pids, nginx)
    }
}

/// The example without the check, and without the headers that come of it.
fn unchecked(example: &str) -> String {
    let checks = ["auth_request", "error_page 401", "$bff_authorization", "$bff_cookie", "$bff_x_"];
    let of_check = |line: &&str| checks.iter().any(|word| line.contains(word));
    let (gone, left): (Vec<&str>, Vec<&str>) = example.lines().partition(of_check);
    assert!(gone.len() > checks.len(), "the example asks Vestibule");
    left.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_vestibule_the_example_still_reaches_the_app_and_asks_nobody() {
        let example = repository().join("docs/gateways/nginx/vestibule.conf");
        let plain = unchecked(&std::fs::read_to_string(example).expect("it is there"));
        for gone in ["auth_request", "$bff_authorization", "error_page"] {
            assert!(!plain.contains(gone), "{gone} is still there:\n{plain}");
        }
        for left in
            ["proxy_pass http://shop;", "proxy_set_header Host $http_host;", "keepalive 32;"]
        {
            assert!(plain.contains(left), "{left} is not there:\n{plain}");
        }
    }
}
