//! Which policies name which objects, so that a change wakes exactly those. Pure.

use std::collections::{HashMap, HashSet};

use vestibule_policy::model::PolicyId;

/// Something that a policy's result depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dependency {
    /// A `BffProvider`: namespace, name.
    Provider(String, String),
    /// A `ClusterBffProvider`.
    ClusterProvider(String),
    /// A Secret: namespace, name.
    Secret(String, String),
    /// An `Ingress`: namespace, name.
    Ingress(String, String),
    /// An `IngressRoute`: namespace, name.
    IngressRoute(String, String),
    /// A Service: namespace, name.
    Service(String, String),
    /// The `IngressClass` objects, all of them: one may be made the default.
    Classes,
    /// The labels of a namespace.
    Namespace(String),
    /// The grants.
    Grants,
    /// The routes of a host, canonical; `*.example.com` for wildcards.
    Host(String),
}

/// Both directions, kept in step.
#[derive(Debug, Default)]
pub struct Index {
    policies: HashMap<Dependency, HashSet<PolicyId>>,
    dependencies: HashMap<PolicyId, HashSet<Dependency>>,
}

impl Index {
    /// The policy depends on these and on nothing else.
    pub fn set(&mut self, id: &PolicyId, dependencies: &HashSet<Dependency>) {
        let before = if dependencies.is_empty() {
            self.dependencies.remove(id)
        } else {
            self.dependencies.insert(id.clone(), dependencies.clone())
        };
        let before = before.unwrap_or_default();
        for gone in before.difference(dependencies) {
            if let Some(policies) = self.policies.get_mut(gone) {
                policies.remove(id);
                if policies.is_empty() {
                    self.policies.remove(gone);
                }
            }
        }
        for new in dependencies.difference(&before) {
            self.policies.entry(new.clone()).or_default().insert(id.clone());
        }
    }

    /// The policies to look at when this changed.
    #[must_use]
    pub fn dependents(&self, dependency: &Dependency) -> Vec<PolicyId> {
        self.policies.get(dependency).into_iter().flatten().cloned().collect()
    }

    /// Whether any policy depends on this.
    #[must_use]
    pub fn is_named(&self, dependency: &Dependency) -> bool {
        self.policies.contains_key(dependency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> PolicyId {
        PolicyId { namespace: "shop".to_owned(), name: name.to_owned() }
    }

    fn secret(name: &str) -> Dependency {
        Dependency::Secret("shop".to_owned(), name.to_owned())
    }

    #[test]
    fn a_change_wakes_the_policies_that_name_the_object_and_no_other() {
        let mut index = Index::default();
        index.set(&id("a"), &HashSet::from([secret("x"), secret("y")]));
        index.set(&id("b"), &HashSet::from([secret("y")]));
        assert_eq!(index.dependents(&secret("x")), [id("a")]);
        let mut both = index.dependents(&secret("y"));
        both.sort();
        assert_eq!(both, [id("a"), id("b")]);
        assert!(index.dependents(&secret("z")).is_empty());
    }

    #[test]
    fn what_is_named_no_more_wakes_nobody_and_leaves_nothing_behind() {
        let mut index = Index::default();
        index.set(&id("a"), &HashSet::from([secret("x"), secret("y")]));
        index.set(&id("a"), &HashSet::from([secret("y")]));
        assert!(!index.is_named(&secret("x")) && index.is_named(&secret("y")));
        index.set(&id("a"), &HashSet::new());
        assert!(index.policies.is_empty() && index.dependencies.is_empty());
    }
}
