//! The `Ingress` of the base path: login, callback, session and logout, without a check.
//!
//! Why it exists: the app's `Ingress` leads to the app, and a Service of another namespace cannot be
//! named there. It must not take the host's TLS away from the target: no Secret is named.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule,
    IngressServiceBackend, IngressSpec, IngressTLS, ServiceBackendPort,
};
use vestibule_crds::names::BFF_ROUTE_PREFIX;
use vestibule_policy::handoff::policy_id_label;
use vestibule_policy::origin::Origin;

use super::{BROWSER_PORT, BUFFER_SIZE, child};
use crate::reconcile::input::Installation;
use crate::reconcile::validate::wiring::{NGINX_PREFIX, Served, WiredIngress, Wiring};

const ENTRY_POINTS: &str = "traefik.ingress.kubernetes.io/router.entrypoints";
const PRIORITY: &str = "traefik.ingress.kubernetes.io/router.priority";

/// Longer than any rule that Traefik makes of an `Ingress`, whose length is its priority.
const LONGEST_RULE: i64 = 100_000;

/// One for each class of the targets, the first without the class in its name.
pub(super) fn ingresses(wiring: &Wiring, installation: &Installation) -> Vec<Ingress> {
    let mut classes: BTreeMap<&str, Vec<&WiredIngress>> = BTreeMap::new();
    for target in &wiring.ingresses {
        if let Some(class) = target.class.as_deref().filter(|_| target.served != Served::Unknown) {
            classes.entry(class).or_default().push(target);
        }
    }
    let id = policy_id_label(&wiring.policy.namespace, &wiring.policy.name);
    let named = classes.into_iter().enumerate().map(|(index, (class, targets))| {
        let suffix = if index == 0 { String::new() } else { format!("-{class}") };
        (format!("{BFF_ROUTE_PREFIX}{id}{suffix}"), class, targets)
    });
    named
        .filter_map(|(name, class, targets)| ingress(wiring, installation, name, class, &targets))
        .collect()
}

fn ingress(
    wiring: &Wiring,
    installation: &Installation,
    name: String,
    class: &str,
    targets: &[&WiredIngress],
) -> Option<Ingress> {
    let served = targets.first()?.served;
    let claimed: BTreeSet<&str> = wiring.origins.iter().map(Origin::host).collect();
    let of = |hosts: &mut dyn Iterator<Item = &String>| -> BTreeSet<String> {
        hosts.filter(|host| claimed.contains(host.as_str())).cloned().collect()
    };
    let hosts = of(&mut targets.iter().flat_map(|target| &target.hosts));
    if hosts.is_empty() {
        return None;
    }
    // ingress-nginx shares a host's certificate between all its routes, and would take its own for a
    // host that the older of two routes names without a Secret.
    let tls_hosts = match served {
        Served::IngressNginx => BTreeSet::new(),
        _ => of(&mut targets.iter().flat_map(|target| &target.tls_hosts)),
    };
    let mut metadata = child(&wiring.policy, &installation.namespace, name);
    metadata.annotations.get_or_insert_default().extend(annotations(wiring, served, targets));
    let tls = IngressTLS { hosts: Some(tls_hosts.iter().cloned().collect()), secret_name: None };
    Some(Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: Some(class.to_owned()),
            rules: Some(
                hosts.into_iter().map(|host| rule(wiring, installation, served, host)).collect(),
            ),
            tls: (!tls_hosts.is_empty()).then(|| vec![tls]),
            ..IngressSpec::default()
        }),
        ..Ingress::default()
    })
}

fn rule(wiring: &Wiring, installation: &Installation, served: Served, host: String) -> IngressRule {
    // Traefik's prefixes do not end at a segment: without the slash this would take /bffx from the
    // app.
    let slash = if served == Served::Traefik { "/" } else { "" };
    let prefixes = wiring.paths.prefixes.iter().map(|path| (format!("{path}{slash}"), "Prefix"));
    let exact = wiring.paths.exact.iter().map(|path| (path.clone(), exact_type(served, path)));
    IngressRule {
        host: Some(host),
        http: Some(HTTPIngressRuleValue {
            paths: prefixes
                .chain(exact)
                .map(|(path, kind)| way(path, kind, installation))
                .collect(),
        }),
    }
}

fn way(path: String, path_type: &str, installation: &Installation) -> HTTPIngressPath {
    let port = ServiceBackendPort { name: Some(BROWSER_PORT.to_owned()), number: None };
    let service =
        IngressServiceBackend { name: installation.browser_service.clone(), port: Some(port) };
    HTTPIngressPath {
        path: Some(path),
        path_type: path_type.to_owned(),
        backend: IngressBackend { service: Some(service), resource: None },
    }
}

/// How a single path is written so that it is served, and before a prefix of the app's.
fn exact_type(served: Served, path: &str) -> &'static str {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/');
    match served {
        // Traefik reads it as a prefix that ends at a segment. Its rule for an exact path would be
        // shorter than that for a prefix above it, and the longer one wins.
        Served::TraefikNginx => "ImplementationSpecific",
        // ingress-nginx refuses an object whose exact paths have other characters: dots before 1.12.6
        // and 1.13.2, and tildes in all versions.
        Served::IngressNginx if !path.bytes().all(plain) => "ImplementationSpecific",
        Served::IngressNginx | Served::Traefik | Served::Unknown => "Exact",
    }
}

fn annotations(
    wiring: &Wiring,
    served: Served,
    targets: &[&WiredIngress],
) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    for target in targets {
        for (name, value) in &target.shared {
            annotations.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    match served {
        Served::IngressNginx | Served::TraefikNginx => {
            annotations.insert(format!("{NGINX_PREFIX}enable-global-auth"), "false".to_owned());
        }
        Served::Traefik => {
            entry_points(&mut annotations, targets);
            if let Some(priority) = priority(wiring, targets) {
                annotations.insert(PRIORITY.to_owned(), priority.to_string());
            }
        }
        Served::Unknown => {}
    }
    if served == Served::IngressNginx {
        annotations.insert(format!("{NGINX_PREFIX}proxy-buffer-size"), BUFFER_SIZE.to_owned());
    }
    annotations
}

/// Above all routers of the targets; `None`: the length of the rules says enough. That is so of the
/// base path, which apps do not use, and not of paths beside theirs.
fn priority(wiring: &Wiring, targets: &[&WiredIngress]) -> Option<i64> {
    let theirs = targets.iter().filter_map(|target| target.priority).max();
    let longest = wiring.paths.is_more_than_the_base_path().then_some(LONGEST_RULE);
    theirs.max(longest).map(|greatest| greatest + 1)
}

/// Where one target uses Traefik's default entry points, so do we: those are all that others name,
/// or as many as there are.
fn entry_points(annotations: &mut BTreeMap<String, String>, targets: &[&WiredIngress]) {
    let lists: Vec<&String> = targets.iter().filter_map(|t| t.shared.get(ENTRY_POINTS)).collect();
    if lists.len() < targets.len() {
        annotations.remove(ENTRY_POINTS);
        return;
    }
    let names: BTreeSet<&str> = lists.iter().flat_map(|list| list.split(',')).collect();
    let names: Vec<&str> = names.into_iter().collect();
    annotations.insert(ENTRY_POINTS.to_owned(), names.join(","));
}
