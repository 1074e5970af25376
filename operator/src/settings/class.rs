//! One entry of the class table, as a flag writes it.

use vestibule_crds::names::controller;

use crate::reconcile::input::{ClassEntry, ServedBy};

/// A class that may be wired.
#[derive(Clone, Debug)]
pub(super) struct Class {
    pub(super) name: String,
    pub(super) entry: ClassEntry,
}

/// Reads `NAME=CONTROLLER[:SERVED_BY]`.
pub(super) fn parse(text: &str) -> Result<Class, String> {
    let Some((name, rest)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
        return Err("write NAME=CONTROLLER[:SERVED_BY]".to_owned());
    };
    let (program, served_by) = match rest.split_once(':') {
        Some((program, served_by)) => (program, Some(served_by)),
        None => (rest, None),
    };
    let served_by = match (program, served_by) {
        (controller::TRAEFIK, None) => None,
        (controller::TRAEFIK, Some(_)) => {
            return Err(format!("leave `:SERVED_BY` out for {}", controller::TRAEFIK));
        }
        (controller::INGRESS_NGINX, Some("IngressNginx")) => Some(ServedBy::IngressNginx),
        (controller::INGRESS_NGINX, Some("Traefik")) => Some(ServedBy::Traefik),
        (controller::INGRESS_NGINX, _) => {
            return Err(format!(
                "two programs claim {0}: write {0}:IngressNginx or {0}:Traefik",
                controller::INGRESS_NGINX
            ));
        }
        _ => {
            return Err(format!(
                "the controller must be {} or {}",
                controller::INGRESS_NGINX,
                controller::TRAEFIK
            ));
        }
    };
    let entry = ClassEntry { controller: program.to_owned(), served_by };
    Ok(Class { name: name.to_owned(), entry })
}
