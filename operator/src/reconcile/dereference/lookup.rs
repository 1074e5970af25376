//! One object at a time: targets with their class and backends, providers, keys of Secrets.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::networking::v1::{Ingress, IngressBackend, IngressClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject};
use kube::core::error_boundary::InvalidObject;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;
use vestibule_crds::names::target;
use vestibule_crds::v1alpha1::{
    BffHostGrant, BffHostGrantSpec, BffPolicy, BffPolicySpec, BffProvider, BffProviderSpec,
    ClusterBffProvider, ProviderKind, SecretKeyRef, TargetRef,
};
use vestibule_policy::model::PolicyId;

use crate::api::{ApiError, Category, call};
use crate::context::Context;
use crate::reconcile::input::{ProviderLookup, SecretProblem, Target, TargetObject};
use crate::reconcile::validate::CLASS_ANNOTATION;
use crate::reconcile::validate::selector::selects;
use crate::world::{Guarded, routes, traefik};

const DEFAULT_CLASS_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";
/// No secret or bundle that is of use is larger.
const MAX_VALUE: usize = 512 * 1024;

/// A target, as far as it is there.
pub(super) fn target(context: &Context, id: &PolicyId, reference: TargetRef) -> Target {
    let caches = &context.world.caches;
    let mut target = Target { reference, found: None };
    let name = &target.reference.name;
    let found = match (target.reference.group.as_str(), target.reference.kind.as_str()) {
        (target::INGRESS_GROUP, target::INGRESS_KIND) => {
            caches.ingresses.get(&id.namespace, name).map(|ingress| TargetObject::Ingress {
                class: class(context, &ingress),
                object: Box::new(Ingress::clone(&ingress)),
                external_name_services: Vec::new(),
            })
        }
        (target::TRAEFIK_GROUP, target::INGRESS_ROUTE_KIND) => {
            caches.ingress_routes.get(&id.namespace, name).map(|route| TargetObject::IngressRoute {
                object: Box::new(DynamicObject::clone(&route)),
                external_name_services: Vec::new(),
            })
        }
        _ => None,
    };
    target.found = found;
    let external: Vec<String> = backends(&target, &id.namespace)
        .into_iter()
        .filter(|(namespace, name)| caches.external_services.get(namespace, name).is_some())
        .map(|(_, name)| name)
        .collect();
    if let Some(
        TargetObject::Ingress { external_name_services, .. }
        | TargetObject::IngressRoute { external_name_services, .. },
    ) = &mut target.found
    {
        *external_name_services = external;
    }
    target
}

/// The class that an `Ingress` names, or the cluster's default.
fn class(context: &Context, ingress: &Ingress) -> Option<IngressClass> {
    let classes = &context.world.caches.classes;
    let named = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.clone());
    let named = named.or_else(|| ingress.annotations().get(CLASS_ANNOTATION).cloned());
    if let Some(name) = named {
        return classes.get("", &name).map(|class| IngressClass::clone(&class));
    }
    let is_default = |class: &IngressClass| {
        class.annotations().get(DEFAULT_CLASS_ANNOTATION).is_some_and(|text| text == "true")
    };
    let all = classes.all();
    let mut defaults = all.iter().filter(|class| is_default(class));
    // Of two defaults none is guessed.
    defaults.next().filter(|_| defaults.next().is_none()).map(|class| IngressClass::clone(class))
}

/// The Services behind a target: namespace, name.
pub(super) fn backends(target: &Target, namespace: &str) -> BTreeSet<(String, String)> {
    match &target.found {
        None => BTreeSet::new(),
        Some(TargetObject::Ingress { object, .. }) => {
            let spec = object.spec.as_ref();
            let rules = spec.and_then(|spec| spec.rules.as_ref()).into_iter().flatten();
            let paths = rules.filter_map(|rule| rule.http.as_ref()).flat_map(|http| &http.paths);
            let default = spec.and_then(|spec| spec.default_backend.as_ref());
            let of = |backend: &IngressBackend| backend.service.as_ref().map(|s| s.name.clone());
            paths
                .map(|path| &path.backend)
                .chain(default)
                .filter_map(of)
                .map(|name| (namespace.to_owned(), name))
                .collect()
        }
        Some(TargetObject::IngressRoute { object, .. }) => {
            let routes = object.data["spec"]["routes"].as_array().into_iter().flatten();
            let services =
                routes.flat_map(|route| route["services"].as_array().into_iter().flatten());
            services
                .filter(|service| service["kind"].as_str().is_none_or(|kind| kind == "Service"))
                .filter_map(|service| backend(service, namespace))
                .collect()
        }
    }
}

fn backend(service: &Value, namespace: &str) -> Option<(String, String)> {
    let name = service["name"].as_str()?.to_owned();
    let own = service["namespace"].as_str().filter(|text| !text.is_empty());
    Some((own.unwrap_or(namespace).to_owned(), name))
}

/// The hosts of a target, canonical.
pub(super) fn target_hosts(target: &Target) -> BTreeSet<String> {
    match &target.found {
        None => BTreeSet::new(),
        Some(TargetObject::Ingress { object, .. }) => routes::of_ingress(object).hosts,
        Some(TargetObject::IngressRoute { object, .. }) => routes::of_ingress_route(object).hosts,
    }
}

fn known_labels(context: &Context, namespace: &str) -> Option<BTreeMap<String, String>> {
    let found = context.world.caches.namespaces.get("", namespace)?;
    Some(found.metadata.labels.clone().unwrap_or_default())
}

/// The labels of a namespace. One that is not known yet is asked for: without its labels it would be
/// selected by whatever asks for the absence of one.
pub(super) async fn namespace_labels(
    context: &Context,
    namespace: &str,
) -> Result<BTreeMap<String, String>, ApiError> {
    if let Some(labels) = known_labels(context, namespace) {
        return Ok(labels);
    }
    let api: Api<Namespace> = Api::all(context.client.clone());
    let found = call(|| format!("get Namespace {namespace}"), api.get_metadata(namespace)).await?;
    Ok(found.metadata.labels.unwrap_or_default())
}

/// Why there is none.
enum NoProvider {
    NotFound,
    NotPermitted,
}

/// The provider's specification, and the namespace of its Secret.
fn provider_spec(
    context: &Context,
    id: &PolicyId,
    policy: &BffPolicy,
    labels: &BTreeMap<String, String>,
) -> Result<(BffProviderSpec, String), NoProvider> {
    let reference = &policy.spec.provider_ref;
    let caches = &context.world.caches;
    match reference.kind {
        ProviderKind::BffProvider => {
            let found = caches.providers.get(&id.namespace, &reference.name);
            let found = found.and_then(|object| object.0.as_ref().ok().cloned());
            let provider = found.ok_or(NoProvider::NotFound)?;
            Ok((provider.spec, id.namespace.clone()))
        }
        ProviderKind::ClusterBffProvider => {
            let found = caches.cluster_providers.get("", &reference.name);
            let found = found.and_then(|object| object.0.as_ref().ok().cloned());
            let provider = found.ok_or(NoProvider::NotFound)?;
            let selector = provider.spec.namespace_selector.as_ref();
            if selector.is_some_and(|selector| !selects(selector, &id.namespace, labels)) {
                return Err(NoProvider::NotPermitted);
            }
            Ok((provider.spec.provider(), context.installation.namespace.clone()))
        }
    }
}

/// The Secret of the provider's CA bundle: namespace, reference.
pub(super) fn ca_bundle_of(
    context: &Context,
    id: &PolicyId,
    policy: &BffPolicy,
) -> Option<(String, SecretKeyRef)> {
    let labels = known_labels(context, &id.namespace)?;
    let (spec, namespace) = provider_spec(context, id, policy, &labels).ok()?;
    spec.ca_bundle_ref.map(|reference| (namespace, reference))
}

/// The provider, with its CA bundle.
pub(super) async fn provider(
    context: &Context,
    id: &PolicyId,
    policy: &BffPolicy,
    labels: &BTreeMap<String, String>,
) -> Result<ProviderLookup, ApiError> {
    let (spec, namespace) = match provider_spec(context, id, policy, labels) {
        Ok(found) => found,
        Err(NoProvider::NotPermitted) => return Ok(ProviderLookup::NotPermitted),
        Err(NoProvider::NotFound) => {
            provider_is_missing(context, id, policy).await?;
            return Ok(ProviderLookup::NotFound);
        }
    };
    let ca_bundle = match &spec.ca_bundle_ref {
        Some(reference) => Some(secret_key(context, &namespace, reference).await?),
        None => None,
    };
    Ok(ProviderLookup::Found { spec, ca_bundle })
}

/// A provider that the cache lacks may just not have arrived there.
async fn provider_is_missing(
    context: &Context,
    id: &PolicyId,
    policy: &BffPolicy,
) -> Result<(), ApiError> {
    let reference = &policy.spec.provider_ref;
    let caches = &context.world.caches;
    let client = context.client.clone();
    match reference.kind {
        ProviderKind::BffProvider => {
            if caches.providers.get(&id.namespace, &reference.name).is_some() {
                return Ok(()); // It is there and cannot be read.
            }
            let api: Api<Guarded<BffProvider>> = Api::namespaced(client, &id.namespace);
            is_missing("BffProvider", &api, &reference.name).await
        }
        ProviderKind::ClusterBffProvider => {
            if caches.cluster_providers.get("", &reference.name).is_some() {
                return Ok(());
            }
            let api: Api<Guarded<ClusterBffProvider>> = Api::all(client);
            is_missing("ClusterBffProvider", &api, &reference.name).await
        }
    }
}

/// Makes sure that a target which the cache lacks is not there: traffic must not be refused because
/// one watch is slower than another.
pub(super) async fn target_is_missing(
    context: &Context,
    id: &PolicyId,
    target: &Target,
) -> Result<(), ApiError> {
    let client = context.client.clone();
    let reference = &target.reference;
    match (reference.group.as_str(), reference.kind.as_str()) {
        (target::INGRESS_GROUP, target::INGRESS_KIND) => {
            let api: Api<Ingress> = Api::namespaced(client, &id.namespace);
            is_missing(target::INGRESS_KIND, &api, &reference.name).await
        }
        (target::TRAEFIK_GROUP, target::INGRESS_ROUTE_KIND) => {
            let resource = traefik(target::INGRESS_ROUTE_KIND);
            let api: Api<DynamicObject> = Api::namespaced_with(client, &id.namespace, &resource);
            is_missing(target::INGRESS_ROUTE_KIND, &api, &reference.name).await
        }
        _ => Ok(()),
    }
}

/// An error, to be tried again at once, where the object is there after all.
async fn is_missing<K>(kind: &str, api: &Api<K>, name: &str) -> Result<(), ApiError>
where
    K: Clone + DeserializeOwned + Debug,
{
    match call(|| format!("get {kind} {name}"), api.get_opt(name)).await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(ApiError {
            action: format!("wait for {kind} {name}"),
            message: "its watch is behind".to_owned(),
            category: Category::Conflict,
            not_found: false,
            already_exists: false,
        }),
        // Without the right to read it, it is not there for us.
        Err(error) if error.category == Category::Forbidden => Ok(()),
        Err(error) => Err(error),
    }
}

/// Every key of a Secret that a policy names, as it is now. Each Secret is read once, so that keys of
/// the same one are of the same version.
pub(super) async fn secret_keys(
    context: &Context,
    namespace: &str,
    policy: &BffPolicySpec,
) -> Result<BTreeMap<(String, String), Result<SecretString, SecretProblem>>, ApiError> {
    let mut read: BTreeMap<&str, Option<Secret>> = BTreeMap::new();
    let mut values = BTreeMap::new();
    for (_, reference) in policy.secret_refs() {
        let secret = match read.entry(&reference.name) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                entry.insert(secret(context, namespace, &reference.name).await?)
            }
        };
        let value = value(secret.as_ref(), reference);
        values.insert((reference.name.clone(), reference.key.clone()), value);
    }
    Ok(values)
}

/// One key of a Secret, as it is now.
async fn secret_key(
    context: &Context,
    namespace: &str,
    reference: &SecretKeyRef,
) -> Result<Result<SecretString, SecretProblem>, ApiError> {
    let secret = secret(context, namespace, &reference.name).await?;
    Ok(value(secret.as_ref(), reference))
}

async fn secret(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<Option<Secret>, ApiError> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let found = call(|| format!("get Secret {namespace}/{name}"), api.get_opt(name)).await;
    let found = found.map_err(ApiError::without_message)?;
    if let Some(secret) = &found {
        context.world.noted(secret);
    }
    Ok(found)
}

fn value(
    secret: Option<&Secret>,
    SecretKeyRef { name, key }: &SecretKeyRef,
) -> Result<SecretString, SecretProblem> {
    let missing = |text| Err(SecretProblem::Missing(text));
    let Some(secret) = secret else {
        return missing(format!("the Secret {name:?} does not exist: create it"));
    };
    let Some(value) = secret.data.as_ref().and_then(|data| data.get(key)) else {
        return missing(format!("the Secret {name:?} has no key {key:?}: add it"));
    };
    if value.0.len() > MAX_VALUE {
        let text = format!("the key {key:?} of the Secret {name:?} is too large");
        return Err(SecretProblem::Unusable(text));
    }
    std::str::from_utf8(&value.0).map(SecretString::from).map_err(|_| {
        let text = format!("the key {key:?} of the Secret {name:?} is no UTF-8 text");
        SecretProblem::Unusable(text)
    })
}

/// What stands for a grant that cannot be read: that there are grants, and this one gives nothing.
pub(super) fn grant_for_nobody(invalid: &InvalidObject) -> BffHostGrant {
    let never = LabelSelectorRequirement {
        key: "kubernetes.io/metadata.name".to_owned(),
        operator: "DoesNotExist".to_owned(),
        values: None,
    };
    let namespaces = LabelSelector { match_expressions: Some(vec![never]), match_labels: None };
    let spec = BffHostGrantSpec { hosts: Vec::new(), namespaces };
    let mut grant = BffHostGrant::new("unreadable", spec);
    grant.metadata.name.clone_from(&invalid.metadata.name);
    grant
}
