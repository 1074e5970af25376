//! One host belongs to one policy: who keeps it where two claim it.
//!
//! Pure. Whoever held a host keeps it, so that no edit of another policy can take it away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vestibule_policy::model::{CompiledPolicy, PolicyId};

/// The form of a policy that is to be enforced.
#[derive(Clone, Debug)]
pub enum Form {
    /// What was just compiled.
    New(Box<CompiledPolicy>),
    /// The last good one.
    Kept,
    /// None: it was never good.
    Refused,
}

/// A claim that was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who does not get the host.
    pub loser: PolicyId,
    /// Which of its origins this is about.
    pub origin: usize,
    /// The origin as text.
    pub text: String,
    /// Who keeps the host.
    pub winner: PolicyId,
}

type Host = (String, u16);

/// Takes back new forms that claim a host of somebody else, until no two policies share one. The
/// kept forms never share one: they were settled before.
pub fn settle(
    forms: &mut BTreeMap<PolicyId, Form>,
    accepted: &BTreeMap<PolicyId, Arc<CompiledPolicy>>,
) -> Vec<Conflict> {
    let mut conflicts: Vec<Conflict> = Vec::new();
    loop {
        let found = conflicts_of(forms, accepted);
        if found.is_empty() {
            return conflicts;
        }
        // A policy that loses two hosts at once is taken back once.
        let losers: BTreeSet<&PolicyId> = found.iter().map(|conflict| &conflict.loser).collect();
        for loser in losers {
            let was_new = matches!(forms.get(loser), Some(Form::New(_)));
            let kept = was_new && accepted.contains_key(loser);
            forms.insert(loser.clone(), if kept { Form::Kept } else { Form::Refused });
        }
        conflicts.extend(found);
    }
}

/// Every claim that is lost now. At most the claims of a policy's one form, so that a policy that
/// loses several hosts is told of all.
fn conflicts_of(
    forms: &BTreeMap<PolicyId, Form>,
    accepted: &BTreeMap<PolicyId, Arc<CompiledPolicy>>,
) -> Vec<Conflict> {
    let mut claims: BTreeMap<Host, Vec<(&PolicyId, usize, String)>> = BTreeMap::new();
    for (id, form) in forms {
        let policy = match form {
            Form::New(policy) => &**policy,
            Form::Kept => match accepted.get(id) {
                Some(policy) => &**policy,
                None => continue,
            },
            Form::Refused => continue,
        };
        for (index, origin) in policy.origins.iter().enumerate() {
            let claim = claims.entry((origin.host().to_owned(), origin.port())).or_default();
            if claim.iter().all(|(other, ..)| *other != id) {
                claim.push((id, index, origin.to_string()));
            }
        }
    }
    let mut conflicts = Vec::new();
    for (host, mut claimants) in claims {
        if claimants.len() < 2 {
            continue;
        }
        claimants
            .sort_by_key(|(id, ..)| (!held(accepted, id, &host), !accepted.contains_key(*id), *id));
        let winner = claimants[0].0.clone();
        conflicts.extend(claimants.into_iter().skip(1).map(|(loser, origin, text)| Conflict {
            loser: loser.clone(),
            origin,
            text,
            winner: winner.clone(),
        }));
    }
    conflicts
}

fn held(accepted: &BTreeMap<PolicyId, Arc<CompiledPolicy>>, id: &PolicyId, host: &Host) -> bool {
    accepted.get(id).is_some_and(|policy| {
        policy.origins.iter().any(|origin| origin.host() == host.0 && origin.port() == host.1)
    })
}
