//! A cluster leaves nothing on the machine, however it ends. Needs root.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use vestibule_e2e::cluster::Cluster;
use vestibule_e2e::process::eventually;
use vestibule_e2e::tools::binary;

const LIMIT: Duration = Duration::from_mins(3);

/// Makes a cluster in another process, and gives its folder.
fn up(argument: &str) -> (Child, PathBuf) {
    let mut child = Command::new(binary("cluster"))
        .arg(argument)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let kubeconfig = line.trim().strip_prefix("export KUBECONFIG=").unwrap();
    let dir = Path::new(kubeconfig).ancestors().nth(2).unwrap().to_owned();
    (child, dir)
}

fn assert_nothing_remains(dir: &Path) {
    let mut remains = Vec::new();
    let gone = eventually(LIMIT, || {
        remains = Cluster::remains(dir);
        remains.is_empty().then_some(())
    });
    assert!(gone.is_some(), "it leaves {remains:?}");
}

#[test]
fn nothing_remains_of_a_cluster() {
    // One after the other, as only one runs at a time anyway.
    let cluster = Cluster::start();
    let dir = cluster.dir().to_owned();
    assert!(!Cluster::remains(&dir).is_empty());
    drop(cluster);
    let remains = Cluster::remains(&dir);
    assert!(remains.is_empty(), "dropped, it leaves {remains:?}");

    let (mut child, dir) = up("hold");
    child.kill().unwrap();
    child.wait().unwrap();
    // Nobody asked for it: another process of it sees the end.
    assert_nothing_remains(&dir);

    let (mut child, dir) = up("up");
    assert!(child.wait().unwrap().success());
    assert!(!Cluster::remains(&dir).is_empty(), "it was to be left running");
    let down = Command::new(binary("cluster")).arg("down").status().unwrap();
    assert!(down.success());
    let remains = Cluster::remains(&dir);
    assert!(remains.is_empty(), "removed, it leaves {remains:?}");
}
