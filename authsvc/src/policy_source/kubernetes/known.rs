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

use crate::policies::{PolicyEntry, Revision, RevisionState};
use crate::policy_source::Load;

/// All Secrets that count, by name. The name is made from the policy's, so that no two are of one
/// policy.
pub(super) struct Known {
    namespace: String,
    held: BTreeMap<String, Held>,
    /// What a list under way gave so far.
    listing: Option<BTreeMap<String, Held>>,
    listed: bool,
    changed: bool,
}

/// One Secret.
#[derive(Clone)]
struct Held {
    /// Hash of the data that was read last.
    seen: String,
    /// What counts; `None`: not even the policy's name is known.
    entry: Option<PolicyEntry>,
    /// Whether what was read last cannot be used.
    broken: bool,
}

impl Known {
    /// Nothing yet.
    pub(super) fn new(namespace: String) -> Self {
        Self { namespace, held: BTreeMap::new(), listing: None, listed: false, changed: false }
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
                    self.held = listing;
                    self.listed = true;
                    self.changed = true;
                }
            }
            Event::Apply(secret) => {
                if let Some((name, held)) = self.read(secret) {
                    self.held.insert(name, held);
                    self.changed = true;
                }
            }
            Event::Delete(secret) => {
                if secret.metadata.namespace.as_deref() == Some(&self.namespace)
                    && let Some(name) = &secret.metadata.name
                {
                    self.changed |= self.held.remove(name).is_some();
                }
            }
        }
    }

    /// Everything, if it changed since it was asked for last. Nothing before the first full list.
    pub(super) fn load_if_changed(&mut self) -> Option<Load> {
        if !self.listed || !std::mem::take(&mut self.changed) {
            return None;
        }
        let entries = self.held.values().filter_map(|held| held.entry.clone()).collect();
        let problems = self.held.values().filter(|held| held.broken).count();
        Some(Load { entries, problems })
    }

    fn read(&self, secret: Secret) -> Option<(String, Held)> {
        let name = secret.metadata.name.clone()?;
        if secret.metadata.namespace.as_deref() != Some(&self.namespace) {
            tracing::error!(secret = name, "a Secret of another namespace is no policy");
            return None;
        }
        let before = self.held.get(&name);
        let annotated = annotated_id(&secret, &name);
        let kind = secret.type_;
        let data: BTreeMap<String, Vec<u8>> = secret
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, value.0))
            .collect();
        let seen = handoff::hash(&data);
        if let Some(unchanged) = before.filter(|before| before.seen == seen) {
            return Some((name, unchanged.clone()));
        }
        let held = match decode(&name, kind.as_deref(), &data) {
            Ok(handoff) => {
                let entry = Some(entry_of(handoff, &seen, before));
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
        Some((name, held))
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
fn entry_of(handoff: Handoff, hash: &str, before: Option<&Held>) -> PolicyEntry {
    let state = match &handoff.state {
        State::Live(_) => RevisionState::Live,
        State::Refused => RevisionState::Refused,
        State::Tombstone => RevisionState::Tombstone,
    };
    let revision = Revision {
        uid: handoff.uid,
        generation: handoff.generation,
        hash: hash.to_owned(),
        state,
        problem: None,
    };
    let policy = match handoff.state {
        State::Live(policy) => {
            let before = before.and_then(|before| before.entry.as_ref()?.policy.as_ref());
            let same = before.filter(|before| ***before == *policy);
            Some(same.map_or_else(|| Arc::from(policy), Arc::clone))
        }
        State::Refused | State::Tombstone => None,
    };
    PolicyEntry { id: handoff.id, policy, revision: Arc::new(revision), wired: true }
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
