//! Eviction, the bound in bytes, silence, and the moments at which an answer may be kept.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::clock::Timestamp;
use crate::random::SystemRandom;
use crate::session::keyring::Keyring;
use crate::session::seal::Sealer;
use crate::session::{Purpose, SecretId};
use crate::token::Token;

pub(super) fn fresh_key() -> StoreKey {
    SecretId::generate(&SystemRandom).store_key(Purpose::Session, "default/shop")
}

pub(super) fn sealer_id() -> SealerId {
    let keyring = Keyring::ephemeral(&SystemRandom);
    Sealer::new(&keyring, "default/shop", Purpose::Session).id().clone()
}

pub(super) fn kept(subject: &str, version: u64, opened_by: &SealerId) -> Kept {
    let session = Session {
        subject: subject.to_owned(),
        issuer: "https://id.example".to_owned(),
        provider_session: None,
        id_token: Token::new("i".repeat(1_000)),
        id_token_expires_at: Timestamp(0),
        access_token: Token::new("a".repeat(1_000)),
        access_token_expires_at: None,
        refresh_token: None,
        tokens_issued_at: Timestamp(0),
        nonce: None,
        claims: json!({"groups": ["a", "b"]}).as_object().expect("an object").clone().into(),
        acr: None,
        auth_time: Timestamp(0),
        created_at: Timestamp(0),
        touched_at: Timestamp(0),
        grant: None,
    };
    Kept { session: Arc::new(session), version, opened_by: opened_by.clone(), by_active_key: true }
}

/// One that is told of changes.
fn told(bytes: usize) -> (SessionCache, SealerId) {
    let cache = SessionCache::new(bytes);
    cache.interrupted();
    cache.up_to_date(Instant::now());
    (cache, sealer_id())
}

#[test]
fn what_was_kept_is_given_to_its_sealer_alone() {
    let (cache, sealer) = told(DEFAULT_BYTES);
    let key = fresh_key();
    cache.keep(cache.ticket(&key), &key, kept("one", 1, &sealer));
    assert_eq!(cache.get(&key, &sealer).expect("kept").0.session.subject, "one");
    assert!(cache.get(&fresh_key(), &sealer).is_none());
    assert!(cache.get(&key, &sealer_id()).is_none());
}

#[test]
fn an_answer_that_news_overtook_is_not_kept() {
    let (cache, sealer) = told(DEFAULT_BYTES);
    for overtake in [
        |cache: &SessionCache, key: &StoreKey| cache.changed(key, Change::Ended),
        |cache: &SessionCache, key: &StoreKey| cache.changed(key, Change::Replaced),
        |cache: &SessionCache, key: &StoreKey| cache.forget(key),
        |cache: &SessionCache, _: &StoreKey| {
            cache.interrupted();
            cache.up_to_date(Instant::now());
        },
    ] {
        let key = fresh_key();
        let ticket = cache.ticket(&key);
        assert!(ticket.is_some());
        overtake(&cache, &key);
        cache.keep(ticket, &key, kept("stale", 1, &sealer));
        assert!(cache.get(&key, &sealer).is_none());
        assert_eq!(cache.bytes(), 0);
    }
}

#[test]
fn an_answer_that_was_asked_for_before_changes_were_told_is_not_kept() {
    let (cache, sealer) = told(DEFAULT_BYTES);
    let key = fresh_key();
    cache.interrupted();
    // Whatever changes now is told to nobody: the subscription is not there yet.
    let ticket = cache.ticket(&key);
    cache.up_to_date(Instant::now());
    cache.keep(ticket, &key, kept("stale", 1, &sealer));
    assert!(cache.get(&key, &sealer).is_none());
}

#[test]
fn a_touch_that_news_overtook_leaves_no_older_version_behind() {
    let (cache, sealer) = told(DEFAULT_BYTES);
    let key = fresh_key();
    cache.keep(cache.ticket(&key), &key, kept("one", 1, &sealer));
    cache.keep(None, &key, kept("two", 2, &sealer));
    assert!(cache.get(&key, &sealer).is_none());
    cache.keep(cache.ticket(&key), &key, kept("three", 3, &sealer));
    cache.keep(cache.ticket(&key), &key, kept("two", 2, &sealer));
    assert_eq!(cache.get(&key, &sealer).expect("kept").0.version, 3, "an older answer won");
}

#[test]
fn silence_for_longer_than_half_a_second_makes_it_cold_and_the_next_answer_warm_again() {
    let (cache, sealer) = told(DEFAULT_BYTES);
    let key = fresh_key();
    let now = Instant::now();
    cache.up_to_date(now);
    cache.keep(cache.ticket(&key), &key, kept("one", 1, &sealer));
    let just = now + FRESH_FOR;
    assert!(cache.get_at(&key, &sealer, just).is_some());
    assert!(cache.get_at(&key, &sealer, just + Duration::from_millis(1)).is_none());
    cache.up_to_date(just);
    assert!(cache.get_at(&key, &sealer, just + Duration::from_millis(1)).is_some());
    cache.up_to_date(now);
    assert!(cache.get_at(&key, &sealer, just + FRESH_FOR).is_some(), "an older moment won");
    cache.interrupted();
    assert!(cache.get_at(&key, &sealer, just).is_none());
    cache.up_to_date(just);
    assert!(cache.get_at(&key, &sealer, just).is_none(), "what was before is worth nothing");
}

#[test]
fn it_stays_within_its_bytes_and_what_is_used_outlives_what_is_not() {
    const BYTES: usize = 1024 * 1024;
    let (cache, sealer) = told(BYTES);
    let used: Vec<StoreKey> = (0..20).map(|_| fresh_key()).collect();
    for key in &used {
        cache.keep(cache.ticket(key), key, kept("used", 1, &sealer));
    }
    for _ in 0..5_000 {
        cache.up_to_date(Instant::now());
        let key = fresh_key();
        cache.keep(cache.ticket(&key), &key, kept("once", 1, &sealer));
        assert!(cache.bytes() <= BYTES);
        for key in &used {
            let _ = cache.get(key, &sealer);
        }
    }
    assert!(cache.bytes() > BYTES / 2, "it holds no more than {} bytes", cache.bytes());
    assert!(used.iter().all(|key| cache.get(key, &sealer).is_some()), "what was used is gone");
}

#[test]
fn what_news_drops_again_and_again_leaves_nothing_behind() {
    let (cache, sealer) = told(DEFAULT_BYTES);
    let key = fresh_key();
    for version in 0..10_000 {
        cache.keep(cache.ticket(&key), &key, kept("one", version, &sealer));
        cache.changed(&key, Change::Replaced);
    }
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn with_no_bytes_it_keeps_nothing() {
    let (cache, sealer) = told(0);
    let key = fresh_key();
    cache.keep(cache.ticket(&key), &key, kept("one", 1, &sealer));
    assert!(cache.get(&key, &sealer).is_none());
    let (cache, key) = (told(64 * 1024).0, fresh_key());
    let mut large = kept("large", 1, &sealer);
    Arc::make_mut(&mut large.session).acr = Some("x".repeat(5_000));
    cache.keep(cache.ticket(&key), &key, large);
    assert_eq!(cache.bytes(), 0, "one session took more than its shard");
}

#[test]
fn one_of_those_who_want_to_note_a_use_is_let() {
    let (cache, sealer) = told(DEFAULT_BYTES);
    let key = fresh_key();
    cache.keep(cache.ticket(&key), &key, kept("one", 1, &sealer));
    let let_through = (0..100).filter(|_| cache.claim_touch(&key)).count();
    assert_eq!(let_through, 1);
    cache.keep(cache.ticket(&key), &key, kept("two", 2, &sealer));
    assert!(cache.claim_touch(&key), "the next use can be noted");
}

#[tokio::test]
async fn who_no_longer_waits_for_news_leaves_nothing_behind() {
    let cache = Arc::new(SessionCache::new(0));
    let key = fresh_key();
    let [one, other] = [cache.news(&key), cache.news(&key)];
    drop(one);
    assert_eq!(cache.shard(&key).listening(), 1);
    drop(other);
    assert_eq!(cache.shard(&key).listening(), 0);
}
