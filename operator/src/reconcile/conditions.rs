//! The conditions of a policy, from the verdict and from what the replicas say they run.
//!
//! Why it exists: `Programmed` must tell the truth for every replica, and a status that did not
//! change must not be written. It must not know a clock: the time of a transition is given.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use vestibule_crds::conditions::{
    ACCEPTED, HOST_EXCLUSIVE, PROGRAMMED, PROVIDER_READY, RESOLVED_REFS, reasons,
};

use super::validate::problems::{Finding, shortened};

/// What the verdict says, before it is known what the replicas run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// `Accepted`.
    pub accepted: Finding,
    /// `ResolvedRefs`.
    pub resolved_refs: Finding,
    /// `HostExclusive`.
    pub host_exclusive: Finding,
    /// Targets whose author has not named our middleware yet.
    pub not_attached: Option<Finding>,
    /// The origins in force, canonical and sorted: `status.origins`.
    pub origins: Vec<String>,
    /// The hash of what was handed over.
    pub hash: String,
    /// The policy's uid.
    pub uid: String,
}

impl Draft {
    /// Whether traffic is refused.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        !self.accepted.ok || !self.resolved_refs.ok
    }
}

/// What is known of the gateways' objects and of every ready replica, as regards one policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaView {
    /// Every ready replica of authsvc.
    pub replicas: Vec<Replica>,
    /// Somebody else keeps writing what we wrote: on which object.
    pub contested: Option<String>,
    /// What has not been applied yet, if the last reconcile did not get that far.
    pub pending: Option<String>,
}

/// One ready replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// The pod's name.
    pub name: String,
    /// The policy as the replica runs it; `None`: it does not, or its stream is not there yet.
    pub running: Option<Running>,
}

/// A policy as one replica runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The uid of the object.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// The hash of the Secret's content.
    pub hash: String,
    /// Why the replica could not take the newest content over.
    pub problem: Option<String>,
    /// What it says of the provider.
    pub provider: Option<ProviderState>,
}

/// What a replica says of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderState {
    /// Not tried yet.
    Pending,
    /// Discovery document and keys were read.
    Ready,
    /// They could not be read, and why.
    Failed(String),
}

/// The conditions, in a fixed order. Of an old condition with the same status its time is kept, and
/// nothing of a type that is not ours is touched.
#[must_use]
pub fn conditions(
    draft: &Draft,
    view: &ReplicaView,
    generation: i64,
    old: &[Condition],
    now: &Time,
) -> Vec<Condition> {
    let truth = |finding: &Finding| if finding.ok { "True" } else { "False" };
    let programmed = programmed(draft, view, generation);
    let (ready, provider) = provider_ready(draft, view);
    let ours = [
        (ACCEPTED, truth(&draft.accepted), &draft.accepted),
        (RESOLVED_REFS, truth(&draft.resolved_refs), &draft.resolved_refs),
        (PROGRAMMED, truth(&programmed), &programmed),
        (PROVIDER_READY, ready, &provider),
        (HOST_EXCLUSIVE, truth(&draft.host_exclusive), &draft.host_exclusive),
    ];
    let others =
        old.iter().filter(|condition| !ours.iter().any(|(type_, ..)| *type_ == condition.type_));
    ours.iter()
        .map(|(type_, status, finding)| {
            let same = old.iter().find(|c| c.type_ == *type_ && c.status == *status);
            Condition {
                type_: (*type_).to_owned(),
                status: (*status).to_owned(),
                reason: finding.reason.to_owned(),
                message: finding.message.clone(),
                observed_generation: Some(generation),
                last_transition_time: same
                    .map_or_else(|| now.clone(), |c| c.last_transition_time.clone()),
            }
        })
        .chain(others.cloned())
        .collect()
}

fn programmed(draft: &Draft, view: &ReplicaView, generation: i64) -> Finding {
    if draft.is_refused() {
        return Finding::wrong(reasons::REFUSED, &refused(draft, view));
    }
    if let Some(object) = &view.contested {
        let message = format!(
            "Somebody else keeps changing what Vestibule wrote on {object}: find and stop it."
        );
        return Finding::wrong(reasons::WIRING_CONTESTED, &message);
    }
    if let Some(finding) = &draft.not_attached {
        return finding.clone();
    }
    if let Some(what) = &view.pending {
        return Finding::wrong(reasons::RECONCILING, &format!("Not written yet: {what}"));
    }
    if view.replicas.is_empty() {
        return Finding::wrong(reasons::RECONCILING, "No replica of authsvc is ready.");
    }
    let behind: Vec<&Replica> = view.replicas.iter().filter(|r| !runs(draft, r)).collect();
    if behind.is_empty() {
        let message = format!(
            "Generation {generation} is enforced by {} of {0} replicas.",
            view.replicas.len()
        );
        return Finding::ok(reasons::PROGRAMMED, &message);
    }
    let mut texts = vec![format!(
        "{} of {} replicas enforce generation {generation}",
        view.replicas.len() - behind.len(),
        view.replicas.len()
    )];
    texts.extend(behind.iter().map(|replica| waiting_for(replica)));
    Finding { ok: false, reason: reasons::RECONCILING, message: shortened(&texts) }
}

/// It is said that all traffic is refused only where that is seen.
fn refused(draft: &Draft, view: &ReplicaView) -> String {
    let why = if draft.accepted.ok { RESOLVED_REFS } else { ACCEPTED };
    let behind = view.replicas.iter().find(|replica| !runs(draft, replica));
    let not_yet = if let Some(object) = &view.contested {
        format!("somebody else keeps changing what Vestibule wrote on {object}")
    } else if let Some(finding) = &draft.not_attached {
        finding.message.clone()
    } else if let Some(what) = &view.pending {
        format!("not written yet: {what}")
    } else if let Some(replica) = behind {
        waiting_for(replica)
    } else {
        return format!("All traffic of the policy is refused: see {why}.");
    };
    format!("The policy is refused (see {why}), but not all of its traffic is yet: {not_yet}")
}

fn runs(draft: &Draft, replica: &Replica) -> bool {
    replica.running.as_ref().is_some_and(|running| {
        running.uid == draft.uid && running.hash == draft.hash && running.problem.is_none()
    })
}

fn waiting_for(replica: &Replica) -> String {
    match &replica.running {
        None => format!("{} does not run the policy yet", replica.name),
        Some(Running { problem: Some(problem), .. }) => {
            format!("{} could not take it over: {problem}", replica.name)
        }
        Some(running) => format!("{} runs generation {}", replica.name, running.generation),
    }
}

/// Only what is said by replicas that run what was handed over: what an older generation's provider
/// is like does not matter.
fn provider_ready(draft: &Draft, view: &ReplicaView) -> (&'static str, Finding) {
    let pending = |message: &str| ("Unknown", Finding::wrong(reasons::PENDING, message));
    if draft.is_refused() {
        return pending("The policy is refused: its provider is not asked.");
    }
    let current = view.replicas.iter().filter(|replica| runs(draft, replica));
    let states: Vec<(&str, Option<&ProviderState>)> = current
        .map(|r| (r.name.as_str(), r.running.as_ref().and_then(|run| run.provider.as_ref())))
        .collect();
    let failed: Vec<String> = states
        .iter()
        .filter_map(|(name, state)| match state {
            Some(ProviderState::Failed(why)) => Some(format!("{name}: {why}")),
            _ => None,
        })
        .collect();
    if !failed.is_empty() {
        let reason = reasons::DISCOVERY_FAILED;
        return ("False", Finding { ok: false, reason, message: shortened(&failed) });
    }
    if states.is_empty() || states.iter().any(|(_, state)| *state != Some(&ProviderState::Ready)) {
        return pending("The provider is being asked.");
    }
    ("True", Finding::ok(reasons::READY, "The provider's metadata and keys were read."))
}
