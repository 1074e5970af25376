//! Step 4: writes what was built, in an order that opens nothing, and only what differs.
//!
//! A live policy is wired before it is handed over: a header that the gateway does not know yet
//! would pass as the client sent it. A refused one is handed over first: its traffic ends at once.
//! What is no longer wanted goes last.

mod write;

use kube::api::{Api, DynamicObject};
use serde_json::{Value, json};
use vestibule_crds::names::target::{INGRESS_ROUTE_KIND, MIDDLEWARE_KIND};
use vestibule_policy::handoff;
use vestibule_policy::model::PolicyId;

use super::build::{self, BffRoute, PatchForm, Resources, TargetPatch};
use super::dereference::Dereferenced;
use super::input::{Target, TargetObject};
use super::validate::unclaimed as unclaimed_wiring;
use crate::api::{ApiError, Category};
use crate::context::Context;
use crate::world::routes::Kind;
use crate::world::traefik;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::Ingress;
use write::write;
pub(super) use write::{Place, delete, merge};

/// How the writing ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// An object that somebody else keeps changing; it was left alone.
    pub contested: Option<String>,
}

impl Applied {
    fn and(&mut self, contested: Option<String>) {
        self.contested = self.contested.take().or(contested);
    }
}

/// Writes everything of a policy.
///
/// # Errors
/// The first write that failed; what follows it is not written.
pub async fn apply(
    context: &Context,
    id: &PolicyId,
    uid: &str,
    live: bool,
    resources: &Resources,
    read: &Dereferenced,
) -> Result<Applied, ApiError> {
    let mut applied = Applied::default();
    if !live {
        applied.and(secret(context, id, uid, &resources.compiled_secret, read).await?.contested);
    }
    if let Some(middleware) = &resources.middleware {
        applied.and(self::middleware(context, id, uid, middleware).await?);
    }
    for patch in &resources.target_patches {
        applied.and(target(context, id, uid, patch, &read.targets).await?);
    }
    for route in &resources.bff_routes {
        applied.and(bff_route(context, id, uid, route).await?);
    }
    if live {
        applied.and(secret(context, id, uid, &resources.compiled_secret, read).await?.contested);
    }
    orphans(context, id, live, resources).await?;
    Ok(applied)
}

/// Writes the compiled Secret. Keys that somebody added are taken out again.
///
/// # Errors
/// Where the write failed.
pub async fn secret(
    context: &Context,
    id: &PolicyId,
    uid: &str,
    secret: &Secret,
    read: &Dereferenced,
) -> Result<Applied, ApiError> {
    let namespace = &context.installation.namespace;
    let name = handoff::secret_name(&id.namespace, &id.name);
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let place = Place { kind: "Secret", namespace, name: &name, uid };
    let mut body = json(secret);
    let current = read.compiled.as_ref();
    let added = current.and_then(|current| current.data.as_ref()).into_iter().flatten();
    let wanted = |key: &String| secret.data.as_ref().is_some_and(|data| data.contains_key(key));
    let whole = current.is_none() || added.into_iter().all(|(key, _)| wanted(key));
    if !whole && let Some(current) = current {
        body["metadata"]["resourceVersion"] = json!(current.metadata.resource_version);
        write::replace(context, &api, &place, &body).await?;
        return Ok(Applied::default());
    }
    let contested = write(context, &api, id, &place, body, current).await?;
    Ok(Applied { contested })
}

async fn middleware(
    context: &Context,
    id: &PolicyId,
    uid: &str,
    middleware: &DynamicObject,
) -> Result<Option<String>, ApiError> {
    let name = build::middleware_name(&id.name);
    let resource = traefik(MIDDLEWARE_KIND);
    let api = Api::namespaced_with(context.client.clone(), &id.namespace, &resource);
    let place = Place { kind: "Middleware", namespace: &id.namespace, name: &name, uid };
    let current = context.world.caches.middlewares.get(&id.namespace, &name);
    write(context, &api, id, &place, json(middleware), current.as_deref()).await
}

async fn target(
    context: &Context,
    id: &PolicyId,
    uid: &str,
    patch: &TargetPatch,
    targets: &[Target],
) -> Result<Option<String>, ApiError> {
    let object = targets.iter().find_map(|target| match &target.found {
        Some(TargetObject::Ingress { object, .. })
            if object.metadata.name.as_deref() == Some(&patch.name) =>
        {
            Some(object)
        }
        _ => None,
    });
    let Some(object) = object else { return Ok(None) };
    let place = Place { kind: "Ingress", namespace: &patch.namespace, name: &patch.name, uid };
    let api: Api<Ingress> = Api::namespaced(context.client.clone(), &patch.namespace);
    if patch.form == PatchForm::Merge {
        return merge(context, &api, &place, &patch.body).await.map(|()| None);
    }
    let mut body = patch.body.clone();
    // Applying creates what is not there: then this must not be another object, or a new one.
    body["metadata"]["uid"] = json!(object.metadata.uid);
    write(context, &api, id, &place, body, Some(&**object)).await
}

async fn bff_route(
    context: &Context,
    id: &PolicyId,
    uid: &str,
    route: &BffRoute,
) -> Result<Option<String>, ApiError> {
    let namespace = &context.installation.namespace;
    let client = context.client.clone();
    match route {
        BffRoute::Ingress(ingress) => {
            let name = ingress.metadata.name.clone().unwrap_or_default();
            let current = context.world.caches.ingresses.get(namespace, &name);
            let place = Place { kind: "Ingress", namespace, name: &name, uid };
            let api: Api<Ingress> = Api::namespaced(client, namespace);
            write(context, &api, id, &place, json(&**ingress), current.as_deref()).await
        }
        BffRoute::IngressRoute(route) => {
            let name = route.metadata.name.clone().unwrap_or_default();
            let current = context.world.caches.ingress_routes.get(namespace, &name);
            let place = Place { kind: "IngressRoute", namespace, name: &name, uid };
            let api = Api::namespaced_with(client, namespace, &traefik(INGRESS_ROUTE_KIND));
            write(context, &api, id, &place, json(&**route), current.as_deref()).await
        }
    }
}

/// Objects of ours that the policy needs no more.
async fn orphans(
    context: &Context,
    id: &PolicyId,
    live: bool,
    resources: &Resources,
) -> Result<(), ApiError> {
    let wanted: Vec<(Kind, Option<&String>)> = resources
        .bff_routes
        .iter()
        .map(|route| match route {
            BffRoute::Ingress(ingress) => (Kind::Ingress, ingress.metadata.name.as_ref()),
            BffRoute::IngressRoute(route) => (Kind::IngressRoute, route.metadata.name.as_ref()),
        })
        .collect();
    for (kind, namespace, name) in context.world.routes_made_for(id) {
        let ours = namespace == context.installation.namespace;
        if ours && !wanted.contains(&(kind, Some(&name))) {
            delete::route(context, kind, &name).await?;
        }
    }
    // Of a refused policy it is not known what its targets need: their class may be gone.
    if live && resources.middleware.is_none() {
        delete::middleware(context, id).await?;
    }
    Ok(())
}

/// Keeps objects closed that name a policy which is not there.
///
/// # Errors
/// The first write that failed.
pub async fn unclaimed(
    context: &Context,
    id: &PolicyId,
    read: &Dereferenced,
) -> Result<Applied, ApiError> {
    let mut applied = Applied::default();
    if read.targets.is_empty() {
        return Ok(applied);
    }
    let wiring = unclaimed_wiring(id, &read.targets, &context.installation);
    if let Some(middleware) = build::middleware(&wiring, &context.installation) {
        applied.and(self::middleware(context, id, "", &middleware).await?);
    }
    for patch in build::target_patches(&wiring, &context.installation) {
        applied.and(target(context, id, "", &patch, &read.targets).await?);
    }
    Ok(applied)
}

/// Whether a failed write may be passed over: what it would have changed is not there.
fn is_gone(error: &ApiError) -> bool {
    error.not_found && error.category == Category::Other
}

fn json<T: serde::Serialize>(object: &T) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}
