//! The lease under which one replica may redeem: held for as long as it takes, and no longer counted
//! on than the store can be sure to keep it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::session::StoreKey;
use crate::session::store::{Owner, SessionStore};

/// For how long a lease is given.
pub(in crate::session) const LEASE: Duration = Duration::from_secs(10);
/// For how long it is counted on: a second less, since clocks do not run alike.
const COUNTED_ON: Duration = Duration::from_secs(9);
/// How often it is prolonged.
const RENEW_EVERY: Duration = Duration::from_secs(2);
/// How soon after an error.
const RENEW_AGAIN: Duration = Duration::from_millis(250);

/// A lease that was given.
pub(in crate::session) struct Lease<'a> {
    store: &'a dyn SessionStore,
    key: StoreKey,
    owner: Owner,
    /// Nobody else has it before then.
    good_until: Instant,
}

impl<'a> Lease<'a> {
    /// One that was asked for at `asked`, and given some time later.
    pub(in crate::session) fn new(
        store: &'a dyn SessionStore,
        key: StoreKey,
        owner: Owner,
        asked: Instant,
    ) -> Self {
        Self { store, key, owner, good_until: asked + COUNTED_ON }
    }

    /// Whether it cannot be counted on any more.
    pub(in crate::session) fn is_over(&self) -> bool {
        Instant::now() >= self.good_until
    }

    /// Prolongs it again and again; comes back when it cannot be counted on any more.
    pub(in crate::session) async fn hold(&mut self) {
        let mut next = Instant::now() + RENEW_EVERY;
        loop {
            sleep_until(next.min(self.good_until)).await;
            let asked = Instant::now();
            if asked >= self.good_until {
                return;
            }
            let renewing = self.store.renew(&self.key, self.owner, LEASE);
            next = match timeout_at(self.good_until, renewing).await {
                Ok(Ok(true)) => {
                    self.good_until = asked + COUNTED_ON;
                    asked + RENEW_EVERY
                }
                Ok(Ok(false)) | Err(_) => return,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the lease of a refresh was not prolonged");
                    Instant::now() + RENEW_AGAIN
                }
            };
        }
    }

    /// Gives it back; nobody gets it before `pause` is over.
    pub(in crate::session) async fn give_back(&self, pause: Duration) {
        if let Err(error) = self.store.release(&self.key, self.owner, pause).await {
            tracing::debug!(%error, "the lease of a refresh is kept until its end");
        }
    }
}
