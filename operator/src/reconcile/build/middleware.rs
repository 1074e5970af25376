//! Traefik's `Middleware` that asks Vestibule.
//!
//! Why it exists: Traefik reads no annotations that say whom to ask. It has no owner, so that the
//! deletion of a policy opens nothing: a router with a missing middleware is not served, and with
//! this one it is refused.

use kube::core::DynamicObject;
use serde_json::json;
use vestibule_crds::names::target::{MIDDLEWARE_KIND, TRAEFIK_GROUP, TRAEFIK_VERSION};

use super::{child, listing_address, middleware_name, response_headers};
use crate::reconcile::input::Installation;
use crate::reconcile::validate::wiring::{Served, Wiring};

/// Our answers are small.
const MAX_ANSWER: u32 = 65_536;

/// The middleware, where a target needs one.
#[must_use]
pub fn middleware(wiring: &Wiring, installation: &Installation) -> Option<DynamicObject> {
    let needed = !wiring.routes.is_empty()
        || wiring.ingresses.iter().any(|ingress| ingress.served == Served::Traefik);
    if !needed {
        return None;
    }
    let policy = &wiring.policy;
    Some(DynamicObject {
        types: Some(traefik(MIDDLEWARE_KIND)),
        metadata: child(policy, &policy.namespace, middleware_name(&policy.name)),
        data: json!({
            "spec": {
                "forwardAuth": {
                    "address": listing_address(installation, "traefik", wiring),
                    "authResponseHeaders": response_headers(wiring),
                    "maxResponseBodySize": MAX_ANSWER,
                    "preserveLocationHeader": true,
                    "trustForwardHeader": installation.trust_forward_header,
                },
            },
        }),
    })
}

/// The type of one of Traefik's kinds.
pub(super) fn traefik(kind: &str) -> kube::core::TypeMeta {
    kube::core::TypeMeta {
        api_version: format!("{TRAEFIK_GROUP}/{TRAEFIK_VERSION}"),
        kind: kind.to_owned(),
    }
}
