//! What may go wrong around the one redeem, and how each of it ends.

use super::*;
use crate::session::StoreKey;
use crate::session::elevation_cookies::refresh::place;
use crate::session::refresh::lease::LEASE;
use crate::session::store::{Acquired, Owner};

const STRANGER: Owner = Owner([9; 16]);

/// Where the result of the fixture's cookies lies.
fn place_of(fixture: &Fixture) -> StoreKey {
    let at = StoreKey::of_elevation(&caller(1), &fixture.authority.tag);
    place(&fixture.policy, &at, &Token::new("refresh-0"))
}

/// As after a replica that said that it redeems, got the lease and died.
async fn die_under_way(fixture: &Fixture) {
    let key = place_of(fixture);
    let plain = serde_json::to_vec(&"UnderWay").expect("is JSON");
    let record = fixture.authority.sealers.cookie_refresh.seal(&SystemRandom, &key, plain);
    fixture.store.create(&key, record, Duration::from_mins(3)).await.expect("creates");
    let held = fixture.store.acquire(&key, STRANGER, LEASE).await.expect("answers");
    assert!(matches!(held, Acquired::Mine { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_died_is_followed_by_one_of_those_who_wait() {
    let fixture = Fixture::new(3);
    die_under_way(&fixture).await;
    let begun = Instant::now();
    for outcome in join_all((0..60).map(|index| fixture.refresh(index % 3))).await {
        assert_eq!(token(outcome), "access-1");
    }
    assert_eq!(fixture.provider().redeemed().len(), 1);
    assert!(begun.elapsed() >= Duration::from_secs(9), "not before the lease was over");
    assert!(begun.elapsed() <= Duration::from_secs(12), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_dropped_in_the_middle_is_followed_by_another() {
    let fixture = Fixture::new(2);
    fixture.provider().answers(Answer::Panic);
    assert!(matches!(fixture.refresh(0).await, Ok(CookieRefresh::Failed)));
    fixture.provider().answers(Answer::Tokens);
    // Once the lease is over that it left behind.
    assert_eq!(token(fixture.refresh(1).await), "access-1");
    assert!(fixture.replicas[0].finish_refreshes(Duration::ZERO).await);
}

#[tokio::test(start_paused = true)]
async fn a_redeem_is_cut_before_its_lease_can_be_anothers() {
    for fault in [Fault::Refused, Fault::Silent] {
        let fixture = Fixture::new(1);
        fixture.provider().takes(Duration::from_secs(30));
        fixture.store.fault("renew", Some(fault));
        let begun = Instant::now();
        let _ = timeout(Duration::from_secs(10), fixture.refresh(0)).await;
        let cut = fixture.provider().cut();
        assert_eq!(cut.len(), 1, "{fault:?}");
        assert!(cut[0] - begun < Duration::from_secs(10), "{fault:?} {:?}", cut[0] - begun);
        assert!(cut[0] - begun > Duration::from_secs(8), "{fault:?} {:?}", cut[0] - begun);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_held_for_as_long_as_the_provider_takes() {
    let fixture = Fixture::new(2);
    fixture.provider().takes(Duration::from_secs(24));
    for outcome in join_all([fixture.refresh(0), fixture.refresh(1)]).await {
        assert_eq!(token(outcome), "access-1");
    }
    assert_eq!(fixture.provider().redeemed().len(), 1);
    assert!(fixture.store.asked("renew") >= 10, "{}", fixture.store.asked("renew"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_for_5_s_before_the_redeem_costs_nothing() {
    for command in ["acquire", "create"] {
        for fault in [Fault::Refused, Fault::AnswerLost] {
            let fixture = Fixture::new(3);
            fixture.store.fault(command, Some(fault));
            let recover = async {
                sleep(Duration::from_secs(5)).await;
                fixture.store.fault(command, None);
            };
            let asked = join_all((0..30).map(|index| fixture.refresh(index % 3)));
            let (outcomes, ()) = tokio::join!(asked, recover);
            for outcome in outcomes {
                assert_eq!(token(outcome), "access-1", "{command} {fault:?}");
            }
            assert_eq!(fixture.provider().redeemed().len(), 1, "{command} {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stays_away_is_an_error_and_nothing_is_redeemed() {
    for command in ["acquire", "create"] {
        let fixture = Fixture::new(1);
        fixture.store.fault(command, Some(Fault::Refused));
        let outcome = timeout(Duration::from_secs(26), fixture.refresh(0)).await.expect("in time");
        assert!(matches!(outcome, Err(StoreError(_))), "{command} {outcome:?}");
        assert!(fixture.provider().redeemed().is_empty(), "{command}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_silent_is_a_failure_and_nothing_is_redeemed() {
    let fixture = Fixture::new(1);
    fixture.store.fault("acquire", Some(Fault::Silent));
    let outcome = timeout(Duration::from_secs(26), fixture.refresh(0)).await.expect("in time");
    assert!(matches!(outcome, Ok(CookieRefresh::Failed)), "{outcome:?}");
    assert!(fixture.provider().redeemed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn tokens_that_the_store_does_not_take_are_given_to_those_who_wait_here() {
    for fault in [Fault::Refused, Fault::Silent] {
        let fixture = Fixture::new(1);
        fixture.store.fault("complete", Some(fault));
        let begun = Instant::now();
        for outcome in join_all((0..30).map(|_| fixture.refresh(0))).await {
            assert_eq!(token(outcome), "access-1", "{fault:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(12), "{fault:?} {:?}", begun.elapsed());
        assert_eq!(fixture.provider().redeemed().len(), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_for_5_s_after_the_redeem_costs_nothing() {
    for fault in [Fault::Refused, Fault::AnswerLost] {
        let fixture = Fixture::new(3);
        fixture.store.fault("complete", Some(fault));
        let recover = async {
            sleep(Duration::from_secs(5)).await;
            fixture.store.fault("complete", None);
        };
        let asked = join_all((0..30).map(|index| fixture.refresh(index % 3)));
        let (outcomes, ()) = tokio::join!(asked, recover);
        for outcome in outcomes {
            assert_eq!(token(outcome), "access-1", "{fault:?}");
        }
        assert_eq!(fixture.provider().redeemed().len(), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_that_does_not_open_is_a_failure_and_not_redeemed_again() {
    let fixture = Fixture::new(1);
    let key = place_of(&fixture);
    let other = policy_with("shop", &keyring(&[("k2", 2)]), |_| {});
    let plain = serde_json::to_vec(&"UnderWay").expect("is JSON");
    let unknown = other.authorities()[0].sealers.cookie_refresh.seal(&SystemRandom, &key, plain);
    for record in [unknown, b"garbage".to_vec(), Vec::new()] {
        fixture.store.create(&key, record, Duration::from_secs(30)).await.expect("creates");
        assert!(matches!(fixture.refresh(0).await, Ok(CookieRefresh::Failed)));
        assert!(fixture.provider().redeemed().is_empty());
        fixture.store.delete(&key).await.expect("deletes");
    }
    assert_eq!(token(fixture.refresh(0).await), "access-1");
}

#[tokio::test(start_paused = true)]
async fn a_result_is_of_no_use_to_who_moves_it_to_another_place_of_the_store() {
    let fixture = Fixture::new(1);
    fixture.refresh(0).await.expect("refreshed");
    let theirs = fixture.store.load(&place_of(&fixture)).await.expect("answers").expect("is there");
    let mine = written_with(&fixture.policy, "access-9", Some("refresh-9"));
    let at = StoreKey::of_elevation(&caller(1), &fixture.authority.tag);
    let key = place(&fixture.policy, &at, &Token::new("refresh-9"));
    fixture.store.create(&key, theirs.value, Duration::from_secs(30)).await.expect("creates");
    let outcome = fixture.refresh_with(0, &sent_back(&mine)).await;
    assert!(matches!(outcome, Ok(CookieRefresh::Failed)), "{outcome:?}");
}
