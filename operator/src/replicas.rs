//! What every replica of authsvc runs: the leader follows each one's stream of policies.
//!
//! It must not decide what that means for a policy (`conditions` does). What a replica said last
//! stays known for a short time when its stream breaks, so that a restart does not rewrite every
//! status.

mod line;
mod run;
mod stream;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::time::Instant;
use vestibule_policy::model::PolicyId;

use crate::reconcile::conditions::{Replica, Running};
use line::Line;
pub use run::run;

/// A ready replica that has told nothing for this long is counted as one that runs nothing.
const GRACE: Duration = Duration::from_secs(10);

/// All replicas that are followed.
#[derive(Default)]
pub struct Replicas {
    pods: RwLock<BTreeMap<String, Pod>>,
    /// Whether it is known which there are.
    listed: AtomicBool,
}

#[derive(Debug)]
struct Pod {
    ready: bool,
    /// Since when it has told nothing; `None`: its policies are known.
    silent_since: Option<Instant>,
    policies: HashMap<PolicyId, Running>,
    /// What was told since the stream began, until it is synced.
    listed: Option<HashSet<PolicyId>>,
}

impl Pod {
    fn counts(&self, now: Instant) -> bool {
        self.ready && self.silent_since.is_none_or(|since| now - since >= GRACE)
    }
}

impl Replicas {
    /// Whether every ready replica has told what it runs, or had its time to: before that, what is
    /// not known of them is no reason to take back what was said.
    #[must_use]
    pub fn settled(&self) -> bool {
        let now = Instant::now();
        self.listed.load(Ordering::Acquire)
            && self.read().values().all(|pod| !pod.ready || pod.counts(now))
    }

    /// Forgets all of them: whoever begins to lead hears them anew.
    pub fn forget(&self) {
        self.listed.store(false, Ordering::Release);
        self.write().clear();
    }

    /// What each ready replica runs of a policy; nothing, as long as it has not told. Before all have
    /// ([`Replicas::settled`]) that takes nothing back, and nothing is said of some alone.
    #[must_use]
    pub fn view(&self, id: &PolicyId) -> Vec<Replica> {
        let now = Instant::now();
        self.read()
            .iter()
            .filter(|(_, pod)| pod.ready)
            .map(|(name, pod)| {
                let known = pod.silent_since.is_none_or(|since| now - since < GRACE);
                let running = if known { pod.policies.get(id).cloned() } else { None };
                Replica { name: name.clone(), running }
            })
            .collect()
    }

    /// The replicas that are there now, and whether each is ready. Gives whether any policy's
    /// answer may differ.
    fn set(&self, pods: &BTreeMap<String, bool>) -> bool {
        let mut known = self.write();
        let mut changed = false;
        known.retain(|name, pod| {
            let stays = pods.contains_key(name);
            changed |= !stays && pod.ready;
            stays
        });
        for (name, ready) in pods {
            let pod = known.entry(name.clone()).or_insert_with(|| Pod {
                ready: false,
                silent_since: Some(Instant::now()),
                policies: HashMap::new(),
                listed: None,
            });
            changed |= pod.ready != *ready;
            pod.ready = *ready;
        }
        drop(known);
        changed | !self.listed.swap(true, Ordering::AcqRel)
    }

    /// A stream began: what follows is a full listing.
    fn began(&self, name: &str) {
        if let Some(pod) = self.write().get_mut(name) {
            pod.listed = Some(HashSet::new());
        }
    }

    /// A stream broke.
    fn lost(&self, name: &str) {
        if let Some(pod) = self.write().get_mut(name) {
            pod.listed = None;
            pod.silent_since.get_or_insert_with(Instant::now);
        }
    }

    /// Takes one line over and gives the policies whose answer it changed.
    fn take(&self, name: &str, line: Line) -> Vec<PolicyId> {
        let mut pods = self.write();
        let Some(pod) = pods.get_mut(name) else { return Vec::new() };
        match line {
            Line::Policy(policy) => {
                let (id, running) = policy.split();
                if let Some(listed) = &mut pod.listed {
                    listed.insert(id.clone());
                }
                let old = pod.policies.insert(id.clone(), running.clone());
                if old.as_ref() == Some(&running) { Vec::new() } else { vec![id] }
            }
            Line::Removed { namespace, name } => {
                let id = PolicyId { namespace, name };
                pod.policies.remove(&id).map(|_| id).into_iter().collect()
            }
            Line::Synced => {
                pod.silent_since = None;
                let Some(listed) = pod.listed.take() else { return Vec::new() };
                let gone: Vec<PolicyId> =
                    pod.policies.keys().filter(|id| !listed.contains(id)).cloned().collect();
                for id in &gone {
                    pod.policies.remove(id);
                }
                gone
            }
            Line::Heartbeat | Line::Unknown => Vec::new(),
        }
    }

    /// How many are followed, and of how many the policies are known.
    fn counts(&self) -> (usize, usize) {
        let pods = self.read();
        (pods.len(), pods.values().filter(|pod| pod.silent_since.is_none()).count())
    }

    /// Which ready replicas are known to run something, or nothing.
    fn counted(&self) -> Vec<(String, bool)> {
        let now = Instant::now();
        let pods = self.read();
        let counting = pods.iter().filter(|(_, pod)| pod.counts(now));
        counting.map(|(name, pod)| (name.clone(), pod.silent_since.is_none())).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Pod>> {
        self.pods.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Pod>> {
        self.pods.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
