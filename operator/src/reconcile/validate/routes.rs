//! An `IngressRoute` as a target.
//!
//! Why it exists: its lists of middlewares belong to its author, so it is only read: whether every
//! route names our middleware first, since one before it could change the path that we judge. What
//! has another shape than Traefik's schema counts as not there.

use kube::core::DynamicObject;
use serde_json::Value;
use vestibule_crds::conditions::reasons;
use vestibule_policy::model::PolicyId;

use super::problems::Problems;
use super::rule;
use super::text::{is_dns_subdomain, is_traefik_name};
use super::wiring::{RouteTls, WiredRoute};
use crate::reconcile::build::middleware_name;

/// Reads one; settings that cannot be copied to the `/bff` route are refused.
pub(super) fn read(
    policy: &PolicyId,
    name: String,
    object: &DynamicObject,
    field: &str,
    problems: &mut Problems,
) -> WiredRoute {
    let spec = &object.data["spec"];
    let mut refuse = |path: &str| {
        let field = format!("{field} (IngressRoute {name}, {path})");
        let message = "is not what Traefik expects there: correct it";
        problems.push(reasons::TARGET_REFUSED, &field, message);
    };
    let mut hosts: Vec<String> = Vec::new();
    let mut unattached = Vec::new();
    let mut priority = 0;
    for (index, route) in list(&spec["routes"]).iter().enumerate() {
        let text = route["match"].as_str().unwrap_or_default();
        for host in rule::hosts(text) {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
        let own = route["priority"].as_i64().filter(|own| *own != 0).unwrap_or(length);
        priority = priority.max(own);
        if !names_ours(policy, &list(&route["middlewares"])) {
            unattached.push(index);
        }
    }
    let mut entry_points = Vec::new();
    for entry_point in list(&spec["entryPoints"]) {
        match entry_point.as_str().filter(|text| is_traefik_name(text)) {
            Some(text) => entry_points.push(text.to_owned()),
            None => refuse("spec.entryPoints"),
        }
    }
    let tls = spec["tls"].is_object().then(|| tls(policy, &spec["tls"], &mut refuse));
    let class = object.metadata.annotations.as_ref().and_then(|a| a.get(CLASS_ANNOTATION)).cloned();
    let class = class.filter(|text| {
        let plain = is_dns_subdomain(text);
        if !plain {
            refuse(CLASS_ANNOTATION);
        }
        plain
    });
    WiredRoute { name, hosts, entry_points, tls, class, priority, unattached }
}

/// By which instances of Traefik divide the work.
pub(crate) const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// Whether a list of middlewares begins with ours.
fn names_ours(policy: &PolicyId, middlewares: &[Value]) -> bool {
    middlewares.first().is_some_and(|first| {
        let namespace = first["namespace"].as_str().filter(|text| !text.is_empty());
        first["name"].as_str() == Some(&middleware_name(&policy.name))
            && namespace.is_none_or(|namespace| namespace == policy.namespace)
    })
}

fn tls(policy: &PolicyId, tls: &Value, refuse: &mut impl FnMut(&str)) -> RouteTls {
    let mut result = RouteTls::default();
    match (&tls["certResolver"], tls["certResolver"].as_str()) {
        (Value::Null, _) | (_, Some("")) => {}
        (_, Some(text)) if is_traefik_name(text) => result.cert_resolver = Some(text.to_owned()),
        _ => refuse("spec.tls.certResolver"),
    }
    let options = &tls["options"];
    if !options.is_null() {
        let name = options["name"].as_str().unwrap_or_default();
        let namespace = options["namespace"].as_str().filter(|text| !text.is_empty());
        let namespace = namespace.unwrap_or(&policy.namespace);
        // A name with its provider (`name@file`) is the same everywhere.
        if is_traefik_name(name) && is_dns_subdomain(namespace) {
            result.options = Some((name.to_owned(), namespace.to_owned()));
        } else {
            refuse("spec.tls.options");
        }
    }
    result
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}
