//! Timeouts, touching and separation of policies, over the memory store and a clock that we move.

mod cached;
mod ended;
mod fixture;
mod rotation;
mod spy;
mod timeouts;

use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::clock::Timestamp;
use crate::random::SystemRandom;
use fixture::{ABSOLUTE, Fixture, IDLE, START, session, transaction};

#[tokio::test]
async fn a_session_comes_back_as_it_was_stored() {
    for fixture in Fixture::both() {
        let loaded = fixture.load(&fixture.create().await).await.expect("there is a session");
        let values = [loaded, session(START)].map(|session| serde_json::to_value(session).unwrap());
        assert_eq!(values[0], values[1]);
    }
}

#[tokio::test]
async fn r48_every_session_and_login_gets_a_new_id() {
    let fixture = Fixture::cold();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..100 {
        assert!(seen.insert(fixture.create().await.encode()));
        assert!(seen.insert(fixture.begin_login().await.encode()));
    }
}

#[tokio::test]
async fn a_session_that_was_ended_is_gone() {
    for fixture in Fixture::both() {
        let id = fixture.create().await;
        let key = fixture.shop.key(&id);
        fixture.store.delete(&key).await.expect("deletes");
        assert!(fixture.load(&id).await.is_none());
    }
}

#[tokio::test]
async fn r49_an_idle_session_is_over_to_the_second_and_deleted() {
    for fixture in Fixture::both() {
        let id = fixture.create().await;
        fixture.clock.advance(IDLE - 1);
        assert!(fixture.load(&id).await.is_some());
        fixture.clock.advance(IDLE - 1);
        assert!(fixture.load(&id).await.is_some(), "the use did not count");
        fixture.clock.advance(IDLE);
        assert!(fixture.load(&id).await.is_none());
        assert!(fixture.store.inner.dump().is_empty());
    }
}

#[tokio::test]
async fn r49_a_session_in_steady_use_is_over_at_its_absolute_timeout() {
    for fixture in Fixture::both() {
        let id = fixture.create().await;
        for _ in 0..(ABSOLUTE / 100 - 1) {
            fixture.clock.advance(100);
            assert!(fixture.load(&id).await.is_some());
        }
        fixture.clock.advance(99);
        assert!(fixture.load(&id).await.is_some());
        fixture.clock.advance(1);
        assert!(fixture.load(&id).await.is_none());
        assert!(fixture.store.inner.dump().is_empty());
    }
}

#[tokio::test]
async fn r49_timeouts_hold_though_the_store_forgets_to_expire_and_cannot_delete() {
    for fixture in Fixture::both() {
        let policy = &fixture.shop;
        for (idle_for, alive_for) in [(IDLE, IDLE), (0, ABSOLUTE)] {
            let id = SecretId::generate(&SystemRandom);
            let key = policy.key(&id);
            let now = fixture.clock.now();
            let old = Session {
                touched_at: Timestamp(now.0 - idle_for),
                created_at: Timestamp(now.0 - alive_for),
                ..session(now)
            };
            let sealed = fixture.sessions.seal(&policy.session_sealer, &key, &old).expect("seals");
            let forever = Duration::from_secs(u64::from(u32::MAX));
            fixture.store.create(&key, sealed, forever).await.expect("creates");
            fixture.store.fails_to_write.store(true, Ordering::SeqCst);
            assert!(fixture.load(&id).await.is_none());
            fixture.store.fails_to_write.store(false, Ordering::SeqCst);
            assert!(fixture.store.load(&key).await.expect("loads").is_some());
            assert!(fixture.load(&id).await.is_none());
            assert!(fixture.store.load(&key).await.expect("loads").is_none(), "it was not deleted");
        }
    }
}

#[tokio::test]
async fn use_is_written_at_most_once_per_tenth_of_the_idle_timeout() {
    for fixture in Fixture::both() {
        let id = fixture.create().await;
        for second in 1..=IDLE {
            fixture.clock.advance(1);
            let loaded = fixture.load(&id).await.expect("there is a session");
            let tenth = IDLE / 10;
            assert_eq!(fixture.replaced(), usize::try_from(second / tenth).unwrap());
            assert_eq!(loaded.touched_at, START.plus(second / tenth * tenth));
            assert_eq!(loaded.created_at, START);
        }
    }
}

#[tokio::test]
async fn a_touch_that_fails_or_loses_its_race_is_no_end_of_the_session() {
    let fixture = Fixture::cold();
    let id = fixture.create().await;
    fixture.clock.advance(IDLE / 2);
    for flag in [&fixture.store.fails_to_write, &fixture.store.loses_races] {
        flag.store(true, Ordering::SeqCst);
        assert_eq!(fixture.load(&id).await.expect("there is a session").touched_at, START);
        flag.store(false, Ordering::SeqCst);
    }
    // What fails, fails at the index already.
    assert_eq!(fixture.replaced(), 1);
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_an_error_and_never_no_session() {
    let fixture = Fixture::cold();
    let (terms, login) = (fixture.shop.terms(), fixture.begin_login().await);
    let id = fixture.create().await;
    fixture.store.fails.store(true, Ordering::SeqCst);
    assert!(
        fixture
            .sessions
            .load_session(terms, &id.store_key(Purpose::Session, fixture.shop.uid))
            .await
            .is_err()
    );
    assert!(fixture.sessions.consume_login(terms, &login).await.is_err());
    assert!(fixture.sessions.create_session(terms, &session(START)).await.is_err());
    fixture.store.fails.store(false, Ordering::SeqCst);
    assert!(fixture.load(&id).await.is_some(), "an outage ended the session");
}

#[tokio::test]
async fn t031_a_cookie_of_one_policy_is_nothing_to_another() {
    for fixture in Fixture::both() {
        let (id, login) = (fixture.create().await, fixture.begin_login().await);
        let other = fixture.desk.terms();
        assert!(
            fixture
                .sessions
                .load_session(other, &id.store_key(Purpose::Session, fixture.desk.uid))
                .await
                .expect("loads")
                .is_none()
        );
        assert!(fixture.sessions.consume_login(other, &login).await.expect("takes").is_none());
        // Not even with the record moved to where the other policy looks.
        for (purpose, id) in [(Purpose::Session, &id), (Purpose::Login, &login)] {
            let [here, there] =
                [fixture.shop.uid, fixture.desk.uid].map(|uid| id.store_key(purpose, uid));
            let stored =
                fixture.store.load(&here).await.expect("loads").expect("there is a record");
            let ttl = Duration::from_secs(100);
            fixture.store.create(&there, stored.value, ttl).await.expect("creates");
        }
        assert!(
            fixture
                .sessions
                .load_session(other, &id.store_key(Purpose::Session, fixture.desk.uid))
                .await
                .expect("loads")
                .is_none()
        );
        assert!(fixture.sessions.consume_login(other, &login).await.expect("takes").is_none());
        assert!(fixture.load(&id).await.is_some());
        assert!(fixture.take_login(&login).await.is_some());
    }
}

#[tokio::test]
async fn t019_the_id_of_a_login_is_no_session_and_the_other_way_round() {
    for fixture in Fixture::both() {
        let (id, login) = (fixture.create().await, fixture.begin_login().await);
        assert!(fixture.load(&login).await.is_none());
        assert!(fixture.take_login(&id).await.is_none());
    }
}

#[tokio::test]
async fn t024_a_record_that_was_altered_is_no_session_and_stays_where_it_is() {
    for fixture in Fixture::both() {
        let id = fixture.create().await;
        let key = fixture.shop.key(&id);
        let long = Duration::from_hours(3);
        let stored = fixture.store.load(&key).await.expect("loads").expect("there is a record");
        let mut altered = stored.value.clone();
        altered[40] ^= 1;
        let not_a_session =
            fixture.sessions.seal(&fixture.shop.session_sealer, &key, &json!({"subject": 1}));
        let values = [altered, not_a_session.expect("seals"), b"junk".to_vec(), Vec::new()];
        for (version, value) in (stored.version..).zip(values) {
            assert!(
                fixture.store.replace_if_version(&key, version, value, long).await.expect("runs")
            );
            assert!(fixture.load(&id).await.is_none());
            assert!(fixture.store.load(&key).await.expect("loads").is_some());
        }
    }
}

#[tokio::test]
async fn a_login_can_be_taken_once_within_ten_minutes() {
    let fixture = Fixture::cold();
    let id = fixture.begin_login().await;
    fixture.clock.advance(LOGIN_SECONDS - 1);
    let taken = fixture.take_login(&id).await.expect("there is a login");
    assert_eq!(taken.state.expose(), "canary-state");
    assert!(fixture.take_login(&id).await.is_none(), "a login was taken twice");

    let late = fixture.begin_login().await;
    fixture.clock.advance(LOGIN_SECONDS);
    assert!(fixture.take_login(&late).await.is_none());
}

#[tokio::test]
async fn an_old_login_is_refused_though_the_store_kept_it() {
    let fixture = Fixture::cold();
    let id = SecretId::generate(&SystemRandom);
    let key = id.store_key(Purpose::Login, fixture.shop.uid);
    let old = transaction(Timestamp(START.0 - LOGIN_SECONDS));
    let sealed = fixture.sessions.seal(&fixture.shop.login_sealer, &key, &old).expect("seals");
    fixture.store.create(&key, sealed, Duration::from_hours(3)).await.expect("creates");
    assert!(fixture.take_login(&id).await.is_none());
}

#[tokio::test]
async fn a_dump_of_the_store_shows_no_token_claim_or_id() {
    let fixture = Fixture::cold();
    let ids = [fixture.create().await, fixture.begin_login().await];
    let dump = fixture.store.inner.dump();
    assert!(dump.len() > 500, "the dump has both records");
    let contains = |needle: &[u8]| dump.windows(needle.len()).any(|window| window == needle);
    for secret in ["canary", "sub", "example", "state", "https", "default/shop"] {
        assert!(!contains(secret.as_bytes()), "the dump shows {secret}");
    }
    for id in ids {
        assert!(!contains(id.encode().as_bytes()) && !contains(&id.0), "the dump shows an id");
    }
}

#[test]
fn t024_only_the_canonical_spelling_of_an_id_is_an_id() {
    let id = SecretId::generate(&SystemRandom);
    let text = id.encode();
    assert!(SecretId::parse(&text) == Some(id));
    // 43 characters hold 258 bits: the last two must be 0, or one id had four cookies.
    let last = text.chars().last().expect("a last character");
    for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars() {
        let spelled = format!("{}{other}", &text[..42]);
        let parsed = SecretId::parse(&spelled);
        assert!(parsed.is_none_or(|parsed| parsed.encode() == spelled), "{last} read as {other}");
    }
    for wrong in ["", "=", &text[..42], &format!("{text}="), &format!("{text}A"), &"+".repeat(43)] {
        assert!(SecretId::parse(wrong).is_none(), "{wrong:?} is an id");
    }
}

proptest! {
    #[test]
    fn t024_a_cookie_with_any_bit_flipped_is_no_session(
        bytes in any::<[u8; 32]>(), position in 0..43_usize, bit in 0..7_u32,
    ) {
        let id = SecretId(bytes);
        let mut cookie = id.encode().into_bytes();
        cookie[position] ^= 1 << bit;
        let altered = String::from_utf8(cookie).expect("ASCII");
        if let Some(other) = SecretId::parse(&altered) {
            let key = |id: &SecretId| id.store_key(Purpose::Session, "default/shop");
            prop_assert_ne!(key(&other), key(&id));
        }
    }

    #[test]
    fn t024_any_text_is_an_id_only_if_it_is_its_own_spelling(text in "\\PC{0,60}") {
        if let Some(id) = SecretId::parse(&text) {
            prop_assert_eq!(id.encode(), text);
        }
    }
}
