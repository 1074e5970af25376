//! One cluster at a time on a machine: its addresses and names are fixed. The lock is the kernel's,
//! so it goes with the processes that hold it, and never needs to be broken.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::record::HOME;
use crate::process::eventually;

/// Held as long as it, or a copy of its file, is open.
#[derive(Debug)]
pub(super) struct Lock {
    pub file: File,
}

impl Lock {
    /// Waits for it; panics with its holder's name after `limit`.
    pub fn take(purpose: &str, limit: Duration) -> Self {
        fs::create_dir_all(HOME).unwrap_or_else(|error| {
            panic!("the cluster needs root, to make {HOME} and what follows: {error}")
        });
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(Path::new(HOME).join("lock"))
            .expect("a writable lock");
        if file.try_lock().is_err() {
            eprintln!("waiting for the cluster of {}", holder());
        }
        let taken = eventually(limit, || file.try_lock().ok());
        assert!(taken.is_some(), "after {limit:?} the cluster is still held by {}", holder());
        let name = std::env::current_exe().unwrap_or_default();
        let text = format!("{purpose}: process {}, {}", std::process::id(), name.display());
        fs::write(holder_file(), text).expect("writable");
        Self { file }
    }
}

fn holder() -> String {
    fs::read_to_string(holder_file()).unwrap_or_else(|_| "a process that just started".to_owned())
}

fn holder_file() -> PathBuf {
    Path::new(HOME).join("holder")
}
