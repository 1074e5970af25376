//! Step 5: says what became of the policy, and writes only where that differs from what is there.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::Resource as _;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use vestibule_crds::conditions::{PROGRAMMED, PROVIDER_READY, reasons};
use vestibule_crds::names::STATUS_FIELD_MANAGER;
use vestibule_crds::v1alpha1::{BffPolicy, BffPolicyStatus};
use vestibule_policy::model::PolicyId;

use super::conditions::{ReplicaView, conditions};
use crate::api::{ApiError, call};
use crate::context::Context;
use crate::world::Guarded;

/// What was said of this generation by a leader that had heard the replicas stands until this one
/// has: a change of the leader is no news. What is known without them is said at once.
fn keep_what_replicas_said(conditions: &mut [Condition], old: &[Condition]) {
    for condition in conditions {
        let said = old.iter().find(|old| {
            old.type_ == condition.type_ && old.observed_generation == condition.observed_generation
        });
        let Some(said) = said else { continue };
        let unheard = match condition.type_.as_str() {
            PROGRAMMED if condition.reason == reasons::REFUSED => said.reason == reasons::REFUSED,
            PROGRAMMED => {
                condition.reason == reasons::RECONCILING && said.reason != reasons::REFUSED
            }
            PROVIDER_READY => condition.reason == reasons::PENDING,
            _ => false,
        };
        if unheard {
            *condition = said.clone();
        }
    }
}

/// Writes the status from what is remembered of the policy and from what the replicas run.
///
/// # Errors
/// Where the write failed.
pub async fn update_status(context: &Context, id: &PolicyId) -> Result<(), ApiError> {
    let Some(mut known) = context.known(id) else { return Ok(()) };
    let Some(object) = context.world.caches.policies.get(&id.namespace, &id.name) else {
        return Ok(()); // It is gone, or so new that its event follows.
    };
    if object.meta().uid.as_deref() != Some(&known.draft.uid) {
        return Ok(());
    }
    let cached = object.0.as_ref().ok().and_then(|policy| policy.status.clone());
    let old = known.status.clone().or(cached).unwrap_or_default();
    // Before the view: a replica that is heard in between is then in the view, and not the other way
    // round, which would take back what was said of it.
    let settled = context.replicas.settled();
    let view = ReplicaView {
        replicas: context.replicas.view(id),
        contested: known.contested.clone(),
        pending: known.pending.clone(),
    };
    // The API keeps seconds.
    let seconds = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    let mut conditions =
        conditions(&known.draft, &view, known.generation, &old.conditions, &Time(seconds));
    if !settled && view.pending.is_none() {
        keep_what_replicas_said(&mut conditions, &old.conditions);
    }
    let new = BffPolicyStatus { conditions, origins: known.draft.origins.clone() };
    if new != old {
        let api: Api<Guarded<BffPolicy>> = Api::namespaced(context.client.clone(), &id.namespace);
        let params = PatchParams {
            field_manager: Some(STATUS_FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let status = json!({"conditions": new.conditions, "origins": new.origins});
        let patch = Patch::Merge(json!({ "status": status }));
        let written = api.patch_status(&id.name, &params, &patch);
        match call(|| format!("patch status of BffPolicy {id}"), written).await {
            Err(error) if error.not_found => return Ok(()),
            ended => ended.map(|_| ())?,
        }
        context.metrics.wrote("status", "BffPolicy");
        context.events.transitions(id, &known.draft.uid, &old.conditions, &new.conditions);
    }
    known.status = Some(new);
    context.remember(id, known);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(type_: &str, reason: &str, generation: i64) -> Condition {
        Condition {
            type_: type_.to_owned(),
            status: "False".to_owned(),
            reason: reason.to_owned(),
            message: format!("{reason} of {generation}"),
            observed_generation: Some(generation),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn before_the_replicas_are_heard_only_what_they_alone_can_say_is_kept() {
        for (type_, old, new, kept) in [
            (PROGRAMMED, reasons::PROGRAMMED, reasons::RECONCILING, true),
            (PROGRAMMED, reasons::REFUSED, reasons::REFUSED, true),
            (PROGRAMMED, reasons::PROGRAMMED, reasons::REFUSED, false),
            (PROGRAMMED, reasons::REFUSED, reasons::RECONCILING, false),
            (PROGRAMMED, reasons::PROGRAMMED, reasons::NOT_ATTACHED, false),
            (PROGRAMMED, reasons::PROGRAMMED, reasons::WIRING_CONTESTED, false),
            (PROVIDER_READY, reasons::READY, reasons::PENDING, true),
            ("Accepted", reasons::ACCEPTED, reasons::INVALID, false),
        ] {
            for (generation, same) in [(2, true), (1, false)] {
                let said = [condition(type_, old, generation)];
                let mut conditions = [condition(type_, new, 2)];
                keep_what_replicas_said(&mut conditions, &said);
                let expected = if kept && same { old } else { new };
                assert_eq!(conditions[0].reason, expected, "{type_}: {old}, {new}, {generation}");
            }
        }
    }
}
