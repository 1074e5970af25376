//! One cluster for all tests of a binary, since it takes a while to start. It goes with the process.

use std::ops::Deref;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Cluster;

static CLUSTER: OnceLock<Cluster> = OnceLock::new();
static USE: RwLock<()> = RwLock::new(());

/// The shared cluster, for one test. When the test fails, the cluster's story is printed.
#[derive(Debug)]
pub struct Shared {
    cluster: &'static Cluster,
    _use: Use,
}

/// Whether others use the cluster meanwhile.
#[derive(Debug)]
enum Use {
    Together { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

impl Cluster {
    /// The cluster of this process, for a test that works in namespaces of its own.
    #[must_use]
    pub fn shared() -> Shared {
        let guard = USE.read().unwrap_or_else(PoisonError::into_inner);
        Shared { cluster: Self::of_process(), _use: Use::Together { _guard: guard } }
    }

    /// The cluster of this process, for a test that disturbs the others, such as by ending the API
    /// server: it runs while no other does.
    #[must_use]
    pub fn shared_alone() -> Shared {
        let guard = USE.write().unwrap_or_else(PoisonError::into_inner);
        Shared { cluster: Self::of_process(), _use: Use::Alone { _guard: guard } }
    }

    fn of_process() -> &'static Self {
        CLUSTER.get_or_init(Self::start)
    }
}

impl Deref for Shared {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        self.cluster
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.cluster.story());
        }
    }
}
