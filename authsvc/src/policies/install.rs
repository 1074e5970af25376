//! One change after the other: what becomes of the policies that it names, and of those that it lets in.
//!
//! Why it exists: a change costs the work of the policies that it names, not of all. Who has a host
//! keeps it; who claims the host of another is refused as a whole, since it must not decide about
//! somebody else's, until the host is free. It must not read files or publish anything.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use vestibule_policy::model::{CompiledPolicy, PolicyId};
use vestibule_policy::origin::Origin;

use super::rules::Rules;
use super::snapshot::{Held, Snapshot};
use super::{LivePolicy, PolicyEntry, Revision, RunningPolicy};
use crate::oidc::{Provider, Providers};
use crate::permissions::{Connections, DecisionPoints};
use crate::session::keyring::Keyring;

/// What does not run as it was given, and why.
#[derive(Default)]
pub(super) struct Withheld(BTreeMap<Arc<PolicyId>, Waiting>);

struct Waiting {
    entry: PolicyEntry,
    /// Whether it waits for a host, and not for another version of itself.
    for_host: bool,
}

impl Withheld {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// What is to become of policies: `None`, nobody knows it any more.
pub(super) type Wanted = BTreeMap<Arc<PolicyId>, Option<PolicyEntry>>;

/// One change under way.
pub(super) struct Install<'a> {
    pub(super) next: Snapshot,
    pub(super) withheld: &'a mut Withheld,
    pub(super) providers: &'a Providers,
    pub(super) connections: &'a Connections,
    pub(super) keyring: &'a Keyring,
    /// Why policies do not run as they were given.
    pub(super) problems: BTreeMap<Arc<PolicyId>, String>,
    /// Those that are others than before.
    pub(super) changed: Vec<Arc<PolicyId>>,
    freed: bool,
}

/// A policy as it is to run, and what it was made from.
struct Made {
    running: RunningPolicy,
    entry: PolicyEntry,
}

impl<'a> Install<'a> {
    pub(super) fn new(
        next: Snapshot,
        withheld: &'a mut Withheld,
        providers: &'a Providers,
        connections: &'a Connections,
        keyring: &'a Keyring,
    ) -> Self {
        let (problems, changed) = (BTreeMap::new(), Vec::new());
        Self { next, withheld, providers, connections, keyring, problems, changed, freed: false }
    }

    /// Every policy by the keys of this keyring.
    pub(super) fn rekey(&mut self) {
        let all: Vec<Arc<RunningPolicy>> = self.next.by_id.iter().map(Arc::clone).collect();
        for old in all {
            let rekeyed = |one: &Arc<LivePolicy>| Arc::new(one.rekeyed(self.keyring));
            let running = RunningPolicy {
                id: Arc::clone(&old.id),
                live: old.live.as_ref().map(rekeyed),
                former: old.former.as_ref().map(rekeyed),
                revision: Arc::clone(&old.revision),
            };
            self.hold(&running);
            self.put(running);
        }
    }

    /// Makes it so. The order of names settles what nothing else does.
    pub(super) fn take(&mut self, wanted: Wanted) {
        let mut made = BTreeMap::new();
        for (id, entry) in wanted {
            let old = self.next.by_id.get((&id.namespace, &id.name)).map(Arc::clone);
            let Some(entry) = entry else {
                self.withheld.0.remove(&id);
                if let Some(old) = old {
                    self.release(old.live.as_ref(), None);
                    self.drop_out(&old);
                }
                continue;
            };
            if old.as_ref().is_some_and(|old| old.is_of(&entry)) {
                self.withheld.0.remove(&id);
                continue;
            }
            let one = self.make(entry, old.as_ref());
            // All hosts that are given up are free before the first is asked for.
            self.release(old.as_ref().and_then(|old| old.live.as_ref()), one.running.live.as_ref());
            made.insert(id, Some(one));
        }
        // Who waits is no worse off than who comes.
        self.freed = false;
        for id in self.waiting() {
            made.entry(id).or_insert(None);
        }
        for (id, one) in made {
            match one {
                Some(one) => self.settle(one),
                None => self.let_in(&id),
            }
        }
        // Who was refused gave up what it had.
        if self.freed {
            for id in self.waiting() {
                self.let_in(&id);
            }
        }
    }

    /// Those that wait for a host. Hardly ever any: the sources settle who owns one.
    fn waiting(&self) -> Vec<Arc<PolicyId>> {
        let waiting = self.withheld.0.iter().filter(|(_, one)| one.for_host);
        waiting.map(|(id, _)| Arc::clone(id)).collect()
    }

    /// Gives a policy its hosts, or refuses it.
    fn settle(&mut self, made: Made) {
        let Made { running, entry } = made;
        let id = Arc::clone(&running.id);
        let Some(taken) = self.taken(&running) else {
            if !self.problems.contains_key(&id) {
                self.withheld.0.remove(&id);
            }
            self.hold(&running);
            self.put(running);
            return;
        };
        let problem = format!("{taken} belongs to another policy");
        // What it still holds of before.
        let before = self.next.by_id.get((&id.namespace, &id.name)).map(Arc::clone);
        self.release(before.as_ref().and_then(|before| before.live.as_ref()), None);
        let former = running.keeper().map(Arc::clone);
        let uid = running.revision.uid.clone();
        self.problems.insert(Arc::clone(&id), problem.clone());
        self.withheld.0.insert(Arc::clone(&id), Waiting { entry, for_host: true });
        self.put(RunningPolicy::refused(id, former, uid, problem));
    }

    /// One that waits, if its hosts are free now.
    fn let_in(&mut self, id: &Arc<PolicyId>) {
        let Some(Waiting { entry, .. }) = self.withheld.0.get(id) else { return };
        let claims = entry.policy.iter().flat_map(|policy| &policy.origins);
        let mut hosts = claims.map(|origin| (origin.host(), origin.port()));
        if hosts.any(|host| self.next.by_host.get(host).is_some()) {
            return;
        }
        let entry = entry.clone();
        self.problems.remove(id);
        let old = self.next.by_id.get((&id.namespace, &id.name)).map(Arc::clone);
        let made = self.make(entry, old.as_ref());
        self.settle(made);
    }

    /// The first of its hosts that is another's.
    fn taken(&self, running: &RunningPolicy) -> Option<Origin> {
        let mut origins = running.live.iter().flat_map(|live| &live.compiled.origins);
        let taken = origins.find(|origin| {
            let holder = self.next.by_host.get((origin.host(), origin.port()));
            holder.is_some_and(|held| held.policy.compiled.id != *running.id)
        });
        taken.cloned()
    }

    fn hold(&mut self, running: &RunningPolicy) {
        let Some(policy) = &running.live else { return };
        for place in 0..policy.compiled.origins.len() {
            self.next.by_host.put(Held { policy: Arc::clone(policy), place });
        }
    }

    /// Frees the hosts of a version but for those of the next.
    fn release(&mut self, old: Option<&Arc<LivePolicy>>, next: Option<&Arc<LivePolicy>>) {
        let Some(old) = old else { return };
        for origin in &old.compiled.origins {
            let host = (origin.host(), origin.port());
            let kept = next.is_some_and(|next| {
                next.compiled.origins.iter().any(|one| (one.host(), one.port()) == host)
            });
            let own = self.next.by_host.get(host);
            if !kept && own.is_some_and(|held| held.policy.compiled.id == old.compiled.id) {
                self.next.by_host.remove(host);
                self.freed = true;
            }
        }
    }

    fn put(&mut self, running: RunningPolicy) {
        let running = Arc::new(running);
        let old = self.next.by_id.put(Arc::clone(&running));
        self.next.live += usize::from(running.live.is_some());
        self.next.live -= usize::from(old.as_ref().is_some_and(|old| old.live.is_some()));
        let now = running.keeper().map(|one| &one.provider);
        let before = old.as_ref().and_then(|old| old.keeper()).map(|one| &one.provider);
        self.uses(&running.id, before, now);
        self.changed.push(Arc::clone(&running.id));
    }

    fn drop_out(&mut self, old: &RunningPolicy) {
        self.next.by_id.remove((&old.id.namespace, &old.id.name));
        self.next.live -= usize::from(old.live.is_some());
        self.uses(&old.id, old.keeper().map(|one| &one.provider), None);
        self.changed.push(Arc::clone(&old.id));
    }

    fn uses(&self, id: &Arc<PolicyId>, old: Option<&Arc<Provider>>, now: Option<&Arc<Provider>>) {
        if let Some(now) = now {
            self.providers.used(id, now);
        }
        if let Some(old) = old.filter(|old| now.is_none_or(|now| !Arc::ptr_eq(old, now))) {
            self.providers.left(id, old);
        }
    }

    /// A policy as the entry says; where that cannot be, as it was, or refused if it never was.
    fn make(&mut self, entry: PolicyEntry, old: Option<&Arc<RunningPolicy>>) -> Made {
        let (id, revision) = (Arc::clone(&entry.id), Arc::clone(&entry.revision));
        let Some(policy) = &entry.policy else {
            let former = old.and_then(|old| old.keeper()).map(Arc::clone);
            return Made { running: RunningPolicy { id, live: None, former, revision }, entry };
        };
        let live = old.and_then(|old| old.live.as_ref());
        let same = live.filter(|live| Arc::ptr_eq(&live.compiled, policy));
        let made = match same {
            Some(live) => Ok(Arc::clone(live)),
            // A defect must cost one policy.
            None => catch_unwind(AssertUnwindSafe(|| self.live(&entry, policy, live)))
                .unwrap_or_else(|_| Err("making it ready ended in a defect".to_owned())),
        };
        let running = match made {
            Ok(live) => RunningPolicy { id, live: Some(live), former: None, revision },
            Err(problem) => {
                self.problems.insert(Arc::clone(&id), problem.clone());
                let waiting = Waiting { entry: entry.clone(), for_host: false };
                self.withheld.0.insert(Arc::clone(&id), waiting);
                match old {
                    None => RunningPolicy::refused(id, None, revision.uid.clone(), problem),
                    // What was good before goes on.
                    Some(old) => {
                        let revision =
                            Revision { problem: Some(problem), ..(*old.revision).clone() };
                        let (live, former) = (old.live.clone(), old.former.clone());
                        RunningPolicy { id, live, former, revision: Arc::new(revision) }
                    }
                }
            }
        };
        Made { running, entry }
    }

    fn live(
        &self,
        entry: &PolicyEntry,
        policy: &Arc<CompiledPolicy>,
        old: Option<&Arc<LivePolicy>>,
    ) -> Result<Arc<LivePolicy>, String> {
        let decisions = self.decisions(policy, old)?;
        let rules = Rules::of(policy)?;
        // The last that can fail: a provider that nobody uses would stay.
        let provider = self
            .providers
            .get(&policy.provider)
            .map_err(|reason| format!("the provider cannot be set up: {reason}"))?;
        // At once, so that who leaves it in the same change does not take it along.
        self.providers.used(&entry.id, &provider);
        let live = LivePolicy::with_rules(Arc::clone(policy), rules, self.keyring, provider);
        let live = live.with_decisions(decisions);
        Ok(Arc::new(if entry.wired { live.wired() } else { live }))
    }

    /// Decision points that did not change keep their connections, and what they answered lately.
    fn decisions(
        &self,
        policy: &CompiledPolicy,
        old: Option<&Arc<LivePolicy>>,
    ) -> Result<DecisionPoints, String> {
        let same = |old: &&Arc<LivePolicy>| {
            old.compiled.open_fga == policy.open_fga && old.compiled.auth_zen == policy.auth_zen
        };
        match old.filter(same) {
            Some(old) => Ok(old.decisions.clone()),
            None => DecisionPoints::new(policy, self.connections)
                .map_err(|reason| format!("a decision point cannot be set up: {reason}")),
        }
    }
}
