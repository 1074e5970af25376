//! The live policies: what the source accepted last, ready to be asked on every request.
//!
//! Why it exists: requests read one immutable snapshot without a lock, and a reload swaps it whole.
//! What did not change is carried over as it is, so that one edit costs the work of one policy. It
//! must not read files or decide what is accepted: that is the policy source's work.

mod authority;
mod hosts;
mod live;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use vestibule_policy::model::{CompiledPolicy, PolicyId};
use vestibule_policy::origin::{Origin, canonical_host};

use crate::oidc::{Provider, Providers};
use crate::permissions::{Connections, DecisionPoints};
use crate::session::keyring::Keyring;
pub use authority::{AuthorityEndpoint, ElevationSealers, LiveAuthority, PROTECTED_RESOURCE};
pub use live::LivePolicy;

/// What the source says of one policy. Cheap to clone.
#[derive(Clone)]
pub struct PolicyEntry {
    /// Which policy.
    pub id: PolicyId,
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
        let id = policy.id.clone();
        Self { id, policy: Some(policy), revision: Arc::new(revision), wired: false }
    }

    /// Refuse the traffic: it was never good.
    #[must_use]
    pub fn refused(id: PolicyId) -> Self {
        Self { id, policy: None, revision: Arc::default(), wired: false }
    }
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
    pub id: PolicyId,
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
        id: PolicyId,
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

#[derive(Default)]
struct Snapshot {
    by_id: HashMap<PolicyId, Arc<RunningPolicy>>,
    by_host: hosts::ByHost,
    /// What the policies' keys were derived from.
    keyring: Option<Arc<Keyring>>,
}

/// The live policies.
pub struct Policies {
    snapshot: ArcSwap<Snapshot>,
    providers: Arc<Providers>,
    connections: Connections,
    loaded: AtomicBool,
    /// Held while a snapshot is made from the one before.
    installing: Mutex<()>,
    changed: watch::Sender<u64>,
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
            installing: Mutex::new(()),
            changed: watch::Sender::new(0),
        }
    }

    /// Swaps in what the source says. From the first time on, `is_loaded` is true. What cannot run
    /// is returned with the reason: a policy whose provider or decision point cannot be set up (a
    /// certificate bundle that does not parse) goes on as it was, or is refused if it never was; one that claims the
    /// host of another is refused.
    pub fn install(
        &self,
        entries: Vec<PolicyEntry>,
        keyring: &Arc<Keyring>,
    ) -> Vec<(PolicyId, String)> {
        let _one_at_a_time = self.installing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.snapshot.load_full();
        let same_keys = before.keyring.as_ref().is_some_and(|old| Arc::ptr_eq(old, keyring));
        let mut problems = Vec::new();
        let mut running: Vec<Arc<RunningPolicy>> = entries
            .into_iter()
            .map(|entry| {
                let old = before.by_id.get(&entry.id);
                match old.filter(|old| same_keys && old.is_of(&entry)) {
                    Some(unchanged) => Arc::clone(unchanged),
                    None => Arc::new(self.run(entry, old, same_keys, keyring, &mut problems)),
                }
            })
            .collect();
        let by_host = hosts::settle(&mut running, &before.by_host, &mut problems);
        self.providers.retain(running.iter().filter_map(|one| Some(&one.keeper()?.provider)));
        let by_id = running.into_iter().map(|one| (one.id.clone(), one)).collect();
        let keyring = Some(Arc::clone(keyring));
        self.snapshot.store(Arc::new(Snapshot { by_id, by_host, keyring }));
        self.loaded.store(true, Ordering::Release);
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        problems
    }

    fn run(
        &self,
        entry: PolicyEntry,
        old: Option<&Arc<RunningPolicy>>,
        same_keys: bool,
        keyring: &Keyring,
        problems: &mut Vec<(PolicyId, String)>,
    ) -> RunningPolicy {
        let PolicyEntry { id, policy, revision, wired } = entry;
        let Some(policy) = policy else {
            let former = old.and_then(|old| old.keeper()).map(|former| {
                if same_keys { Arc::clone(former) } else { Arc::new(former.rekeyed(keyring)) }
            });
            return RunningPolicy { id, live: None, former, revision };
        };
        let live = old.and_then(|old| old.live.as_ref());
        if let Some(live) = live.filter(|live| same_keys && Arc::ptr_eq(&live.compiled, &policy)) {
            return RunningPolicy { id, live: Some(Arc::clone(live)), former: None, revision };
        }
        match self.parts(&policy, live) {
            Ok((provider, decisions)) => {
                let live = LivePolicy::new(policy, keyring, provider).with_decisions(decisions);
                let live = if wired { live.wired() } else { live };
                RunningPolicy { id, live: Some(Arc::new(live)), former: None, revision }
            }
            Err(problem) => {
                problems.push((id.clone(), problem.clone()));
                let Some(old) = old else {
                    return RunningPolicy::refused(id, None, revision.uid.clone(), problem);
                };
                // What was good before goes on.
                let revision = Revision { problem: Some(problem), ..(*old.revision).clone() };
                let (live, former) = (old.live.clone(), old.former.clone());
                RunningPolicy { id, live, former, revision: Arc::new(revision) }
            }
        }
    }

    /// What a policy asks: its provider and its decision points; else what cannot be set up. Decision
    /// points that did not change keep their connections, and what they answered lately.
    fn parts(
        &self,
        policy: &CompiledPolicy,
        old: Option<&Arc<LivePolicy>>,
    ) -> Result<(Arc<Provider>, DecisionPoints), String> {
        let provider = self
            .providers
            .get(&policy.provider)
            .map_err(|reason| format!("the provider cannot be set up: {reason}"))?;
        let same = |old: &&Arc<LivePolicy>| {
            old.compiled.open_fga == policy.open_fga && old.compiled.auth_zen == policy.auth_zen
        };
        let decisions = match old.filter(same) {
            Some(old) => old.decisions.clone(),
            None => DecisionPoints::new(policy, &self.connections)
                .map_err(|reason| format!("a decision point cannot be set up: {reason}"))?,
        };
        Ok((provider, decisions))
    }

    /// Whether a first full load was installed.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// The policy that a check names.
    #[must_use]
    pub fn find(&self, namespace: &str, name: &str) -> Lookup {
        let id = PolicyId { namespace: namespace.to_owned(), name: name.to_owned() };
        match self.snapshot.load().by_id.get(&id).map(|running| &running.live) {
            Some(Some(policy)) => Lookup::Live(Arc::clone(policy)),
            Some(None) => Lookup::Refused,
            None => Lookup::Unknown,
        }
    }

    /// By what the sessions of a policy are found and ended, also while it is refused.
    #[must_use]
    pub fn keeper(&self, id: &PolicyId) -> Option<Arc<LivePolicy>> {
        self.snapshot.load().by_id.get(id)?.keeper().map(Arc::clone)
    }

    /// The policy and origin that a browser's `Host` names.
    #[must_use]
    pub fn find_by_host(&self, host: &str) -> Option<(Arc<LivePolicy>, Origin)> {
        let (host, port) = canonical_host(host)?;
        let snapshot = self.snapshot.load();
        // Without a port it is the scheme's, and a browser's scheme is https but on loopback.
        let ports = port.map_or([443, 80], |port| [port, port]);
        ports.into_iter().find_map(|port| snapshot.by_host.get(&(host.clone(), port)).cloned())
    }

    /// How many policies are enforced and how many refused.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        let snapshot = self.snapshot.load();
        let live = snapshot.by_id.values().filter(|running| running.live.is_some()).count();
        (live, snapshot.by_id.len() - live)
    }

    /// Everything that runs. What did not change between two calls is the same `Arc`.
    #[must_use]
    pub fn running(&self) -> Vec<Arc<RunningPolicy>> {
        self.snapshot.load().by_id.values().map(Arc::clone).collect()
    }

    /// Tells of every install.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The providers of all policies.
    #[must_use]
    pub fn providers(&self) -> &Arc<Providers> {
        &self.providers
    }
}

#[cfg(test)]
pub(crate) mod tests;
