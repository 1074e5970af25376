//! Going through the sessions that are meant, policy by policy, a bounded piece at a time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::filter::{Cursor, Filter};
use crate::app::App;
use crate::audit::Ending;
use crate::policies::LivePolicy;
use crate::session::index::By;
use crate::session::service::{Loaded, Page};
use crate::session::store::StoreError;

/// How many pages of an index one request reads: more than as many policies need a second request.
pub(super) const MAX_READS: usize = 200;
/// How many sessions are looked at before some are ended.
const BATCH: usize = 100;
/// How many ends are under way at once.
const ABREAST: usize = 16;
/// After this time an answer says how far it came: less than a request may take.
const ANSWER_AFTER: Duration = Duration::from_secs(10);

/// What one request goes through.
pub(super) struct Scan {
    app: Arc<App>,
    filter: Filter,
    policies: Vec<Arc<LivePolicy>>,
    /// The policy that is looked at.
    place: usize,
    offset: usize,
    moved: bool,
    reads: usize,
}

/// Sessions, and where those after them are.
pub(super) struct Found {
    pub(super) sessions: Vec<(Arc<LivePolicy>, Loaded)>,
    pub(super) next: Option<Cursor>,
}

/// How many sessions were ended, and where to go on.
pub(super) struct Done {
    pub(super) ended: usize,
    pub(super) next: Option<Cursor>,
}

impl Scan {
    /// Of these policies, which are in the order of their names.
    pub(super) fn new(app: Arc<App>, filter: Filter, policies: Vec<Arc<LivePolicy>>) -> Self {
        let mut scan = Self { app, filter, policies, place: 0, offset: 0, moved: false, reads: 0 };
        if let Some(after) = scan.filter.after.take() {
            scan.place = scan.policies.partition_point(|policy| policy.compiled.id < after.policy);
            // A policy that has gone meanwhile is passed over.
            if scan.current().is_some_and(|policy| policy.compiled.id == after.policy) {
                (scan.offset, scan.moved) = (after.offset, after.moved);
            }
        }
        scan
    }

    /// The sessions that are meant, about `limit`.
    pub(super) async fn list(mut self, limit: usize) -> Result<Found, StoreError> {
        if self.filter.session.is_some() {
            let sessions = self.named().await?.into_iter().collect();
            return Ok(Found { sessions, next: None });
        }
        let mut sessions = Vec::new();
        while let Some(policy) = self.current() {
            if sessions.len() >= limit || self.reads >= MAX_READS {
                return Ok(Found { sessions, next: self.cursor() });
            }
            let wanted = (limit - sessions.len()).min(BATCH);
            let page = self.page(&policy, wanted).await?;
            sessions.extend(page.sessions.into_iter().map(|one| (Arc::clone(&policy), one)));
            if page.more {
                self.offset += wanted;
            } else {
                self.next_policy();
            }
        }
        Ok(Found { sessions, next: None })
    }

    /// Ends the sessions that are meant.
    pub(super) async fn end(mut self, ending: Ending<'_>) -> Result<Done, StoreError> {
        let mut ended = 0;
        if self.filter.session.is_some() {
            if let Some((policy, loaded)) = self.named().await? {
                ended = usize::from(self.app.sessions.end(&policy, &loaded, ending).await?);
            }
            return Ok(Done { ended, next: None });
        }
        let answer_at = Instant::now() + ANSWER_AFTER;
        while let Some(policy) = self.current() {
            if Instant::now() >= answer_at || self.reads >= MAX_READS {
                return Ok(Done { ended, next: self.cursor() });
            }
            let page = self.page(&policy, BATCH).await?;
            for some in page.sessions.chunks(ABREAST) {
                let ends = some.iter().map(|one| self.app.sessions.end(&policy, one, ending));
                ended += try_join_all(ends).await?.into_iter().filter(|ended| *ended).count();
                self.moved = true;
                if Instant::now() >= answer_at {
                    return Ok(Done { ended, next: self.cursor() });
                }
            }
            if !page.sessions.is_empty() {
                // Those after them have taken their place in the index: look there again.
            } else if page.more {
                self.offset += BATCH;
            } else if self.moved {
                // Once more from the beginning: sessions that ended for other reasons may have moved
                // some to where we had been.
                (self.offset, self.moved) = (0, false);
            } else {
                self.next_policy();
            }
        }
        Ok(Done { ended, next: None })
    }

    fn current(&self) -> Option<Arc<LivePolicy>> {
        self.policies.get(self.place).cloned()
    }

    fn next_policy(&mut self) {
        (self.place, self.offset, self.moved) = (self.place + 1, 0, false);
    }

    fn cursor(&self) -> Option<Cursor> {
        let policy = self.current()?.compiled.id.clone();
        Some(Cursor { policy, offset: self.offset, moved: self.moved })
    }

    /// What is meant of the next `limit` of a policy.
    async fn page(&mut self, policy: &LivePolicy, limit: usize) -> Result<Page, StoreError> {
        self.reads += 1;
        let issuer = self.filter.provider.as_deref().unwrap_or(&policy.compiled.provider.issuer);
        let by = self.filter.user.as_deref().map_or(By::Policy, By::Subject);
        let sessions = &self.app.sessions;
        let mut page = sessions.find_of_issuer(policy, issuer, by, self.offset, limit).await?;
        let now = self.app.clock.now();
        page.sessions.retain(|one| self.filter.admits(&one.session, now));
        Ok(page)
    }

    /// The one session that is named, if the rest of the filter means it too.
    async fn named(&self) -> Result<Option<(Arc<LivePolicy>, Loaded)>, StoreError> {
        let Some(key) = &self.filter.session else { return Ok(None) };
        let found = self.app.sessions.find_named(&self.policies, key).await?;
        let now = self.app.clock.now();
        Ok(found.filter(|(_, loaded)| self.filter.admits(&loaded.session, now)))
    }
}
