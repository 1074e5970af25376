//! Step 1: reads everything that a policy names.
//!
//! Routes, providers and the like come from caches; Secrets are read as they are now. A failed call
//! ends the reconcile: nothing is ever decided on what could not be read.

mod lookup;

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::Ingress;
use kube::Resource as _;
use kube::api::Api;
use kube::core::DeserializeGuard;
use vestibule_crds::names::target;
use vestibule_crds::v1alpha1::{BffPolicy, ProviderKind, TargetRef};
use vestibule_policy::handoff::{self, Handoff, State};
use vestibule_policy::model::PolicyId;
use vestibule_policy::origin::Origin;

use super::input::{ForeignRoute, Input, Target};
use super::lost::lost;
use crate::api::{ApiError, call};
use crate::context::Context;
use crate::world::Guarded;
use crate::world::index::Dependency;
use crate::world::routes::{self, Kind, RouteKey};

/// What there is under a policy's name.
pub enum Subject {
    /// A policy, with all that it names.
    Policy(Box<Input>),
    /// An object that is no policy of this version.
    Unreadable {
        /// Its uid.
        uid: String,
        /// Its generation.
        generation: i64,
        /// What is wrong with it.
        error: String,
    },
    /// Nothing.
    Gone,
}

/// All that was read.
pub struct Dereferenced {
    /// What there is.
    pub subject: Subject,
    /// The routes that it targets, or that name it.
    pub targets: Vec<Target>,
    /// Targets that their owner released.
    pub released: Vec<Arc<Ingress>>,
    /// The compiled Secret as it is now.
    pub compiled: Option<Secret>,
    /// What it says; where it cannot be read, what its `/bff` routes say.
    pub previous: Option<Handoff>,
}

/// Reads.
///
/// # Errors
/// Where the API server could not be asked.
pub async fn dereference(context: &Context, id: &PolicyId) -> Result<Dereferenced, ApiError> {
    let compiled = compiled(context, id).await?;
    let said = |secret| decode(id, secret).unwrap_or_else(|| lost(&context.world, id));
    let previous = compiled.as_ref().map(said);
    let object = policy(context, id, previous.as_ref()).await?;
    let parsed = object.as_ref().map(|object| object.0.as_ref());
    let spec = parsed.and_then(Result::ok);
    let references = spec.map(|policy| policy.spec.target_refs.clone()).unwrap_or_default();
    let (references, released) = targets_of(context, id, references);
    context.world.depends(id, &dependencies(context, id, spec, &references));
    let targets: Vec<Target> =
        references.into_iter().map(|reference| lookup::target(context, id, reference)).collect();
    for target in targets.iter().filter(|target| target.found.is_none()) {
        lookup::target_is_missing(context, id, target).await?;
    }
    let subject = match object {
        None => Subject::Gone,
        Some(DeserializeGuard(Err(invalid))) => Subject::Unreadable {
            uid: invalid.metadata.uid.unwrap_or_default(),
            generation: invalid.metadata.generation.unwrap_or_default(),
            error: invalid.error,
        },
        Some(DeserializeGuard(Ok(policy))) => {
            let input = input(context, id, policy, targets.clone(), previous.clone()).await?;
            Subject::Policy(Box::new(input))
        }
    };
    Ok(Dereferenced { subject, targets, released, compiled, previous })
}

async fn input(
    context: &Context,
    id: &PolicyId,
    policy: BffPolicy,
    targets: Vec<Target>,
    previous: Option<Handoff>,
) -> Result<Input, ApiError> {
    let namespace_labels = lookup::namespace_labels(context, &id.namespace).await?;
    let provider = lookup::provider(context, id, &policy, &namespace_labels).await?;
    let secrets = lookup::secret_keys(context, &id.namespace, &policy.spec).await?;
    let grants = context.world.caches.grants.all();
    let grants = grants.iter().map(|grant| match &grant.0 {
        Ok(grant) => grant.clone(),
        Err(invalid) => {
            let name = invalid.metadata.name.as_deref();
            tracing::warn!(name, error = invalid.error, "a BffHostGrant cannot be read");
            lookup::grant_for_nobody(invalid)
        }
    });
    Ok(Input {
        foreign: foreign(context, id, &hosts(&policy, &targets)),
        grants: grants.collect(),
        namespace_labels,
        provider,
        secrets,
        targets,
        previous,
        policy,
    })
}

/// The policy as cached, or as it is now where the cache may be behind: where it says that there is
/// none, has an older generation than was handed over, or is another object than that.
async fn policy(
    context: &Context,
    id: &PolicyId,
    previous: Option<&Handoff>,
) -> Result<Option<Guarded<BffPolicy>>, ApiError> {
    let cached = context.world.caches.policies.get(&id.namespace, &id.name);
    if let Some(object) = &cached {
        let meta = object.meta();
        let behind = previous.is_some_and(|previous| {
            matches!(previous.state, State::Tombstone)
                || meta.uid.as_ref() != Some(&previous.uid)
                || meta.generation.unwrap_or_default() < previous.generation
        });
        if !behind {
            return Ok(Some(Guarded::clone(object)));
        }
    }
    let api: Api<Guarded<BffPolicy>> = Api::namespaced(context.client.clone(), &id.namespace);
    call(|| format!("get BffPolicy {id}"), api.get_opt(&id.name)).await
}

async fn compiled(context: &Context, id: &PolicyId) -> Result<Option<Secret>, ApiError> {
    let name = handoff::secret_name(&id.namespace, &id.name);
    let namespace = &context.installation.namespace;
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    call(|| format!("get Secret {namespace}/{name}"), api.get_opt(&name))
        .await
        .map_err(ApiError::without_message)
}

/// What a compiled Secret says of this policy.
fn decode(id: &PolicyId, secret: &Secret) -> Option<Handoff> {
    match super::decode(secret) {
        Ok(handoff) if handoff.id == *id => Some(handoff),
        Ok(_) => {
            tracing::warn!(policy = %id, "the compiled Secret is of another policy");
            None
        }
        Err(error) => {
            tracing::warn!(policy = %id, error, "the compiled Secret cannot be read");
            None
        }
    }
}

/// The targets: the references in their order, then what names the policy by annotation. And what
/// its owner released.
fn targets_of(
    context: &Context,
    id: &PolicyId,
    mut references: Vec<TargetRef>,
) -> (Vec<TargetRef>, Vec<Arc<Ingress>>) {
    let mut released = Vec::new();
    for ((kind, namespace, name), is_released) in context.world.routes_of_policy(id) {
        let (group, kind_name) = match kind {
            Kind::Ingress => (target::INGRESS_GROUP, target::INGRESS_KIND),
            Kind::IngressRoute => (target::TRAEFIK_GROUP, target::INGRESS_ROUTE_KIND),
        };
        let reference =
            TargetRef { group: group.to_owned(), kind: kind_name.to_owned(), name: name.clone() };
        if references.contains(&reference) {
            continue;
        }
        if !is_released {
            references.push(reference);
        } else if kind == Kind::Ingress {
            released.extend(context.world.caches.ingresses.get(&namespace, &name));
        }
    }
    (references, released)
}

/// What the result depends on, as far as it is known before reading.
fn dependencies(
    context: &Context,
    id: &PolicyId,
    policy: Option<&BffPolicy>,
    references: &[TargetRef],
) -> HashSet<Dependency> {
    let namespace = || id.namespace.clone();
    let mut all = HashSet::new();
    for reference in references {
        let name = reference.name.clone();
        all.insert(if reference.kind == target::INGRESS_KIND {
            Dependency::Ingress(namespace(), name)
        } else {
            Dependency::IngressRoute(namespace(), name)
        });
        let object = lookup::target(context, id, reference.clone());
        for (namespace, name) in lookup::backends(&object, &id.namespace) {
            all.insert(Dependency::Service(namespace, name));
        }
        for host in lookup::target_hosts(&object) {
            all.insert(Dependency::Host(host));
        }
    }
    if !references.is_empty() {
        all.insert(Dependency::Classes);
    }
    let Some(policy) = policy else { return all };
    all.insert(Dependency::Grants);
    all.insert(Dependency::Namespace(namespace()));
    let reference = &policy.spec.provider_ref;
    all.insert(match reference.kind {
        ProviderKind::BffProvider => Dependency::Provider(namespace(), reference.name.clone()),
        ProviderKind::ClusterBffProvider => Dependency::ClusterProvider(reference.name.clone()),
    });
    for (_, secret) in policy.spec.secret_refs() {
        all.insert(Dependency::Secret(namespace(), secret.name.clone()));
    }
    if let Some((namespace, bundle)) = lookup::ca_bundle_of(context, id, policy) {
        all.insert(Dependency::Secret(namespace, bundle.name));
    }
    for host in hosts(policy, &[]) {
        let wildcard = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        all.extend(wildcard.map(Dependency::Host));
        all.insert(Dependency::Host(host));
    }
    all
}

/// The hosts that the policy claims, as far as they can be read.
fn hosts(policy: &BffPolicy, targets: &[Target]) -> Vec<String> {
    let origins = policy.spec.origins.iter().filter_map(|text| Origin::parse(text).ok());
    let mut hosts: Vec<String> = origins.map(|origin| origin.host().to_owned()).collect();
    if hosts.is_empty() {
        hosts = targets.iter().flat_map(lookup::target_hosts).collect();
    }
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

/// Routes of other namespaces on these hosts.
fn foreign(context: &Context, id: &PolicyId, hosts: &[String]) -> Vec<ForeignRoute> {
    let routes = hosts.iter().flat_map(|host| {
        let keys: Vec<RouteKey> = context.world.routes_of_host(host);
        keys.into_iter().map(move |(_, namespace, name)| ForeignRoute {
            namespace,
            name,
            host: host.clone(),
        })
    });
    routes.filter(|route| route.namespace != id.namespace).collect()
}

impl Dereferenced {
    /// Whether the policy's owner let go of it: said on the policy before its deletion, or on the
    /// compiled Secret after it.
    #[must_use]
    pub fn is_released(&self) -> bool {
        self.previous.as_ref().is_some_and(|previous| previous.released)
            || self.compiled.as_ref().is_some_and(routes::is_released)
    }
}
