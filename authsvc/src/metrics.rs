//! Counters and histograms in Prometheus text.
//!
//! Every label is a name from our own code: none may ever hold text of a user, a request or a
//! policy, so that no secret gets out here and no caller can make series without end.

mod checks;

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use checks::Checks;

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// All metrics of one process.
pub struct Metrics {
    registry: Registry,
    checks: Checks,
    logins: Family<Labels<1>, Counter>,
    logouts: Counter,
    elevations: Family<Labels<1>, Counter>,
    permission_checks: Family<Labels<2>, Counter>,
    policies: Family<Labels<1>, Gauge>,
    policy_problems: Gauge,
    providers: Family<Labels<1>, Gauge>,
    store_errors: Counter,
    unconfirmed_ends: Counter,
    panics: Counter,
    shed: Family<Labels<1>, Counter>,
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
        let mut registry = Registry::with_prefix("vestibule");
        let logins = Family::default();
        let logouts = Counter::default();
        let elevations = Family::default();
        let permission_checks = Family::default();
        let policies = Family::default();
        let policy_problems = Gauge::default();
        let providers = Family::default();
        let store_errors = Counter::default();
        let unconfirmed_ends = Counter::default();
        let panics = Counter::default();
        let shed = Family::default();
        registry.register(
            "build",
            "The version that runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        let checks = Checks::register(&mut registry);
        registry.register("logins", "Login steps, by outcome", logins.clone());
        registry.register("logouts", "Sessions ended by their user", logouts.clone());
        registry.register("elevations", "Steps to elevated tokens, by outcome", elevations.clone());
        registry.register(
            "permission_checks",
            "Questions about permissions, by who answers and outcome",
            permission_checks.clone(),
        );
        registry.register("policies", "Policies, enforced (live) or refused", policies.clone());
        registry.register(
            "policy_problems",
            "What was wrong in the policies when they were read last",
            policy_problems.clone(),
        );
        registry.register(
            "providers",
            "Providers, by whether their metadata and keys were fetched",
            providers.clone(),
        );
        registry.register(
            "store_errors",
            "Requests that failed because the session store did not answer",
            store_errors.clone(),
        );
        registry.register(
            "store_unconfirmed_ends",
            "Ends of sessions that too few replicas of the store had in time",
            unconfirmed_ends.clone(),
        );
        registry.register("panics", "Requests that ended in a defect", panics.clone());
        registry.register("shed", "Requests refused for overload, by port", shed.clone());
        Self {
            registry,
            checks,
            logins,
            logouts,
            elevations,
            permission_checks,
            policies,
            policy_problems,
            providers,
            store_errors,
            unconfirmed_ends,
            panics,
            shed,
        }
    }

    /// One check answered.
    pub fn check(&self, dialect: &'static str, outcome: &'static str, elapsed: Duration) {
        self.checks.count(dialect, outcome, elapsed);
    }

    /// One login step: `started`, `completed`, or the refusal's label.
    pub fn login(&self, outcome: &'static str) {
        self.logins.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// One logout.
    pub fn logout(&self) {
        self.logouts.inc();
    }

    /// One step to an elevated token: `started`, `completed`, or the refusal's label.
    pub fn elevation(&self, outcome: &'static str) {
        self.elevations.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// One question about a permission: who answers (`expression`, `openfga`, `authzen`), and
    /// `granted`, `denied` or `unavailable`.
    pub fn permission_check(&self, source: &'static str, outcome: &'static str) {
        self.permission_checks.get_or_create(&[("source", source), ("outcome", outcome)]).inc();
    }

    /// The store did not answer.
    pub fn store_error(&self) {
        self.store_errors.inc();
    }

    /// Ends of sessions that too few replicas of the store had in time.
    #[must_use]
    pub fn unconfirmed_ends(&self) -> Counter {
        self.unconfirmed_ends.clone()
    }

    /// A request ended in a defect.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// So many requests to a port were refused for overload.
    pub fn shed(&self, port: &'static str, count: u64) {
        self.shed.get_or_create(&[("port", port)]).inc_by(count);
    }

    /// How many policies there are.
    pub fn policies(&self, live: usize, refused: usize) {
        for (state, count) in [("live", live), ("refused", refused)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.policies.get_or_create(&[("state", state)]).set(count);
        }
    }

    /// How much was wrong when the policies were read last.
    pub fn policy_problems(&self, count: usize) {
        self.policy_problems.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The state of each provider that is known.
    pub fn providers(&self, states: impl IntoIterator<Item = &'static str>) {
        let mut counts = [("Pending", 0), ("Ready", 0), ("Failed", 0)];
        for state in states {
            if let Some((_, count)) = counts.iter_mut().find(|(name, _)| *name == state) {
                *count += 1;
            }
        }
        for (state, count) in counts {
            self.providers.get_or_create(&[("state", state)]).set(count);
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
    fn a_check_that_nobody_foresaw_is_counted_all_the_same() {
        let metrics = Metrics::new();
        metrics.check("nginx", "new", Duration::from_millis(2));
        metrics.check("another", "allow", Duration::from_millis(2));
        let text = metrics.render();
        for line in [
            "vestibule_checks_total{dialect=\"nginx\",outcome=\"new\"} 1",
            "vestibule_checks_total{dialect=\"another\",outcome=\"allow\"} 1",
            "vestibule_check_duration_seconds_count{dialect=\"another\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn what_happened_is_in_the_text() {
        let metrics = Metrics::new();
        metrics.check("nginx", "allow", Duration::from_millis(2));
        metrics.check("nginx", "allow", Duration::from_millis(2));
        metrics.login("started");
        metrics.logout();
        metrics.elevation("started");
        metrics.permission_check("openfga", "denied");
        metrics.store_error();
        metrics.panicked();
        metrics.shed("check", 7);
        metrics.policies(3, 1);
        metrics.policy_problems(2);
        metrics.providers(["Ready", "Failed", "Ready"]);
        let text = metrics.render();
        for line in [
            "vestibule_checks_total{dialect=\"nginx\",outcome=\"allow\"} 2",
            "vestibule_check_duration_seconds_count{dialect=\"nginx\"} 2",
            "vestibule_check_duration_seconds_bucket{le=\"0.0025\",dialect=\"nginx\"} 2",
            "vestibule_logins_total{outcome=\"started\"} 1",
            "vestibule_logouts_total 1",
            "vestibule_elevations_total{outcome=\"started\"} 1",
            "vestibule_permission_checks_total{source=\"openfga\",outcome=\"denied\"} 1",
            "vestibule_store_errors_total 1",
            "vestibule_panics_total 1",
            "vestibule_shed_total{port=\"check\"} 7",
            "vestibule_policies{state=\"live\"} 3",
            "vestibule_policies{state=\"refused\"} 1",
            "vestibule_policy_problems 2",
            "vestibule_providers{state=\"Ready\"} 2",
            "vestibule_providers{state=\"Failed\"} 1",
            "vestibule_providers{state=\"Pending\"} 0",
            concat!("vestibule_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
