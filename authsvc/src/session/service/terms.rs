//! What of a policy matters to its sessions and their elevated tokens: how they are sealed and found,
//! and how long they last.
//!
//! Pure: it asks no store and no clock.

use std::time::Duration;

use std::sync::Arc;

use vestibule_policy::model::PolicyId;

use crate::clock::Timestamp;
use crate::policies::{LiveAuthority, LivePolicy};
use crate::session::index::{By, IndexEntry, Indexer};
use crate::session::seal::Sealer;
use crate::session::{Session, StoreKey};

/// For how long the record of a session is kept after its end, in seconds: time enough for some
/// replica to see it.
pub(in crate::session) const KEPT_AFTER_ITS_END: u64 = 2 * 3600;

/// What of a policy matters here.
#[derive(Clone, Copy)]
pub(in crate::session) struct Terms<'a> {
    pub(in crate::session) policy: &'a PolicyId,
    pub(in crate::session) policy_uid: &'a str,
    pub(in crate::session) kind: Kind<'a>,
    /// Seals these records.
    pub(in crate::session) sealer: &'a Sealer,
    pub(in crate::session) login_sealer: &'a Sealer,
    pub(in crate::session) indexer: &'a Indexer,
    /// In seconds; [`u64::MAX`]: their use does not matter.
    pub(in crate::session) idle_timeout: u64,
    /// In seconds.
    pub(in crate::session) absolute_timeout: u64,
}

/// Which records these are.
#[derive(Clone, Copy)]
pub(in crate::session) enum Kind<'a> {
    /// Sessions, with the authorities whose elevated tokens end with them.
    Session(&'a [Arc<LiveAuthority>]),
    /// The elevated token that a session has for an authority: found by its session alone, and over
    /// with it.
    Elevation(&'a LiveAuthority, &'a StoreKey),
}

impl<'a> Terms<'a> {
    pub(in crate::session) fn of(policy: &'a LivePolicy) -> Self {
        Self {
            policy: &policy.compiled.id,
            policy_uid: &policy.compiled.uid,
            kind: Kind::Session(policy.authorities()),
            sealer: &policy.session_sealer,
            login_sealer: &policy.login_sealer,
            indexer: &policy.indexer,
            idle_timeout: policy.compiled.session.idle_timeout,
            absolute_timeout: policy.compiled.session.absolute_timeout,
        }
    }

    /// For the elevated token that a session has for an authority.
    pub(in crate::session) fn of_elevation(
        policy: &'a LivePolicy,
        authority: &'a LiveAuthority,
        session: &'a StoreKey,
    ) -> Self {
        Self {
            kind: Kind::Elevation(authority, session),
            sealer: &authority.sealers.elevation,
            idle_timeout: u64::MAX,
            ..Self::of(policy)
        }
    }

    /// Seconds until the session is over, by whichever timeout is first; 0: it is.
    pub(in crate::session) fn remaining(&self, session: &Session, now: Timestamp) -> u64 {
        let idle = self.idle_timeout.saturating_sub(now.since(session.touched_at));
        let absolute = self.absolute_timeout.saturating_sub(now.since(session.created_at));
        idle.min(absolute)
    }

    /// For how long a record is kept from now: longer than the session lives, so that it can be told
    /// whose it was (see `service/timeouts.rs`).
    pub(in crate::session) fn keep_for(&self, session: &Session, now: Timestamp) -> Duration {
        Duration::from_secs(self.remaining(session, now) + KEPT_AFTER_ITS_END)
    }

    /// When the session is over, as it was used last.
    fn end(&self, session: &Session) -> Timestamp {
        let idle = session.touched_at.plus(self.idle_timeout);
        idle.min(session.created_at.plus(self.absolute_timeout))
    }

    /// Whether the use of a session is to be noted: at most once per tenth of the idle timeout.
    pub(super) fn is_touch_due(&self, session: &Session, now: Timestamp) -> bool {
        now.since(session.touched_at) >= (self.idle_timeout / 10).max(1)
    }
}

/// Where a session is found by others than its browser: in the indexes of all keys of the keyring,
/// so in that of the key which seals its record. Elevated tokens are found by their sessions alone.
pub(in crate::session) fn index_entries(
    terms: Terms<'_>,
    key: &StoreKey,
    session: &Session,
) -> Vec<IndexEntry> {
    if matches!(terms.kind, Kind::Elevation(..)) {
        return Vec::new();
    }
    let sid = session.provider_session.as_deref().map(By::ProviderSession);
    let last = session.created_at.plus(terms.absolute_timeout);
    let end = terms.end(session).plus(KEPT_AFTER_ITS_END);
    [(By::Policy, last), (By::Subject(&session.subject), last), (By::End, end)]
        .into_iter()
        .chain(sid.map(|by| (by, last)))
        .flat_map(|(by, until)| {
            let keys = terms.indexer.keys(&session.issuer, by).into_iter();
            keys.map(move |index| IndexEntry { index, record: *key, until })
        })
        .collect()
}
