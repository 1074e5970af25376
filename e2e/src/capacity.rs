//! What authsvc costs: `make capacity` is made of these parts, `make scale` and `make soak` use some.
//!
//! No operator runs: the API server gets compiled Secrets straight from the program `seed`, which alone
//! knows how they are made. It must not print, or judge a figure.

mod arrivals;
mod connections;
mod replica;
mod sessions;
mod usage;

pub use arrivals::{Arrivals, Edits};
pub use connections::{Idle, idle_connections};
pub use replica::{Replica, check_of};
pub use sessions::{CachedSessions, cached_sessions, seed_sessions};
pub use usage::{Memory, Usage, median};

use std::process::Command;

use crate::tools::binary;

/// The lines that the program `seed` prints.
fn seed(arguments: &[&str]) -> Vec<String> {
    let output = Command::new(binary("seed")).args(arguments).output().expect("seed runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "seed {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}
