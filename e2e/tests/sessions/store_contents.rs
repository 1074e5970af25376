//! What the store has seen after a whole life of sessions: nothing that reads or opens anything.

use serde_json::json;
use vestibule_e2e::replicas::Plan;

use crate::load::{by_status, storm};

#[test]
fn a_dump_after_logins_refreshes_rotation_and_logouts_shows_no_token_claim_user_or_id() {
    let site = Plan::default().start();
    let alice = site.log_in_and_let_expire("alice");
    assert_eq!(by_status(&storm(&site, &alice.cookie, &[0, 1, 2], 12)).len(), 1);
    // One whose refresh fails for good, one that is logged out, one under a new key.
    site.provider.set(&json!({"accessTokenTtl": 1}));
    let bob = site.log_in("bob", 1);
    site.provider.set(&json!({"accessTokenTtl": 3600}));
    let carol = site.log_in("carol", 2);
    assert_eq!(site.log_out(0, &carol.cookie).status, 200);
    for replica in 0..3 {
        site.set_keyring(replica, &["k2", "k1"]);
    }
    for cookie in [&alice.cookie, &bob.cookie] {
        let answers = storm(&site, cookie, &[0, 1, 2], 6);
        assert_eq!(by_status(&answers).keys().copied().collect::<Vec<_>>(), [200]);
    }
    site.sign_out_at_provider(&bob);
    assert_eq!(site.status(0, &bob.cookie), 401, "{}", site.provider.log());
    site.assert_the_store_shows_nothing(&[&alice.cookie, &bob.cookie, &carol.cookie]);
    // Nor do the logs and metrics of any replica.
    let tokens =
        ["access_token", "refresh_token", "id_token"].map(|kind| site.provider.issued(kind));
    for replica in &site.replicas {
        let shown = replica.authsvc.log() + &replica.authsvc.metrics();
        for secret in tokens.iter().flatten().chain([&alice.cookie, &bob.cookie, &carol.cookie]) {
            assert!(!shown.contains(secret.as_str()), "a log or metric shows {secret}");
        }
    }
}
