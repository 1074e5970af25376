//! Counters and gauges in Prometheus text.
//!
//! Every label is a name from our own code: none may ever hold text of a user or the name of an
//! object, so that no secret gets out here and nobody can make series without end.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

type Labels<const N: usize> = [(&'static str, String); N];

/// All metrics of one process.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<Labels<1>, Counter>,
    refusals: Family<Labels<1>, Counter>,
    repairs: Family<Labels<1>, Counter>,
    writes: Family<Labels<2>, Counter>,
    watch_errors: Family<Labels<1>, Counter>,
    queue_depth: Gauge,
    leader: Gauge,
    replicas: Family<Labels<1>, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("vestibule_operator");
        let reconciles = Family::default();
        let refusals = Family::default();
        let repairs = Family::default();
        let writes = Family::default();
        let watch_errors = Family::default();
        let queue_depth = Gauge::default();
        let leader = Gauge::default();
        let replicas = Family::default();
        registry.register(
            "build",
            "The version that runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register("reconciles", "Policies worked on, by outcome", reconciles.clone());
        registry.register("refusals", "Policies refused, by reason", refusals.clone());
        registry.register("repairs", "Hand edits undone, by kind of object", repairs.clone());
        registry.register("api_writes", "Writes to the API server", writes.clone());
        registry.register("watch_errors", "Watches that broke, by kind", watch_errors.clone());
        registry.register("queue_depth", "Policies that wait to be worked on", queue_depth.clone());
        registry.register("leader", "Whether this process leads", leader.clone());
        registry.register("replicas", "Replicas of authsvc, by state", replicas.clone());
        Self {
            registry,
            reconciles,
            refusals,
            repairs,
            writes,
            watch_errors,
            queue_depth,
            leader,
            replicas,
        }
    }

    /// One policy worked on: `done`, or the label of what failed.
    pub fn reconciled(&self, outcome: &'static str) {
        self.reconciles.get_or_create(&[("outcome", outcome.to_owned())]).inc();
    }

    /// One policy refused; the reason is one of the conditions' constants.
    pub fn refused(&self, reason: &str) {
        self.refusals.get_or_create(&[("reason", reason.to_owned())]).inc();
    }

    /// One hand edit undone.
    pub fn repaired(&self, kind: &'static str) {
        self.repairs.get_or_create(&[("kind", kind.to_owned())]).inc();
    }

    /// One write.
    pub fn wrote(&self, verb: &'static str, kind: &'static str) {
        let labels = [("verb", verb.to_owned()), ("kind", kind.to_owned())];
        self.writes.get_or_create(&labels).inc();
    }

    /// A watch broke; it is begun again.
    pub fn watch_failed(&self, kind: &'static str) {
        self.watch_errors.get_or_create(&[("kind", kind.to_owned())]).inc();
    }

    /// How many policies wait.
    pub fn queue_depth(&self, depth: usize) {
        self.queue_depth.set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    /// Whether this process leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// How many replicas are followed, and of how many the policies are known.
    pub fn replicas(&self, followed: usize, synced: usize) {
        for (state, count) in [("followed", followed), ("synced", synced)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.replicas.get_or_create(&[("state", state.to_owned())]).set(count);
        }
    }

    /// `OpenMetrics` text, which Prometheus reads.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_in_the_text() {
        let metrics = Metrics::new();
        metrics.reconciled("done");
        metrics.refused("SecretNotFound");
        metrics.repaired("Ingress");
        metrics.wrote("apply", "Secret");
        metrics.watch_failed("Ingress");
        metrics.queue_depth(3);
        metrics.leads(true);
        metrics.replicas(2, 1);
        let text = metrics.render();
        for line in [
            "vestibule_operator_reconciles_total{outcome=\"done\"} 1",
            "vestibule_operator_refusals_total{reason=\"SecretNotFound\"} 1",
            "vestibule_operator_repairs_total{kind=\"Ingress\"} 1",
            "vestibule_operator_api_writes_total{verb=\"apply\",kind=\"Secret\"} 1",
            "vestibule_operator_watch_errors_total{kind=\"Ingress\"} 1",
            "vestibule_operator_queue_depth 3",
            "vestibule_operator_leader 1",
            "vestibule_operator_replicas{state=\"followed\"} 2",
            "vestibule_operator_replicas{state=\"synced\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
