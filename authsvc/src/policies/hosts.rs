//! Which policy answers for a host: one, and never whoever came last.
//!
//! The sources settle who owns a host. Should two live policies claim one all the same, whoever had
//! it keeps it and the other is refused as a whole: it must not decide about somebody else's host.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use vestibule_policy::model::PolicyId;
use vestibule_policy::origin::Origin;

use super::{LivePolicy, RunningPolicy};

/// The policy and its origin, by host and port.
pub(super) type ByHost = HashMap<(String, u16), (Arc<LivePolicy>, Origin)>;

/// Gives every host to one policy; of two without a history, to the first by name.
pub(super) fn settle(
    running: &mut [Arc<RunningPolicy>],
    before: &ByHost,
    problems: &mut Vec<(PolicyId, String)>,
) -> ByHost {
    for (index, problem) in losers(running, before) {
        let loser = &mut running[index];
        problems.push((loser.id.clone(), problem.clone()));
        let uid = loser.revision.uid.clone();
        let former = loser.keeper().map(Arc::clone);
        *loser = Arc::new(RunningPolicy::refused(loser.id.clone(), former, uid, problem));
    }
    let mut by_host = HashMap::with_capacity(running.len());
    for policy in running.iter().filter_map(|one| one.live.as_ref()) {
        for origin in &policy.compiled.origins {
            let key = (origin.host().to_owned(), origin.port());
            by_host.insert(key, (Arc::clone(policy), origin.clone()));
        }
    }
    by_host
}

fn losers(running: &[Arc<RunningPolicy>], before: &ByHost) -> BTreeSet<(usize, String)> {
    let mut holders: HashMap<(&str, u16), usize> = HashMap::with_capacity(running.len());
    let mut losers = BTreeSet::new();
    for (index, policy) in running.iter().enumerate() {
        for origin in policy.live.iter().flat_map(|live| &live.compiled.origins) {
            let holder = holders.entry((origin.host(), origin.port())).or_insert(index);
            if *holder == index {
                continue;
            }
            let id_before = before
                .get(&(origin.host().to_owned(), origin.port()))
                .map(|(live, _)| &live.compiled.id);
            let rank = |index: usize| {
                let id = &running[index].id;
                (id_before != Some(id), id)
            };
            let loser =
                if rank(index) < rank(*holder) { std::mem::replace(holder, index) } else { index };
            losers.insert((loser, format!("{origin} belongs to another policy")));
        }
    }
    // One reason is enough to refuse.
    let mut told = BTreeSet::new();
    losers.retain(|(index, _)| told.insert(*index));
    losers
}
