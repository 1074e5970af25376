//! One write: is it needed, is it a repair, and what the server made of it.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use vestibule_crds::names::FIELD_MANAGER;
use vestibule_policy::model::PolicyId;

use crate::api::{ApiError, call};
use crate::context::Context;
use crate::reconcile::compare::is_applied;
use crate::reconcile::repairs::Finding;

/// Which object, and the policy's uid for Events (empty: none is sent).
pub(in crate::reconcile) struct Place<'a> {
    pub(in crate::reconcile) kind: &'static str,
    pub(in crate::reconcile) namespace: &'a str,
    pub(in crate::reconcile) name: &'a str,
    pub(in crate::reconcile) uid: &'a str,
}

impl Place<'_> {
    fn text(&self, verb: &str) -> String {
        format!("{verb} {} {}/{}", self.kind, self.namespace, self.name)
    }

    fn told(&self, error: ApiError) -> ApiError {
        if self.kind == "Secret" { error.without_message() } else { error }
    }
}

/// Applies the body where the object differs from it. Gives the object's name where somebody else
/// keeps changing it.
pub(super) async fn write<K>(
    context: &Context,
    api: &Api<K>,
    id: &PolicyId,
    place: &Place<'_>,
    body: Value,
    current: Option<&K>,
) -> Result<Option<String>, ApiError>
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    let object = (place.kind, place.namespace.to_owned(), place.name.to_owned());
    // What is cached is older than what we wrote: the news is on its way.
    let behind = is_behind(context, place, current.and_then(ResourceExt::resource_version));
    if let Some(current) = current.filter(|_| !behind) {
        let fields: &[ManagedFieldsEntry] = current.managed_fields();
        if serde_json::to_value(current).is_ok_and(|current| is_applied(&body, &current, fields)) {
            context.repairs.agreed(&object, &body);
            return Ok(None);
        }
    }
    let finding = if behind { Finding::New } else { context.repairs.judge(&object, &body) };
    match finding {
        Finding::New => {}
        // What authsvc runs on is never left as others made it.
        Finding::Contested if place.kind == "Secret" => context.metrics.repaired(place.kind),
        Finding::Contested => {
            tracing::warn!(policy = %id, object = place.text("leave"), "contested");
            return Ok(Some(format!("{} {}", place.kind, place.name)));
        }
        Finding::Repair => {
            context.metrics.repaired(place.kind);
            tracing::warn!(policy = %id, object = place.text("repair"), "a hand edit is undone");
            if !place.uid.is_empty() {
                let object = format!("{} {}", place.kind, place.name);
                context.events.repaired(id, place.uid, &object);
            }
        }
    }
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(&body);
    let written = call(|| place.text("apply"), api.patch(place.name, &params, &patch)).await;
    let written = written.map_err(|error| place.told(error))?;
    wrote(context, place, "apply", &written);
    context.repairs.agreed(&object, &body);
    Ok(None)
}

/// Replaces an object as a whole, if it is still the one that was read.
pub(super) async fn replace<K>(
    context: &Context,
    api: &Api<K>,
    place: &Place<'_>,
    body: &Value,
) -> Result<(), ApiError>
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    let Ok(object) = serde_json::from_value::<K>(body.clone()) else { return Ok(()) };
    let params =
        PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let written = call(|| place.text("update"), api.replace(place.name, &params, &object)).await;
    let written = written.map_err(|error| place.told(error))?;
    wrote(context, place, "update", &written);
    Ok(())
}

/// Sends a merge patch; an object that is gone needs none.
pub(in crate::reconcile) async fn merge<K>(
    context: &Context,
    api: &Api<K>,
    place: &Place<'_>,
    body: &Value,
) -> Result<(), ApiError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let params =
        PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(body);
    match call(|| place.text("patch"), api.patch(place.name, &params, &patch)).await {
        Ok(written) => {
            wrote(context, place, "patch", &written);
            Ok(())
        }
        Err(error) if super::is_gone(&error) => Ok(()),
        Err(error) => Err(place.told(error)),
    }
}

fn wrote<K: Resource>(context: &Context, place: &Place<'_>, verb: &'static str, written: &K) {
    context.metrics.wrote(verb, place.kind);
    context.world.wrote(place.kind, place.namespace, place.name, written.resource_version());
}

/// Versions of one kind can be compared as numbers (Kubernetes, "API Concepts", resource versions).
/// What we wrote and is not seen at all has not arrived: a deletion would have been told.
fn is_behind(context: &Context, place: &Place<'_>, seen: Option<String>) -> bool {
    let number = |text: &str| text.parse::<u64>().ok();
    let written = context.world.written(place.kind, place.namespace, place.name);
    match (seen, written) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(seen), Some(written)) => number(&seen) < number(&written),
    }
}

/// Deletions; what is not there needs none.
pub(in crate::reconcile) mod delete {
    use kube::api::{DeleteParams, DynamicObject, Preconditions};
    use vestibule_crds::names::target::{INGRESS_ROUTE_KIND, MIDDLEWARE_KIND};

    use super::{Api, ApiError, Context, Debug, DeserializeOwned, Place, PolicyId, Resource, call};
    use crate::reconcile::apply::is_gone;
    use crate::reconcile::build;
    use crate::world::routes::Kind;
    use crate::world::traefik;
    use k8s_openapi::api::networking::v1::Ingress;

    /// A `/bff` route in our namespace.
    pub(in crate::reconcile) async fn route(
        context: &Context,
        kind: Kind,
        name: &str,
    ) -> Result<(), ApiError> {
        let namespace = &context.installation.namespace;
        let caches = &context.world.caches;
        let client = context.client.clone();
        match kind {
            Kind::Ingress => {
                let uid =
                    caches.ingresses.get(namespace, name).and_then(|o| o.metadata.uid.clone());
                let place = Place { kind: "Ingress", namespace, name, uid: "" };
                one::<Ingress>(context, &Api::namespaced(client, namespace), &place, uid).await
            }
            Kind::IngressRoute => {
                let object = caches.ingress_routes.get(namespace, name);
                let uid = object.and_then(|object| object.metadata.uid.clone());
                let place = Place { kind: "IngressRoute", namespace, name, uid: "" };
                let api = Api::namespaced_with(client, namespace, &traefik(INGRESS_ROUTE_KIND));
                one::<DynamicObject>(context, &api, &place, uid).await
            }
        }
    }

    /// A policy's middleware, if it is ours.
    pub(in crate::reconcile) async fn middleware(
        context: &Context,
        id: &PolicyId,
    ) -> Result<(), ApiError> {
        let name = build::middleware_name(&id.name);
        let Some(cached) = context.world.caches.middlewares.get(&id.namespace, &name) else {
            return Ok(());
        };
        let resource = traefik(MIDDLEWARE_KIND);
        let api = Api::namespaced_with(context.client.clone(), &id.namespace, &resource);
        let place = Place { kind: "Middleware", namespace: &id.namespace, name: &name, uid: "" };
        one::<DynamicObject>(context, &api, &place, cached.metadata.uid.clone()).await
    }

    /// One object, if it is still the one that was seen.
    pub(in crate::reconcile) async fn one<K>(
        context: &Context,
        api: &Api<K>,
        place: &Place<'_>,
        uid: Option<String>,
    ) -> Result<(), ApiError>
    where
        K: Resource + Clone + DeserializeOwned + Debug,
    {
        let preconditions = Preconditions { uid, resource_version: None };
        let params = DeleteParams::default().preconditions(preconditions);
        match call(|| place.text("delete"), api.delete(place.name, &params)).await {
            Ok(_) => {
                context.metrics.wrote("delete", place.kind);
                let object = (place.kind, place.namespace.to_owned(), place.name.to_owned());
                context.repairs.forget(&object);
                context.world.wrote(place.kind, place.namespace, place.name, None);
                Ok(())
            }
            Err(error) if is_gone(&error) => Ok(()),
            Err(error) => Err(place.told(error)),
        }
    }
}
