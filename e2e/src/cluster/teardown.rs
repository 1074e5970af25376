//! Removes a cluster from the machine, by its record alone: the same way after a test, after a crash
//! and for `make cluster-down`. It ends only processes of the record, and those that run in the
//! cluster's own control group or serve its own containerd.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::record::{Made, Record, start_time};
use super::{cgroups, network};
use crate::process::eventually;

const LIMIT: Duration = Duration::from_secs(30);

/// Removes everything that the record tells of; panics with what stays.
pub(super) fn remove(record: &Record) {
    let made = record.made();
    let processes = made.iter().filter_map(|made| match made {
        Made::Process { id, start, name } => Some((*id, *start, name)),
        _ => None,
    });
    // Latest first: the kubelet must be gone before its pods are, or it starts them again.
    for (id, start, name) in processes {
        end(id, start, name);
        if name == "containerd" {
            end_pods(&record.dir);
        }
    }
    end_pods(&record.dir);
    unmount(&record.dir);
    network::remove();
    for made in &made {
        match made {
            Made::Setting { path, before } => {
                let _ = fs::write(path, before);
            }
            Made::Forward => network::forbid_forwarding(),
            Made::Process { .. } => {}
        }
    }
    cgroups::remove();
    remove_traces(&record.dir);
    record.forget();
}

/// Ends the process group of a recorded process, if that is still the one.
fn end(id: u32, start: u64, name: &str) {
    if start_time(id) != Some(start) {
        return;
    }
    // etcd and the rest keep nothing that is wanted later, so none is asked to take its time.
    let _ = Command::new("kill").args(["-KILL", "--", &format!("-{id}")]).status();
    let gone = eventually(LIMIT, || (start_time(id) != Some(start)).then_some(()));
    assert!(gone.is_some(), "{name} (process {id}) does not end");
}

/// Ends what runs in pods, and what waits for it.
fn end_pods(dir: &Path) {
    let gone = eventually(LIMIT, || {
        let mut left = cgroups::processes();
        left.extend(shims(dir));
        for id in &left {
            let _ = Command::new("kill").args(["-KILL", &id.to_string()]).output();
        }
        left.is_empty().then_some(())
    });
    assert!(gone.is_some(), "processes of pods do not end: {:?}", cgroups::processes());
}

/// The shims of our containerd: they outlive it, and name its address.
fn shims(dir: &Path) -> BTreeSet<u32> {
    let address = format!("{}/", dir.display());
    matching(|command| command.contains("containerd-shim") && command.contains(&address))
}

/// The processes whose command line passes.
fn matching(of: impl Fn(&str) -> bool) -> BTreeSet<u32> {
    let id = |entry: fs::DirEntry| -> Option<u32> {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        (of(&String::from_utf8_lossy(&command)) && start_time(id).is_some()).then_some(id)
    };
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(id).collect()
}

/// Every process whose command names the cluster's folder.
pub(super) fn processes_of(dir: &Path) -> BTreeSet<u32> {
    let of = |command: &str| command.contains(&format!("{}/", dir.display()));
    matching(of)
}

/// The mounts below the cluster's folder, innermost first.
pub(super) fn mounts(dir: &Path) -> Vec<PathBuf> {
    let prefix = format!("{}/", dir.display());
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut found: Vec<_> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|path| path.starts_with(&prefix))
        .map(PathBuf::from)
        .collect();
    found.reverse();
    found
}

fn unmount(dir: &Path) {
    let gone = eventually(LIMIT, || {
        let left = mounts(dir);
        for path in &left {
            // Lazily, since a kernel thread may still hold one for a moment.
            let _ = Command::new("umount").arg("-l").arg(path).output();
        }
        left.is_empty().then_some(())
    });
    assert!(gone.is_some(), "mounts stay: {:?}", mounts(dir));
}

/// What the container tools write at fixed places: sockets of shims, results of network set-up, and
/// links to logs.
fn remove_traces(dir: &Path) {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let tasks = dir.join("containerd/state/io.containerd.runtime.v2.task/k8s.io");
    for task in entries(&tasks) {
        let address = fs::read_to_string(task.path().join("address")).unwrap_or_default();
        if let Some(socket) = address.strip_prefix("unix://") {
            let _ = fs::remove_file(socket);
        }
    }
    let ours = dir.display().to_string();
    for entry in entries(Path::new("/var/lib/cni/results")) {
        if fs::read_to_string(entry.path()).is_ok_and(|text| text.contains(&ours)) {
            let _ = fs::remove_file(entry.path());
        }
    }
    for entry in entries(Path::new("/var/log/containers")) {
        if fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(dir)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
