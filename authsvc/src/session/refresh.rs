//! Refreshing a session's tokens: one redeem per rotation, over all replicas.
//!
//! Why it exists: a refresh token may be good for once, and a hundred requests find it due at the
//! same moment. Those of one process share one flight; the flights of all replicas take turns by a
//! lease in the store, and who gets the turn looks at the record again before it redeems. It must
//! not depend on the request that caused it, and must not give out tokens that are not stored.
//! Elevated tokens (`session::elevation`) are refreshed in the same way, each by itself.

mod flights;
pub(super) mod lease;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::Session;
use super::service::{Loaded, Sessions, Terms};
use super::store::{Acquired, Owner, StoreError};
use crate::clock::Timestamp;
use crate::oidc::{Identity, RefreshError};
use crate::policies::LivePolicy;
pub(super) use flights::{Flight, Flights};
use lease::{LEASE, Lease};
use turn::Turn;

/// How long a request waits for new tokens: less than the 30 s after which gateways give up.
pub(super) const WAIT_FOR: Duration = Duration::from_secs(25);
/// How often a flight looks whether it is its turn, if it hears nothing.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// The least time between two looks.
pub(super) const LOOK_AT_MOST: Duration = Duration::from_millis(10);
/// How long a redeem may take; the lease bounds it as well.
pub(super) const REDEEM_FOR: Duration = Duration::from_mins(1);
/// How soon the store is asked again to take what was redeemed.
pub(super) const WRITE_AGAIN: Duration = Duration::from_millis(100);
/// After a failure nobody tries for this long, and up to [`PAUSE_MORE`] longer.
const PAUSE: Duration = Duration::from_secs(1);
/// See [`PAUSE`].
const PAUSE_MORE: Duration = Duration::from_secs(4);
/// A refresh ahead of time that failed is tried again after this, and up to as much again.
const REST: Duration = Duration::from_secs(15);
/// How long before their end new tokens are asked for at most, in seconds.
const MAX_AHEAD: u64 = 60;

/// Whether tokens that were given at one moment and end at another will be over soon: within a tenth of
/// their time, and not more than a minute. `jitter` spreads those that began together.
#[must_use]
pub fn is_soon(issued_at: Timestamp, end: Timestamp, now: Timestamp, jitter: u8) -> bool {
    let tenth = end.since(issued_at) / 10;
    // Between a half and the whole of it.
    let before = tenth.min(MAX_AHEAD) * (256 + u64::from(jitter)) / 512;
    end.since(now) <= before
}

/// What became of a session whose tokens were to be refreshed.
#[derive(Clone, Debug)]
pub enum Refreshed {
    /// It has other tokens than were seen, and they are stored.
    Fresh(Loaded),
    /// It is over.
    Ended,
    /// It is as it was: the provider did not answer, or not in time. Not "no session".
    Failed,
}

/// What a flight ends with.
pub(super) type Outcome = Result<Refreshed, StoreError>;

/// Redeems refresh tokens.
pub(super) trait Redeemer: Send + Sync + 'static {
    /// What matters to the records whose tokens these are.
    fn terms<'a>(&'a self, policy: &'a LivePolicy) -> Terms<'a> {
        Terms::of(policy)
    }

    /// Whether there is anything to be redeemed.
    fn can_redeem(&self, session: &Session) -> bool {
        session.refresh_token.is_some()
    }

    /// Redeems that of a session, by the deadline or not at all.
    fn redeem<'a>(
        &'a self,
        session: &'a Session,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Identity, RefreshError>>;

    /// Makes tokens worthless that came for a session which had ended meanwhile.
    fn discard(&self, session: &Session);
}

impl Redeemer for LivePolicy {
    fn redeem<'a>(
        &'a self,
        session: &'a Session,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Identity, RefreshError>> {
        let compiled = &self.compiled;
        self.provider.refresh(&compiled.client, &compiled.login, session, deadline).boxed()
    }

    fn discard(&self, session: &Session) {
        Self::discard(self, &self.compiled.client, session);
    }
}

impl Sessions {
    /// Gets new tokens for a session whose tokens as seen are over. Goes on to its end though the
    /// caller may not.
    ///
    /// # Errors
    /// Where the store did not answer.
    pub async fn refresh(
        self: &Arc<Self>,
        policy: &Arc<LivePolicy>,
        loaded: &Loaded,
    ) -> Result<Refreshed, StoreError> {
        self.refresh_by(policy, Arc::<LivePolicy>::clone(policy), loaded).await
    }

    /// Gets new tokens for a session whose tokens are about to be over, and does not wait for them.
    /// Not again for a while after it failed.
    pub fn refresh_soon(self: &Arc<Self>, policy: &Arc<LivePolicy>, loaded: &Loaded) {
        self.refresh_soon_by(policy, Arc::<LivePolicy>::clone(policy), loaded);
    }

    /// Waits for the refreshes that are under way; `false`: some are not done in time.
    pub async fn finish_refreshes(&self, within: Duration) -> bool {
        timeout(within, self.flights.all_landed()).await.is_ok()
    }

    pub(super) async fn refresh_by(
        self: &Arc<Self>,
        policy: &Arc<LivePolicy>,
        redeemer: Arc<dyn Redeemer>,
        loaded: &Loaded,
    ) -> Outcome {
        let Some(_place) = policy.provider.wait() else {
            // It may hang: whoever waits for it holds a connection that other policies need.
            return Ok(Refreshed::Failed);
        };
        let give_up = Instant::now() + WAIT_FOR;
        let mut outcome = self.board(policy, redeemer, loaded);
        match timeout_at(give_up, outcome.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Ok(Refreshed::Failed)),
            // It takes too long, or ended in a defect.
            Ok(Err(_)) | Err(_) => Ok(Refreshed::Failed),
        }
    }

    pub(super) fn refresh_soon_by(
        self: &Arc<Self>,
        policy: &Arc<LivePolicy>,
        redeemer: Arc<dyn Redeemer>,
        loaded: &Loaded,
    ) {
        if !self.flights.is_resting(&loaded.key) {
            drop(self.board(policy, redeemer, loaded));
        }
    }

    /// Joins the flight of a session, and starts it if there is none.
    fn board(
        self: &Arc<Self>,
        policy: &Arc<LivePolicy>,
        redeemer: Arc<dyn Redeemer>,
        loaded: &Loaded,
    ) -> watch::Receiver<Option<Outcome>> {
        let (outcome, flight) = Flight::board(self, &loaded.key);
        if let Some(flight) = flight {
            let (policy, seen) = (Arc::clone(policy), loaded.clone());
            // On its own: whoever asked may go away, and the answer to a redeem must not be lost.
            tokio::spawn(async move {
                let outcome = flight.sessions().fly(&policy, &*redeemer, &seen, &flight).await;
                flight.land(outcome);
            });
        }
        outcome
    }

    /// Waits for its turn, or for the result of another's.
    async fn fly(
        &self,
        policy: &LivePolicy,
        redeemer: &dyn Redeemer,
        seen: &Loaded,
        flight: &Flight,
    ) -> Outcome {
        let terms = redeemer.terms(policy);
        // For a store that does not answer.
        let give_up = Instant::now() + WAIT_FOR;
        let mut news = self.news(&seen.key);
        let mut owner = self.new_owner();
        loop {
            let asked = Instant::now();
            let wait = match self.store.acquire(&seen.key, owner, LEASE).await {
                Ok(Acquired::Gone) => {
                    // Also where the store dropped it without a word, for want of memory.
                    self.cache.forget(&seen.key);
                    return Ok(Refreshed::Ended);
                }
                Ok(Acquired::Mine { fence, record }) => {
                    let lease = Lease::new(&*self.store, seen.key, owner, asked);
                    let turn = Turn { sessions: self, terms, seen, owner, fence };
                    if let Some(refreshed) = turn.take(lease, &record, redeemer).await? {
                        return Ok(refreshed);
                    }
                    owner = self.new_owner();
                    LOOK_AGAIN
                }
                Ok(Acquired::Held { remaining }) => remaining.min(LOOK_AGAIN),
                Err(error) if Instant::now() + LOOK_AGAIN >= give_up => return Err(error),
                // It may be ours all the same: the same owner is given it again.
                Err(_) => LOOK_AGAIN,
            };
            // Each who waits does so for a while only; for none of them nothing is waited for.
            if flight.leave_if_alone() {
                return Ok(Refreshed::Failed);
            }
            // Heard or not, it is looked at.
            let _ = timeout(wait.max(LOOK_AT_MOST), news.heard()).await;
        }
    }

    pub(super) fn new_owner(&self) -> Owner {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes);
        Owner(bytes)
    }

    /// For how long nobody tries after a failure.
    pub(super) fn pause(&self) -> Duration {
        PAUSE + self.part_of(PAUSE_MORE)
    }

    /// A random part of a duration.
    fn part_of(&self, whole: Duration) -> Duration {
        let mut byte = [0];
        self.random.fill(&mut byte);
        whole.mul_f64(f64::from(byte[0]) / 256.0)
    }
}

#[cfg(test)]
pub(super) mod tests;
