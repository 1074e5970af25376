//! An elevated token is found by its own session, base and policy alone.

use std::sync::Arc;
use std::time::Duration;

use super::fixture::{Fixture, ISSUER, until};
use crate::policies::LivePolicy;
use crate::session::StoreKey;
use crate::session::index::By;
use crate::session::store::SessionStore as _;

const HOUR: Duration = Duration::from_hours(1);

/// Puts a record where another is or would be.
async fn put(fixture: &Fixture, key: &StoreKey, value: Vec<u8>) {
    fixture.store.delete(key).await.unwrap();
    fixture.store.create(key, value, HOUR).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_session_has_its_own_tokens_alone() {
    let fixture = Fixture::new(1).await;
    let (_, other) = fixture.another_session().await;
    fixture.elevate("/production", "p").await;
    let sessions = &fixture.replicas[0];
    for base in ["/production", "/billing"] {
        let authority = fixture.authority(base);
        let found = sessions.elevation(&fixture.policy, &authority, &other).await.unwrap();
        assert!(found.is_none(), "{base}");
    }
    assert_eq!(fixture.token(0, "/billing").await, None);
    assert_eq!(fixture.token(0, "/production").await.as_deref(), Some("p"));
}

#[tokio::test(start_paused = true)]
async fn t091_a_record_that_was_moved_in_the_store_opens_nowhere() {
    let fixture = Fixture::new(1).await;
    let (_, other) = fixture.another_session().await;
    fixture.elevate("/production", "p").await;
    let neighbour = fixture.neighbour();
    let stolen = fixture.record(&fixture.key("/production")).await.unwrap().value;
    let sessions = &fixture.replicas[0];
    let places: [(&Arc<LivePolicy>, &str, _); 3] = [
        (&fixture.policy, "/production", &other),
        (&fixture.policy, "/billing", &fixture.session),
        (&neighbour, "/production", &fixture.session),
    ];
    for (policy, base, session) in places {
        let authority = policy.authority(base).unwrap();
        let key = StoreKey::of_elevation(&session.key, &authority.tag);
        put(&fixture, &key, stolen.clone()).await;
        sessions.cache.forget(&key);
        let found = sessions.elevation(policy, authority, session).await.unwrap();
        assert!(found.is_none(), "{} {base}", policy.compiled.id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_is_no_elevated_token_and_the_other_way_round() {
    let fixture = Fixture::new(1).await;
    fixture.elevate("/production", "p").await;
    let (session_key, key) = (fixture.session.key, fixture.key("/production"));
    let of_session = fixture.record(&session_key).await.unwrap().value;
    let of_elevation = fixture.record(&key).await.unwrap().value;
    put(&fixture, &key, of_session).await;
    put(&fixture, &session_key, of_elevation).await;
    let sessions = &fixture.replicas[0];
    sessions.cache.forget(&key);
    sessions.cache.forget(&session_key);
    assert_eq!(fixture.token(0, "/production").await, None);
    assert!(sessions.load(&fixture.policy, &fixture.id).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_elevated_token_of_another_user_is_none() {
    let fixture = Fixture::new(1).await;
    let sessions = &fixture.replicas[0];
    let authority = fixture.authority("/production");
    for (subject, issuer) in [("u-2", ISSUER), ("u-1", "https://other.example.com")] {
        let elevated = super::fixture::elevated("p", None);
        let elevated = crate::session::Session {
            subject: subject.to_owned(),
            issuer: issuer.to_owned(),
            ..elevated
        };
        sessions.elevate(&fixture.policy, &authority, &fixture.session, elevated).await.unwrap();
        assert_eq!(fixture.token(0, "/production").await, None, "{subject} {issuer}");
    }
}

#[tokio::test(start_paused = true)]
async fn admins_see_no_elevated_token() {
    let fixture = Fixture::new(1).await;
    fixture.elevate("/production", "p").await;
    fixture.elevate("/billing", "b").await;
    let sessions = &fixture.replicas[0];
    for by in [By::Policy, By::Subject("u-1"), By::ProviderSession("sid-1")] {
        let page = sessions.find(&fixture.policy, by, 0, 10).await.unwrap();
        let found: Vec<StoreKey> = page.sessions.iter().map(|one| one.key).collect();
        assert_eq!(found, [fixture.session.key], "{by:?}");
    }
    let policies = [Arc::clone(&fixture.policy)];
    let named = sessions.find_named(&policies, &fixture.key("/production")).await.unwrap();
    assert!(named.is_none());
    let named = sessions.find_named(&policies, &fixture.session.key).await.unwrap();
    assert!(named.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_elevated_token_in_use_outlives_the_rotation_of_its_key() {
    let mut fixture = Fixture::by(2, &[1]).await;
    fixture.elevate("/production", "p").await;
    let key = fixture.key("/production");
    for keys in [&[1, 2][..], &[2, 1], &[2]] {
        fixture.policy = fixture.rekeyed(keys);
        for replica in 0..2 {
            until(|| async { fixture.token(replica, "/production").await.is_some() }).await;
        }
        let record = fixture.record(&key).await.unwrap();
        assert!(
            fixture.policy.authorities()[0].sealers.elevation.is_by_active_key(&record.value),
            "{keys:?}"
        );
    }
    fixture.policy = fixture.rekeyed(&[3]);
    assert_eq!(fixture.token(0, "/production").await, None, "a key that is gone");
    // What nobody can open does not keep a new one out.
    fixture.elevate("/production", "new").await;
    assert_eq!(fixture.token(1, "/production").await.as_deref(), Some("new"));
}
