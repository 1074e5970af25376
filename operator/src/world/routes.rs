//! What the routes of the cluster say about hosts and policies, by host and by policy. Pure.
//!
//! It must not judge: whether a policy may protect a route is `validate`'s business.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::api::networking::v1::Ingress;
use kube::core::DynamicObject;
use kube::{Resource, ResourceExt as _};
use vestibule_crds::names;
use vestibule_policy::origin::canonical_host;

use crate::reconcile::validate::rule;
use crate::reconcile::validate::wiring::NGINX_PREFIX;

/// Which kind of route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `Ingress`.
    Ingress,
    /// Traefik's `IngressRoute`.
    IngressRoute,
}

/// A route: kind, namespace, name.
pub type RouteKey = (Kind, String, String);

/// What one route says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its hosts, canonical; wildcards as `*.example.com`.
    pub hosts: BTreeSet<String>,
    /// The policy that its annotation names.
    pub policy: Option<String>,
    /// Whether its owner releases it from the policy that it names.
    pub released: bool,
    /// The id of the policy that we made it for: a `/bff` route.
    pub made_for: Option<String>,
}

/// All routes.
#[derive(Debug, Default)]
pub struct Routes {
    facts: HashMap<RouteKey, Facts>,
    by_host: HashMap<String, BTreeSet<RouteKey>>,
    by_policy: HashMap<(String, String), BTreeSet<RouteKey>>,
    made_for: HashMap<String, BTreeSet<RouteKey>>,
}

impl Routes {
    /// The route now says this (`None`: it is gone). Gives what it said before.
    pub fn set(&mut self, key: &RouteKey, facts: Option<Facts>) -> Option<Facts> {
        let old = match &facts {
            Some(facts) => self.facts.insert(key.clone(), facts.clone()),
            None => self.facts.remove(key),
        };
        if let Some(old) = &old {
            for host in &old.hosts {
                take(&mut self.by_host, host, key);
            }
            if let Some(policy) = &old.policy {
                take(&mut self.by_policy, &(key.1.clone(), policy.clone()), key);
            }
            if let Some(id) = &old.made_for {
                take(&mut self.made_for, id, key);
            }
        }
        if let Some(facts) = facts {
            for host in facts.hosts {
                self.by_host.entry(host).or_default().insert(key.clone());
            }
            if let Some(policy) = facts.policy {
                self.by_policy.entry((key.1.clone(), policy)).or_default().insert(key.clone());
            }
            if let Some(id) = facts.made_for {
                self.made_for.entry(id).or_default().insert(key.clone());
            }
        }
        old
    }

    /// The routes that serve the host, by its name or by a wildcard.
    #[must_use]
    pub fn of_host(&self, host: &str) -> Vec<RouteKey> {
        let wildcard = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        [Some(host.to_owned()), wildcard]
            .into_iter()
            .flatten()
            .filter_map(|host| self.by_host.get(&host))
            .flatten()
            .cloned()
            .collect()
    }

    /// The `/bff` routes made for the policy of this id.
    #[must_use]
    pub fn made_for(&self, id: &str) -> Vec<RouteKey> {
        self.made_for.get(id).into_iter().flatten().cloned().collect()
    }

    /// The routes whose annotation names the policy, and whether each is released.
    #[must_use]
    pub fn of_policy(&self, namespace: &str, name: &str) -> Vec<(RouteKey, bool)> {
        let key = (namespace.to_owned(), name.to_owned());
        let routes = self.by_policy.get(&key).into_iter().flatten();
        routes
            .map(|key| (key.clone(), self.facts.get(key).is_some_and(|facts| facts.released)))
            .collect()
    }
}

fn take<K: Eq + std::hash::Hash>(map: &mut HashMap<K, BTreeSet<RouteKey>>, at: &K, key: &RouteKey) {
    if let Some(set) = map.get_mut(at) {
        set.remove(key);
        if set.is_empty() {
            map.remove(at);
        }
    }
}

/// What an `Ingress` of somebody says.
#[must_use]
pub fn of_ingress(ingress: &Ingress) -> Facts {
    let spec = ingress.spec.as_ref();
    let rules = spec.and_then(|spec| spec.rules.as_ref()).into_iter().flatten();
    let hosts = rules.filter_map(|rule| canonical(rule.host.as_deref()?)).collect();
    facts(ingress, hosts)
}

/// The same, with the hosts that its author adds by an annotation: no origin comes from them, but
/// they are served.
#[must_use]
pub fn of_ingress_with_aliases(ingress: &Ingress) -> Facts {
    let mut facts = of_ingress(ingress);
    let aliases = ingress.annotations().get(&format!("{NGINX_PREFIX}server-alias"));
    let aliases = aliases.into_iter().flat_map(|aliases| aliases.split(','));
    facts.hosts.extend(aliases.filter_map(|alias| canonical(alias.trim())));
    facts
}

/// What an `IngressRoute` says.
#[must_use]
pub fn of_ingress_route(route: &DynamicObject) -> Facts {
    let routes = route.data["spec"]["routes"].as_array().into_iter().flatten();
    let hosts = routes.filter_map(|route| route["match"].as_str()).flat_map(rule::hosts).collect();
    facts(route, hosts)
}

fn facts<K: Resource>(object: &K, hosts: BTreeSet<String>) -> Facts {
    let policy = object.annotations().get(names::POLICY_ANNOTATION);
    Facts {
        made_for: None,
        hosts,
        policy: policy.filter(|name| is_policy_name(name)).cloned(),
        released: is_released(object),
    }
}

/// What no policy can be called goes into no path, name or address (T-60).
fn is_policy_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=names::MAX_POLICY_NAME).contains(&text.len())
        && text.bytes().all(plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether the owner of an object lets go of it.
pub fn is_released<K: Resource>(object: &K) -> bool {
    object.annotations().get(names::RELEASE_ANNOTATION).map(String::as_str)
        == Some(names::RELEASE_VALUE)
}

fn canonical(host: &str) -> Option<String> {
    match host.strip_prefix("*.") {
        Some(parent) => canonical_host(parent).map(|(parent, _)| format!("*.{parent}")),
        None => canonical_host(host).map(|(host, _)| host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ingress(name: &str, hosts: &[&str], annotations: &serde_json::Value) -> (RouteKey, Facts) {
        let rules: Vec<_> = hosts.iter().map(|host| json!({"host": host})).collect();
        let object: Ingress = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "shop", "annotations": annotations},
            "spec": {"rules": rules}
        }))
        .unwrap();
        ((Kind::Ingress, "shop".to_owned(), name.to_owned()), of_ingress(&object))
    }

    #[test]
    fn routes_are_found_by_host_wildcard_and_policy_and_forgotten_with_the_object() {
        let mut routes = Routes::default();
        let (one, facts) =
            ingress("one", &["Shop.example.com"], &json!({"vestibule.dev/policy": "shop"}));
        assert_eq!(routes.set(&one, Some(facts.clone())), None);
        let (two, wild) = ingress("two", &["*.example.com"], &json!({}));
        routes.set(&two, Some(wild));
        assert_eq!(routes.of_host("shop.example.com"), [one.clone(), two.clone()]);
        assert_eq!(routes.of_host("example.com"), []);
        assert_eq!(routes.of_policy("shop", "shop"), [(one.clone(), false)]);
        assert_eq!(routes.of_policy("other", "shop"), []);
        assert_eq!(routes.set(&one, None), Some(facts));
        assert_eq!(routes.of_host("shop.example.com"), std::slice::from_ref(&two));
        routes.set(&two, None);
        assert!(routes.by_host.is_empty() && routes.by_policy.is_empty());
        assert!(routes.made_for.is_empty());
    }

    #[test]
    fn t060_t061_an_annotation_that_is_no_name_of_a_policy_names_none() {
        for (name, expected) in [
            ("shop", true),
            ("", false),
            ("x?a", false),
            ("x/..", false),
            ("-x", false),
            ("x-", false),
            ("Shop", false),
            ("a.b", false),
            ("x\ny", false),
        ] {
            let (_, facts) = ingress("one", &[], &json!({"vestibule.dev/policy": name}));
            assert_eq!(facts.policy.is_some(), expected, "{name:?}");
        }
        let long = "a".repeat(names::MAX_POLICY_NAME + 1);
        let (_, facts) = ingress("one", &[], &json!({"vestibule.dev/policy": long}));
        assert_eq!(facts.policy, None);
    }

    #[test]
    fn an_alias_is_served_and_gives_no_origin() {
        let alias = "nginx.ingress.kubernetes.io/server-alias";
        let object: Ingress = serde_json::from_value(json!({
            "metadata": {"annotations": {alias: "B.example, *.c.example,~^d,"}},
            "spec": {"rules": [{"host": "a.example"}]}
        }))
        .unwrap();
        assert_eq!(of_ingress(&object).hosts, BTreeSet::from(["a.example".to_owned()]));
        let expected = ["*.c.example", "a.example", "b.example"].map(str::to_owned);
        assert_eq!(of_ingress_with_aliases(&object).hosts, BTreeSet::from(expected));
    }

    #[test]
    fn a_route_is_released_by_true_alone() {
        for (value, expected) in [("true", true), ("yes", false), ("True", false)] {
            let (_, facts) = ingress("one", &[], &json!({"vestibule.dev/release": value}));
            assert_eq!(facts.released, expected);
        }
    }
}
