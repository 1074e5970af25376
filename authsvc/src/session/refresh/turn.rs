//! One replica's turn: look at the record again, redeem, store what came.
//!
//! The order is what matters. Nothing is redeemed that another already did; nothing is given out
//! before it is stored; nothing is stored or ended once another has had the lease (its fence).

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::lease::{LEASE, Lease};
use super::{Loaded, REDEEM_FOR, Redeemer, Refreshed, Sessions, Terms, WRITE_AGAIN};
use crate::audit::{self, EndReason, Ending};
use crate::oidc::{Identity, RefreshError};
use crate::session::Session;
use crate::session::elevation;
use crate::session::service::{Kind, index_entries};
use crate::session::store::{Acquired, Change, ChangeListener as _, Owner, StoreError, Versioned};

/// For how long the store is asked to take what was redeemed.
const WRITE_FOR: Duration = Duration::from_mins(1);

/// What became of an elevated token for which the provider gives no more.
enum Spent {
    /// The store has it that there is none any more.
    Now,
    /// Its session ended, and it with that.
    Gone,
}

/// A replica's turn with a session.
pub(super) struct Turn<'a> {
    pub(super) sessions: &'a Sessions,
    pub(super) terms: Terms<'a>,
    /// The session whose tokens are no good.
    pub(super) seen: &'a Loaded,
    pub(super) owner: Owner,
    pub(super) fence: u64,
}

impl Turn<'_> {
    /// Takes it. `None`: the turn was lost, the record must be looked at again.
    pub(super) async fn take(
        &self,
        mut lease: Lease<'_>,
        record: &Versioned,
        redeemer: &dyn Redeemer,
    ) -> Result<Option<Refreshed>, StoreError> {
        let Some(session) = self.sessions.opened(self.terms, &self.seen.key, record) else {
            lease.give_back(Duration::ZERO).await;
            // Ends it where it is over, and knows what became of it where not.
            let left = self.sessions.load_from_store(self.terms, &self.seen.key).await?;
            return Ok(Some(left.map_or(Refreshed::Ended, |session| self.found(session))));
        };
        if !redeemer.can_redeem(&session) || !same_tokens(&session, &self.seen.session) {
            lease.give_back(Duration::ZERO).await;
            return Ok(Some(self.found(Arc::new(session))));
        }
        if lease.is_over() {
            // This process stood still since it was given: another may be at it.
            return Ok(None);
        }
        let deadline = Instant::now() + REDEEM_FOR;
        let mut redeeming = redeemer.redeem(&session, deadline);
        let redeemed = tokio::select! {
            biased;
            redeemed = &mut redeeming => redeemed,
            () = lease.hold() => {
                if !matches!(self.sessions.store.load(&self.seen.key).await, Ok(None)) {
                    tracing::warn!(policy = self.terms.policy_uid, "a refresh lost its lease");
                    return Ok(None);
                }
                // It was logged out. Nobody else redeems now, and what comes is to be revoked.
                if let Ok(identity) = redeeming.await {
                    let came = self.refreshed(&session, identity);
                    redeemer.discard(&came.unwrap_or_else(|refused| *refused));
                }
                return Ok(Some(Refreshed::Ended));
            }
        };
        drop(redeeming);
        match redeemed {
            Ok(identity) => match self.refreshed(&session, identity) {
                Ok(new) => {
                    let writing = self.store(&session, new, redeemer);
                    // Others wait as long as this one is at it; its fence tells if one did not.
                    tokio::select! {
                        biased;
                        stored = writing => stored,
                        never = async { lease.hold().await; pending().await } => never,
                    }
                }
                Err(refused) => {
                    redeemer.discard(&refused);
                    self.end(session, "scope_refused").await
                }
            },
            Err(RefreshError::Ended(error)) => {
                tracing::info!(policy = self.terms.policy_uid, %error, "a refresh was refused");
                self.end(session, EndReason::RefreshRefused.name()).await
            }
            Err(RefreshError::Failed(error)) => {
                tracing::warn!(policy = self.terms.policy_uid, %error, "a refresh failed");
                lease.give_back(self.sessions.pause()).await;
                Ok(Some(Refreshed::Failed))
            }
        }
    }

    /// Stores the session with its new tokens, and tries until it is done or another had the lease.
    async fn store(
        &self,
        before: &Session,
        session: Session,
        redeemer: &dyn Redeemer,
    ) -> Result<Option<Refreshed>, StoreError> {
        let (sessions, terms, key) = (self.sessions, self.terms, &self.seen.key);
        let sealed = sessions.seal(terms.sealer, key, &session)?;
        let entries = index_entries(terms, key, &session);
        let ttl = terms.keep_for(&session, sessions.clock.now());
        let mut fence = self.fence;
        loop {
            let storing = persist(|| async {
                // First: what no logout could find must not exist.
                sessions.store.index(&entries).await?;
                sessions.store.complete(key, self.owner, fence, sealed.clone(), ttl).await
            });
            match storing.await.0 {
                Ok(true) => {
                    sessions.cache.changed(key, Change::Replaced);
                    tracing::debug!(policy = terms.policy_uid, "tokens refreshed");
                    return Ok(Some(self.found(Arc::new(session))));
                }
                Ok(false) => match self.begin_again(before).await? {
                    Acquired::Mine { fence: newer, .. } => fence = newer,
                    Acquired::Gone => {
                        // It was logged out meanwhile, with the tokens that it had.
                        redeemer.discard(&session);
                        return Ok(Some(Refreshed::Ended));
                    }
                    // These are left as they are: those of the other may be of one family with them.
                    Acquired::Held { .. } => return Ok(None),
                },
                Err(error) => {
                    sessions.cache.forget(key);
                    tracing::warn!(policy = terms.policy_uid, %error, "new tokens were not stored");
                    return Err(error);
                }
            }
        }
    }

    /// After a fence that was too old. The lease may have been given again for nothing, to another or
    /// to a late copy of our own request: then nobody else has stored anything. `Held`: somebody has.
    async fn begin_again(&self, before: &Session) -> Result<Acquired, StoreError> {
        let (store, key) = (&self.sessions.store, &self.seen.key);
        let acquired = store.acquire(key, self.owner, LEASE).await?;
        let Acquired::Mine { record, .. } = &acquired else { return Ok(acquired) };
        let found = self.sessions.opened(self.terms, key, record);
        if found.is_some_and(|now| same_tokens(&now, before)) {
            return Ok(acquired);
        }
        store.release(key, self.owner, Duration::ZERO).await?;
        Ok(Acquired::Held { remaining: Duration::ZERO })
    }

    /// Ends the session: the provider gives it no more tokens.
    async fn end(&self, session: Session, why: &str) -> Result<Option<Refreshed>, StoreError> {
        let (sessions, key) = (self.sessions, &self.seen.key);
        if let Kind::Elevation(authority, owner) = self.terms.kind {
            let spent = self.spend(&session).await?;
            if matches!(spent, Some(Spent::Now)) {
                let base = &authority.compiled.base;
                audit::elevation_ended(self.terms.policy, owner, &session, base, why);
            }
            return Ok(spent.map(|_| Refreshed::Ended));
        }
        let loaded = Loaded { key: *key, session: Arc::new(session) };
        let deleting = persist(|| sessions.store.delete_under_lease(key, self.owner, self.fence));
        let ended = match deleting.await {
            (Ok(true), _) => true,
            // Done before, and its answer was lost; or another had the lease, or it was logged out.
            (Ok(false), true) => sessions.store.load(key).await?.is_none(),
            (Ok(false), false) => false,
            (Err(error), _) => {
                sessions.cache.forget(key);
                return Err(error);
            }
        };
        if !ended {
            return Ok(None);
        }
        let ending = Ending { reason: EndReason::RefreshRefused, by: "provider" };
        sessions.note_end(self.terms, &loaded, Some(ending)).await;
        Ok(Some(Refreshed::Ended))
    }

    /// Replaces an elevated token by the record that there is none any more. `None`: another had the
    /// lease, the record must be looked at again.
    async fn spend(&self, before: &Session) -> Result<Option<Spent>, StoreError> {
        let (sessions, terms, key) = (self.sessions, self.terms, &self.seen.key);
        let spent = elevation::spent(before);
        let sealed = sessions.seal(terms.sealer, key, &spent)?;
        let ttl = terms.keep_for(&spent, sessions.clock.now());
        let write = || sessions.store.complete(key, self.owner, self.fence, sealed.clone(), ttl);
        match persist(write).await.0 {
            Ok(true) => {
                sessions.cache.changed(key, Change::Replaced);
                Ok(Some(Spent::Now))
            }
            Ok(false) => {
                let is_gone = sessions.store.load(key).await?.is_none();
                Ok(is_gone.then_some(Spent::Gone))
            }
            Err(error) => {
                sessions.cache.forget(key);
                Err(error)
            }
        }
    }

    /// The record with what came: the same login, begun when it was. `Err`: it is not to be used.
    fn refreshed(&self, before: &Session, identity: Identity) -> Result<Session, Box<Session>> {
        let now = self.sessions.clock.now();
        let Kind::Elevation(authority, _) = self.terms.kind else {
            let created_at = before.created_at;
            return Ok(Session { created_at, ..identity.into_session(before.nonce.clone(), now) });
        };
        elevation::renewed(before, identity, authority, now).map_err(|refused| {
            tracing::warn!(
                policy = self.terms.policy_uid,
                base = authority.compiled.base,
                error = %refused,
                "an elevated token is refused"
            );
            refused.tokens
        })
    }

    fn found(&self, session: Arc<Session>) -> Refreshed {
        if matches!(self.terms.kind, Kind::Elevation(..)) && elevation::is_spent(&session) {
            return Refreshed::Ended;
        }
        Refreshed::Fresh(Loaded { key: self.seen.key, session })
    }
}

/// Asks the store until it answers, for [`WRITE_FOR`]; `true`: it did not at first.
async fn persist<F>(ask: impl Fn() -> F) -> (Result<bool, StoreError>, bool)
where
    F: Future<Output = Result<bool, StoreError>>,
{
    let give_up = Instant::now() + WRITE_FOR;
    let mut failed = false;
    loop {
        match ask().await {
            Err(_) if Instant::now() < give_up => {
                failed = true;
                sleep(WRITE_AGAIN).await;
            }
            answer => return (answer, failed),
        }
    }
}

/// Whether nobody has refreshed since.
fn same_tokens(now: &Session, seen: &Session) -> bool {
    now.tokens_issued_at == seen.tokens_issued_at
        && now.access_token == seen.access_token
        && now.refresh_token == seen.refresh_token
        && now.id_token == seen.id_token
}
