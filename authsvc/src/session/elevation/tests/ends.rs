//! Elevated tokens end with their session, however that ends, and with nothing else.

use std::time::Duration;

use tokio::time::{Instant, advance};

use super::fixture::{Answer, Fixture, elevated};
use crate::audit::{EndReason, Ending};
use crate::session::refresh::Refreshed;
use crate::session::store::{Owner, SessionStore as _};

const LOGOUT: Ending<'_> = Ending { reason: EndReason::Logout, by: "user" };

/// A session with a token for each base.
async fn with_tokens() -> Fixture {
    let fixture = Fixture::new(2).await;
    fixture.elevate("/production", "p").await;
    fixture.elevate("/billing", "b").await;
    fixture
}

async fn assert_all_gone(fixture: &Fixture) {
    let bases = ["/production", "/billing"].map(|base| fixture.key(base));
    for key in bases.into_iter().chain([fixture.session.key]) {
        assert!(fixture.record(&key).await.is_none());
    }
    for replica in 0..2 {
        assert_eq!(fixture.token(replica, "/production").await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn r50_a_logout_takes_the_elevated_tokens_with_it() {
    let fixture = with_tokens().await;
    let sessions = &fixture.replicas[0];
    let of_session = sessions.elevations_of(&fixture.policy, &fixture.session).await.unwrap();
    let mut told: Vec<(&str, &str)> = of_session
        .iter()
        .map(|(authority, loaded)| {
            (authority.compiled.base.as_str(), loaded.session.access_token.expose())
        })
        .collect();
    told.sort_unstable();
    assert_eq!(told, [("/billing", "b"), ("/production", "p")], "whoever revokes them is told");
    assert!(sessions.end(&fixture.policy, &fixture.session, LOGOUT).await.unwrap());
    assert_all_gone(&fixture).await;
    let left = sessions.elevations_of(&fixture.policy, &fixture.session).await.unwrap();
    assert!(left.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_provider_ends_at_its_refresh_takes_them_with_it() {
    let fixture = with_tokens().await;
    fixture.provider.answers(Answer::Ended);
    let outcome = fixture.refresh_session().await;
    assert!(matches!(outcome, Ok(Refreshed::Ended)), "{outcome:?}");
    assert_all_gone(&fixture).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_times_out_takes_them_with_it() {
    let fixture = with_tokens().await;
    advance(Duration::from_secs(fixture.policy.compiled.session.idle_timeout)).await;
    let loaded = fixture.replicas[1].load(&fixture.policy, &fixture.id).await.unwrap();
    assert!(loaded.is_none());
    assert_all_gone(&fixture).await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_dropped_takes_them_with_it() {
    let fixture = with_tokens().await;
    fixture.replicas[0].drop_record(&fixture.policy, &fixture.id).await.unwrap();
    assert_all_gone(&fixture).await;
}

#[tokio::test(start_paused = true)]
async fn an_elevated_token_is_over_when_its_session_must_be_whatever_it_was_used_for() {
    let fixture = Fixture::new(1).await;
    let timeouts = &fixture.policy.compiled.session;
    advance(Duration::from_secs(timeouts.idle_timeout - 1)).await;
    fixture.elevate("/production", "p").await;
    advance(Duration::from_secs(timeouts.absolute_timeout - timeouts.idle_timeout)).await;
    assert!(fixture.token(0, "/production").await.is_some(), "it knows no idle timeout");
    advance(Duration::from_secs(1)).await;
    assert_eq!(fixture.token(0, "/production").await, None);
    let key = fixture.key("/production");
    assert!(!fixture.replicas[0].cache.has_ended(&key), "its session would end it, and did not");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ended_meanwhile_gets_no_token() {
    let fixture = with_tokens().await;
    let (sessions, authority) = (&fixture.replicas[0], fixture.authority("/production"));
    let elevate = || {
        let elevated = elevated("late", None);
        sessions.elevate(&fixture.policy, &authority, &fixture.session, elevated)
    };
    // By somebody whom this replica has not heard yet.
    fixture.store.delete(&fixture.session.key).await.unwrap();
    assert!(elevate().await.unwrap().is_none());
    assert!(fixture.record(&fixture.key("/production")).await.is_none());
    sessions.end(&fixture.policy, &fixture.session, LOGOUT).await.unwrap();
    assert!(elevate().await.unwrap().is_none());
    assert!(fixture.record(&fixture.key("/production")).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_after_the_end_of_its_session_is_discarded() {
    let fixture = Fixture::new(1).await;
    let seen = fixture.elevate("/production", "p").await;
    fixture.provider.takes(5);
    let ending = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        fixture.replicas[0].end(&fixture.policy, &fixture.session, LOGOUT).await
    };
    let begun = Instant::now();
    let (refreshed, ended) = tokio::join!(fixture.refresh(0, "/production", &seen), ending);
    assert!(ended.unwrap());
    assert!(matches!(refreshed, Ok(Refreshed::Ended)), "{refreshed:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(fixture.provider.discarded(), ["p+"]);
    assert!(fixture.record(&fixture.key("/production")).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_say_what_became_of_a_token_is_an_error() {
    let fixture = Fixture::new(1).await;
    fixture.elevate("/production", "p").await;
    let key = fixture.key("/production");
    fixture.store.acquire(&key, Owner([9; 16]), Duration::from_mins(10)).await.unwrap();
    let authority = fixture.authority("/production");
    let kept = fixture.replicas[0].elevate(
        &fixture.policy,
        &authority,
        &fixture.session,
        elevated("new", None),
    );
    assert!(kept.await.is_err(), "another has the lease for longer than anybody waits");
    assert_eq!(fixture.token(0, "/production").await.as_deref(), Some("p"));
}
