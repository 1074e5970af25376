//! Refreshing elevated tokens: once, for each base by itself, and what becomes of a refusal.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::fixture::{Answer, Fixture, elevated, scopes, until};
use crate::session::elevation::{Judgement, judge};
use crate::session::refresh::Refreshed;

fn token(refreshed: &Refreshed) -> &str {
    match refreshed {
        Refreshed::Fresh(loaded) => loaded.session.access_token.expose(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn t033_a_hundred_requests_of_each_base_redeem_once_each_and_neither_waits_for_the_other() {
    let fixture = Fixture::new(2).await;
    let production = fixture.elevate("/production", "p").await;
    let billing = fixture.elevate("/billing", "b").await;
    fixture.provider.takes(5);
    let begun = Instant::now();
    let of_production = (0..100).map(|one| fixture.refresh(one % 2, "/production", &production));
    let of_billing = (0..100).map(|one| fixture.refresh(one % 2, "/billing", &billing));
    let (of_production, of_billing) = tokio::join!(join_all(of_production), join_all(of_billing));
    assert!(of_production.iter().all(|one| token(one.as_ref().unwrap()) == "p+"));
    assert!(of_billing.iter().all(|one| token(one.as_ref().unwrap()) == "b+"));
    assert_eq!(fixture.provider.redeemed(), ["refresh-b", "refresh-p"]);
    assert!(begun.elapsed() < Duration::from_secs(7), "one after the other");
    for replica in 0..2 {
        assert_eq!(fixture.token(replica, "/production").await.as_deref(), Some("p+"));
        assert_eq!(fixture.token(replica, "/billing").await.as_deref(), Some("b+"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_sessions_own_refresh_and_those_of_its_bases_are_apart() {
    let fixture = Fixture::new(1).await;
    let production = fixture.elevate("/production", "p").await;
    fixture.provider.takes(5);
    let (of_session, of_base) =
        tokio::join!(fixture.refresh_session(), fixture.refresh(0, "/production", &production));
    assert_eq!(token(&of_session.unwrap()), "access+");
    assert_eq!(token(&of_base.unwrap()), "p+");
    assert_eq!(fixture.provider.redeemed(), ["refresh", "refresh-p"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_elevated_token_is_heard_by_the_other_replica() {
    let fixture = Fixture::new(2).await;
    fixture.elevate("/production", "first").await;
    assert_eq!(fixture.token(1, "/production").await.as_deref(), Some("first"));
    fixture.elevate("/production", "second").await;
    until(|| async { fixture.token(1, "/production").await.as_deref() == Some("second") }).await;
    assert_eq!(fixture.token(0, "/production").await.as_deref(), Some("second"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_refresh_leaves_a_spent_record_for_all_who_wait_and_all_who_come() {
    let fixture = Fixture::new(2).await;
    let seen = fixture.elevate("/production", "p").await;
    fixture.provider.takes(1);
    fixture.provider.answers(Answer::Ended);
    let asked = (0..20).map(|one| fixture.refresh(one % 2, "/production", &seen));
    for outcome in join_all(asked).await {
        assert!(matches!(outcome, Ok(Refreshed::Ended)), "{outcome:?}");
    }
    assert_eq!(fixture.provider.redeemed(), ["refresh-p"]);
    let authority = fixture.authority("/production");
    for sessions in &fixture.replicas {
        let left = sessions.elevation(&fixture.policy, &authority, &fixture.session).await;
        let left = left.unwrap().expect("it is not deleted");
        let now = sessions.clock.now();
        let judged = judge(&authority.compiled, &[], Some(&left.session), now);
        assert_eq!(judged, Judgement::Advise);
        let again = sessions.load(&fixture.policy, &fixture.id).await.unwrap();
        assert!(again.is_some(), "the session lives on");
    }
    // Late comers with the old token learn it without asking the provider.
    let late = fixture.refresh(1, "/production", &seen).await;
    assert!(matches!(late, Ok(Refreshed::Ended)), "{late:?}");
    assert_eq!(fixture.provider.redeemed().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_spent_is_replaced_at_once_and_no_remembered_end_is_in_the_way() {
    let fixture = Fixture::new(2).await;
    let seen = fixture.elevate("/production", "p").await;
    fixture.provider.answers(Answer::Ended);
    fixture.refresh(0, "/production", &seen).await.unwrap();
    let begun = Instant::now();
    fixture.elevate("/production", "new").await;
    for replica in 0..2 {
        until(|| async { fixture.token(replica, "/production").await.as_deref() == Some("new") })
            .await;
    }
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert!(!fixture.replicas[1].cache.has_ended(&fixture.key("/production")));
}

#[tokio::test(start_paused = true)]
async fn any_other_failure_keeps_the_token_as_it_was() {
    let fixture = Fixture::new(1).await;
    let seen = fixture.elevate("/production", "p").await;
    fixture.provider.answers(Answer::Failed);
    let outcome = fixture.refresh(0, "/production", &seen).await;
    assert!(matches!(outcome, Ok(Refreshed::Failed)), "{outcome:?}");
    assert_eq!(fixture.token(0, "/production").await.as_deref(), Some("p"));
    fixture.provider.answers(Answer::Tokens);
    assert_eq!(token(&fixture.refresh(0, "/production", &seen).await.unwrap()), "p+");
}

#[tokio::test(start_paused = true)]
async fn a_refreshed_token_has_the_scopes_that_the_provider_says_and_never_one_more() {
    for (said, expected) in [
        (None, Some(&["read"][..])),
        (Some(&["read"][..]), Some(&["read"][..])),
        (Some(&["openid", "read", "email"]), Some(&["read"])),
        (Some(&["openid"]), Some(&[])),
        // Listed, but nobody asked for it.
        (Some(&["read", "write"]), None),
        (Some(&["read", "admin"]), None),
    ] {
        let fixture = Fixture::new(1).await;
        let seen = fixture.elevate("/production", "p").await;
        let answer = said.map_or(Answer::Tokens, |said: &[&str]| Answer::Scopes(scopes(said)));
        fixture.provider.answers(answer);
        let outcome = fixture.refresh(0, "/production", &seen).await.unwrap();
        let Some(expected) = expected else {
            assert!(matches!(outcome, Refreshed::Ended), "{said:?} {outcome:?}");
            assert_eq!(fixture.provider.discarded(), ["p+"], "{said:?}");
            assert_eq!(fixture.token(0, "/production").await.as_deref(), Some(""));
            continue;
        };
        let Refreshed::Fresh(fresh) = outcome else { panic!("{said:?} {outcome:?}") };
        let grant = fresh.session.grant.as_ref().unwrap();
        assert_eq!((&grant.asked, &grant.granted), (&scopes(&["read"]), &scopes(expected)));
        assert!(fresh.session.claims.is_empty() && fresh.session.id_token.expose().is_empty());
        assert_eq!(fresh.session.created_at, seen.session.created_at);
        assert!(fixture.provider.discarded().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_token_waits_for_a_refresh_that_is_under_way_and_stays() {
    let fixture = Fixture::new(2).await;
    let seen = fixture.elevate("/production", "p").await;
    fixture.provider.takes(5);
    let elevating = async {
        sleep(Duration::from_secs(1)).await;
        let authority = fixture.authority("/production");
        let new = elevated("new", None);
        let sessions = &fixture.replicas[1];
        sessions.elevate(&fixture.policy, &authority, &fixture.session, new).await
    };
    let (refreshed, elevated) = tokio::join!(fixture.refresh(0, "/production", &seen), elevating);
    assert_eq!(token(&refreshed.unwrap()), "p+");
    assert!(elevated.unwrap().is_some());
    for replica in 0..2 {
        until(|| async { fixture.token(replica, "/production").await.as_deref() == Some("new") })
            .await;
    }
}
