//! The control group that every pod runs below, of version 1 or 2. It must not touch another.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Its name, at the root of each hierarchy.
pub(super) const NAME: &str = "vestibule-cluster";

const ROOT: &str = "/sys/fs/cgroup";

/// Makes it.
pub(super) fn create() {
    if is_version_two() {
        delegate();
    }
    for group in groups() {
        fs::create_dir_all(&group).unwrap_or_else(|error| panic!("{}: {error}", group.display()));
        // A new group of version 1 has no processors and no memory of its own until told.
        for setting in ["cpuset.cpus", "cpuset.mems"] {
            let parent = group.parent().expect("below a hierarchy").join(setting);
            if let Ok(value) = fs::read_to_string(parent)
                && !is_version_two()
            {
                let _ = fs::write(group.join(setting), value);
            }
        }
    }
}

/// The processes in it.
pub(super) fn processes() -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for group in groups().iter().flat_map(|group| tree(group)) {
        let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
    }
    found
}

/// Removes it; it has no processes any more.
pub(super) fn remove() {
    for group in groups().iter().flat_map(|group| tree(group)) {
        let _ = fs::remove_dir(group);
    }
}

/// Where it is, or would be: once, or in each hierarchy of version 1.
pub(super) fn groups() -> Vec<PathBuf> {
    if is_version_two() {
        return vec![Path::new(ROOT).join(NAME)];
    }
    let hierarchies = fs::read_dir(ROOT).into_iter().flatten().flatten();
    let mounted = |path: &Path| path.join("cgroup.procs").exists();
    hierarchies
        // A link is a second name for a hierarchy.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .filter(|path| mounted(path))
        .map(|path| path.join(NAME))
        .collect()
}

fn is_version_two() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// Lets groups below the root have controllers. In a container the root we see has processes, which
/// version 2 forbids then, so they move into a group beside ours.
fn delegate() {
    let root = Path::new(ROOT);
    let all = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    let wanted: Vec<_> = all.split_whitespace().map(|name| format!("+{name}")).collect();
    let control = root.join("cgroup.subtree_control");
    if fs::write(&control, wanted.join(" ")).is_ok() {
        return;
    }
    let beside = root.join("vestibule-others");
    fs::create_dir_all(&beside).expect("a writable control group");
    let ids = fs::read_to_string(root.join("cgroup.procs")).unwrap_or_default();
    for id in ids.lines() {
        let _ = fs::write(beside.join("cgroup.procs"), id);
    }
    fs::write(&control, wanted.join(" ")).expect("controllers for groups below the root");
}

/// The group and all below it, innermost first.
fn tree(group: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(tree(&entry.path()));
        }
    }
    if group.exists() {
        found.push(group.to_owned());
    }
    found
}
