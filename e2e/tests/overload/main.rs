//! More than can be answered: what is refused is refused as what it is, health answers, and soon after all
//! is as before. How quickly it is refused, and how much is answered meanwhile, is bounded loosely here, in a
//! debug build; `make overload` measures it in a release build.
//! A program of its own: what else runs at the time takes the processor that the figures are about.

use std::collections::BTreeSet;
use std::time::Duration;

use vestibule_e2e::load::Ask;
use vestibule_e2e::overload::{Plan, Quota};
use vestibule_e2e::replicas::Plan as Shop;

/// Five times what is promised.
const RECOVERED_WITHIN: Duration = Duration::from_secs(10);
const REFUSED_WITHIN: Duration = Duration::from_millis(250);
/// And afterwards 99 of 100.
const ANSWERED_WITHIN: Duration = Duration::from_millis(250);
/// Of the peak, half of what is promised.
const GOODPUT: f64 = 0.4;
/// How many requests are under way at once: so many that some are refused.
const CONNECTIONS: usize = 320;

#[test]
fn three_times_the_peak_is_never_refused_wrongly_and_leaves_no_trace() {
    let shop = Shop { replicas: 1, log: "warn".to_owned(), ..Shop::default() }.start();
    let session = shop.log_in("alice", 0);
    let authsvc = &shop.replicas[0].authsvc;
    // Without the right to make one the debug build is slow enough.
    let mut quota = Quota::new(80);
    if let Some(quota) = &mut quota {
        quota.hold(authsvc.id());
    }
    let plan = Plan {
        addr: authsvc.check,
        admin: authsvc.admin,
        asks: vec![Ask::from(&shop.check(&session.cookie))],
        expected: 200,
        pid: authsvc.id(),
        peak_for: Duration::from_secs(1),
        factor: 3.0,
        connections: CONNECTIONS,
        lasts: Duration::from_secs(4),
        looks: 60,
        quick: ANSWERED_WITHIN,
    };
    let figures = plan.run();
    let statuses: BTreeSet<u16> = figures.overload.statuses.keys().copied().collect();
    assert_eq!(statuses, BTreeSet::from([200, 503]), "{:?}", figures.overload.statuses);
    assert_eq!(figures.unhealthy, 0, "health did not answer");
    let took = figures.latency(503).percentile(99.0);
    println!(
        "goodput {:.2} of {:.0}/s (possible {:.2}), {:?}, refused within {took:?}, recovered after {:?}",
        figures.goodput(),
        figures.peak,
        figures.possible(),
        figures.overload.statuses,
        figures.recovery
    );
    assert!(took < REFUSED_WITHIN, "refusals took {took:?}");
    assert!(figures.goodput() > GOODPUT, "{} of the peak was answered", figures.goodput());
    let recovery = figures.recovery.expect("all is as before in the end");
    assert!(recovery < RECOVERED_WITHIN, "only after {recovery:?}");
    assert!(authsvc.metrics().contains("vestibule_shed_total{port=\"check\"}"));
}
