//! One API for the tests of a binary that wait for each other: each disturbs the operator. It ends
//! with the last of them.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ApiServer;

static SERVER: Mutex<Option<ApiServer>> = Mutex::new(None);
static WANTED: AtomicUsize = AtomicUsize::new(0);

/// The shared API, for one test at a time.
#[derive(Debug)]
pub struct Shared {
    server: MutexGuard<'static, Option<ApiServer>>,
}

impl ApiServer {
    /// Waits for its turn; starts one where none runs.
    #[must_use]
    pub fn shared() -> Shared {
        WANTED.fetch_add(1, Ordering::SeqCst);
        let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
        server.get_or_insert_with(Self::start);
        Shared { server }
    }
}

impl Deref for Shared {
    type Target = ApiServer;

    fn deref(&self) -> &ApiServer {
        self.server.as_ref().expect("it runs while it is shared")
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Statics are never dropped: its processes would outlive this one.
        if WANTED.fetch_sub(1, Ordering::SeqCst) == 1 {
            *self.server = None;
        }
    }
}
