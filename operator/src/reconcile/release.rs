//! Opening on purpose: takes off what was written for a policy that its owner released.
//!
//! It is called for objects that say so themselves, and for nothing else. The compiled Secret goes
//! last, so that what was begun is finished after a crash.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::Api;
use vestibule_policy::model::PolicyId;

use super::apply::{Place, delete, merge};
use super::build;
use super::dereference::Dereferenced;
use super::input::TargetObject;
use crate::api::ApiError;
use crate::context::Context;

/// Releases everything of a policy.
///
/// # Errors
/// The first write that failed; the rest is done when it is tried again.
pub async fn release(
    context: &Context,
    id: &PolicyId,
    read: &Dereferenced,
) -> Result<(), ApiError> {
    for target in &read.targets {
        if let Some(TargetObject::Ingress { object, .. }) = &target.found {
            release_target(context, id, object).await?;
        }
    }
    delete::middleware(context, id).await?;
    for (kind, namespace, name) in context.world.routes_made_for(id) {
        if namespace == context.installation.namespace {
            delete::route(context, kind, &name).await?;
        }
    }
    let released = build::released(id);
    let namespace = &context.installation.namespace;
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let place = Place { kind: "Secret", namespace, name: &released.secret, uid: "" };
    let uid = read.compiled.as_ref().and_then(|secret| secret.metadata.uid.clone());
    delete::one(context, &api, &place, uid).await?;
    tracing::info!(policy = %id, "released");
    Ok(())
}

/// Takes ours off one `Ingress`.
///
/// # Errors
/// Where the write failed.
pub async fn release_target(
    context: &Context,
    id: &PolicyId,
    ingress: &Ingress,
) -> Result<(), ApiError> {
    let Some(patch) = build::release_patch(id, ingress) else { return Ok(()) };
    let api: Api<Ingress> = Api::namespaced(context.client.clone(), &patch.namespace);
    let place = Place { kind: "Ingress", namespace: &patch.namespace, name: &patch.name, uid: "" };
    merge(context, &api, &place, &patch.body).await?;
    let object = ("Ingress", patch.namespace.clone(), patch.name.clone());
    context.repairs.forget(&object);
    tracing::info!(policy = %id, ingress = patch.name, "a target is released");
    Ok(())
}
