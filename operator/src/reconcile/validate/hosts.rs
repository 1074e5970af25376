//! Who may have a host.
//!
//! Why it exists: one host belongs to one policy, and whoever manages the cluster can say to which
//! namespaces. It must not name objects of other namespaces, and a refused claim takes nothing.

use vestibule_crds::conditions::reasons;
use vestibule_crds::v1alpha1::BffHostGrant;
use vestibule_policy::model::PolicyId;
use vestibule_policy::origin::{Origin, canonical_host};

use super::origins::Claimed;
use super::problems::{Finding, Problems};
use super::selector::selects;
use crate::reconcile::input::{HostClaims, Input};

/// Refuses what others hold and what is not granted.
pub(super) fn check(
    policy: &PolicyId,
    input: &Input,
    claimed: &[Claimed],
    claims: &dyn HostClaims,
    problems: &mut Problems,
) {
    for Claimed { origin, field } in claimed {
        let host = origin.host();
        if let Some(holder) = claims.holder(host).filter(|h| h != policy) {
            let who = if holder.namespace == policy.namespace {
                format!("the policy {:?} of this namespace", holder.name)
            } else {
                "a policy of another namespace".to_owned()
            };
            let message = format!(
                "{host} is held by {who}, even if that is deleted and not released: choose another \
                 host, or have it released"
            );
            problems.push(reasons::CONFLICTED, field, &message);
        }
        if !input.grants.is_empty() && !is_granted(policy, input, host) {
            let message = format!(
                "no BffHostGrant gives {host} to namespace {}: ask who manages the cluster",
                policy.namespace
            );
            problems.push(reasons::HOST_NOT_GRANTED, field, &message);
        }
    }
}

/// The origins that a refused policy keeps: what it held, and nothing new. What was granted to
/// others meanwhile is free for them.
pub(super) fn kept(policy: &PolicyId, input: &Input) -> Vec<Origin> {
    let held = input.previous.iter().flat_map(|previous| previous.origins.iter());
    held.filter(|origin| {
        let host = origin.host();
        let for_others = input.grants.iter().any(|grant| covers(grant, host));
        !for_others || is_granted(policy, input, host)
    })
    .cloned()
    .collect()
}

fn is_granted(policy: &PolicyId, input: &Input, host: &str) -> bool {
    input.grants.iter().any(|grant| {
        covers(grant, host)
            && selects(&grant.spec.namespaces, &policy.namespace, &input.namespace_labels)
    })
}

fn covers(grant: &BffHostGrant, host: &str) -> bool {
    grant.spec.hosts.iter().any(|pattern| covers_host(pattern, host))
}

/// `*.example.com` covers every name below `example.com`; anything else is one literal host.
fn covers_host(pattern: &str, host: &str) -> bool {
    let canonical = |text: &str| match canonical_host(text) {
        Some((host, None)) => Some(host),
        _ => None,
    };
    match pattern.strip_prefix("*.") {
        Some(parent) => canonical(parent).is_some_and(|parent| {
            host.strip_suffix(&parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        }),
        None => canonical(pattern).is_some_and(|literal| literal == host),
    }
}

/// Whether no other namespace routes a host of the policy. Its objects are not named here: who they
/// belong to is not this author's business.
pub(super) fn exclusive(input: &Input) -> Finding {
    let mut hosts: Vec<&str> = input.foreign.iter().map(|route| route.host.as_str()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    if hosts.is_empty() {
        return Finding::ok(reasons::EXCLUSIVE, "No other namespace routes a host of this policy.");
    }
    let message = format!(
        "a route of another namespace serves {}: it shares the app's cookies and could answer in \
         its place; ask who manages the cluster to remove it",
        hosts.join(", ")
    );
    Finding::wrong(reasons::FOREIGN_ROUTE, &message)
}

#[cfg(test)]
mod tests {
    use super::covers_host;

    #[test]
    fn a_wildcard_covers_names_below_and_nothing_else() {
        for (pattern, host, expected) in [
            ("shop.example.com", "shop.example.com", true),
            ("Shop.Example.com.", "shop.example.com", true),
            ("shop.example.com", "x.shop.example.com", false),
            ("*.example.com", "shop.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "badexample.com", false),
            ("*.example.com", ".example.com", false),
            ("*", "shop.example.com", false),
            ("*.", "shop.example.com", false),
            ("*.*.com", "shop.example.com", false),
            ("sh*.example.com", "shop.example.com", false),
            ("shop.example.com:443", "shop.example.com", false),
        ] {
            assert_eq!(covers_host(pattern, host), expected, "{pattern} {host}");
        }
    }
}
