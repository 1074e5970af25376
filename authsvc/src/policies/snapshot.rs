//! What requests read: the policies by name and by host, at one moment.
//!
//! It must not decide who gets a host: see `install`.

use std::sync::Arc;

use vestibule_policy::origin::Origin;

use super::table::{Row, Table};
use super::{LivePolicy, RunningPolicy};
use crate::session::keyring::Keyring;

/// The policies at one moment. A copy shares almost everything.
#[derive(Clone, Default)]
pub(super) struct Snapshot {
    pub(super) by_id: Table<Arc<RunningPolicy>>,
    pub(super) by_host: Table<Held>,
    /// How many of them are enforced.
    pub(super) live: usize,
    /// What the policies' keys are derived from.
    pub(super) keyring: Option<Arc<Keyring>>,
}

/// A host and who answers for it.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) policy: Arc<LivePolicy>,
    /// The place of the host among the policy's origins.
    pub(super) place: usize,
}

impl Held {
    pub(super) fn origin(&self) -> &Origin {
        &self.policy.compiled.origins[self.place]
    }
}

impl Row for Held {
    type Key<'a> = (&'a str, u16);

    fn key(&self) -> (&str, u16) {
        let origin = self.origin();
        (origin.host(), origin.port())
    }

    fn is(&self, key: (&str, u16)) -> bool {
        self.key() == key
    }
}

impl Row for Arc<RunningPolicy> {
    type Key<'a> = (&'a str, &'a str);

    fn key(&self) -> (&str, &str) {
        (&self.id.namespace, &self.id.name)
    }

    fn is(&self, key: (&str, &str)) -> bool {
        self.key() == key
    }
}
