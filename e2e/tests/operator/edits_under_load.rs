//! A thousand edits, each handed over in its Secret and waited for until authsvc enforces it, while checks
//! arrive as fast as they are answered.

use vestibule_e2e::capacity::{Arrivals, Replica, check_of, seed_sessions};
use vestibule_e2e::http::Request;
use vestibule_e2e::load::{Ask, Load};
use vestibule_e2e::process::free_port;
use vestibule_e2e::redis::Redis;
use vestibule_e2e::under_load::under_load;

use crate::bench::Bench;

const EDITS: usize = 1_000;
const POLICIES: usize = 10;
/// Nothing is there, and nothing of this needs it.
const ISSUER: &str = "http://127.0.0.1:1";

#[test]
fn a_thousand_handed_over_edits_under_full_load_change_no_answer_but_those_they_are_about() {
    let bench = Bench::prepare();
    let api = &*bench.api;
    vestibule_e2e::authsvc::write_keyring(&api.dir().join("keyring.yaml"), &["k1"]);
    let redis = Redis::start_quick(api.dir());
    let mut policies = Arrivals::new(api, ISSUER, "plain");
    policies.grow_to(POLICIES);
    let store = ["--store", &redis.url()];
    let replica = Replica::start(api, [127, 0, 0, 1].into(), free_port(), &store);
    let (_, cookies) = seed_sessions(api, &redis, ISSUER, 1);
    let load = |check: &Request, connections| Load {
        addr: replica.check,
        asks: vec![Ask::from(check)],
        connections,
        awake: false,
        patience: None,
    };
    let warm = check_of(0, "/").header("Cookie", format!("__Host-bff={}", cookies[0]));
    let loads = [(200, load(&warm, 6)), (401, load(&check_of(0, "/"), 2))];
    let answered = under_load(&loads, || {
        let edits = policies.edit(&replica, EDITS);
        println!(
            "{EDITS} edits, p50 and p99 until enforced: {:?} {:?}",
            edits.at(50),
            edits.at(99)
        );
    });
    println!("{answered} checks");
    assert!(answered > 10_000, "{answered} checks are no load");
    policies.clear();
}
