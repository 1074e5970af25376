//! A memory store that a test can cut off, at once or after some more calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use vestibule_authsvc::clock::{Clock, Timestamp};
use vestibule_authsvc::session::memory::MemoryStore;
use vestibule_authsvc::session::store::{StoreError, StoreFuture};
// For what is included below.
use vestibule_authsvc::session::{StoreKey, index, memory, store};

#[path = "../../src/session/intercepted.rs"]
mod intercepted;

use intercepted::{Intercept, Intercepted};

pub type Cuttable = Intercepted<Cut>;

pub struct Cut {
    /// How many more calls are answered; below 0: all.
    calls_left: AtomicIsize,
    deletions: AtomicUsize,
}

/// One that answers.
pub fn cuttable(clock: Arc<dyn Clock>) -> Cuttable {
    let cut = Cut { calls_left: AtomicIsize::new(-1), deletions: AtomicUsize::new(0) };
    Intercepted::by(cut, MemoryStore::new(clock))
}

impl Cut {
    /// Answers so many more calls, and then none.
    pub fn cut_after(&self, calls: isize) {
        self.calls_left.store(calls, Ordering::SeqCst);
    }

    /// Answers again.
    pub fn mend(&self) {
        self.cut_after(-1);
    }

    /// How many deletions were asked for.
    pub fn deletions(&self) -> usize {
        self.deletions.load(Ordering::SeqCst)
    }

    fn check(&self) -> Result<(), StoreError> {
        let spend = |left: isize| (left > 0).then(|| left - 1);
        let spent = self.calls_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend);
        match spent {
            Err(0) => Err(StoreError("cut off by the test".to_owned())),
            _ => Ok(()),
        }
    }
}

impl Intercept for Cut {
    fn answer<'a, T: Send + 'a>(
        &'a self,
        command: &'static str,
        call: impl FnOnce() -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        if command == "delete" {
            self.deletions.fetch_add(1, Ordering::SeqCst);
        }
        Box::pin(async move {
            self.check()?;
            call().await
        })
    }
}
