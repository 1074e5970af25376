//! What is written on targets, and what a release takes off again.
//!
//! Why it exists: a target belongs to its author, so nothing but our own annotations is written, and
//! of a list that is shared only our item is ours. It must not touch what a user chose, except where
//! that would undo the check.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::Ingress;
use serde_json::{Value, json};
use vestibule_crds::names::target::{INGRESS_GROUP, INGRESS_KIND};
use vestibule_crds::names::{
    POLICY_ANNOTATION, RELEASE_ANNOTATION, REPLACED_ANNOTATION, WIRED_ANNOTATION,
};
use vestibule_policy::model::PolicyId;
use vestibule_policy::origin::Origin;

use super::{BUFFER_SIZE, check_address, listing_address, middleware_reference, response_headers};
use crate::reconcile::input::Installation;
use crate::reconcile::validate::is_ours;
use crate::reconcile::validate::text::traefik_names;
use crate::reconcile::validate::wiring::{
    MIDDLEWARES_ANNOTATION, NGINX_PREFIX, Served, WiredIngress, Wiring,
};

/// How a patch is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchForm {
    /// Server-side apply, with our field manager, by force.
    Apply,
    /// A JSON merge patch (RFC 7396).
    Merge,
}

/// One patch of an `Ingress`.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetPatch {
    /// The namespace of the `Ingress`.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How the body is sent.
    pub form: PatchForm,
    /// What is sent.
    pub body: Value,
}

/// What is applied to every target of kind `Ingress`. Targets of kind `IngressRoute` are not
/// written to.
#[must_use]
pub fn target_patches(wiring: &Wiring, installation: &Installation) -> Vec<TargetPatch> {
    wiring
        .ingresses
        .iter()
        .map(|ingress| TargetPatch {
            namespace: wiring.policy.namespace.clone(),
            name: ingress.name.clone(),
            form: PatchForm::Apply,
            body: json!({
                "apiVersion": format!("{INGRESS_GROUP}/v1"),
                "kind": INGRESS_KIND,
                "metadata": {
                    "namespace": wiring.policy.namespace,
                    "name": ingress.name,
                    "annotations": annotations(ingress, wiring, installation),
                },
            }),
        })
        .collect()
}

fn annotations(
    ingress: &WiredIngress,
    wiring: &Wiring,
    installation: &Installation,
) -> BTreeMap<String, String> {
    let policy = &wiring.policy;
    let mut annotations = BTreeMap::new();
    let mut set = |name: &str, value: String| _ = annotations.insert(name.to_owned(), value);
    set(POLICY_ANNOTATION, policy.name.clone());
    set(WIRED_ANNOTATION, "true".to_owned());
    if !ingress.replaced.is_empty() {
        let names: Vec<&str> = ingress.replaced.iter().map(String::as_str).collect();
        set(REPLACED_ANNOTATION, names.join(","));
    }
    let nginx = |name: &str| format!("{NGINX_PREFIX}{name}");
    if ingress.replaced.contains(&nginx("satisfy")) {
        set(&nginx("satisfy"), "all".to_owned());
    }
    match ingress.served {
        Served::IngressNginx => {
            set(&nginx("auth-url"), listing_address(installation, "nginx", wiring));
            set(&nginx("auth-signin"), signin(ingress, wiring));
            set(&nginx("auth-response-headers"), response_headers(wiring).join(","));
            set(&nginx("auth-always-set-cookie"), "true".to_owned());
            if !ingress.own_buffer_size {
                set(&nginx("proxy-buffer-size"), BUFFER_SIZE.to_owned());
            }
        }
        Served::TraefikNginx => {
            set(&nginx("auth-url"), listing_address(installation, "traefik", wiring));
            set(&nginx("auth-response-headers"), response_headers(wiring).join(","));
        }
        Served::Traefik => {
            let mut middlewares = vec![middleware_reference(policy)];
            middlewares.extend(ingress.middlewares.iter().cloned());
            set(MIDDLEWARES_ANNOTATION, middlewares.join(","));
        }
        // Refused in any dialect, if anything reads it at all.
        Served::Unknown => set(&nginx("auth-url"), check_address(installation, "nginx", policy)),
    }
    annotations
}

/// Where nginx sends a browser without a session. With one host alone it is written out; with
/// several it is the request's, which is one of them.
fn signin(ingress: &WiredIngress, wiring: &Wiring) -> String {
    let of_host = |host: &String| wiring.origins.iter().find(|origin| origin.host() == host);
    let base = match ingress.hosts.as_slice() {
        [host] if !ingress.serves_others => {
            of_host(host).map_or_else(|| format!("https://{host}"), ToString::to_string)
        }
        hosts => {
            let origins: Vec<&Origin> = hosts.iter().filter_map(of_host).collect();
            shared_base(&origins)
        }
    };
    format!("{base}{}/login?rd=$escaped_request_uri", wiring.base_path)
}

/// `https://$host`, or what all origins agree on.
fn shared_base(origins: &[&Origin]) -> String {
    let agreed = origins.first().filter(|first| {
        origins.iter().all(|o| o.scheme() == first.scheme() && o.port() == first.port())
    });
    match agreed {
        Some(origin)
            if !matches!((origin.scheme(), origin.port()), ("https", 443) | ("http", 80)) =>
        {
            format!("{}://$host:{}", origin.scheme(), origin.port())
        }
        Some(origin) => format!("{}://$host", origin.scheme()),
        None => "https://$host".to_owned(),
    }
}

/// Takes our annotations off an `Ingress`; `None`: nothing of ours is there. A merge patch, because
/// what the admission policies wrote belongs to whoever sent the object, so that applying less would
/// not remove it.
#[must_use]
pub fn release_patch(policy: &PolicyId, target: &Ingress) -> Option<TargetPatch> {
    let written = target.metadata.annotations.as_ref()?;
    let get = |name: &str| written.get(name).map(String::as_str);
    let nginx = |name: &str| format!("{NGINX_PREFIX}{name}");
    let mut off: BTreeMap<String, Value> = BTreeMap::new();
    for name in ["auth-url", "auth-signin"] {
        if get(&nginx(name)).is_some_and(|value| is_ours(name, value, policy)) {
            off.insert(nginx(name), Value::Null);
        }
    }
    let wired = off.contains_key(&nginx("auth-url")) || get(WIRED_ANNOTATION).is_some();
    if get(POLICY_ANNOTATION) == Some(policy.name.as_str()) {
        off.insert(POLICY_ANNOTATION.to_owned(), Value::Null);
    }
    // Without the word of release: the next policy that the object names would be released at once.
    for name in [WIRED_ANNOTATION, REPLACED_ANNOTATION, RELEASE_ANNOTATION] {
        if get(name).is_some() {
            off.insert(name.to_owned(), Value::Null);
        }
    }
    for (name, ours) in [
        ("auth-response-headers", None),
        ("auth-always-set-cookie", Some("true")),
        ("proxy-buffer-size", Some(BUFFER_SIZE)),
    ] {
        let name = nginx(name);
        if wired && get(&name).is_some_and(|value| ours.is_none_or(|ours| ours == value)) {
            off.insert(name, Value::Null);
        }
    }
    if get(REPLACED_ANNOTATION).is_some_and(|names| names.contains(&nginx("satisfy"))) {
        off.insert(nginx("satisfy"), Value::Null);
    }
    let ours = middleware_reference(policy);
    if let Some(mut names) = get(MIDDLEWARES_ANNOTATION).and_then(traefik_names)
        && names.contains(&ours)
    {
        names.retain(|name| *name != ours);
        let rest = if names.is_empty() { Value::Null } else { json!(names.join(",")) };
        off.insert(MIDDLEWARES_ANNOTATION.to_owned(), rest);
    }
    if off.is_empty() {
        return None;
    }
    let mut metadata = json!({ "annotations": off });
    if let Some(version) = &target.metadata.resource_version {
        // The list of middlewares must not be older than what it replaces.
        metadata["resourceVersion"] = json!(version);
    }
    Some(TargetPatch {
        namespace: policy.namespace.clone(),
        name: target.metadata.name.clone()?,
        form: PatchForm::Merge,
        body: json!({ "metadata": metadata }),
    })
}
