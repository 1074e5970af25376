//! Finding sessions by something else than their cookie: for logout by the provider, and for admins.

use std::sync::Arc;

use super::{Loaded, Sessions, Terms};
use crate::policies::LivePolicy;
use crate::session::index::By;
use crate::session::store::StoreError;

/// How many [`Sessions::find_some`] reads at a time.
const BATCH: usize = 50;

/// A part of what was found.
#[derive(Debug)]
pub struct Page {
    /// The sessions; fewer than asked for where some are over.
    pub sessions: Vec<Loaded>,
    /// Whether there may be others after these.
    pub more: bool,
}

impl Sessions {
    /// The sessions of a policy by something else than their cookie; `limit` at most from each
    /// index, from `offset` on. Those that are over are left out.
    ///
    /// # Errors
    /// Where the store did not answer.
    pub async fn find(
        &self,
        policy: &LivePolicy,
        by: By<'_>,
        offset: usize,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let issuer = &policy.compiled.provider.issuer;
        self.find_sessions(Terms::of(policy), issuer, by, offset, limit).await
    }

    /// Sessions of a policy by something else than their cookie, that are not over and are `wanted`;
    /// a few more than `enough` at most.
    ///
    /// # Errors
    /// Where the store did not answer.
    pub async fn find_some(
        &self,
        policy: &LivePolicy,
        by: By<'_>,
        wanted: impl Fn(&Loaded) -> bool,
        enough: usize,
    ) -> Result<Vec<Loaded>, StoreError> {
        let mut found = Vec::new();
        for batch in 0.. {
            let page = self.find(policy, by, batch * BATCH, BATCH).await?;
            found.extend(page.sessions.into_iter().filter(&wanted));
            if !page.more || found.len() >= enough {
                break;
            }
        }
        Ok(found)
    }

    pub(super) async fn find_sessions(
        &self,
        terms: Terms<'_>,
        issuer: &str,
        by: By<'_>,
        offset: usize,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let mut page = Page { sessions: Vec::new(), more: false };
        for (place, index) in terms.indexer.keys(issuer, by).into_iter().enumerate() {
            let keys = self.store.indexed(&index, offset, limit).await?;
            page.more |= keys.len() == limit;
            let records = self.store.load_many(&keys).await?;
            for (key, record) in keys.into_iter().zip(records) {
                let Some(record) = record else { continue };
                // During a rotation a session is in several indexes. It counts in that of the key
                // that seals it, in which it always is.
                if terms.sealer.place_of_key(&record.value) != Some(place) {
                    continue;
                }
                let live = self.opened(terms, &key, &record);
                page.sessions
                    .extend(live.map(|session| Loaded { key, session: Arc::new(session) }));
            }
        }
        Ok(page)
    }
}
