//! What may go wrong between a lease and a write, and how each of it ends.

use super::*;
use crate::audit::{EndReason, Ending};
use crate::token::Token;
use faults::Fault;
use fixture::Log;

const STRANGER: Owner = Owner([9; 16]);
const LOGOUT: Ending<'_> = Ending { reason: EndReason::Logout, by: "user" };

#[tokio::test(start_paused = true)]
async fn a_holder_that_died_before_its_redeem_is_followed_by_one_of_those_who_wait() {
    let fixture = Fixture::new(3).await;
    let held = fixture.store.acquire(&fixture.seen.key, STRANGER, LEASE).await.unwrap();
    assert!(matches!(held, Acquired::Mine { .. }));
    let begun = Instant::now();
    let asked = (0..60).map(|index| fixture.refresh(index % 3));
    for outcome in join_all(asked).await {
        assert_eq!(outcome.unwrap().token(), "access-1");
    }
    assert_eq!(fixture.provider.redeemed().len(), 1);
    assert!(begun.elapsed() >= Duration::from_secs(9), "not before the lease was over");
    assert!(begun.elapsed() <= Duration::from_secs(12), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_held_for_as_long_as_the_provider_takes() {
    let fixture = Fixture::new(2).await;
    fixture.provider.takes(Duration::from_secs(24));
    for outcome in join_all([fixture.refresh(0), fixture.refresh(1)]).await {
        assert_eq!(outcome.unwrap().token(), "access-1");
    }
    assert_eq!(fixture.provider.redeemed().len(), 1);
    assert!(fixture.store.asked("renew") >= 10, "{}", fixture.store.asked("renew"));
}

#[tokio::test(start_paused = true)]
async fn a_redeem_is_cut_before_its_lease_can_be_anothers() {
    for fault in [Fault::Refused, Fault::Silent] {
        let fixture = Fixture::new(1).await;
        fixture.provider.takes(Duration::from_secs(30));
        fixture.store.fault("renew", Some(fault));
        let begun = Instant::now();
        fixture.refresh_soon(0);
        sleep(Duration::from_secs(10)).await;
        let cut = fixture.provider.cut();
        assert_eq!(cut.len(), 1, "{fault:?}");
        assert!(cut[0] - begun < Duration::from_secs(10), "{fault:?} {:?}", cut[0] - begun);
        assert!(cut[0] - begun > Duration::from_secs(8), "{fault:?} {:?}", cut[0] - begun);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_some_renewals_costs_nothing() {
    let fixture = Fixture::new(2).await;
    fixture.provider.takes(Duration::from_secs(20));
    let faulty = async {
        for _ in 0..2 {
            fixture.store.fault("renew", Some(Fault::Refused));
            sleep(Duration::from_secs(5)).await;
            fixture.store.fault("renew", None);
            sleep(Duration::from_secs(5)).await;
        }
    };
    let (first, second, ()) = tokio::join!(fixture.refresh(0), fixture.refresh(1), faulty);
    for outcome in [first, second] {
        assert_eq!(outcome.unwrap().token(), "access-1");
    }
    assert_eq!(fixture.provider.redeemed().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_answered_before_the_tokens_are_stored() {
    for fault in [Fault::Refused, Fault::AnswerLost] {
        let fixture = Fixture::new(3).await;
        fixture.store.fault("complete", Some(fault));
        let begun = Instant::now();
        let recover = async {
            sleep(Duration::from_secs(5)).await;
            fixture.store.fault("complete", None);
        };
        let asked = join_all((0..30).map(|index| fixture.refresh(index % 3)));
        let (outcomes, ()) = tokio::join!(asked, recover);
        for outcome in outcomes {
            assert_eq!(outcome.unwrap().token(), "access-1");
        }
        assert_eq!(fixture.provider.redeemed().len(), 1);
        assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
        assert_eq!(fixture.stored().await.unwrap().access_token.expose(), "access-1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_for_5_s_before_the_lease_costs_nothing_either() {
    for fault in [Fault::Refused, Fault::AnswerLost] {
        let fixture = Fixture::new(3).await;
        fixture.store.fault("acquire", Some(fault));
        let recover = async {
            sleep(Duration::from_secs(5)).await;
            fixture.store.fault("acquire", None);
        };
        let asked = join_all((0..30).map(|index| fixture.refresh(index % 3)));
        let (outcomes, ()) = tokio::join!(asked, recover);
        for outcome in outcomes {
            assert_eq!(outcome.unwrap().token(), "access-1");
        }
        assert_eq!(fixture.provider.redeemed().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stays_away_is_an_error_and_never_the_end_of_a_session() {
    let fixture = Fixture::new(1).await;
    fixture.store.fault("acquire", Some(Fault::Refused));
    let outcome = timeout(Duration::from_secs(26), fixture.refresh(0)).await.expect("in time");
    assert!(matches!(outcome, Err(StoreError(_))), "{outcome:?}");
    assert!(fixture.provider.redeemed().is_empty());
    assert!(fixture.stored().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_given_again_and_led_to_nothing_does_not_cost_the_tokens() {
    let fixture = Fixture::new(2).await;
    let (store, key) = (&fixture.store, fixture.seen.key);
    // The holder cannot write, and cannot keep its lease either.
    store.fault("complete", Some(Fault::Refused));
    store.fault("renew", Some(Fault::Refused));
    let meanwhile = async {
        sleep(Duration::from_secs(12)).await;
        let again = store.inner.acquire(&key, STRANGER, LEASE).await.unwrap();
        assert!(matches!(again, Acquired::Mine { .. }), "the lease was kept");
        store.inner.release(&key, STRANGER, Duration::ZERO).await.unwrap();
        store.fault("complete", None);
    };
    let (first, ()) = tokio::join!(fixture.refresh(0), meanwhile);
    for outcome in [first, fixture.refresh(1).await] {
        assert_eq!(outcome.unwrap().token(), "access-1");
    }
    assert_eq!(fixture.provider.redeemed().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_never_succeeds_is_given_up_after_a_minute() {
    let fixture = Fixture::new(1).await;
    fixture.store.fault("complete", Some(Fault::Refused));
    assert!(matches!(fixture.refresh(0).await, Ok(Refreshed::Failed)));
    assert!(fixture.replicas[0].finish_refreshes(Duration::from_secs(36)).await);
    assert!(fixture.store.asked("complete") > 100);
    assert_eq!(fixture.stored().await.unwrap().access_token.expose(), "access-0");
}

#[tokio::test(start_paused = true)]
async fn a_write_after_anothers_lease_is_refused_and_the_others_result_is_used() {
    let fixture = Fixture::new(2).await;
    let (store, key) = (&fixture.store, fixture.seen.key);
    // The holder cannot write, and cannot keep its lease either.
    store.fault("complete", Some(Fault::Refused));
    store.fault("renew", Some(Fault::Refused));
    let meanwhile = async {
        sleep(Duration::from_secs(12)).await;
        let Acquired::Mine { fence, .. } =
            store.inner.acquire(&key, STRANGER, LEASE).await.unwrap()
        else {
            panic!("the lease was kept")
        };
        let mut other = fixture.stored().await.unwrap();
        other.access_token = Token::new("access-of-another");
        let plain = serde_json::to_vec(&other).unwrap();
        let sealed = fixture.policy.session_sealer.seal(&*fixture.replicas[1].random, &key, plain);
        let ttl = Duration::from_mins(10);
        assert!(store.inner.complete(&key, STRANGER, fence, sealed, ttl).await.unwrap());
        store.fault("complete", None);
    };
    let (outcome, ()) = tokio::join!(fixture.refresh(0), meanwhile);
    assert_eq!(outcome.unwrap().token(), "access-of-another");
    assert_eq!(fixture.stored().await.unwrap().access_token.expose(), "access-of-another");
    assert!(fixture.provider.discarded().is_empty(), "they may be of one family");
}

#[tokio::test(start_paused = true)]
async fn a_logout_during_a_refresh_stays_one_and_the_new_tokens_are_revoked() {
    // Long before the provider's answer, and so late that the lease does not show it before.
    for after in [5_000, 9_990] {
        let fixture = Fixture::new(2).await;
        fixture.provider.takes(Duration::from_secs(10));
        let log_out = async {
            sleep(Duration::from_millis(after)).await;
            let sessions = &fixture.replicas[1];
            assert!(sessions.end(&fixture.policy, &fixture.seen, LOGOUT).await.unwrap());
        };
        let (first, second, ()) = tokio::join!(fixture.refresh(0), fixture.refresh(1), log_out);
        for outcome in [first, second] {
            assert!(matches!(outcome, Ok(Refreshed::Ended)), "{outcome:?}");
        }
        assert!(fixture.stored().await.is_none());
        assert_eq!(fixture.provider.discarded(), ["access-1"], "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_session_is_written_once_though_the_stores_answer_is_lost() {
    let fixture = Fixture::new(1).await;
    fixture.provider.answers(Answer::Ended);
    fixture.store.fault("delete_under_lease", Some(Fault::AnswerLost));
    let log = Log::start();
    let recover = async {
        sleep(Duration::from_secs(1)).await;
        fixture.store.fault("delete_under_lease", None);
    };
    let (outcome, ()) = tokio::join!(fixture.refresh(0), recover);
    assert!(matches!(outcome, Ok(Refreshed::Ended)), "{outcome:?}");
    assert_eq!(log.text().matches("refresh_refused").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_found_under_the_sid_of_its_new_id_token() {
    let fixture = Fixture::new(1).await;
    fixture.provider.answers(Answer::OtherSid);
    fixture.refresh(0).await.unwrap();
    // A logout of either is meant for it.
    for sid in ["sid-0", "sid-1"] {
        for index in fixture.policy.indexer.keys(ISSUER, By::ProviderSession(sid)) {
            let found = fixture.store.indexed(&index, 0, 9).await.unwrap();
            assert_eq!(found, [fixture.seen.key], "{sid}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_over_or_known_to_have_ended_gets_no_tokens() {
    let fixture = Fixture::new(1).await;
    let record = fixture.record().await.unwrap();
    fixture.replicas[0].end(&fixture.policy, &fixture.seen, LOGOUT).await.unwrap();
    // A failover to a copy that has not heard of it.
    let ttl = Duration::from_mins(100);
    fixture.store.create(&fixture.seen.key, record.value.clone(), ttl).await.unwrap();
    assert!(matches!(fixture.refresh(0).await, Ok(Refreshed::Ended)));
    assert!(fixture.stored().await.is_none());

    let idle = Fixture::new(1).await;
    sleep(Duration::from_mins(30)).await;
    assert!(matches!(idle.refresh(0).await, Ok(Refreshed::Ended)));
    for fixture in [fixture, idle] {
        assert!(fixture.provider.redeemed().is_empty());
    }
}
