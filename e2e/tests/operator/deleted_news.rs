//! A list in which a policy still is that has been deleted since.

use vestibule_e2e::process::eventually;

use crate::bench::{Bench, LIMIT, envelope, is_live, number, policy_path};
use crate::old_news::{POLICIES, start_with_old_list};

#[test]
fn an_old_list_does_not_bring_a_deleted_policy_back() {
    let mut bench = Bench::start();
    let begin = bench.api.now();
    bench.app("ghost");
    bench.policy("ghost");
    bench.settle("ghost");
    let list = bench.api.object(POLICIES);
    bench.api.delete(&policy_path("ghost"));
    let is_tombstone =
        |bench: &Bench| envelope(&bench.compiled("ghost").unwrap())["state"] == "Tombstone";
    assert!(eventually(LIMIT, || is_tombstone(&bench).then_some(())).is_some());
    bench.crash();
    let since = number(&bench.compiled("ghost").unwrap());
    start_with_old_list(&mut bench, &list, "ghost");
    bench.proxy.clear();
    assert!(eventually(LIMIT, || is_tombstone(&bench).then_some(())).is_some());
    for version in bench.history(since).compiled("ghost", since) {
        assert!(!is_live(&version.object), "a deleted policy let people in");
    }
    bench.history(begin).assert_wiring_stayed();
}
