//! One reconcile in five named steps: dereference, validate, build, apply, `update_status`.
//!
//! Only the first and the last two do IO. A failed call changes nothing but the status, if that can
//! be written; what cannot be decided is decided later. It must not open anything on its way.

pub mod apply;
pub mod build;
pub mod compare;
pub mod conditions;
pub mod dereference;
pub mod input;
pub mod lost;
pub mod release;
pub mod repairs;
pub mod update_status;
pub mod validate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use vestibule_crds::conditions::reasons;
use vestibule_policy::handoff::{self, Handoff, State};
use vestibule_policy::model::PolicyId;

use crate::api::{ApiError, Category};
use crate::context::{Context, Known};
use crate::queue::{Outcome, Work};
use apply::Applied;
use conditions::Draft;
use dereference::{Dereferenced, Subject, dereference};
use input::Input;
use validate::problems::Finding;
use validate::validate;

/// What the status needs of the object itself.
pub(crate) struct About {
    uid: String,
    generation: i64,
}

/// Works on one policy.
pub async fn reconcile(context: Arc<Context>, id: PolicyId, work: Work) -> Outcome {
    if !context.scope.is_empty() && !context.scope.contains(&id.namespace) {
        // Of an earlier, larger scope: it stays as it is, and keeps its hosts.
        return Outcome::Done;
    }
    let ended = match (work, context.known(&id)) {
        (Work::Status, Some(_)) => update_status::update_status(&context, &id).await.map(|()| None),
        _ => full(&context, &id).await,
    };
    context.metrics.queue_depth(context.queue.depth());
    match ended {
        Ok(again) => {
            context.metrics.reconciled("done");
            again.map_or(Outcome::Done, Outcome::Again)
        }
        Err(error) => {
            context.metrics.reconciled(error.category.label());
            if error.category == Category::Conflict {
                tracing::debug!(policy = %id, %error, "a policy is tried again at once");
            } else {
                tracing::warn!(policy = %id, %error, "a policy was not finished; it is tried again");
            }
            Outcome::Failed(error.category)
        }
    }
}

async fn full(context: &Context, id: &PolicyId) -> Result<Option<Duration>, ApiError> {
    let read = dereference(context, id).await?;
    for ingress in &read.released {
        release::release_target(context, id, ingress).await?;
    }
    match &read.subject {
        Subject::Policy(input) => decide(context, id, input, &read).await,
        Subject::Unreadable { uid, generation, error } => {
            let about = About { uid: uid.clone(), generation: *generation };
            unreadable(context, id, &about, error, &read).await
        }
        Subject::Gone => gone(context, id, &read).await,
    }
}

async fn decide(
    context: &Context,
    id: &PolicyId,
    input: &Input,
    read: &Dereferenced,
) -> Result<Option<Duration>, ApiError> {
    let verdict = {
        let mut claims = context.claims();
        let verdict = validate(input, &context.installation, &*claims);
        claims.reserve(id, &verdict.handoff.origins);
        claims.refused(id, verdict.conditions.is_refused());
        verdict
    };
    for finding in [&verdict.conditions.accepted, &verdict.conditions.resolved_refs] {
        if !finding.ok {
            context.metrics.refused(finding.reason);
        }
    }
    let resources = build::build(&verdict, &context.installation);
    let live = matches!(verdict.handoff.state, State::Live(_));
    let about = About { uid: verdict.handoff.uid.clone(), generation: verdict.handoff.generation };
    let applied = apply::apply(context, id, &about.uid, live, &resources, read).await;
    if applied.is_ok() {
        free(context, id, &verdict.handoff);
    }
    finish(context, id, about, verdict.conditions, applied).await
}

/// What cannot be read is refused, and keeps its hosts.
async fn unreadable(
    context: &Context,
    id: &PolicyId,
    about: &About,
    error: &str,
    read: &Dereferenced,
) -> Result<Option<Duration>, ApiError> {
    let handoff = validate::unreadable(
        id.clone(),
        about.uid.clone(),
        about.generation,
        read.previous.as_ref(),
    );
    context.claims().reserve(id, &handoff.origins);
    context.metrics.refused(reasons::INVALID);
    let secret = build::compiled_secret(&handoff, &context.installation);
    let mut applied = apply::secret(context, id, &about.uid, &secret, read).await;
    if applied.is_ok() {
        applied = apply::unclaimed(context, id, read).await;
    }
    let wrong = Finding::wrong(reasons::INVALID, &format!("the object cannot be read: {error}"));
    let draft = Draft {
        accepted: wrong,
        resolved_refs: Finding::ok(reasons::RESOLVED_REFS, "Nothing was looked up."),
        host_exclusive: Finding::ok(reasons::EXCLUSIVE, "Nothing was looked up."),
        not_attached: None,
        origins: Vec::new(),
        hash: handoff::hash(&handoff.encode()),
        uid: about.uid.clone(),
    };
    let about = About { uid: about.uid.clone(), generation: about.generation };
    finish(context, id, about, draft, applied).await
}

/// The policy's object is not there: it leaves a tombstone, until that is released.
async fn gone(
    context: &Context,
    id: &PolicyId,
    read: &Dereferenced,
) -> Result<Option<Duration>, ApiError> {
    context.forget(id);
    if read.compiled.is_some() && read.is_released() {
        release::release(context, id, read).await?;
        let freed = context.claims().record(id, &[]);
        context.claims().refused(id, false);
        wake_waiting(context, freed);
        return Ok(None);
    }
    let mut again = Applied::default();
    if let Some(last) = &read.previous {
        let secret = build::build_tombstone(last, &context.installation);
        again = apply::secret(context, id, "", &secret, read).await?;
    }
    context.claims().refused(id, false);
    let wired = apply::unclaimed(context, id, read).await?;
    Ok(again.contested.or(wired.contested).map(|_| repairs::WINDOW))
}

async fn finish(
    context: &Context,
    id: &PolicyId,
    about: About,
    draft: Draft,
    applied: Result<Applied, ApiError>,
) -> Result<Option<Duration>, ApiError> {
    let contested = applied.as_ref().ok().and_then(|applied| applied.contested.clone());
    let status = context.known(id).filter(|known| known.draft.uid == about.uid);
    let known = Known {
        draft,
        generation: about.generation,
        pending: applied.as_ref().err().map(ToString::to_string),
        contested: contested.clone(),
        status: status.and_then(|known| known.status),
    };
    context.remember(id, known);
    let told = update_status::update_status(context, id).await;
    applied?;
    told?;
    Ok(contested.map(|_| repairs::WINDOW))
}

/// The Secret is written: what it no longer names is free for others.
fn free(context: &Context, id: &PolicyId, handoff: &Handoff) {
    let freed = context.claims().record(id, &handoff.origins);
    wake_waiting(context, freed);
}

fn wake_waiting(context: &Context, freed: bool) {
    if freed {
        for waiting in context.claims().waiting() {
            context.queue.add(&waiting, Work::Full);
        }
    }
}

/// What a compiled Secret says.
///
/// # Errors
/// The reason why it cannot be read.
pub fn decode(secret: &Secret) -> Result<Handoff, String> {
    let data: BTreeMap<String, Vec<u8>> =
        secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect();
    Handoff::decode(&data)
}
