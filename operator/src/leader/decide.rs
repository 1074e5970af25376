//! What a candidate does with the Lease it read. Pure: time comes in.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::Instant;

/// What to do with the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is none yet.
    Create,
    /// It is ours.
    Renew,
    /// It was given back, or its holder is silent for too long.
    Take,
    /// Somebody else leads.
    Wait,
}

/// The Lease as it was last seen to change, by this process's clock.
#[derive(Debug, Default)]
pub(super) struct Observed {
    version: Option<String>,
    at: Option<Instant>,
}

impl Observed {
    /// Notes when a version was first seen.
    pub(super) fn see(&mut self, lease: &Lease, now: Instant) {
        let version = &lease.metadata.resource_version;
        if self.at.is_none() || self.version != *version {
            self.version.clone_from(version);
            self.at = Some(now);
        }
    }
}

pub(super) fn decide(
    lease: Option<&Lease>,
    identity: &str,
    observed: &mut Observed,
    now: Instant,
) -> Step {
    let Some(lease) = lease else { return Step::Create };
    observed.see(lease, now);
    let spec = lease.spec.as_ref();
    let holder = spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
    if holder.is_empty() {
        return Step::Take;
    }
    if holder == identity {
        return Step::Renew;
    }
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or(1).max(1);
    let lasts = Duration::from_secs(u64::try_from(seconds).unwrap_or(1));
    let silent = observed.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
    if silent > lasts { Step::Take } else { Step::Wait }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use kube::api::ObjectMeta;

    fn lease(version: &str, holder: Option<&str>) -> Lease {
        Lease {
            metadata: ObjectMeta {
                resource_version: Some(version.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: holder.map(str::to_owned),
                lease_duration_seconds: Some(15),
                ..LeaseSpec::default()
            }),
        }
    }

    #[test]
    fn a_lease_that_is_missing_free_or_ours_is_written() {
        let (now, mut observed) = (Instant::now(), Observed::default());
        assert_eq!(decide(None, "a", &mut observed, now), Step::Create);
        assert_eq!(decide(Some(&lease("1", None)), "a", &mut observed, now), Step::Take);
        assert_eq!(decide(Some(&lease("2", Some(""))), "a", &mut observed, now), Step::Take);
        assert_eq!(decide(Some(&lease("3", Some("a"))), "a", &mut observed, now), Step::Renew);
    }

    #[test]
    fn a_lease_of_another_is_taken_only_after_a_whole_lease_without_a_change() {
        let (start, mut observed) = (Instant::now(), Observed::default());
        let after = |seconds| start + Duration::from_secs(seconds);
        let held = lease("1", Some("b"));
        assert_eq!(decide(Some(&held), "a", &mut observed, start), Step::Wait);
        assert_eq!(decide(Some(&held), "a", &mut observed, after(15)), Step::Wait);
        let renewed = lease("2", Some("b"));
        assert_eq!(decide(Some(&renewed), "a", &mut observed, after(16)), Step::Wait);
        assert_eq!(decide(Some(&renewed), "a", &mut observed, after(31)), Step::Wait);
        assert_eq!(decide(Some(&renewed), "a", &mut observed, after(32)), Step::Take);
    }
}
