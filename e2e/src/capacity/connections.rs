//! What a connection costs that asked once and is kept open, as gateways keep theirs.

use super::replica::{Replica, check_of};
use super::usage::Memory;
use crate::asker::Asker;

/// What some idle connections cost.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// How many.
    pub count: usize,
    /// Bytes of the process for each; the kernel's own are not among them.
    pub bytes_each: u64,
    /// KiB without a file that were there before, and that are left when all are closed.
    pub before_and_after: (u64, u64),
}

/// Opens so many; each asks once. It must be done before the first is idle for too long.
#[must_use]
pub fn idle_connections(replica: &Replica, count: usize) -> Idle {
    let ask = check_of(0, "/door");
    let open = |count: usize| -> Vec<Asker> {
        let connect = |_| {
            let mut asker = Asker::new(replica.check);
            let _ = asker.send(&ask).expect("a check is answered");
            asker
        };
        (0..count).map(connect).collect()
    };
    // What the first ones cost once and for all is no connection's.
    drop(open(100));
    let files = Memory::of(replica.id()).files;
    let before = Memory::of(replica.id()).anonymous;
    let connections = open(count);
    let now = Memory::of(replica.id());
    assert!(now.files >= files.saturating_sub(100) + count as u64, "some were closed: {now:?}");
    drop(connections);
    let closed = crate::process::eventually(std::time::Duration::from_secs(30), || {
        (Memory::of(replica.id()).files < 100 + count as u64 / 10).then_some(())
    });
    assert!(closed.is_some(), "closed connections stay open");
    Idle {
        count,
        bytes_each: now.anonymous.saturating_sub(before) * 1024 / count as u64,
        before_and_after: (before, Memory::of(replica.id()).anonymous),
    }
}
