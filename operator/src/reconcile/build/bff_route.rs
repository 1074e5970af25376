//! The `IngressRoute` of the base path, for targets of that kind.
//!
//! Why it exists: an `Ingress` beside an `IngressRoute` may be served by nobody. Its rule is put
//! together from a validated host and path alone (T-54).

use kube::core::DynamicObject;
use serde_json::{Value, json};
use vestibule_crds::names::BFF_ROUTE_PREFIX;
use vestibule_crds::names::target::INGRESS_ROUTE_KIND;
use vestibule_policy::handoff::policy_id_label;
use vestibule_policy::origin::Origin;

use super::middleware::traefik;
use super::{BROWSER_PORT, child};
use crate::reconcile::input::Installation;
use crate::reconcile::validate::CLASS_ANNOTATION;
use crate::reconcile::validate::wiring::{OwnPaths, RouteTls, WiredRoute, Wiring};

/// One for all targets that are reached alike; further ones are numbered.
pub(super) fn ingress_routes(wiring: &Wiring, installation: &Installation) -> Vec<DynamicObject> {
    let mut groups: Vec<Vec<&WiredRoute>> = Vec::new();
    for target in &wiring.routes {
        match groups.iter_mut().find(|group| group.iter().all(|other| alike(other, target))) {
            Some(group) => group.push(target),
            None => groups.push(vec![target]),
        }
    }
    let id = policy_id_label(&wiring.policy.namespace, &wiring.policy.name);
    let named = groups.iter().enumerate().map(|(index, group)| {
        let suffix = if index == 0 { String::new() } else { format!("-{}", index + 1) };
        (format!("{BFF_ROUTE_PREFIX}{id}{suffix}"), group)
    });
    named.filter_map(|(name, group)| ingress_route(wiring, installation, name, group)).collect()
}

fn alike(one: &WiredRoute, other: &WiredRoute) -> bool {
    (&one.entry_points, &one.tls, &one.class) == (&other.entry_points, &other.tls, &other.class)
}

fn ingress_route(
    wiring: &Wiring,
    installation: &Installation,
    name: String,
    targets: &[&WiredRoute],
) -> Option<DynamicObject> {
    let first = targets.first()?;
    let greatest = targets.iter().map(|target| target.priority).max().unwrap_or_default();
    let mut hosts: Vec<&str> = wiring
        .origins
        .iter()
        .map(Origin::host)
        .filter(|host| targets.iter().any(|target| target.hosts.iter().any(|h| h == host)))
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    if hosts.is_empty() {
        return None;
    }
    let routes: Vec<Value> = hosts
        .iter()
        .map(|host| {
            let rule = rule(host, &wiring.paths);
            // Traefik goes by the length of a rule where none is given, and a long rule of the app
            // would win over the login.
            let own = i64::try_from(rule.len()).unwrap_or(i64::MAX);
            json!({
                "kind": "Rule",
                "match": rule,
                "priority": own.max(greatest.saturating_add(1)),
                "services": [
                    {"kind": "Service", "name": installation.browser_service, "port": BROWSER_PORT}
                ],
            })
        })
        .collect();
    let mut spec = json!({ "routes": routes });
    if !first.entry_points.is_empty() {
        spec["entryPoints"] = json!(first.entry_points);
    }
    if let Some(settings) = &first.tls {
        spec["tls"] = tls(settings);
    }
    let mut metadata = child(&wiring.policy, &installation.namespace, name);
    if let Some(class) = &first.class {
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(CLASS_ANNOTATION.to_owned(), class.clone());
    }
    Some(DynamicObject {
        types: Some(traefik(INGRESS_ROUTE_KIND)),
        metadata,
        data: json!({ "spec": spec }),
    })
}

fn rule(host: &str, paths: &OwnPaths) -> String {
    let prefixes =
        paths.prefixes.iter().map(|path| format!("Path(`{path}`) || PathPrefix(`{path}/`)"));
    let exact = paths.exact.iter().map(|path| format!("Path(`{path}`)"));
    let all: Vec<String> = prefixes.chain(exact).collect();
    format!("Host(`{host}`) && ({})", all.join(" || "))
}

/// With the target's options: two routers of one host with different ones would lose both.
fn tls(settings: &RouteTls) -> Value {
    let mut tls = json!({});
    if let Some(resolver) = &settings.cert_resolver {
        tls["certResolver"] = json!(resolver);
    }
    match &settings.options {
        Some((name, _)) if name.contains('@') => tls["options"] = json!({ "name": name }),
        Some((name, namespace)) => {
            tls["options"] = json!({ "name": name, "namespace": namespace });
        }
        None => {}
    }
    tls
}
