//! An operator that has nothing to do writes nothing.

use std::time::{Duration, Instant};

use vestibule_e2e::apiserver::{Call, NAMESPACE};
use vestibule_e2e::process::eventually;

use crate::bench::{Bench, LIMIT};

const QUIET: Duration = Duration::from_secs(20);

#[test]
fn a_restart_without_a_change_writes_nothing_but_the_lease() {
    let mut bench = Bench::start();
    for name in ["quiet-1", "quiet-2", "quiet-3"] {
        bench.app(name);
        bench.policy(name);
        bench.settle(name);
    }
    bench.break_policy("quiet-3");
    let settled = eventually(LIMIT, || bench.all_are_settled().then_some(()));
    assert!(settled.is_some(), "{}", bench.tail());
    bench.crash();
    let _ = bench.proxy.take_calls();
    bench.begin();
    let start = Instant::now();
    let written = eventually(LIMIT, || {
        let calls = bench.proxy.calls();
        let writes: Vec<&Call> = calls.iter().filter(|call| call.method != "GET").collect();
        let others = writes.iter().filter(|call| !call.target.contains("/leases"));
        let others: Vec<String> =
            others.map(|call| format!("{} {}", call.method, call.target)).collect();
        let looked = calls.iter().filter(|call| {
            call.method == "GET"
                && call.target.contains(&format!("/{NAMESPACE}/secrets/vestibule-policy-"))
        });
        let over = !others.is_empty() || start.elapsed() >= QUIET;
        over.then(|| (others, looked.count()))
    });
    let (others, looked) = written.unwrap();
    assert!(others.is_empty(), "{others:?}");
    assert!(looked >= 3, "it has looked at {looked} policies only");
}
