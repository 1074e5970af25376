//! Refreshing the tokens that two cookies have: one redeem per refresh token, over all replicas.
//!
//! Why it exists: several requests come with the same cookies before the browser has the newer ones, and
//! a refresh token may be good for once. There is no record to look at as there is for a session, so one
//! is made under the hash of the refresh token: it says that somebody redeems, whose lease says who, and
//! then for a while what came of it. It must not count on that record for anything else: the tokens live
//! in the cookies. It must not depend on the request that caused it.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::read_pair;
use crate::cookies::Cookies;
use crate::oidc::{Identity, RefreshError};
use crate::policies::{LiveAuthority, LivePolicy};
use crate::session::elevation::renewed;
use crate::session::refresh::lease::{LEASE, Lease};
use crate::session::refresh::{
    Flight, LOOK_AGAIN, LOOK_AT_MOST, Outcome, REDEEM_FOR, Redeemer, Refreshed, WAIT_FOR,
    WRITE_AGAIN,
};
use crate::session::service::{Loaded, Sessions, open};
use crate::session::store::{Acquired, Owner, StoreError, Versioned};
use crate::session::{Purpose, Session, StoreKey, hash};
use crate::token::Token;

/// For how long those who come with the same cookies get the same result.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// For how long it is known that somebody redeems: longer than that can take.
const UNDER_WAY_FOR: Duration = Duration::from_mins(3);
/// For how long the store is asked to take the result. Who waits here gets it all the same.
const WRITE_FOR: Duration = Duration::from_secs(10);

/// What became of cookies whose tokens were to be refreshed.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is moved once")]
pub enum CookieRefresh {
    /// There are new ones, to be written into cookies.
    Fresh(Session),
    /// The provider gives no more: the cookies are worth nothing.
    Ended,
    /// They are as they were: the provider did not answer, or not in time.
    Failed,
    /// There is no refresh token, or none of one pair with the access token.
    None,
}

/// What is known of a refresh token.
#[derive(Serialize, Deserialize)]
enum Kept {
    /// Somebody has the lease and redeems it, or had the lease and is gone.
    UnderWay,
    /// It gave these.
    Fresh(Box<Session>),
    /// It gave nothing and never will.
    Ended,
}

/// Redeems at the policy's provider, as the authority is registered there.
struct AtProvider {
    policy: Arc<LivePolicy>,
    authority: Arc<LiveAuthority>,
}

impl Redeemer for AtProvider {
    fn redeem<'a>(
        &'a self,
        session: &'a Session,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Identity, RefreshError>> {
        let Self { policy, authority } = self;
        let login = authority.login(&[], false);
        async move { policy.provider.refresh(&authority.client, &login, session, deadline).await }
            .boxed()
    }

    fn discard(&self, session: &Session) {
        self.policy.discard(&self.authority.client, session);
    }
}

impl Sessions {
    /// Gets new tokens for those that the cookies of a request have for this caller and authority. Goes on
    /// to its end though the caller may not.
    ///
    /// # Errors
    /// Where the store did not answer.
    pub async fn refresh_cookie(
        self: &Arc<Self>,
        policy: &Arc<LivePolicy>,
        authority: &Arc<LiveAuthority>,
        caller: &StoreKey,
        cookies: Cookies<'_>,
    ) -> Result<CookieRefresh, StoreError> {
        let (policy, authority) = (Arc::clone(policy), Arc::clone(authority));
        let redeemer =
            AtProvider { policy: Arc::clone(&policy), authority: Arc::clone(&authority) };
        self.refresh_cookie_by(policy, authority, Arc::new(redeemer), caller, cookies).await
    }

    pub(super) async fn refresh_cookie_by(
        self: &Arc<Self>,
        policy: Arc<LivePolicy>,
        authority: Arc<LiveAuthority>,
        redeemer: Arc<dyn Redeemer>,
        caller: &StoreKey,
        cookies: Cookies<'_>,
    ) -> Result<CookieRefresh, StoreError> {
        let give_up = Instant::now() + WAIT_FOR;
        let now = self.clock.now();
        let Some(before) = read_pair(&policy, &authority, caller, cookies, now) else {
            return Ok(CookieRefresh::None);
        };
        let Some(refresh_token) = &before.refresh_token else { return Ok(CookieRefresh::None) };
        let at = StoreKey::of_elevation(caller, &authority.tag);
        let key = place(&policy, &at, refresh_token);
        let (mut outcome, flight) = Flight::board(self, &key);
        if let Some(flight) = flight {
            let redeeming = Redeeming { policy, authority, redeemer, key, before };
            // On its own: whoever asked may go away, and the answer to a redeem must not be lost.
            tokio::spawn(async move {
                let outcome = redeeming.fly(&flight).await;
                flight.land(outcome);
            });
        }
        let refreshed = match timeout_at(give_up, outcome.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Ok(Refreshed::Failed))?,
            // It takes too long, or ended in a defect.
            Ok(Err(_)) | Err(_) => Refreshed::Failed,
        };
        Ok(match refreshed {
            Refreshed::Fresh(loaded) => CookieRefresh::Fresh(Session::clone(&loaded.session)),
            Refreshed::Ended => CookieRefresh::Ended,
            Refreshed::Failed => CookieRefresh::Failed,
        })
    }
}

/// Where the result of a refresh lies: for one caller, one authority and one refresh token. As for
/// elevated tokens, the key is like a session's, so that stores tell its news.
pub(super) fn place(policy: &LivePolicy, at: &StoreKey, refresh_token: &Token) -> StoreKey {
    let purpose = Purpose::CookieRefresh.label().as_bytes();
    let uid = policy.compiled.uid.as_bytes();
    let digest = hash(&[purpose, uid, at.digest(), refresh_token.expose().as_bytes()]);
    StoreKey { purpose: Purpose::Session, digest }
}

/// One flight.
struct Redeeming {
    policy: Arc<LivePolicy>,
    authority: Arc<LiveAuthority>,
    redeemer: Arc<dyn Redeemer>,
    key: StoreKey,
    /// What the cookies had.
    before: Session,
}

impl Redeeming {
    /// Waits for its turn, or for the result of another's.
    async fn fly(&self, flight: &Flight) -> Outcome {
        let sessions = flight.sessions();
        // For a store that does not answer.
        let give_up = Instant::now() + WAIT_FOR;
        let mut news = sessions.news(&self.key);
        let mut owner = sessions.new_owner();
        loop {
            let asked = Instant::now();
            let wait = match self.acquire(sessions, owner).await {
                Ok(Acquired::Mine { fence, record }) => {
                    let lease = Lease::new(&*sessions.store, self.key, owner, asked);
                    if let Some(done) = self.turn(sessions, lease, (owner, fence), &record).await? {
                        return Ok(done);
                    }
                    owner = sessions.new_owner();
                    LOOK_AGAIN
                }
                Ok(Acquired::Held { remaining }) => remaining.min(LOOK_AGAIN),
                Err(error) if Instant::now() + LOOK_AGAIN >= give_up => return Err(error),
                // It may be ours all the same: the same owner is given it again.
                Ok(Acquired::Gone) | Err(_) => LOOK_AGAIN,
            };
            // Each who waits does so for a while only; for none of them nothing is waited for.
            if flight.leave_if_alone() {
                return Ok(Refreshed::Failed);
            }
            // Heard or not, it is looked at.
            let _ = timeout(wait.max(LOOK_AT_MOST), news.heard()).await;
        }
    }

    /// The lease, of a record that is made where there is none.
    async fn acquire(&self, sessions: &Sessions, owner: Owner) -> Result<Acquired, StoreError> {
        let acquired = sessions.store.acquire(&self.key, owner, LEASE).await?;
        if acquired != Acquired::Gone {
            return Ok(acquired);
        }
        let record = self.sealed(sessions, &Kept::UnderWay)?;
        let created = sessions.store.create(&self.key, record, UNDER_WAY_FOR).await;
        match (sessions.store.acquire(&self.key, owner, LEASE).await?, created) {
            (Acquired::Gone, Err(error)) => Err(error),
            // Made by us, or by another just before.
            (acquired, _) => Ok(acquired),
        }
    }

    /// This replica's turn. `None`: it was lost, and the record must be looked at again.
    async fn turn(
        &self,
        sessions: &Sessions,
        mut lease: Lease<'_>,
        turn: (Owner, u64),
        record: &Versioned,
    ) -> Result<Option<Refreshed>, StoreError> {
        let uid = &self.policy.compiled.uid;
        let done = match open(&self.authority.sealers.cookie_refresh, &self.key, &record.value) {
            Some(Kept::UnderWay) => None,
            Some(Kept::Fresh(session)) => Some(self.fresh(*session)),
            Some(Kept::Ended) => Some(Refreshed::Ended),
            None => {
                // By a key that is not here yet: what it says is worth waiting for, not a second redeem.
                tracing::warn!(policy = uid, "the result of a refresh does not open");
                Some(Refreshed::Failed)
            }
        };
        if done.is_some() {
            lease.give_back(Duration::ZERO).await;
            return Ok(done);
        }
        if lease.is_over() {
            // This process stood still since it was given: another may be at it.
            return Ok(None);
        }
        let redeemed = tokio::select! {
            biased;
            redeemed = self.redeemer.redeem(&self.before, Instant::now() + REDEEM_FOR) => redeemed,
            () = lease.hold() => {
                tracing::warn!(policy = uid, "a refresh of cookies lost its lease");
                return Ok(None);
            }
        };
        let (kept, refreshed) = match redeemed {
            Ok(identity) => {
                match renewed(&self.before, identity, &self.authority, sessions.clock.now()) {
                    Ok(session) => (Kept::Fresh(Box::new(session.clone())), self.fresh(session)),
                    Err(refused) => {
                        let base = &self.authority.compiled.base;
                        tracing::warn!(policy = uid, base, error = %refused, "a refresh of cookies");
                        self.redeemer.discard(&refused.tokens);
                        (Kept::Ended, Refreshed::Ended)
                    }
                }
            }
            Err(RefreshError::Ended(error)) => {
                tracing::info!(policy = uid, %error, "a refresh of cookies was refused");
                (Kept::Ended, Refreshed::Ended)
            }
            Err(RefreshError::Failed(error)) => {
                tracing::warn!(policy = uid, %error, "a refresh of cookies failed");
                lease.give_back(sessions.pause()).await;
                return Ok(Some(Refreshed::Failed));
            }
        };
        let record = self.sealed(sessions, &kept)?;
        // Others wait as long as this one is at it; its fence tells if one did not.
        tokio::select! {
            biased;
            () = self.keep(sessions, turn, &record) => {}
            () = async { lease.hold().await; pending().await } => {}
        }
        Ok(Some(refreshed))
    }

    /// Lets others know. Where the store does not take it they ask the provider themselves: these tokens
    /// are good all the same, and the browser has no others.
    async fn keep(&self, sessions: &Sessions, (owner, fence): (Owner, u64), record: &[u8]) {
        let uid = &self.policy.compiled.uid;
        let give_up = Instant::now() + WRITE_FOR;
        loop {
            let record = record.to_vec();
            let storing = sessions.store.complete(&self.key, owner, fence, record, KEPT_FOR);
            match timeout_at(give_up, storing).await {
                Ok(Ok(true)) => return,
                Ok(Err(_)) if Instant::now() < give_up => sleep(WRITE_AGAIN).await,
                // Another had the lease meanwhile, or the store was silent for longer than that.
                Ok(Ok(false) | Err(_)) | Err(_) => {
                    tracing::warn!(policy = uid, "what a refresh of cookies gave is not shared");
                    return;
                }
            }
        }
    }

    fn sealed(&self, sessions: &Sessions, kept: &Kept) -> Result<Vec<u8>, StoreError> {
        sessions.seal(&self.authority.sealers.cookie_refresh, &self.key, kept)
    }

    fn fresh(&self, session: Session) -> Refreshed {
        Refreshed::Fresh(Loaded { key: self.key, session: Arc::new(session) })
    }
}
