//! Reads what a cluster holds from YAML, as the operator would find it there.
//!
//! Why it exists: the pure half is tested with objects as users write them. It must not judge: what
//! is wrong in a document reaches the code under test as it is.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;
use vestibule_crds::names::POLICY_ANNOTATION;
use vestibule_crds::v1alpha1::{
    BffPolicy, BffProvider, ClusterBffProvider, ProviderKind, TargetRef,
};
use vestibule_operator::reconcile::input::{
    ClassEntry, ForeignRoute, HostClaims, Input, Installation, ProviderLookup, SecretProblem,
    ServedBy, Target, TargetObject,
};
use vestibule_operator::reconcile::validate::selector::selects;
use vestibule_policy::handoff::{Handoff, State};
use vestibule_policy::model::PolicyId;
use vestibule_policy::origin::Origin;

/// The documents of one case.
pub struct World {
    documents: Vec<Value>,
}

/// Hosts that others hold.
pub struct Claims(pub Vec<(String, PolicyId)>);

impl HostClaims for Claims {
    fn holder(&self, host: &str) -> Option<PolicyId> {
        self.0.iter().find(|(held, _)| held == host).map(|(_, id)| id.clone())
    }
}

pub fn from<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn in_namespace(value: &Value, namespace: &str) -> bool {
    value["metadata"]["namespace"] == namespace
}

impl World {
    pub fn parse(yaml: &str) -> Self {
        Self { documents: serde_saphyr::from_multiple(yaml).unwrap() }
    }

    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.documents.iter().filter(move |document| document["kind"] == kind)
    }

    fn named(&self, kind: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.of_kind(kind).find(|d| in_namespace(d, namespace) && d["metadata"]["name"] == name)
    }

    pub fn policy(&self) -> BffPolicy {
        from(self.of_kind("BffPolicy").next().unwrap().clone())
    }

    pub fn id(&self) -> PolicyId {
        let meta = self.policy().metadata;
        PolicyId { namespace: meta.namespace.unwrap(), name: meta.name.unwrap() }
    }

    pub fn installation(&self) -> Installation {
        let given = self.of_kind("Installation").next().cloned().unwrap_or_default();
        let mut classes = BTreeMap::new();
        for (name, entry) in given["classes"].as_object().into_iter().flatten() {
            let served_by = match entry["servedBy"].as_str() {
                Some("Traefik") => Some(ServedBy::Traefik),
                Some("IngressNginx") => Some(ServedBy::IngressNginx),
                _ => None,
            };
            let controller = text(&entry["controller"]);
            classes.insert(name.clone(), ClassEntry { controller, served_by });
        }
        Installation {
            namespace: "vestibule".to_owned(),
            check_service: "vestibule-check".to_owned(),
            browser_service: "vestibule-browser".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            classes,
            allow_insecure: false,
            trust_forward_header: false,
        }
    }

    pub fn claims(&self) -> Claims {
        let claims = self.of_kind("Claim").map(|claim| {
            let id = PolicyId { namespace: text(&claim["namespace"]), name: text(&claim["name"]) };
            let origin = Origin::parse(claim["origin"].as_str().unwrap()).unwrap();
            (origin.host().to_owned(), id)
        });
        Claims(claims.collect())
    }

    pub fn input(&self) -> Input {
        let policy = self.policy();
        let id = self.id();
        let namespace_labels = self
            .of_kind("Namespace")
            .find(|n| n["metadata"]["name"] == id.namespace.as_str())
            .map(|n| from(n["metadata"]["labels"].clone()))
            .unwrap_or_default();
        let provider = self.provider(&policy, &id, &namespace_labels);
        Input {
            provider,
            secrets: self.secrets(&policy, &id),
            targets: self.targets(&policy, &id),
            grants: self.of_kind("BffHostGrant").map(|grant| from(grant.clone())).collect(),
            foreign: self
                .of_kind("ForeignRoute")
                .map(|route| ForeignRoute {
                    namespace: text(&route["namespace"]),
                    name: text(&route["name"]),
                    host: text(&route["host"]),
                })
                .collect(),
            previous: self.of_kind("Previous").next().map(|previous| Handoff {
                id,
                uid: policy.metadata.uid.clone().unwrap(),
                generation: 1,
                origins: from(previous["origins"].clone()),
                released: false,
                state: State::Refused,
            }),
            namespace_labels,
            policy,
        }
    }

    fn provider(
        &self,
        policy: &BffPolicy,
        id: &PolicyId,
        labels: &BTreeMap<String, String>,
    ) -> ProviderLookup {
        let reference = &policy.spec.provider_ref;
        let (spec, namespace) = match reference.kind {
            ProviderKind::BffProvider => {
                let found = self.named("BffProvider", &id.namespace, &reference.name);
                (found.map(|f| from::<BffProvider>(f.clone()).spec), id.namespace.as_str())
            }
            ProviderKind::ClusterBffProvider => {
                let mut all = self.of_kind("ClusterBffProvider");
                let found = all.find(|p| p["metadata"]["name"] == reference.name.as_str());
                let found = found.map(|f| from::<ClusterBffProvider>(f.clone()).spec);
                let selector = found.as_ref().and_then(|spec| spec.namespace_selector.as_ref());
                if selector.is_some_and(|s| !selects(s, &id.namespace, labels)) {
                    return ProviderLookup::NotPermitted;
                }
                (found.map(|spec| spec.provider()), "vestibule")
            }
        };
        spec.map_or(ProviderLookup::NotFound, |spec| {
            let ca_bundle =
                spec.ca_bundle_ref.as_ref().map(|r| self.secret(namespace, &r.name, &r.key));
            ProviderLookup::Found { spec, ca_bundle }
        })
    }

    fn secret(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> Result<SecretString, SecretProblem> {
        let Some(secret) = self.named("Secret", namespace, name) else {
            let text = format!("there is no Secret {name:?} in namespace {namespace:?}: create it");
            return Err(SecretProblem::Missing(text));
        };
        match secret["stringData"][key].as_str() {
            Some(text) => Ok(SecretString::from(text)),
            None if secret["data"][key].is_string() => {
                Err(SecretProblem::Unusable(format!("the key {key:?} is not UTF-8 text")))
            }
            None => {
                let text = format!("there is no key {key:?} in Secret {name:?}: add it");
                Err(SecretProblem::Missing(text))
            }
        }
    }

    fn secrets(
        &self,
        policy: &BffPolicy,
        id: &PolicyId,
    ) -> BTreeMap<(String, String), Result<SecretString, SecretProblem>> {
        let named = policy.spec.secret_refs();
        named
            .into_iter()
            .map(|(_, r)| {
                let found = self.secret(&id.namespace, &r.name, &r.key);
                ((r.name.clone(), r.key.clone()), found)
            })
            .collect()
    }

    fn targets(&self, policy: &BffPolicy, id: &PolicyId) -> Vec<Target> {
        let mut references = policy.spec.target_refs.clone();
        for (kind, group) in [("Ingress", "networking.k8s.io"), ("IngressRoute", "traefik.io")] {
            for object in self.of_kind(kind).filter(|o| in_namespace(o, &id.namespace)) {
                let name = text(&object["metadata"]["name"]);
                let reference = TargetRef { group: group.to_owned(), kind: kind.to_owned(), name };
                if object["metadata"]["annotations"][POLICY_ANNOTATION] == id.name.as_str()
                    && !references.contains(&reference)
                {
                    references.push(reference);
                }
            }
        }
        references
            .into_iter()
            .map(|reference| Target { found: self.target(&reference, &id.namespace), reference })
            .collect()
    }

    fn target(&self, reference: &TargetRef, namespace: &str) -> Option<TargetObject> {
        let found = self.named(&reference.kind, namespace, &reference.name)?.clone();
        let external_name_services = self
            .of_kind("Service")
            .filter(|s| in_namespace(s, namespace) && s["spec"]["type"] == "ExternalName")
            .map(|s| text(&s["metadata"]["name"]))
            .collect();
        if reference.kind == "Ingress" {
            let class = found["spec"]["ingressClassName"].clone();
            let mut classes = self.of_kind("IngressClass");
            Some(TargetObject::Ingress {
                class: classes.find(|c| c["metadata"]["name"] == class).map(|c| from(c.clone())),
                object: Box::new(from(found)),
                external_name_services,
            })
        } else {
            Some(TargetObject::IngressRoute {
                object: Box::new(from(found)),
                external_name_services,
            })
        }
    }
}

/// The time of every transition in tests.
pub fn noon() -> Time {
    from(Value::from("2026-01-01T12:00:00Z"))
}
