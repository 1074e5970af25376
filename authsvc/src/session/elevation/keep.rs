//! Elevated tokens in the store, beside their sessions.

use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::is_spent;
use crate::policies::{LiveAuthority, LivePolicy};
use crate::session::refresh::lease::LEASE;
use crate::session::refresh::{LOOK_AGAIN, LOOK_AT_MOST, WAIT_FOR};
use crate::session::service::{Loaded, Sessions, Terms};
use crate::session::store::{Acquired, Change, ChangeListener as _, StoreError};
use crate::session::{Session, StoreKey};

impl Sessions {
    /// The elevated token that a session has for an authority; from memory, where that is as good as the
    /// store. It may be over, or spent: see [`super::judge`].
    ///
    /// # Errors
    /// Where the store did not answer.
    pub async fn elevation(
        &self,
        policy: &LivePolicy,
        authority: &LiveAuthority,
        session: &Loaded,
    ) -> Result<Option<Loaded>, StoreError> {
        let key = StoreKey::of_elevation(&session.key, &authority.tag);
        let terms = Terms::of_elevation(policy, authority, &session.key);
        let found = self.load_session(terms, &key).await?;
        // It could be no other user's, since its key is the session's; nothing rests on that alone.
        let found = found.filter(|found| is_same_user(found, &session.session));
        Ok(found.map(|session| Loaded { key, session }))
    }

    /// Keeps an elevated token for a session, in place of one that is there, and tells all replicas.
    /// `None`: the session ended meanwhile, and nothing is kept; its tokens are to be revoked.
    ///
    /// # Errors
    /// Where the store did not say that it has it, or another had the lease for too long.
    pub async fn elevate(
        &self,
        policy: &LivePolicy,
        authority: &LiveAuthority,
        session: &Loaded,
        elevated: Session,
    ) -> Result<Option<Loaded>, StoreError> {
        let key = StoreKey::of_elevation(&session.key, &authority.tag);
        let terms = Terms::of_elevation(policy, authority, &session.key);
        // It is over when its session is.
        let elevated = Session { created_at: session.session.created_at, ..elevated };
        let stored = self.put(terms, &key, &elevated).await;
        // Also where it may have been stored.
        self.cache.changed(&key, Change::Replaced);
        stored?;
        if self.is_gone(&session.key).await? {
            self.drop_elevation(&key).await?;
            return Ok(None);
        }
        Ok(Some(Loaded { key, session: Arc::new(elevated) }))
    }

    /// The elevated tokens of a session, with their authorities, but for those that are spent. To be asked
    /// before the session is ended, by who revokes its tokens.
    ///
    /// # Errors
    /// Where the store did not answer.
    pub async fn elevations_of(
        &self,
        policy: &LivePolicy,
        session: &Loaded,
    ) -> Result<Vec<(Arc<LiveAuthority>, Loaded)>, StoreError> {
        let authorities = policy.authorities();
        let keys = keys(authorities, &session.key);
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let records = self.store.load_many(&keys).await?;
        let found = authorities.iter().zip(keys).zip(records);
        Ok(found
            .filter_map(|((authority, key), record)| {
                let terms = Terms::of_elevation(policy, authority, &session.key);
                let elevated = self.opened(terms, &key, &record?)?;
                let elevated = Loaded { key, session: Arc::new(elevated) };
                (!is_spent(&elevated.session)).then(|| (Arc::clone(authority), elevated))
            })
            .collect())
    }

    /// Deletes the elevated tokens of a session that has ended.
    pub(in crate::session) async fn drop_elevations(
        &self,
        authorities: &[Arc<LiveAuthority>],
        session: &StoreKey,
    ) {
        if authorities.is_empty() {
            return;
        }
        if let Err(error) = self.try_drop_elevations(&keys(authorities, session)).await {
            // Without their session nobody gets at them, and they are gone with its time.
            tracing::warn!(
                session = session.name(),
                %error,
                "elevated tokens of an ended session stay in the store"
            );
        }
    }

    async fn try_drop_elevations(&self, keys: &[StoreKey]) -> Result<(), StoreError> {
        // Asked first: what was never there is told to nobody.
        let records = self.store.load_many(keys).await?;
        for (key, _) in keys.iter().zip(records).filter(|(_, record)| record.is_some()) {
            self.drop_elevation(key).await?;
        }
        Ok(())
    }

    async fn drop_elevation(&self, key: &StoreKey) -> Result<(), StoreError> {
        self.store.delete(key).await?;
        self.cache.changed(key, Change::Ended);
        Ok(())
    }

    /// Whether a session has ended, as the store has it now.
    async fn is_gone(&self, session: &StoreKey) -> Result<bool, StoreError> {
        Ok(self.cache.has_ended(session) || self.store.load(session).await?.is_none())
    }

    /// Writes the record: under the lease where there is one, so that a refresh that is under way neither
    /// undoes it nor is undone.
    async fn put(
        &self,
        terms: Terms<'_>,
        key: &StoreKey,
        elevated: &Session,
    ) -> Result<(), StoreError> {
        let sealed = self.seal(terms.sealer, key, elevated)?;
        let ttl = terms.keep_for(elevated, self.clock.now());
        let give_up = Instant::now() + WAIT_FOR;
        let mut news = self.news(key);
        let mut owner = self.new_owner();
        loop {
            let (wait, failed) = match self.store.acquire(key, owner, LEASE).await? {
                Acquired::Gone => match self.store.create(key, sealed.clone(), ttl).await {
                    Ok(()) => return Ok(()),
                    // Another was quicker, or the answer was lost: asked again, it shows.
                    Err(error) => (LOOK_AGAIN, Some(error)),
                },
                Acquired::Mine { fence, .. } => {
                    if self.store.complete(key, owner, fence, sealed.clone(), ttl).await? {
                        return Ok(());
                    }
                    owner = self.new_owner();
                    (LOOK_AT_MOST, None)
                }
                Acquired::Held { remaining } => (remaining.min(LOOK_AGAIN), None),
            };
            if Instant::now() + wait >= give_up {
                let held = || StoreError("an elevated token is being refreshed".to_owned());
                return Err(failed.unwrap_or_else(held));
            }
            // Heard or not, it is looked at.
            let _ = timeout(wait.max(LOOK_AT_MOST), news.heard()).await;
        }
    }
}

fn keys(authorities: &[Arc<LiveAuthority>], session: &StoreKey) -> Vec<StoreKey> {
    let key = |authority: &Arc<LiveAuthority>| StoreKey::of_elevation(session, &authority.tag);
    authorities.iter().map(key).collect()
}

fn is_same_user(elevated: &Session, session: &Session) -> bool {
    elevated.subject == session.subject && elevated.issuer == session.issuer
}
