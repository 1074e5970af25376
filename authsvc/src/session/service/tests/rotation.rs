//! Keys come and go: sessions in use live on, under the new key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fixture::{Fixture, IDLE, ISSUER, Policy, START};
use crate::session::SecretId;
use crate::session::index::By;
use crate::session::keyring::Keyring;
use crate::session::service::Sessions;
use crate::session::store::SessionStore as _;

/// A policy under a keyring of these keys, the first the active one.
fn policy(keys: &[u8]) -> Policy {
    let line = |key: &u8| format!("- {{id: k{key}, secret: {}}}\n", STANDARD.encode([*key; 32]));
    let yaml = format!("keys:\n{}", keys.iter().map(line).collect::<String>());
    Policy::new(&Keyring::parse(&yaml).expect("a keyring"), "default/shop")
}

fn fixture(keys: &[u8]) -> Fixture {
    Fixture { shop: policy(keys), ..Fixture::warm() }
}

async fn is_found(sessions: &Sessions, policy: &Policy, id: &SecretId) -> bool {
    let mut times = Vec::new();
    for by in [By::Policy, By::Subject("canary-subject"), By::ProviderSession("canary-sid")] {
        let page = sessions.find_sessions(policy.terms(), ISSUER, by, 0, 10).await.expect("finds");
        assert!(!page.more);
        times.push(page.sessions.iter().filter(|one| one.key == policy.key(id)).count());
    }
    assert!(times == [1; 3] || times == [0; 3], "found {times:?} times");
    times == [1; 3]
}

#[tokio::test]
async fn sessions_in_use_outlive_the_rotation_of_their_key_on_replicas_that_are_not_in_step() {
    let mut fixture = fixture(&[1]);
    let other = fixture.beside();
    let ids = [fixture.create().await, fixture.create().await];
    // New key last, so that everybody can read it; then first; then the old one is removed.
    for (before, after) in [(&[1][..], &[1, 2][..]), (&[1, 2], &[2, 1]), (&[2, 1], &[2])] {
        fixture.shop = policy(after);
        // One replica is behind for a while, and they undo each other's seals.
        for behind in [policy(before), policy(after)] {
            fixture.clock.advance(IDLE / 10);
            for id in &ids {
                assert!(fixture.load(id).await.is_some(), "{after:?}");
                assert!(fixture.load_at(&other, &behind, id).await.is_some(), "{after:?}");
                assert!(is_found(&fixture.sessions, &fixture.shop, id).await, "{after:?}");
                assert!(is_found(&other, &behind, id).await, "{after:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_first_check_under_a_new_active_key_reseals_and_the_next_asks_nothing() {
    let mut fixture = fixture(&[1]);
    let id = fixture.create().await;
    assert!(fixture.load(&id).await.is_some());
    fixture.shop = policy(&[2, 1]);
    assert_eq!(fixture.load(&id).await.expect("lives on").touched_at, START);
    assert_eq!(fixture.replaced(), 1);
    let stored =
        fixture.store.load(&fixture.shop.key(&id)).await.expect("loads").expect("is there");
    assert!(fixture.shop.session_sealer.is_by_active_key(&stored.value));
    let before = fixture.asked();
    assert!(fixture.load(&id).await.is_some());
    assert_eq!(fixture.asked(), before);
}

#[tokio::test]
async fn a_session_of_a_removed_key_is_over_at_once_also_in_memory_and_back_with_its_key() {
    let mut fixture = fixture(&[1]);
    let id = fixture.create().await;
    assert!(fixture.load(&id).await.is_some());
    fixture.shop = policy(&[2]);
    assert!(fixture.load(&id).await.is_none());
    assert!(!is_found(&fixture.sessions, &fixture.shop, &id).await);
    fixture.shop = policy(&[2, 1]);
    assert!(fixture.load(&id).await.is_some(), "a mistake cannot be undone");
}

#[tokio::test]
async fn a_session_that_was_not_used_between_the_steps_is_over_with_its_key_but_was_so_anyway() {
    let mut fixture = fixture(&[1]);
    let [used, unused] = [fixture.create().await, fixture.create().await];
    fixture.shop = policy(&[2, 1]);
    // The documented grace: the idle timeout.
    fixture.clock.advance(IDLE - 1);
    assert!(fixture.load(&used).await.is_some());
    fixture.clock.advance(1);
    let before_removal = fixture.load(&unused).await.is_some();
    fixture.shop = policy(&[2]);
    assert!(fixture.load(&used).await.is_some());
    assert!(!before_removal && fixture.load(&unused).await.is_none());
}
