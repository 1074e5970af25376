//! Which watches there are, and what each wakes.
//!
//! With a scope, nothing outside its namespaces and our own is read.

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Config;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use vestibule_crds::names::{self, target};

use super::World;
use super::cache::{Cache, Change, Part};
use super::index::Dependency;
use super::routes::{self, Kind};
use super::watch::{Missing, Watch};
use crate::metrics::Metrics;
use crate::settings::Settings;

/// The resource of one of Traefik's kinds.
#[must_use]
pub fn traefik(kind: &str) -> ApiResource {
    let gvk = GroupVersionKind::gvk(target::TRAEFIK_GROUP, target::TRAEFIK_VERSION, kind);
    ApiResource::from_gvk(&gvk)
}

struct Starter<'a> {
    world: &'a Arc<World>,
    client: &'a Client,
    metrics: &'a Arc<Metrics>,
    settings: &'a Settings,
    tasks: JoinSet<()>,
}

impl World {
    /// Starts every watch. Dropping the set stops them.
    #[must_use]
    pub fn start(
        self: &Arc<Self>,
        client: &Client,
        settings: &Settings,
        metrics: &Arc<Metrics>,
    ) -> JoinSet<()> {
        let mut starter = Starter { world: self, client, metrics, settings, tasks: JoinSet::new() };
        starter.ours();
        starter.cluster();
        starter.secrets();
        starter.routes();
        starter.pods();
        starter.tasks
    }
}

impl Starter<'_> {
    /// The namespaces to watch: `None` is all.
    fn scopes(&self, with_own: bool) -> Vec<Option<String>> {
        let mut scopes: Vec<Option<String>> =
            self.settings.scope.iter().cloned().map(Some).collect();
        if scopes.is_empty() {
            return vec![None];
        }
        let own = Some(self.settings.installation.namespace.clone());
        if with_own && !scopes.contains(&own) {
            scopes.push(own);
        }
        scopes
    }

    fn spawn<K>(
        &mut self,
        watch: Watch<K>,
        trim: fn(&mut K),
        keep: fn(&World, &K) -> bool,
        changed: fn(&World, Change<K>),
    ) where
        K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let (kept, told) = (Arc::clone(self.world), Arc::clone(self.world));
        self.tasks.spawn(watch.run(
            trim,
            move |object| keep(&kept, object),
            move |change| changed(&told, change),
        ));
    }

    fn watch<K: Resource>(
        &self,
        kind: &'static str,
        api: Api<K>,
        config: Config,
        part: Part<K>,
        missing: Missing,
    ) -> Watch<K> {
        let pending = Arc::clone(&self.world.pending);
        pending.begin();
        Watch { kind, api, config, part, missing, pending, metrics: Arc::clone(self.metrics) }
    }

    /// A kind of ours or of Kubernetes, in every namespace of the scope.
    fn namespaced<K>(
        &mut self,
        kind: &'static str,
        with_own: bool,
        cache: &Arc<Cache<K>>,
        config: &Config,
        trim: fn(&mut K),
        changed: fn(&World, Change<K>),
    ) where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        for scope in self.scopes(with_own) {
            let api = match &scope {
                Some(namespace) => Api::namespaced(self.client.clone(), namespace),
                None => Api::all(self.client.clone()),
            };
            let part = Part::new(Arc::clone(cache), scope);
            let watch = self.watch(kind, api, config.clone(), part, Missing::Nothing);
            self.spawn(watch, trim, |_, _| true, changed);
        }
    }

    fn ours(&mut self) {
        let caches = &self.world.caches;
        let (policies, providers) = (Arc::clone(&caches.policies), Arc::clone(&caches.providers));
        let config = Config::default();
        self.namespaced(
            "BffPolicy",
            false,
            &policies,
            &config,
            |_| {},
            |world, change| {
                world.policy_changed(&change);
            },
        );
        self.namespaced(
            "BffProvider",
            false,
            &providers,
            &config,
            |_| {},
            |world, change| {
                let (namespace, name) = change.key;
                world.wake(&Dependency::Provider(namespace, name));
            },
        );
    }

    fn cluster(&mut self) {
        let caches = &self.world.caches;
        let (grants, providers) =
            (Arc::clone(&caches.grants), Arc::clone(&caches.cluster_providers));
        let (classes, namespaces) = (Arc::clone(&caches.classes), Arc::clone(&caches.namespaces));
        let missing =
            if self.settings.scope.is_empty() { Missing::Nothing } else { Missing::Right };
        let (all, config) = (Api::all(self.client.clone()), Config::default());
        let watch =
            self.watch("BffHostGrant", all, config.clone(), Part::new(grants, None), missing);
        self.spawn(watch, |_| {}, |_, _| true, |world, _| world.wake(&Dependency::Grants));
        let (part, all) = (Part::new(providers, None), Api::all(self.client.clone()));
        let watch = self.watch("ClusterBffProvider", all, config.clone(), part, missing);
        self.spawn(
            watch,
            |_| {},
            |_, _| true,
            |world, change| {
                world.wake(&Dependency::ClusterProvider(change.key.1));
            },
        );
        let (part, all) = (Part::new(classes, None), Api::all(self.client.clone()));
        let watch = self.watch("IngressClass", all, config.clone(), part, missing);
        self.spawn(watch, |_| {}, |_, _| true, |world, _| world.wake(&Dependency::Classes));
        for scope in self.scopes(false) {
            let (config, part) = match scope {
                None => (config.clone(), Part::new(Arc::clone(&namespaces), None)),
                Some(name) => (
                    config.clone().fields(&format!("metadata.name={name}")),
                    Part::of_one(Arc::clone(&namespaces), name),
                ),
            };
            let all = Api::all(self.client.clone());
            let watch = self.watch("Namespace", all, config, part, missing);
            self.spawn(
                watch,
                |namespace| namespace.metadata.annotations = None,
                |_, _| true,
                |world, change| world.wake(&Dependency::Namespace(change.key.1)),
            );
        }
    }

    fn secrets(&mut self) {
        for scope in self.scopes(true) {
            let api: Api<PartialObjectMeta<Secret>> = match &scope {
                Some(namespace) => Api::namespaced(self.client.clone(), namespace),
                None => Api::all(self.client.clone()),
            };
            let part = Part::new(Arc::clone(&self.world.caches.secrets), scope);
            let watch = self.watch("Secret", api, Config::default(), part, Missing::Nothing);
            let keep = |world: &World, secret: &PartialObjectMeta<Secret>| {
                let meta = &secret.metadata;
                let (namespace, name) =
                    (meta.namespace.clone().unwrap_or_default(), meta.name.clone());
                world.owner(secret).is_some()
                    || world.is_named(&Dependency::Secret(namespace, name.unwrap_or_default()))
            };
            self.spawn(
                watch,
                |secret| secret.metadata.managed_fields = None,
                keep,
                |world, change| world.secret_changed(&change),
            );
        }
    }

    fn routes(&mut self) {
        let caches = &self.world.caches;
        let (ingresses, services) =
            (Arc::clone(&caches.ingresses), Arc::clone(&caches.external_services));
        let config = Config::default();
        self.namespaced(
            "Ingress",
            true,
            &ingresses,
            &config,
            |ingress| ingress.status = None,
            |world, change| {
                world.route_changed(Kind::Ingress, &change, routes::of_ingress_with_aliases);
            },
        );
        // The other types are told by their absence, so that they cost nothing.
        let external = config.fields("spec.type=ExternalName");
        self.namespaced(
            "Service",
            false,
            &services,
            &external,
            |_| {},
            |world, change| {
                let (namespace, name) = change.key;
                world.wake(&Dependency::Service(namespace, name));
            },
        );
        self.traefik(
            target::INGRESS_ROUTE_KIND,
            true,
            &Arc::clone(&self.world.caches.ingress_routes),
            &Config::default(),
            |world, change| {
                world.route_changed(Kind::IngressRoute, &change, routes::of_ingress_route);
            },
        );
        let ours = format!("{}={}", names::MANAGED_BY_LABEL, names::MANAGED_BY_VALUE);
        self.traefik(
            target::MIDDLEWARE_KIND,
            false,
            &Arc::clone(&self.world.caches.middlewares),
            &Config::default().labels(&ours),
            |world, change| world.middleware_changed(&change),
        );
    }

    fn traefik(
        &mut self,
        kind: &'static str,
        with_own: bool,
        cache: &Arc<Cache<DynamicObject>>,
        config: &Config,
        changed: fn(&World, Change<DynamicObject>),
    ) {
        let resource = traefik(kind);
        for scope in self.scopes(with_own) {
            let client = self.client.clone();
            let api: Api<DynamicObject> = match &scope {
                Some(namespace) => Api::namespaced_with(client, namespace, &resource),
                None => Api::all_with(client, &resource),
            };
            let part = Part::new(Arc::clone(cache), scope);
            let watch = self.watch(kind, api, config.clone(), part, Missing::Kind);
            self.spawn(watch, |_| {}, |_, _| true, changed);
        }
    }

    fn pods(&mut self) {
        let namespace = &self.settings.installation.namespace;
        let api = Api::namespaced(self.client.clone(), namespace);
        let config = Config::default().labels(&self.settings.authsvc_selector);
        let part = Part::new(Arc::clone(&self.world.caches.pods), Some(namespace.clone()));
        let watch = self.watch("Pod", api, config, part, Missing::Nothing);
        let trim = |pod: &mut k8s_openapi::api::core::v1::Pod| {
            pod.spec = None;
            pod.metadata.annotations = None;
        };
        self.spawn(watch, trim, |_, _| true, |world, _| world.pods_changed.notify_one());
    }
}
