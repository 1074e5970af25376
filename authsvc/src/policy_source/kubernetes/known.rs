//! What the Secrets of the operator say, event by event.
//!
//! Pure, so that every case has a test without a cluster. While a list is under way nothing counts
//! as gone; a Secret that cannot be read changes nothing of what its policy was.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::Event;
use vestibule_crds::names::{
    COMPILED_SECRET_TYPE, POLICY_NAME_ANNOTATION, POLICY_NAMESPACE_ANNOTATION,
};
use vestibule_policy::handoff::{self, Handoff, State};
use vestibule_policy::model::PolicyId;

use crate::policies::{Change, PolicyEntry, Revision, RevisionState};
use crate::policy_source::{Load, Said};

/// All Secrets that count, by name. The name is made from the policy's, so that no two are of one
/// policy.
pub(super) struct Known {
    namespace: String,
    held: BTreeMap<Box<str>, Held>,
    /// What a list under way gave so far.
    listing: Option<BTreeMap<Box<str>, Held>>,
    listed: bool,
    /// How many of them cannot be used.
    broken: usize,
    /// How many were told last.
    told_broken: usize,
    /// What was not told yet.
    untold: Untold,
}

enum Untold {
    Everything,
    Changes(Vec<Change>),
}

/// One Secret.
#[derive(Clone)]
struct Held {
    /// Hash of the data that was read last.
    seen: [u8; 16],
    /// What counts; `None`: not even the policy's name is known.
    entry: Option<PolicyEntry>,
    /// Whether what was read last cannot be used.
    broken: bool,
}

impl Known {
    /// Nothing yet.
    pub(super) fn new(namespace: String) -> Self {
        Self {
            namespace,
            held: BTreeMap::new(),
            listing: None,
            listed: false,
            broken: 0,
            told_broken: 0,
            untold: Untold::Changes(Vec::new()),
        }
    }

    /// Takes one event.
    pub(super) fn take(&mut self, event: Event<Secret>) {
        match event {
            Event::Init => self.listing = Some(BTreeMap::new()),
            Event::InitApply(secret) => {
                if let Some((name, held)) = self.read(secret)
                    && let Some(listing) = &mut self.listing
                {
                    listing.insert(name, held);
                }
            }
            Event::InitDone => {
                if let Some(listing) = self.listing.take() {
                    self.broken = listing.values().filter(|held| held.broken).count();
                    self.held = listing;
                    self.listed = true;
                    self.untold = Untold::Everything;
                }
            }
            Event::Apply(secret) => {
                if let Some((name, held)) = self.read(secret) {
                    if self.held.get(&name).is_some_and(|old| old.seen == held.seen) {
                        return;
                    }
                    self.broken += usize::from(held.broken);
                    let entry = held.entry.clone();
                    let old = self.held.insert(name, held);
                    self.forget(old.as_ref(), entry.as_ref());
                    self.tell(entry.map(Change::Is));
                }
            }
            Event::Delete(secret) => {
                if secret.metadata.namespace.as_deref() == Some(&self.namespace)
                    && let Some(name) = &secret.metadata.name
                {
                    let old = self.held.remove(name.as_str());
                    self.forget(old.as_ref(), None);
                }
            }
        }
    }

    /// What one Secret said does not count any more.
    fn forget(&mut self, old: Option<&Held>, next: Option<&PolicyEntry>) {
        self.broken -= usize::from(old.is_some_and(|old| old.broken));
        let gone = old.and_then(|old| old.entry.as_ref()).map(|entry| &entry.id);
        let gone = gone.filter(|id| next.is_none_or(|next| next.id != **id));
        self.tell(gone.map(|id| Change::Gone(Arc::clone(id))));
    }

    fn tell(&mut self, change: Option<Change>) {
        if let Untold::Changes(changes) = &mut self.untold {
            changes.extend(change);
        }
    }

    /// What changed since it was asked for last. Nothing before the first full list.
    pub(super) fn load_if_changed(&mut self) -> Option<Load> {
        if !self.listed {
            return None;
        }
        let said = match std::mem::replace(&mut self.untold, Untold::Changes(Vec::new())) {
            Untold::Changes(changes) if changes.is_empty() && self.told_broken == self.broken => {
                return None;
            }
            Untold::Changes(changes) => Said::Changed(changes),
            Untold::Everything => return Some(self.everything()),
        };
        self.told_broken = self.broken;
        Some(Load { said, problems: self.broken })
    }

    /// All that counts, whatever was told.
    pub(super) fn everything(&mut self) -> Load {
        self.untold = Untold::Changes(Vec::new());
        self.told_broken = self.broken;
        let entries = self.held.values().filter_map(|held| held.entry.clone()).collect();
        Load { said: Said::Whole(entries), problems: self.broken }
    }

    fn read(&self, secret: Secret) -> Option<(Box<str>, Held)> {
        let name = secret.metadata.name.clone()?;
        if secret.metadata.namespace.as_deref() != Some(&self.namespace) {
            tracing::error!(secret = name, "a Secret of another namespace is no policy");
            return None;
        }
        let before = self.held.get(name.as_str());
        let annotated = annotated_id(&secret, &name);
        let kind = secret.type_;
        let data: BTreeMap<String, Vec<u8>> = secret
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, value.0))
            .collect();
        let hash = handoff::hash(&data);
        let seen = digits(&hash);
        if let Some(unchanged) = before.filter(|before| before.seen == seen) {
            return Some((name.into(), unchanged.clone()));
        }
        let held = match decode(&name, kind.as_deref(), &data) {
            Ok(handoff) => {
                let entry = Some(entry_of(handoff, hash, before));
                Held { seen, entry, broken: false }
            }
            Err(reason) => {
                tracing::error!(secret = name, "a compiled policy cannot be used: {reason}");
                let problem = format!("what was handed over cannot be used: {reason}");
                let kept = before.and_then(|before| before.entry.clone());
                let entry = kept.or_else(|| annotated.map(PolicyEntry::refused));
                let entry = entry.map(|entry| with_problem(entry, problem));
                Held { seen, entry, broken: true }
            }
        };
        Some((name.into(), held))
    }
}

fn decode(
    name: &str,
    kind: Option<&str>,
    data: &BTreeMap<String, Vec<u8>>,
) -> Result<Handoff, String> {
    if kind != Some(COMPILED_SECRET_TYPE) {
        return Err(format!("the Secret's type is not {COMPILED_SECRET_TYPE}"));
    }
    // A defect of a parser must cost one policy.
    let handoff = catch_unwind(AssertUnwindSafe(|| Handoff::decode(data)))
        .unwrap_or_else(|_| Err("reading it ended in a defect".to_owned()))?;
    let PolicyId { namespace, name: policy } = &handoff.id;
    if handoff::secret_name(namespace, policy) != name {
        return Err(format!("it is of policy {}, whose Secret has another name", handoff.id));
    }
    Ok(handoff)
}

/// The entry; where it says what the one before said, its policy is that very one.
fn entry_of(handoff: Handoff, hash: String, before: Option<&Held>) -> PolicyEntry {
    let before = before.and_then(|before| before.entry.as_ref());
    let same_id = before.map(|before| &before.id).filter(|id| ***id == handoff.id);
    let id = same_id.map_or_else(|| Arc::new(handoff.id), Arc::clone);
    let state = match &handoff.state {
        State::Live(_) => RevisionState::Live,
        State::Refused => RevisionState::Refused,
        State::Tombstone => RevisionState::Tombstone,
    };
    let revision =
        Revision { uid: handoff.uid, generation: handoff.generation, hash, state, problem: None };
    let policy = match handoff.state {
        State::Live(policy) => {
            let before = before.and_then(|before| before.policy.as_ref());
            let same = before.filter(|before| ***before == *policy);
            Some(same.map_or_else(|| Arc::from(policy), Arc::clone))
        }
        State::Refused | State::Tombstone => None,
    };
    PolicyEntry { id, policy, revision: Arc::new(revision), wired: true }
}

/// The value of hexadecimal digits: half as large.
fn digits(hash: &str) -> [u8; 16] {
    u128::from_str_radix(hash, 16).unwrap_or_default().to_be_bytes()
}

fn with_problem(entry: PolicyEntry, problem: String) -> PolicyEntry {
    let revision = Revision { problem: Some(problem), ..(*entry.revision).clone() };
    PolicyEntry { revision: Arc::new(revision), ..entry }
}

/// The policy that a Secret says it is of, if its name agrees.
fn annotated_id(secret: &Secret, name: &str) -> Option<PolicyId> {
    let annotation = |key| secret.metadata.annotations.as_ref()?.get(key).cloned();
    let id = PolicyId {
        namespace: annotation(POLICY_NAMESPACE_ANNOTATION)?,
        name: annotation(POLICY_NAME_ANNOTATION)?,
    };
    (handoff::secret_name(&id.namespace, &id.name) == name).then_some(id)
}
