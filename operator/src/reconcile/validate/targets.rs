//! The targets of a policy: whether they are there, can be wired, and do not undo it.
//!
//! Why it exists: a target that cannot be protected must be refused by name, and stay closed. It
//! must not skip a target because it is refused: whatever is there gets wired.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use vestibule_crds::conditions::reasons;
use vestibule_crds::names::{POLICY_ANNOTATION, controller, target};
use vestibule_policy::model::PolicyId;
use vestibule_policy::origin::canonical_host;

use super::problems::Problems;
use super::text::{is_dns_subdomain, traefik_names};
use super::wiring::{MIDDLEWARES_ANNOTATION, NGINX_PREFIX, Served, WiredIngress, WiredRoute};
use super::{annotations, routes};
use crate::reconcile::build::middleware_reference;
use crate::reconcile::input::{Installation, ServedBy, Target, TargetObject};

/// More would make objects that gateways and the API server do not take.
const MAX_TARGETS: usize = 64;

/// What of an `Ingress` its `/bff` route shares, by annotation.
const SHARED_TRAEFIK: [&str; 4] = [
    "traefik.ingress.kubernetes.io/router.entrypoints",
    "traefik.ingress.kubernetes.io/router.tls",
    "traefik.ingress.kubernetes.io/router.tls.certresolver",
    "traefik.ingress.kubernetes.io/router.tls.options",
];
const SHARED_NGINX: [&str; 2] =
    ["nginx.ingress.kubernetes.io/ssl-redirect", "nginx.ingress.kubernetes.io/force-ssl-redirect"];

const PRIORITY: &str = "traefik.ingress.kubernetes.io/router.priority";
/// Traefik keeps the greatest ones for itself, on 32 bits too.
const MAX_PRIORITY: i64 = 2_000_000_000;

/// The targets that are there.
pub(super) struct Found {
    pub ingresses: Vec<(String, WiredIngress)>,
    pub routes: Vec<(String, WiredRoute)>,
}

/// Judges every target; what is there is returned with its field.
pub(super) fn judge(
    policy: &PolicyId,
    references: usize,
    targets: &[Target],
    installation: &Installation,
    problems: &mut Problems,
) -> Found {
    let mut found = Found { ingresses: Vec::new(), routes: Vec::new() };
    if targets.is_empty() {
        problems.push(
            reasons::TARGET_NOT_FOUND,
            "spec.targetRefs",
            &format!(
                "there is no target: name an Ingress, or annotate one with {POLICY_ANNOTATION}: {}",
                policy.name
            ),
        );
    }
    if targets.len() > MAX_TARGETS {
        let message = format!("at most {MAX_TARGETS} objects can be protected by one policy");
        problems.push(reasons::INVALID, "spec.targetRefs", &message);
    }
    for (index, target) in targets.iter().enumerate() {
        let what = format!("{} {}", target.reference.kind, target.reference.name);
        let field =
            if index < references { format!("spec.targetRefs[{index}]") } else { what.clone() };
        let Some(object) = &target.found else {
            missing(policy, target, &field, problems);
            continue;
        };
        if held_by_another(policy, object, &field, &what, problems) {
            continue;
        }
        let name = target.reference.name.clone();
        match object {
            TargetObject::Ingress { object, class, external_name_services } => {
                external_names(external_name_services, &field, problems);
                let at = Place { policy, field: &field, what: &what };
                let wired = ingress(&at, name, object, class.as_ref(), installation, problems);
                found.ingresses.push((field, wired));
            }
            TargetObject::IngressRoute { object, external_name_services } => {
                external_names(external_name_services, &field, problems);
                let wired = routes::read(policy, name, object, &field, problems);
                found.routes.push((field, wired));
            }
        }
    }
    found
}

fn missing(policy: &PolicyId, target: &Target, field: &str, problems: &mut Problems) {
    let (group, kind) = (target.reference.group.as_str(), target.reference.kind.as_str());
    if ![
        (target::INGRESS_GROUP, target::INGRESS_KIND),
        (target::TRAEFIK_GROUP, target::INGRESS_ROUTE_KIND),
    ]
    .contains(&(group, kind))
    {
        let message = format!(
            "{kind:?} of {group:?} cannot be protected: name an Ingress of networking.k8s.io or an \
             IngressRoute of traefik.io"
        );
        problems.push(reasons::UNSUPPORTED, field, &message);
        return;
    }
    let message = format!(
        "there is no {kind} {:?} in namespace {:?}: create it or name another",
        target.reference.name, policy.namespace
    );
    problems.push(reasons::TARGET_NOT_FOUND, field, &message);
}

/// A target that names another policy is that one's: writing to it too would be a quarrel.
fn held_by_another(
    policy: &PolicyId,
    object: &TargetObject,
    field: &str,
    what: &str,
    problems: &mut Problems,
) -> bool {
    let annotations = match object {
        TargetObject::Ingress { object, .. } => object.metadata.annotations.as_ref(),
        TargetObject::IngressRoute { object, .. } => object.metadata.annotations.as_ref(),
    };
    let named = annotations.and_then(|a| a.get(POLICY_ANNOTATION)).map(String::as_str);
    let Some(other) = named.filter(|name| !name.is_empty() && *name != policy.name) else {
        return false;
    };
    let message = format!(
        "{what} is protected by the policy {other:?} of this namespace: remove it from one of the \
         two, and its annotation {POLICY_ANNOTATION}"
    );
    problems.push(reasons::CONFLICTED, field, &message);
    true
}

fn external_names(services: &[String], field: &str, problems: &mut Problems) {
    for service in services {
        let message = format!(
            "its backend Service {service:?} is of type ExternalName, which can lead anywhere: use \
             a Service with endpoints"
        );
        problems.push(reasons::TARGET_REFUSED, field, &message);
    }
}

struct Place<'a> {
    policy: &'a PolicyId,
    field: &'a str,
    what: &'a str,
}

fn ingress(
    at: &Place<'_>,
    name: String,
    object: &Ingress,
    class: Option<&IngressClass>,
    installation: &Installation,
    problems: &mut Problems,
) -> WiredIngress {
    let none = BTreeMap::new();
    let written = object.metadata.annotations.as_ref().unwrap_or(&none);
    let served = served(at, class, installation, problems);
    let refuse = |problems: &mut Problems, annotation: &str, why: &str| {
        let field = format!("{} ({}, {annotation})", at.field, at.what);
        problems.push(reasons::TARGET_REFUSED, &field, why);
    };
    let mut replaced = BTreeSet::new();
    if matches!(served, Served::IngressNginx | Served::TraefikNginx) {
        let verdict = annotations::nginx(written, served, at.policy);
        for (annotation, why) in &verdict.problems {
            refuse(problems, annotation, why);
        }
        replaced = verdict.replaced;
    }
    let mut middlewares = Vec::new();
    if served == Served::Traefik
        && let Some(text) = written.get(MIDDLEWARES_ANNOTATION)
    {
        let ours = middleware_reference(at.policy);
        match traefik_names(text) {
            Some(names) => middlewares.extend(names.into_iter().filter(|name| *name != ours)),
            None => refuse(
                problems,
                MIDDLEWARES_ANNOTATION,
                "is no list such as shop-headers@kubernetescrd: correct it",
            ),
        }
    }
    let shared = shared(served, written, |annotation| {
        refuse(problems, annotation, "has characters that no such setting needs: correct it");
    });
    let (hosts, serves_others) = hosts(object);
    let traefik_tls = shared.get(SHARED_TRAEFIK[1]).is_some_and(|value| value == "true");
    let tls_hosts =
        hosts.iter().filter(|host| traefik_tls || has_tls(object, host)).cloned().collect();
    WiredIngress {
        name,
        served,
        class: class.and_then(|class| class.metadata.name.clone()),
        hosts,
        serves_others,
        tls_hosts,
        middlewares,
        shared,
        priority: written
            .get(PRIORITY)
            .and_then(|text| text.trim().parse().ok())
            .filter(|priority| (1..=MAX_PRIORITY).contains(priority)),
        replaced,
        own_buffer_size: written
            .get(&format!("{NGINX_PREFIX}proxy-buffer-size"))
            .is_some_and(|size| size != crate::reconcile::build::BUFFER_SIZE),
    }
}

/// By whom a target is served. Where that cannot be supported the policy is refused, and what is
/// most likely is returned, so that its traffic is refused too.
fn served(
    at: &Place<'_>,
    class: Option<&IngressClass>,
    installation: &Installation,
    problems: &mut Problems,
) -> Served {
    let mut refuse = |message: String| {
        let field = format!("{} ({}, spec.ingressClassName)", at.field, at.what);
        problems.push(reasons::UNSUPPORTED, &field, &message);
    };
    let name = class.and_then(|class| class.metadata.name.as_deref()).unwrap_or_default();
    let Some(class) = class.filter(|_| is_dns_subdomain(name) && name.len() <= 190) else {
        refuse("there is no IngressClass of this name: name one that exists".to_owned());
        return Served::Unknown;
    };
    let actual = class.spec.as_ref().and_then(|s| s.controller.as_deref()).unwrap_or_default();
    let entry = installation.classes.get(name);
    let served_by = entry.and_then(|entry| entry.served_by);
    match entry {
        None => refuse(format!(
            "the installation does not know the class {name}: set the Helm value \
             ingressClasses.{name}.controller"
        )),
        Some(entry) if entry.controller != actual => refuse(format!(
            "the IngressClass {name} says controller {actual:?}, the Helm value \
             ingressClasses.{name}.controller says {:?}: correct one of the two",
            entry.controller
        )),
        Some(_) if actual == controller::INGRESS_NGINX && served_by.is_none() => refuse(format!(
            "two programs claim {actual}: set the Helm value ingressClasses.{name}.servedBy to \
             IngressNginx or to Traefik"
        )),
        Some(_) if ![controller::INGRESS_NGINX, controller::TRAEFIK].contains(&actual) => refuse(
            format!("the controller {actual:?} cannot be wired: use ingress-nginx or Traefik"),
        ),
        Some(_) => {}
    }
    match (actual, served_by) {
        (controller::INGRESS_NGINX, Some(ServedBy::Traefik)) => Served::TraefikNginx,
        (controller::INGRESS_NGINX, _) => Served::IngressNginx,
        (controller::TRAEFIK, _) => Served::Traefik,
        _ => Served::Unknown,
    }
}

/// What the `/bff` route has to share so that it is reached as the target is.
fn shared(
    served: Served,
    written: &BTreeMap<String, String>,
    mut refuse: impl FnMut(&str),
) -> BTreeMap<String, String> {
    let names: &[&str] = match served {
        Served::IngressNginx | Served::TraefikNginx => &SHARED_NGINX,
        Served::Traefik => &SHARED_TRAEFIK,
        Served::Unknown => &[],
    };
    let mut shared = BTreeMap::new();
    for name in names {
        let Some(text) = written.get(*name) else { continue };
        let boolean = SHARED_NGINX.contains(name) || *name == SHARED_TRAEFIK[1];
        let plain = if boolean {
            Some(text.trim().to_ascii_lowercase()).filter(|t| t == "true" || t == "false")
        } else {
            traefik_names(text).map(|names| names.join(","))
        };
        match plain {
            Some(plain) => _ = shared.insert((*name).to_owned(), plain),
            None => refuse(name),
        }
    }
    shared
}

/// The literal hosts, and whether others are served too.
fn hosts(object: &Ingress) -> (Vec<String>, bool) {
    let Some(spec) = &object.spec else { return (Vec::new(), true) };
    let mut hosts: Vec<String> = Vec::new();
    let mut others = spec.default_backend.is_some();
    for rule in spec.rules.iter().flatten() {
        match canonical_host(rule.host.as_deref().unwrap_or_default()) {
            Some((host, None)) if hosts.contains(&host) => {}
            Some((host, None)) => hosts.push(host),
            _ => others = true,
        }
    }
    (hosts, others)
}

/// Whether an entry of `spec.tls` covers a host: by name, by one label of a wildcard, or because it
/// names no host at all.
fn has_tls(object: &Ingress, host: &str) -> bool {
    let entries = object.spec.as_ref().and_then(|spec| spec.tls.as_ref());
    entries.into_iter().flatten().any(|entry| {
        let hosts = entry.hosts.as_deref().unwrap_or_default();
        hosts.is_empty()
            || hosts.iter().any(|covered| {
                let covered = covered.to_ascii_lowercase();
                let parent = host.split_once('.').map(|(_, parent)| parent);
                covered == host || covered.strip_prefix("*.").is_some_and(|p| Some(p) == parent)
            })
    })
}
