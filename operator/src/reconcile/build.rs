//! From a verdict to the objects that have to be there.
//!
//! Why it exists: what is written is a function of what was decided, so that writing it again
//! changes nothing. Nothing here decides, and every text of a user was validated before
//! (`validate/text.rs`).

mod bff;
mod bff_route;
mod middleware;
mod patch;
mod secret;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::Ingress;
use kube::core::{DynamicObject, ObjectMeta};
use vestibule_crds::names::{
    MANAGED_BY_LABEL, MANAGED_BY_VALUE, MIDDLEWARE_PREFIX, POLICY_ID_LABEL, POLICY_NAME_ANNOTATION,
    POLICY_NAMESPACE_ANNOTATION,
};
use vestibule_policy::handoff::{self, Handoff, State};
use vestibule_policy::header_list;
use vestibule_policy::model::PolicyId;

pub use self::middleware::middleware;
pub use self::patch::{PatchForm, TargetPatch, release_patch, target_patches};
pub use self::secret::compiled_secret;

use super::input::Installation;
use super::validate::Verdict;
use super::validate::wiring::Wiring;

/// The port of the check Service.
pub const CHECK_PORT: u16 = 8081;
/// The name of the browser Service's port.
pub const BROWSER_PORT: &str = "browser";
/// What nginx needs for answers that carry an access token.
pub const BUFFER_SIZE: &str = "32k";

/// Everything that has to be there for one policy.
#[derive(Clone, Debug)]
pub struct Resources {
    /// The hand-off to authsvc, in Vestibule's namespace.
    pub compiled_secret: Secret,
    /// The routes of the base path, in Vestibule's namespace.
    pub bff_routes: Vec<BffRoute>,
    /// Traefik's middleware, in the app's namespace; `None`: no target needs one.
    pub middleware: Option<DynamicObject>,
    /// What is written on the targets.
    pub target_patches: Vec<TargetPatch>,
}

/// A route of the base path.
#[derive(Clone, Debug)]
pub enum BffRoute {
    /// For targets of kind `Ingress`.
    Ingress(Box<Ingress>),
    /// For targets of kind `IngressRoute`.
    IngressRoute(Box<DynamicObject>),
}

/// What was created for a policy and goes when it is released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// The Secret in Vestibule's namespace.
    pub secret: String,
    /// The value of the label by which all children are found.
    pub policy_id_label: String,
    /// The middleware in the app's namespace.
    pub middleware: String,
}

/// The objects of a verdict. Where the policy is live, targets and middleware have to be written
/// before the Secret: a header that the gateway does not know yet would pass as the client sent it.
#[must_use]
pub fn build(verdict: &Verdict, installation: &Installation) -> Resources {
    Resources {
        compiled_secret: compiled_secret(&verdict.handoff, installation),
        bff_routes: bff_routes(&verdict.wiring, installation),
        middleware: middleware(&verdict.wiring, installation),
        target_patches: target_patches(&verdict.wiring, installation),
    }
}

/// What stays of a policy that is gone: its traffic is refused, its hosts stay taken.
#[must_use]
pub fn tombstone(handoff: &Handoff) -> Handoff {
    Handoff { state: State::Tombstone, ..handoff.clone() }
}

/// The Secret of a tombstone. The rest of what was built stays as it is.
#[must_use]
pub fn build_tombstone(handoff: &Handoff, installation: &Installation) -> Secret {
    compiled_secret(&tombstone(handoff), installation)
}

/// What a release deletes. What it takes off targets says [`release_patch`].
#[must_use]
pub fn released(policy: &PolicyId) -> Released {
    Released {
        secret: handoff::secret_name(&policy.namespace, &policy.name),
        policy_id_label: handoff::policy_id_label(&policy.namespace, &policy.name),
        middleware: middleware_name(&policy.name),
    }
}

fn bff_routes(wiring: &Wiring, installation: &Installation) -> Vec<BffRoute> {
    let ingresses = bff::ingresses(wiring, installation);
    let routes = bff_route::ingress_routes(wiring, installation);
    ingresses
        .into_iter()
        .map(|ingress| BffRoute::Ingress(Box::new(ingress)))
        .chain(routes.into_iter().map(|route| BffRoute::IngressRoute(Box::new(route))))
        .collect()
}

/// Where a gateway of a dialect asks about a policy. The chart's admission policies write the same.
#[must_use]
pub fn check_address(installation: &Installation, dialect: &str, policy: &PolicyId) -> String {
    format!(
        "http://{}.{}.svc.{}:{CHECK_PORT}/check/{dialect}/{}/{}",
        installation.check_service,
        installation.namespace,
        installation.cluster_domain,
        policy.namespace,
        policy.name
    )
}

/// The same, from an object that has the list of headers too: it says which list that is. The two
/// must never be written apart, or a header that the gateway does not know would be trusted.
fn listing_address(installation: &Installation, dialect: &str, wiring: &Wiring) -> String {
    let address = check_address(installation, dialect, &wiring.policy);
    format!("{address}?{}", header_list::query(&wiring.headers))
}

/// The name of a policy's middleware.
#[must_use]
pub fn middleware_name(policy: &str) -> String {
    format!("{MIDDLEWARE_PREFIX}{policy}")
}

/// How an `Ingress` names a policy's middleware.
#[must_use]
pub fn middleware_reference(policy: &PolicyId) -> String {
    format!("{}-{}@kubernetescrd", policy.namespace, middleware_name(&policy.name))
}

/// The headers that a gateway takes from the check: each replaces what the client sent.
fn response_headers(wiring: &Wiring) -> Vec<String> {
    ["Authorization", "Cookie"]
        .map(str::to_owned)
        .into_iter()
        .chain(wiring.headers.iter().cloned())
        .collect()
}

/// The metadata of an object that we create.
fn child(policy: &PolicyId, namespace: &str, name: String) -> ObjectMeta {
    let id = handoff::policy_id_label(&policy.namespace, &policy.name);
    ObjectMeta {
        name: Some(name),
        namespace: Some(namespace.to_owned()),
        labels: Some(map([(MANAGED_BY_LABEL, MANAGED_BY_VALUE), (POLICY_ID_LABEL, &id)])),
        annotations: Some(map([
            (POLICY_NAMESPACE_ANNOTATION, policy.namespace.as_str()),
            (POLICY_NAME_ANNOTATION, policy.name.as_str()),
        ])),
        ..ObjectMeta::default()
    }
}

fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
