//! Everything that happened, version by version: what was never so cannot be missed between two looks.

use std::collections::HashSet;

use serde_json::Value;
use vestibule_e2e::apiserver::{ApiServer, Version};

use crate::bench::{SECRETS, is_of};

const INGRESSES: &str = "/apis/networking.k8s.io/v1/ingresses";
const MIDDLEWARES: &str = "/apis/traefik.io/v1alpha1/middlewares";

/// All versions of all objects since a number.
pub struct History {
    ingresses: Vec<Version>,
    middlewares: Vec<Version>,
    secrets: Vec<Version>,
}

impl History {
    /// Reads it.
    pub fn read(api: &ApiServer, since: u64) -> Self {
        let [ingresses, middlewares, secrets] =
            [INGRESSES, MIDDLEWARES, SECRETS].map(|path| api.history(path, since));
        Self { ingresses, middlewares, secrets }
    }

    /// No gateway was ever told to stop asking.
    pub fn assert_wiring_stayed(&self) {
        let mut wired = HashSet::new();
        for Version { deleted, object } in &self.ingresses {
            let key = object["metadata"]["uid"].to_string();
            if !deleted && is_wired(object) {
                wired.insert(key);
            } else {
                assert!(!wired.contains(&key), "the wiring was taken off: {object}");
            }
        }
        assert!(!wired.is_empty(), "nothing was wired");
        let gone = self.middlewares.iter().find(|version| version.deleted);
        assert!(gone.is_none(), "a Middleware was taken off: {gone:?}");
    }

    /// When both Ingresses of an app were wired for the first time.
    pub fn wired_at(&self, name: &str) -> u64 {
        let first = |ingress: &str| {
            let is = |object: &Value| {
                let meta = &object["metadata"];
                meta["namespace"] == name && meta["name"] == ingress && is_wired(object)
            };
            self.ingresses.iter().find(|version| is(&version.object)).map(Version::number).unwrap()
        };
        first("web").max(first("side"))
    }

    /// Every version of an app's compiled Secret since a number.
    pub fn compiled(&self, name: &str, since: u64) -> impl Iterator<Item = &Version> {
        let mine =
            move |version: &&Version| is_of(&version.object, name) && version.number() >= since;
        self.secrets.iter().filter(mine)
    }
}

fn is_wired(ingress: &Value) -> bool {
    let annotations = &ingress["metadata"]["annotations"];
    let url = &annotations["nginx.ingress.kubernetes.io/auth-url"];
    let middlewares = &annotations["traefik.ingress.kubernetes.io/router.middlewares"];
    url.is_string() || middlewares.as_str().is_some_and(|text| text.contains("vestibule-shop"))
}
