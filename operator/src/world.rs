//! What the operator knows of the cluster: caches that watches keep, and what each change wakes.
//!
//! Every change wakes the policies that it concerns and no others. Nothing is decided here. Of
//! Secrets only names and versions are kept; contents are read when a policy needs them.

pub mod cache;
pub mod index;
pub mod routes;
mod start;
pub mod watch;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, Service};
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::core::{DeserializeGuard, DynamicObject, PartialObjectMeta};
use kube::{Resource, ResourceExt as _};
use tokio::sync::Notify;
use vestibule_crds::names;
use vestibule_crds::v1alpha1::{BffHostGrant, BffPolicy, BffProvider, ClusterBffProvider};
use vestibule_policy::handoff;
use vestibule_policy::model::PolicyId;

use crate::queue::{Queue, Work};
use cache::{Cache, Change, Key};
use index::{Dependency, Index};
use routes::{Facts, Kind, RouteKey, Routes};
pub use start::traefik;
use watch::Pending;

/// An object that may not be readable; that stalls nobody else.
pub type Guarded<K> = DeserializeGuard<K>;

/// All caches, and who depends on what.
#[derive(Default)]
pub struct Caches {
    /// Every policy.
    pub policies: Arc<Cache<Guarded<BffPolicy>>>,
    /// Every provider.
    pub providers: Arc<Cache<Guarded<BffProvider>>>,
    /// Every cluster provider.
    pub cluster_providers: Arc<Cache<Guarded<ClusterBffProvider>>>,
    /// Every grant.
    pub grants: Arc<Cache<Guarded<BffHostGrant>>>,
    /// Every `Ingress`, ours included.
    pub ingresses: Arc<Cache<Ingress>>,
    /// Every class.
    pub classes: Arc<Cache<IngressClass>>,
    /// Every namespace's labels.
    pub namespaces: Arc<Cache<PartialObjectMeta<Namespace>>>,
    /// The Services of type `ExternalName`.
    pub external_services: Arc<Cache<Service>>,
    /// Versions of the Secrets that policies name, and of ours.
    pub secrets: Arc<Cache<PartialObjectMeta<Secret>>>,
    /// Traefik's routes, while their kind exists.
    pub ingress_routes: Arc<Cache<DynamicObject>>,
    /// Our middlewares, while their kind exists.
    pub middlewares: Arc<Cache<DynamicObject>>,
    /// authsvc's pods.
    pub pods: Arc<Cache<Pod>>,
}

/// What the operator knows of the cluster.
pub struct World {
    /// The caches.
    pub caches: Caches,
    /// What is to be worked on.
    pub queue: Arc<Queue<PolicyId>>,
    /// Told when authsvc's pods changed.
    pub pods_changed: Notify,
    /// The watches that are not filled yet.
    pub pending: Arc<Pending>,
    /// Vestibule's own namespace.
    own: String,
    index: Mutex<Index>,
    routes: Mutex<Routes>,
    written: Mutex<HashMap<(&'static str, Key), String>>,
}

impl World {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(own: &str, queue: Arc<Queue<PolicyId>>) -> Self {
        Self {
            own: own.to_owned(),
            caches: Caches::default(),
            queue,
            pods_changed: Notify::new(),
            pending: Arc::default(),
            index: Mutex::default(),
            routes: Mutex::default(),
            written: Mutex::default(),
        }
    }

    /// The policy depends on these and nothing else. To be said before they are read, so that no
    /// change falls between.
    pub fn depends(&self, id: &PolicyId, dependencies: &HashSet<Dependency>) {
        lock(&self.index).set(id, dependencies);
    }

    /// We wrote this version: the event that tells of it wakes nobody.
    pub fn wrote(&self, kind: &'static str, namespace: &str, name: &str, version: Option<String>) {
        let key = (kind, (namespace.to_owned(), name.to_owned()));
        let mut written = lock(&self.written);
        match version {
            Some(version) => written.insert(key, version),
            None => written.remove(&key),
        };
    }

    /// A Secret was read: its deletion is noticed from now on, even if it happens unwatched.
    pub fn noted(&self, secret: &Secret) {
        let mut part = cache::Part::new(Arc::clone(&self.caches.secrets), None);
        let mut seen = PartialObjectMeta::<Secret> {
            metadata: secret.metadata.clone(),
            ..PartialObjectMeta::default()
        };
        seen.metadata.managed_fields = None;
        part.apply(kube::runtime::watcher::Event::Apply(seen));
    }

    /// The routes that serve a host.
    #[must_use]
    pub fn routes_of_host(&self, host: &str) -> Vec<RouteKey> {
        lock(&self.routes).of_host(host)
    }

    /// The routes whose annotation names the policy, and whether each is released.
    #[must_use]
    pub fn routes_of_policy(&self, id: &PolicyId) -> Vec<(RouteKey, bool)> {
        lock(&self.routes).of_policy(&id.namespace, &id.name)
    }

    /// The `/bff` routes made for the policy.
    #[must_use]
    pub fn routes_made_for(&self, id: &PolicyId) -> Vec<RouteKey> {
        lock(&self.routes).made_for(&handoff::policy_id_label(&id.namespace, &id.name))
    }

    /// The hosts of those routes: what the policy held when they were written.
    #[must_use]
    pub fn hosts_made_for(&self, id: &PolicyId) -> BTreeSet<String> {
        let keys = self.routes_made_for(id).into_iter();
        keys.flat_map(|(kind, namespace, name)| match kind {
            Kind::Ingress => {
                let route = self.caches.ingresses.get(&namespace, &name);
                route.map(|route| routes::of_ingress(&route).hosts).unwrap_or_default()
            }
            Kind::IngressRoute => {
                let route = self.caches.ingress_routes.get(&namespace, &name);
                route.map(|route| routes::of_ingress_route(&route).hosts).unwrap_or_default()
            }
        })
        .collect()
    }

    /// The version that we wrote last.
    #[must_use]
    pub fn written(&self, kind: &'static str, namespace: &str, name: &str) -> Option<String> {
        let key = (kind, (namespace.to_owned(), name.to_owned()));
        lock(&self.written).get(&key).cloned()
    }

    /// Everything that has a policy or ever had one is looked at.
    pub fn wake_all(&self) {
        for (namespace, name) in self.caches.policies.keys() {
            self.queue.add(&PolicyId { namespace, name }, Work::Full);
        }
        for secret in self.caches.secrets.all() {
            if let Some(id) = self.owner(&*secret) {
                self.queue.add(&id, Work::Full);
            }
        }
    }

    fn wake(&self, dependency: &Dependency) {
        for id in lock(&self.index).dependents(dependency) {
            self.queue.add(&id, Work::Full);
        }
    }

    fn is_named(&self, dependency: &Dependency) -> bool {
        lock(&self.index).is_named(dependency)
    }

    /// Whether the change is the one that we made.
    fn is_own<K: Resource>(&self, kind: &'static str, change: &Change<K>) -> bool {
        let version = change.new.as_ref().and_then(|new| new.resource_version());
        let mut written = lock(&self.written);
        if change.new.is_none() {
            written.remove(&(kind, change.key.clone()));
        }
        version.is_some() && written.get(&(kind, change.key.clone())) == version.as_ref()
    }

    fn policy_changed(&self, change: &Change<Guarded<BffPolicy>>) {
        let same = |old: &Guarded<BffPolicy>, new: &Guarded<BffPolicy>| {
            let (old, new) = (old.meta(), new.meta());
            old.uid == new.uid
                && old.generation == new.generation
                && old.deletion_timestamp == new.deletion_timestamp
                && old.annotations == new.annotations
        };
        if let (Some(old), Some(new)) = (&change.old, &change.new)
            && same(old, new)
        {
            return; // A status, most likely ours.
        }
        let (namespace, name) = change.key.clone();
        self.queue.add(&PolicyId { namespace, name }, Work::Full);
    }

    fn secret_changed(&self, change: &Change<PartialObjectMeta<Secret>>) {
        if self.is_own("Secret", change) {
            return;
        }
        let either = change.new.as_ref().or(change.old.as_ref());
        if let Some(id) = either.and_then(|secret| self.owner(&**secret)) {
            self.queue.add(&id, Work::Full);
        }
        let (namespace, name) = change.key.clone();
        self.wake(&Dependency::Secret(namespace, name));
    }

    fn route_changed<K: Resource>(
        &self,
        kind: Kind,
        change: &Change<K>,
        facts: impl FnOnce(&K) -> Facts,
    ) {
        let (namespace, name) = change.key.clone();
        let key = (kind, namespace.clone(), name.clone());
        let new = change.new.as_deref().map(|object| match self.owner(object) {
            // Ours, the `/bff` routes, say nothing.
            Some(id) => Facts {
                made_for: Some(handoff::policy_id_label(&id.namespace, &id.name)),
                ..Facts::default()
            },
            None => facts(object),
        });
        let old = lock(&self.routes).set(&key, new.clone());
        let (label, dependency) = match kind {
            Kind::Ingress => ("Ingress", Dependency::Ingress(namespace.clone(), name)),
            Kind::IngressRoute => {
                ("IngressRoute", Dependency::IngressRoute(namespace.clone(), name))
            }
        };
        if self.is_own(label, change) {
            return;
        }
        let either = change.new.as_deref().or(change.old.as_deref());
        if let Some(id) = either.and_then(|object| self.owner(object)) {
            self.queue.add(&id, Work::Full);
        }
        self.wake(&dependency);
        let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
        for policy in [&old.policy, &new.policy].into_iter().flatten() {
            let id = PolicyId { namespace: namespace.clone(), name: policy.clone() };
            self.queue.add(&id, Work::Full);
        }
        for host in old.hosts.symmetric_difference(&new.hosts) {
            self.wake(&Dependency::Host(host.clone()));
        }
    }

    fn middleware_changed(&self, change: &Change<DynamicObject>) {
        if self.is_own("Middleware", change) {
            return;
        }
        let (namespace, name) = &change.key;
        if let Some(name) = name.strip_prefix(names::MIDDLEWARE_PREFIX) {
            let id = PolicyId { namespace: namespace.clone(), name: name.to_owned() };
            self.queue.add(&id, Work::Full);
        }
    }
}

impl World {
    /// The policy that an object of our namespace was made for; only where label and annotations
    /// agree, since others may write there too. Elsewhere anybody can write what ours would say.
    pub(crate) fn owner<K: Resource>(&self, object: &K) -> Option<PolicyId> {
        if object.meta().namespace.as_deref() != Some(self.own.as_str()) {
            return None;
        }
        let annotation = |name: &str| object.annotations().get(name).cloned();
        let id = PolicyId {
            namespace: annotation(names::POLICY_NAMESPACE_ANNOTATION)?,
            name: annotation(names::POLICY_NAME_ANNOTATION)?,
        };
        let label = object.labels().get(names::POLICY_ID_LABEL)?;
        (*label == handoff::policy_id_label(&id.namespace, &id.name)).then_some(id)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
