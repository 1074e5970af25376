//! Refreshes of several replicas over one store, in tokio's own time: minutes pass at once.

pub(in crate::session) mod faults;
pub(in crate::session) mod fixture;
mod turns;

use futures_util::future::join_all;
use tokio::time::sleep;

use super::*;
use crate::session::index::By;
use crate::session::store::SessionStore as _;
use fixture::{Answer, Fixture, Log};

const ISSUER: &str = "https://id.example.com";

#[tokio::test(start_paused = true)]
async fn two_hundred_requests_on_three_replicas_redeem_once_though_the_provider_takes_10_s() {
    let fixture = Fixture::new(3).await;
    fixture.provider.takes(Duration::from_secs(10));
    let asked = (0..200).map(|index| fixture.refresh(index % 3));
    for outcome in join_all(asked).await {
        assert_eq!(outcome.unwrap().token(), "access-1");
    }
    assert_eq!(fixture.provider.redeemed(), ["refresh-0"]);
    assert_eq!(fixture.stored().await.unwrap().access_token.expose(), "access-1");
}

#[tokio::test(start_paused = true)]
async fn who_comes_just_after_uses_the_same_result() {
    let fixture = Fixture::new(2).await;
    for replica in [0, 1, 0, 1] {
        // As seen before: a request that read the session in time and came to ask too late.
        assert_eq!(fixture.refresh(replica).await.unwrap().token(), "access-1");
    }
    assert_eq!(fixture.provider.redeemed().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn new_tokens_replace_the_old_ones_and_are_told_to_all() {
    let fixture = Fixture::new(2).await;
    let mut news = fixture.replicas[1].news(&fixture.seen.key);
    let before = fixture.stored().await.unwrap();
    sleep(Duration::from_secs(100)).await;
    fixture.refresh(0).await.unwrap();
    timeout(Duration::from_secs(1), news.heard()).await.expect("the other replica hears of it");
    let after = fixture.stored().await.unwrap();
    assert_eq!(after.refresh_token.as_ref().unwrap().expose(), "refresh-1");
    assert_eq!(after.tokens_issued_at, before.tokens_issued_at.plus(100));
    assert_eq!(after.touched_at, before.touched_at.plus(100), "the session is in use");
    assert_eq!(after.created_at, before.created_at);
    assert_eq!(after.nonce, before.nonce);
}

#[tokio::test(start_paused = true)]
async fn the_next_refresh_redeems_the_new_refresh_token() {
    let fixture = Fixture::new(1).await;
    let Ok(Refreshed::Fresh(first)) = fixture.refresh(0).await else { panic!("refreshed") };
    let again = fixture.refresh_seen(0, &first).await.unwrap();
    assert_eq!(again.token(), "access-2");
    assert_eq!(fixture.provider.redeemed(), ["refresh-0", "refresh-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_session_for_all_who_wait_with_one_audit_line() {
    let fixture = Fixture::new(3).await;
    fixture.provider.takes(Duration::from_secs(1));
    fixture.provider.answers(Answer::Ended);
    let log = Log::start();
    let asked = (0..30).map(|index| fixture.refresh(index % 3));
    for outcome in join_all(asked).await {
        assert!(matches!(outcome, Ok(Refreshed::Ended)), "{outcome:?}");
    }
    assert_eq!(fixture.provider.redeemed().len(), 1);
    assert!(fixture.stored().await.is_none());
    for by in [By::Policy, By::Subject("u-1"), By::ProviderSession("sid-0")] {
        for index in fixture.policy.indexer.keys(ISSUER, by) {
            assert!(fixture.store.indexed(&index, 0, 9).await.unwrap().is_empty(), "{by:?}");
        }
    }
    let text = log.text();
    let lines: Vec<_> = text.lines().filter(|line| line.contains("vestibule::audit")).collect();
    let [line] = lines[..] else { panic!("one line: {text}") };
    for part in ["session_ended", "refresh_refused", "provider", &fixture.seen.key.name()] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!text.contains("access-") && !text.contains("refresh-0"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn any_other_failure_keeps_the_session_and_does_not_hammer_the_provider() {
    let fixture = Fixture::new(3).await;
    fixture.provider.answers(Answer::Failed);
    let begun = Instant::now();
    let asked = (0..90).map(|index| fixture.refresh(index % 3));
    for outcome in join_all(asked).await {
        assert!(matches!(outcome, Ok(Refreshed::Failed)), "{outcome:?}");
    }
    // Each replica tries for itself once it has the turn, with a second or more in between.
    assert!(fixture.provider.redeemed().len() <= 3);
    let pauses = u32::try_from(fixture.provider.redeemed().len() - 1).unwrap();
    assert!(begun.elapsed() >= pauses * Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(fixture.stored().await.unwrap().access_token.expose(), "access-0");
    fixture.provider.answers(Answer::Tokens);
    assert_eq!(fixture.refresh(1).await.unwrap().token(), "access-1");
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_answered_and_the_refresh_goes_on() {
    let fixture = Fixture::new(2).await;
    fixture.provider.takes(Duration::from_secs(40));
    let begun = Instant::now();
    let both = [fixture.refresh(0), fixture.refresh(1)];
    for outcome in join_all(both).await {
        assert!(matches!(outcome, Ok(Refreshed::Failed)), "{outcome:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(26), "{:?}", begun.elapsed());
    assert!(fixture.replicas[0].finish_refreshes(Duration::from_mins(1)).await);
    assert_eq!(fixture.stored().await.unwrap().access_token.expose(), "access-1");
    assert_eq!(fixture.provider.redeemed().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn t069_a_client_that_goes_away_cuts_no_refresh_at_any_point() {
    // 10 s of provider, with some waiting for the store before and after it.
    for gone_after in [0, 1, 5, 50, 500, 5_000, 9_999, 10_000, 10_001] {
        let fixture = Fixture::new(1).await;
        fixture.provider.takes(Duration::from_secs(10));
        let asked = timeout(Duration::from_millis(gone_after), fixture.refresh(0)).await;
        assert!(asked.is_err() || gone_after >= 10_000, "{gone_after}");
        assert!(fixture.replicas[0].finish_refreshes(Duration::from_secs(11)).await);
        let stored = fixture.stored().await.unwrap();
        // Gone before it was begun, or done to its end.
        let redeemed = fixture.provider.redeemed().len();
        assert_eq!(stored.access_token.expose(), format!("access-{redeemed}"), "{gone_after}");
        assert!(redeemed == 1 || gone_after == 0, "{gone_after}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_refreshes_but_not_for_ever() {
    let fixture = Fixture::new(1).await;
    assert!(fixture.replicas[0].finish_refreshes(Duration::ZERO).await, "there are none");
    fixture.provider.takes(Duration::from_secs(5));
    fixture.refresh_soon(0);
    assert!(!fixture.replicas[0].finish_refreshes(Duration::from_secs(4)).await);
    assert!(fixture.replicas[0].finish_refreshes(Duration::from_secs(4)).await);
    assert_eq!(fixture.stored().await.unwrap().access_token.expose(), "access-1");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_ahead_of_time_is_asked_for_once_and_rests_after_a_failure() {
    let fixture = Fixture::new(1).await;
    fixture.provider.answers(Answer::Failed);
    for _ in 0..500 {
        fixture.refresh_soon(0);
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(fixture.provider.redeemed().len(), 1, "10 s are not enough of a rest");
    sleep(Duration::from_secs(21)).await;
    fixture.provider.answers(Answer::Tokens);
    for _ in 0..50 {
        fixture.refresh_soon(0);
    }
    assert!(fixture.replicas[0].finish_refreshes(Duration::from_secs(1)).await);
    assert_eq!(fixture.provider.redeemed().len(), 2);
    assert_eq!(fixture.stored().await.unwrap().access_token.expose(), "access-1");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_ahead_of_time_does_not_wait_for_another_replicas() {
    let fixture = Fixture::new(2).await;
    fixture.provider.takes(Duration::from_secs(10));
    fixture.refresh_soon(0);
    sleep(Duration::from_secs(1)).await;
    fixture.refresh_soon(1);
    assert!(fixture.replicas[1].finish_refreshes(Duration::from_millis(1)).await);
    assert!(fixture.replicas[0].finish_refreshes(Duration::from_secs(10)).await);
    assert_eq!(fixture.provider.redeemed().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_joins_a_refresh_ahead_of_time_gets_its_result() {
    let fixture = Fixture::new(1).await;
    fixture.provider.takes(Duration::from_secs(10));
    fixture.refresh_soon(0);
    sleep(Duration::from_secs(9)).await;
    assert_eq!(fixture.refresh(0).await.unwrap().token(), "access-1");
    assert_eq!(fixture.provider.redeemed().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_defect_in_a_refresh_is_a_failure_and_the_next_one_is_none() {
    let fixture = Fixture::new(1).await;
    fixture.provider.answers(Answer::Panic);
    assert!(matches!(fixture.refresh(0).await, Ok(Refreshed::Failed)));
    fixture.provider.answers(Answer::Tokens);
    // Once the lease is over that it left behind.
    assert_eq!(fixture.refresh(0).await.unwrap().token(), "access-1");
    assert!(fixture.replicas[0].finish_refreshes(Duration::ZERO).await);
}

#[tokio::test(start_paused = true)]
async fn t033_t035_sessions_share_a_refresh_only_if_they_are_one() {
    let fixture = Fixture::new(1).await;
    fixture.provider.takes(Duration::from_secs(1));
    // The same id under another policy, and another id under the same one.
    let (other_policy, same_id) = fixture.session_of_another_policy("refresh-of-another").await;
    let neighbour = fixture.another_session("refresh-of-a-neighbour").await;
    let sessions = &fixture.replicas[0];
    let redeemer = fixture.redeemer();
    let (first, second, third) = tokio::join!(
        fixture.refresh(0),
        sessions.refresh_by(&other_policy, redeemer.clone(), &same_id),
        sessions.refresh_by(&fixture.policy, redeemer, &neighbour),
    );
    let keys: Vec<_> = [first, second, third]
        .into_iter()
        .map(|outcome| match outcome {
            Ok(Refreshed::Fresh(loaded)) => loaded.key,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(keys, [fixture.seen.key, same_id.key, neighbour.key]);
    let mut redeemed = fixture.provider.redeemed();
    redeemed.sort();
    assert_eq!(redeemed, ["refresh-0", "refresh-of-a-neighbour", "refresh-of-another"]);
}
