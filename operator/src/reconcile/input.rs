//! Everything that one reconcile is decided on, as plain data.
//!
//! Why it exists: what is read and what is decided must not mix, or decisions could not be tested
//! without an API server. Nothing here may hold a client, a store, a clock or a lock.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::core::DynamicObject;
use secrecy::SecretString;
use vestibule_crds::v1alpha1::{BffHostGrant, BffPolicy, BffProviderSpec, TargetRef};
use vestibule_policy::handoff::Handoff;
use vestibule_policy::model::PolicyId;

/// How Vestibule is installed: the same for every policy.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Vestibule's own namespace.
    pub namespace: String,
    /// The Service of the check port.
    pub check_service: String,
    /// The Service of the browser port.
    pub browser_service: String,
    /// The DNS domain of the cluster, such as `cluster.local`.
    pub cluster_domain: String,
    /// The ingress classes that may be wired, by name.
    pub classes: BTreeMap<String, ClassEntry>,
    /// Whether `http` is accepted beyond loopback (tests).
    pub allow_insecure: bool,
    /// Whether Traefik is to believe `X-Forwarded-*` of what is before it.
    pub trust_forward_header: bool,
}

/// What the installation says about one ingress class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassEntry {
    /// What the `IngressClass` must say in `spec.controller`.
    pub controller: String,
    /// Who serves `k8s.io/ingress-nginx`, which two different programs claim; never guessed.
    pub served_by: Option<ServedBy>,
}

/// The programs that claim `k8s.io/ingress-nginx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServedBy {
    /// ingress-nginx itself.
    IngressNginx,
    /// Traefik's provider that reads the same annotations.
    Traefik,
}

/// One policy with all that it names, as far as it was found.
#[derive(Clone, Debug)]
pub struct Input {
    /// The policy.
    pub policy: BffPolicy,
    /// The labels of its namespace, as the API server has them.
    pub namespace_labels: BTreeMap<String, String>,
    /// The provider it names.
    pub provider: ProviderLookup,
    /// The Secrets of its namespace that it names, by name and key. What is not listed counts as
    /// missing.
    pub secrets: BTreeMap<(String, String), Result<SecretString, SecretProblem>>,
    /// What it targets: its references in their order, then the objects that name it in their
    /// annotation, sorted by kind and name; each once.
    pub targets: Vec<Target>,
    /// Every grant of the cluster.
    pub grants: Vec<BffHostGrant>,
    /// Routes of other namespaces on hosts that it claims.
    pub foreign: Vec<ForeignRoute>,
    /// What was handed over last, read from the Secret.
    pub previous: Option<Handoff>,
}

/// What became of the search for the provider.
#[derive(Clone, Debug)]
pub enum ProviderLookup {
    /// It is there, and the policy's namespace may use it.
    Found {
        /// What it says.
        spec: BffProviderSpec,
        /// The Secret of its `caBundleRef`, of the provider's own namespace; `None` where it names
        /// none.
        ca_bundle: Option<Result<SecretString, SecretProblem>>,
    },
    /// There is none of this kind and name.
    NotFound,
    /// It is for other namespaces. Nothing of it is read then.
    NotPermitted,
}

/// Why one key of a Secret cannot be used. The text says what is wrong and never quotes the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretProblem {
    /// The Secret or its key does not exist.
    Missing(String),
    /// It is there and is not usable: not UTF-8, or too large.
    Unusable(String),
}

/// One object that a policy targets, as far as it was found.
#[derive(Clone, Debug)]
pub struct Target {
    /// Which object. It has no namespace: targets are of the policy's own.
    pub reference: TargetRef,
    /// The object; `None`: there is none.
    pub found: Option<TargetObject>,
}

/// An object that routes traffic to the app.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a few for one reconcile, and not kept")]
pub enum TargetObject {
    /// An `Ingress` of `networking.k8s.io/v1`.
    Ingress {
        /// The object.
        object: Box<Ingress>,
        /// The class it names (`spec.ingressClassName`, else the annotation
        /// `kubernetes.io/ingress.class`, else the cluster's default class); `None`: there is none.
        class: Option<IngressClass>,
        /// Its backends whose Service is of type `ExternalName`.
        external_name_services: Vec<String>,
    },
    /// An `IngressRoute` of `traefik.io/v1alpha1`.
    IngressRoute {
        /// The object.
        object: Box<DynamicObject>,
        /// Its backends whose Service is of type `ExternalName`.
        external_name_services: Vec<String>,
    },
}

/// A route of another namespace on a host that the policy claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignRoute {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The host, canonical.
    pub host: String,
}

/// Who holds which host, as far as the Secrets with compiled policies say.
pub trait HostClaims {
    /// The policy that holds a host at a port, the asking one included; tombstones hold hosts too.
    fn holder(&self, host: &str) -> Option<PolicyId>;
}
