//! Apache with an empty file, alone and behind `mod_auth_openidc`. It refuses to serve as root, so its files
//! are in a folder that others may read; nothing secret may be in there but for the client's secret of a
//! provider that ends with the run.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::{ask, asks_of_the_logged_in, running};
use crate::bench::contender::Running;
use crate::bench::gateways::write_empty_file;
use crate::bench::lab::Lab;
use crate::bench::machine::version_of;
use crate::process::{Process, accepts, free_port, loopback};
use crate::provider::CLIENT_SECRET;

const PROGRAM: &str = "/usr/sbin/apache2";
const MODULES: &str = "/usr/lib/apache2/modules";

/// Logs nobody in.
pub fn plain(lab: &Lab) -> Running {
    let (address, process, dir) = start(lab, "");
    let asks = vec![ask(&lab.origin()).header("Cookie", &format!("session={}", "x".repeat(43)))];
    Running {
        versions: vec![("apache", version_of(PROGRAM, "-v"))],
        ..running(address, asks, vec![process.id()], (process, dir))
    }
}

/// Logs users in.
pub fn openidc(lab: &Lab) -> Running {
    let origin = lab.origin();
    let protection = include_str!("apache-openidc.conf")
        .replace("ISSUER", &lab.provider.issuer)
        .replace("ORIGIN", &origin)
        .replace("CLIENT_SECRET", CLIENT_SECRET);
    let (address, process, dir) = start(lab, &protection);
    let asks = asks_of_the_logged_in(&origin, address);
    Running {
        versions: vec![("mod_auth_openidc", module_version())],
        ..running(address, asks, vec![process.id()], (process, dir))
    }
}

fn start(lab: &Lab, protection: &str) -> (SocketAddr, Process, TempDir) {
    assert!(std::path::Path::new(PROGRAM).exists(), "{PROGRAM} is missing: run e2e/bench-setup.sh");
    let dir = tempfile::Builder::new()
        .prefix("vestibule-apache-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir()
        .expect("a temporary folder");
    write_empty_file(&dir.path().join("files"));
    let address = loopback(free_port());
    let configuration = include_str!("apache.conf")
        .replace("PROTECTION", protection)
        .replace("MODULES", MODULES)
        .replace("LISTEN", &address.to_string())
        .replace("DIR", &dir.path().display().to_string());
    let file = dir.path().join("apache.conf");
    std::fs::write(&file, configuration).expect("a writable folder");
    let mut command = Command::new(PROGRAM);
    command.arg("-DFOREGROUND").arg("-f").arg(file);
    let log = dir.path().join("apache.log");
    let mut process = lab.on_server(|| Process::spawn("apache", &mut command, &log));
    process.wait_ready(Duration::from_secs(30), || accepts(address).then_some(()));
    (address, process, dir)
}

/// Debian's version of the module, which does not say it by itself.
fn module_version() -> String {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat=${Version}", "libapache2-mod-auth-openidc"])
        .output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}
