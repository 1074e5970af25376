//! A cache of objects that one or more watches keep, and what each event of a watch changed.
//!
//! It must not know what a change means. A listing removes nothing before it is complete.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt as _};

/// Namespace (empty for cluster-scoped kinds) and name.
pub type Key = (String, String);

/// An object that differs from what was known.
pub struct Change<K> {
    /// Its namespace and name.
    pub key: Key,
    /// What was known.
    pub old: Option<Arc<K>>,
    /// What is known now.
    pub new: Option<Arc<K>>,
}

/// Objects by namespace and name.
pub struct Cache<K> {
    objects: RwLock<HashMap<Key, Arc<K>>>,
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Self { objects: RwLock::new(HashMap::new()) }
    }
}

impl<K> Cache<K> {
    /// The object, as it was seen last.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let key = (namespace.to_owned(), name.to_owned());
        self.objects.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    /// All objects.
    pub fn all(&self) -> Vec<Arc<K>> {
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        objects.values().cloned().collect()
    }

    /// The names of all objects.
    pub fn keys(&self) -> Vec<Key> {
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        objects.keys().cloned().collect()
    }

    fn put(&self, key: &Key, object: Arc<K>) -> Option<Arc<K>> {
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        objects.insert(key.clone(), object)
    }

    fn remove(&self, key: &Key) -> Option<Arc<K>> {
        self.objects.write().unwrap_or_else(PoisonError::into_inner).remove(key)
    }
}

/// One watch's part in a cache: a namespace, or everything.
pub struct Part<K> {
    cache: Arc<Cache<K>>,
    namespace: Option<String>,
    name: Option<String>,
    listed: Option<HashSet<Key>>,
}

impl<K: Resource> Part<K> {
    /// The part of a watch of this namespace, or of all.
    pub fn new(cache: Arc<Cache<K>>, namespace: Option<String>) -> Self {
        Self { cache, namespace, name: None, listed: None }
    }

    /// The part of a watch of one cluster-scoped object.
    pub fn of_one(cache: Arc<Cache<K>>, name: String) -> Self {
        Self { cache, namespace: None, name: Some(name), listed: None }
    }

    /// Takes an event over and gives what it changed.
    pub fn apply(&mut self, event: Event<K>) -> Vec<Change<K>> {
        match event {
            Event::Init => {
                self.listed = Some(HashSet::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                if let Some(listed) = &mut self.listed {
                    listed.insert(key(&object));
                }
                self.put(object)
            }
            Event::Apply(object) => self.put(object),
            Event::Delete(object) => self.remove(key(&object)),
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                self.forget_all_but(&listed)
            }
        }
    }

    /// Everything of this part is gone, such as when its kind is.
    pub fn clear(&mut self) -> Vec<Change<K>> {
        self.listed = None;
        self.forget_all_but(&HashSet::new())
    }

    fn forget_all_but(&self, listed: &HashSet<Key>) -> Vec<Change<K>> {
        let mine = |key: &Key| {
            self.namespace.as_ref().is_none_or(|namespace| *namespace == key.0)
                && self.name.as_ref().is_none_or(|name| *name == key.1)
        };
        let gone = self.cache.keys().into_iter().filter(|key| mine(key) && !listed.contains(key));
        gone.flat_map(|key| self.remove(key)).collect()
    }

    fn put(&self, object: K) -> Vec<Change<K>> {
        let key = key(&object);
        let version = object.resource_version();
        let known = self.cache.get(&key.0, &key.1);
        if version.is_some() && known.is_some_and(|known| known.resource_version() == version) {
            return Vec::new();
        }
        let new = Arc::new(object);
        let old = self.cache.put(&key, Arc::clone(&new));
        vec![Change { key, old, new: Some(new) }]
    }

    fn remove(&self, key: Key) -> Vec<Change<K>> {
        let Some(old) = self.cache.remove(&key) else { return Vec::new() };
        vec![Change { key, old: Some(old), new: None }]
    }
}

fn key<K: Resource>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::ObjectMeta;

    fn object(namespace: &str, name: &str, version: &str) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                namespace: Some(namespace.to_owned()),
                name: Some(name.to_owned()),
                resource_version: Some(version.to_owned()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        }
    }

    fn names(changes: &[Change<ConfigMap>]) -> Vec<(&str, bool, bool)> {
        let mut names: Vec<_> = changes
            .iter()
            .map(|change| (change.key.1.as_str(), change.old.is_some(), change.new.is_some()))
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_new_listing_tells_only_what_differs_and_removes_only_when_it_is_complete() {
        let cache = Arc::new(Cache::default());
        let mut part = Part::new(Arc::clone(&cache), None);
        part.apply(Event::Init);
        for name in ["a", "b", "c"] {
            part.apply(Event::InitApply(object("n", name, "1")));
        }
        assert!(part.apply(Event::InitDone).is_empty());
        part.apply(Event::Init);
        assert!(part.apply(Event::InitApply(object("n", "a", "1"))).is_empty());
        let changed = part.apply(Event::InitApply(object("n", "b", "2")));
        assert_eq!(names(&changed), [("b", true, true)]);
        assert!(cache.get("n", "c").is_some(), "the listing is not complete");
        assert_eq!(names(&part.apply(Event::InitDone)), [("c", true, false)]);
        assert!(cache.get("n", "c").is_none());
    }

    #[test]
    fn a_watch_of_one_namespace_leaves_the_others_alone() {
        let cache = Arc::new(Cache::default());
        let mut one = Part::new(Arc::clone(&cache), Some("one".to_owned()));
        let mut two = Part::new(Arc::clone(&cache), Some("two".to_owned()));
        one.apply(Event::Apply(object("one", "a", "1")));
        two.apply(Event::Apply(object("two", "b", "1")));
        one.apply(Event::Init);
        assert_eq!(names(&one.apply(Event::InitDone)), [("a", true, false)]);
        assert!(cache.get("two", "b").is_some());
        assert_eq!(names(&two.clear()), [("b", true, false)]);
    }

    #[test]
    fn a_deletion_tells_what_was_known() {
        let cache = Arc::new(Cache::default());
        let mut part = Part::new(Arc::clone(&cache), None);
        assert!(part.apply(Event::Delete(object("n", "a", "1"))).is_empty());
        part.apply(Event::Apply(object("n", "a", "1")));
        assert_eq!(names(&part.apply(Event::Delete(object("n", "a", "2")))), [("a", true, false)]);
    }
}
