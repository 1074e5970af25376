//! A part of a processor, and no more: a control group of version 1 or 2. It must not touch a group that
//! it did not make.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::process::eventually;

const ROOT: &str = "/sys/fs/cgroup";
/// In microseconds. Short, as a process that has used its part stands still until the period is over.
const PERIOD: u32 = 10_000;

/// A group whose processes have a part of one processor together, until it is dropped.
#[derive(Debug)]
pub struct Quota {
    group: PathBuf,
    parent: PathBuf,
    held: Vec<u32>,
}

impl Quota {
    /// So many per cent of a processor; `None` where this process may not make control groups.
    #[must_use]
    pub fn new(per_cent: u32) -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("vestibule-overload-{}-{number}", std::process::id());
        let is_version_two = Path::new(ROOT).join("cgroup.controllers").exists();
        let parent = if is_version_two { PathBuf::from(ROOT) } else { Path::new(ROOT).join("cpu") };
        let quota = PERIOD / 100 * per_cent;
        let made = Self { group: parent.join(name), parent, held: Vec::new() };
        fs::create_dir(&made.group).ok()?;
        let set = |file: &str, text: String| fs::write(made.group.join(file), text);
        let is_set: io::Result<()> = if is_version_two {
            let _ = fs::write(made.parent.join("cgroup.subtree_control"), "+cpu");
            set("cpu.max", format!("{quota} {PERIOD}"))
        } else {
            set("cpu.cfs_period_us", PERIOD.to_string())
                .and_then(|()| set("cpu.cfs_quota_us", quota.to_string()))
        };
        is_set.ok().map(|()| made)
    }

    /// Holds a process to it, with all its threads.
    pub fn hold(&mut self, pid: u32) {
        fs::write(self.group.join("cgroup.procs"), pid.to_string()).expect("a group that we made");
        self.held.push(pid);
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        for pid in &self.held {
            // It may have ended.
            let _ = fs::write(self.parent.join("cgroup.procs"), pid.to_string());
        }
        // And that may not be over quite yet.
        let _ = eventually(Duration::from_secs(5), || fs::remove_dir(&self.group).ok());
    }
}
