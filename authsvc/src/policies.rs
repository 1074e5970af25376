//! The live policies: what the source accepted last, ready to be asked on every request.
//!
//! Why it exists: requests read one immutable snapshot without a lock, and a change swaps it whole.
//! The next one shares with it what did not change, so that one edit costs the work of one policy. It
//! must not read files or decide what is accepted: that is the policy source's work.

mod authority;
mod install;
mod live;
mod rules;
mod snapshot;
mod table;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use vestibule_policy::model::{CompiledPolicy, PolicyId};
use vestibule_policy::origin::{Origin, canonical_host};

use self::install::{Install, Wanted, Withheld};
use self::snapshot::Snapshot;
use crate::news::{News, Reader};
use crate::oidc::Providers;
use crate::permissions::Connections;
use crate::session::keyring::Keyring;
pub use authority::{AuthorityEndpoint, ElevationSealers, LiveAuthority, PROTECTED_RESOURCE};
pub use live::{LivePolicy, LiveRule};

/// What the source says of one policy. Cheap to clone.
#[derive(Clone)]
pub struct PolicyEntry {
    /// Which policy.
    pub id: Arc<PolicyId>,
    /// Enforce this; `None`: refuse its traffic.
    pub policy: Option<Arc<CompiledPolicy>>,
    /// Which version of it this is.
    pub revision: Arc<Revision>,
    /// Whether the operator wires its gateway: the check's address then names the list of headers
    /// that the gateway takes from us. Elsewhere that is its user's business.
    pub wired: bool,
}

impl PolicyEntry {
    /// Enforce this, of a source without versions.
    #[must_use]
    pub fn accepted(policy: Arc<CompiledPolicy>) -> Self {
        let revision =
            Revision { uid: policy.uid.clone(), state: RevisionState::Live, ..Revision::default() };
        let id = Arc::new(policy.id.clone());
        Self { id, policy: Some(policy), revision: Arc::new(revision), wired: false }
    }

    /// Refuse the traffic: it was never good.
    #[must_use]
    pub fn refused(id: impl Into<Arc<PolicyId>>) -> Self {
        Self { id: id.into(), policy: None, revision: Arc::default(), wired: false }
    }
}

/// One thing that changed.
#[derive(Clone)]
pub enum Change {
    /// What is said of this policy.
    Is(PolicyEntry),
    /// Nobody knows it any more.
    Gone(Arc<PolicyId>),
}

/// Which version of a policy runs. Nothing in it is secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    /// The object's uid.
    pub uid: String,
    /// The object's generation; 0 where there is none, or nothing of it ever ran.
    pub generation: i64,
    /// Names what was handed over; empty as above.
    pub hash: String,
    /// What is done with the traffic.
    pub state: RevisionState,
    /// Why something newer does not run.
    pub problem: Option<String>,
}

/// What is done with the traffic of a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevisionState {
    /// It is decided by the policy.
    Live,
    /// It is refused.
    #[default]
    Refused,
    /// It is refused: the object is gone.
    Tombstone,
}

impl RevisionState {
    /// As the policy stream names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "Live",
            Self::Refused => "Refused",
            Self::Tombstone => "Tombstone",
        }
    }
}

/// One policy as it runs.
pub struct RunningPolicy {
    /// Which policy.
    pub id: Arc<PolicyId>,
    /// What decides; `None`: it is refused.
    pub live: Option<Arc<LivePolicy>>,
    /// What decided before it was refused: its sessions are still there to be ended.
    former: Option<Arc<LivePolicy>>,
    /// What this was made from.
    pub revision: Arc<Revision>,
}

impl RunningPolicy {
    /// Refused for a reason that its source does not know of.
    fn refused(
        id: Arc<PolicyId>,
        former: Option<Arc<LivePolicy>>,
        uid: String,
        problem: String,
    ) -> Self {
        let revision = Revision { uid, problem: Some(problem), ..Revision::default() };
        Self { id, live: None, former, revision: Arc::new(revision) }
    }

    /// By what its sessions are found and ended, also while its traffic is refused; `None` where it
    /// was never in force in this process.
    #[must_use]
    pub fn keeper(&self) -> Option<&Arc<LivePolicy>> {
        self.live.as_ref().or(self.former.as_ref())
    }

    /// Whether this is all that the entry says.
    fn is_of(&self, entry: &PolicyEntry) -> bool {
        let same_policy = match (&self.live, &entry.policy) {
            (Some(live), Some(policy)) => Arc::ptr_eq(&live.compiled, policy),
            (None, None) => true,
            _ => false,
        };
        same_policy
            && (Arc::ptr_eq(&self.revision, &entry.revision) || self.revision == entry.revision)
    }
}

/// What is known of a policy that a gateway asks for.
pub enum Lookup {
    /// It is enforced.
    Live(Arc<LivePolicy>),
    /// It exists, and is not to be enforced.
    Refused,
    /// Nobody ever wrote it.
    Unknown,
}

/// The live policies.
pub struct Policies {
    snapshot: ArcSwap<Snapshot>,
    providers: Arc<Providers>,
    connections: Connections,
    loaded: AtomicBool,
    /// Held while a snapshot is made from the one before.
    withheld: Mutex<Withheld>,
    changed: News<Arc<PolicyId>>,
}

impl Policies {
    /// None yet, and not ready.
    #[must_use]
    pub fn new(providers: impl Into<Arc<Providers>>) -> Self {
        Self {
            snapshot: ArcSwap::default(),
            providers: providers.into(),
            connections: Connections::default(),
            loaded: AtomicBool::new(false),
            withheld: Mutex::default(),
            changed: News::default(),
        }
    }

    /// Swaps in what the source says, all of it. From the first time on, `is_loaded` is true. What
    /// cannot run is returned with the reason: a policy whose provider or decision point cannot be set
    /// up (a certificate bundle that does not parse) goes on as it was, or is refused if it never was;
    /// one that claims the host of another is refused.
    pub fn install(
        &self,
        entries: Vec<PolicyEntry>,
        keyring: &Arc<Keyring>,
    ) -> Vec<(PolicyId, String)> {
        self.change(keyring, true, |before| {
            let known = before.by_id.iter().map(|one| (Arc::clone(&one.id), None));
            let mut wanted: Wanted = known.collect();
            wanted.extend(entries.into_iter().map(|entry| (Arc::clone(&entry.id), Some(entry))));
            wanted
        })
    }

    /// Swaps in what changed; all else stays. The last word on a policy counts. What cannot run is
    /// returned as by [`Policies::install`].
    pub fn apply(
        &self,
        changes: impl IntoIterator<Item = Change>,
        keyring: &Arc<Keyring>,
    ) -> Vec<(PolicyId, String)> {
        let wanted = changes.into_iter().map(|change| match change {
            Change::Is(entry) => (Arc::clone(&entry.id), Some(entry)),
            Change::Gone(id) => (id, None),
        });
        self.change(keyring, false, |_| wanted.collect())
    }

    /// One change; under another keyring than before every policy is made anew.
    fn change(
        &self,
        keyring: &Arc<Keyring>,
        whole: bool,
        wanted: impl FnOnce(&Snapshot) -> Wanted,
    ) -> Vec<(PolicyId, String)> {
        let mut withheld = self.withheld.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.snapshot.load_full();
        let wanted = wanted(&before);
        let mut next = Snapshot::clone(&before);
        let old = next.keyring.replace(Arc::clone(keyring));
        let mut install =
            Install::new(next, &mut withheld, &self.providers, &self.connections, keyring);
        if old.is_some_and(|old| !Arc::ptr_eq(&old, keyring)) {
            install.rekey();
        }
        install.take(wanted);
        let Install { next, problems, changed, .. } = install;
        self.snapshot.store(Arc::new(next));
        if whole {
            self.loaded.store(true, Ordering::Release);
        }
        self.changed.tell(&changed);
        problems.into_iter().map(|(id, problem)| (PolicyId::clone(&id), problem)).collect()
    }

    /// How many policies do not run as they were given.
    #[must_use]
    pub fn withheld(&self) -> usize {
        self.withheld.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether a first full load was installed.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// The policy that a check names.
    #[must_use]
    pub fn find(&self, namespace: &str, name: &str) -> Lookup {
        match self.snapshot.load().by_id.get((namespace, name)).map(|running| &running.live) {
            Some(Some(policy)) => Lookup::Live(Arc::clone(policy)),
            Some(None) => Lookup::Refused,
            None => Lookup::Unknown,
        }
    }

    /// One policy as it runs.
    #[must_use]
    pub fn running_one(&self, id: &PolicyId) -> Option<Arc<RunningPolicy>> {
        self.snapshot.load().by_id.get((&id.namespace, &id.name)).map(Arc::clone)
    }

    /// By what the sessions of a policy are found and ended, also while it is refused.
    #[must_use]
    pub fn keeper(&self, id: &PolicyId) -> Option<Arc<LivePolicy>> {
        self.running_one(id)?.keeper().map(Arc::clone)
    }

    /// The policy and origin that a browser's `Host` names.
    #[must_use]
    pub fn find_by_host(&self, host: &str) -> Option<(Arc<LivePolicy>, Origin)> {
        let (host, port) = canonical_host(host)?;
        let snapshot = self.snapshot.load();
        // Without a port it is the scheme's, and a browser's scheme is https but on loopback.
        let ports = port.map_or([443, 80], |port| [port, port]);
        let held = ports.into_iter().find_map(|port| snapshot.by_host.get((&host, port)))?;
        Some((Arc::clone(&held.policy), held.origin().clone()))
    }

    /// How many policies are enforced and how many refused.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        let snapshot = self.snapshot.load();
        (snapshot.live, snapshot.by_id.len() - snapshot.live)
    }

    /// Everything that runs. What did not change between two calls is the same `Arc`.
    #[must_use]
    pub fn running(&self) -> Vec<Arc<RunningPolicy>> {
        self.snapshot.load().by_id.iter().map(Arc::clone).collect()
    }

    /// Tells of every change: which policies are others now, or gone.
    #[must_use]
    pub fn changes(&self) -> Reader<Arc<PolicyId>> {
        self.changed.reader()
    }

    /// The providers of all policies.
    #[must_use]
    pub fn providers(&self) -> &Arc<Providers> {
        &self.providers
    }
}

#[cfg(test)]
mod history_tests;
#[cfg(test)]
pub(crate) mod tests;
