//! Timeouts, touching and separation of policies, over the memory store and a clock that we move.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use proptest::prelude::*;
use serde_json::json;

use super::super::keyring::Keyring;
use super::super::memory::MemoryStore;
use super::super::index::{IndexKey, MarkKey};
use super::super::store::{Acquired, ChangeListener, Owner, StoreFuture, Versioned};
use super::*;
use crate::clock::ManualClock;
use crate::random::SystemRandom;
use crate::token::Token;

const START: Timestamp = Timestamp(1_000_000);
const IDLE: u64 = 1_000;
const ABSOLUTE: u64 = 5_000;

/// A memory store that counts writes, and fails or loses races on demand.
struct SpyStore {
    inner: MemoryStore,
    replaced: AtomicUsize,
    fails: AtomicBool,
    fails_to_write: AtomicBool,
    loses_races: AtomicBool,
}

impl SpyStore {
    fn gate<'a, T: Send + 'a>(
        &self,
        writes: bool,
        call: StoreFuture<'a, T>,
    ) -> StoreFuture<'a, T> {
        let broken = self.fails.load(Ordering::SeqCst)
            || (writes && self.fails_to_write.load(Ordering::SeqCst));
        if broken { async { Err(StoreError("cut off".to_owned())) }.boxed() } else { call }
    }
}

impl SessionStore for SpyStore {
    fn create<'a>(
        &'a self,
        key: &'a StoreKey,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, ()> {
        self.gate(true, self.inner.create(key, value, ttl))
    }

    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        self.gate(false, self.inner.load(key))
    }

    fn load_many<'a>(&'a self, keys: &'a [StoreKey]) -> StoreFuture<'a, Vec<Option<Versioned>>> {
        self.gate(false, self.inner.load_many(keys))
    }

    fn replace_if_version<'a>(
        &'a self,
        key: &'a StoreKey,
        version: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        self.replaced.fetch_add(1, Ordering::SeqCst);
        let lost = u64::from(self.loses_races.load(Ordering::SeqCst));
        self.gate(true, self.inner.replace_if_version(key, version + lost, value, ttl))
    }

    fn delete<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, bool> {
        self.gate(true, self.inner.delete(key))
    }

    fn take<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.gate(true, self.inner.take(key))
    }

    fn acquire<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        lease: Duration,
    ) -> StoreFuture<'a, Acquired> {
        self.gate(true, self.inner.acquire(key, owner, lease))
    }

    fn renew<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        lease: Duration,
    ) -> StoreFuture<'a, bool> {
        self.gate(true, self.inner.renew(key, owner, lease))
    }

    fn complete<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        fence: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        self.gate(true, self.inner.complete(key, owner, fence, value, ttl))
    }

    fn delete_under_lease<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        fence: u64,
    ) -> StoreFuture<'a, bool> {
        self.gate(true, self.inner.delete_under_lease(key, owner, fence))
    }

    fn release<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        pause: Duration,
    ) -> StoreFuture<'a, ()> {
        self.gate(true, self.inner.release(key, owner, pause))
    }

    fn index<'a>(&'a self, entries: &'a [IndexEntry]) -> StoreFuture<'a, ()> {
        self.gate(true, self.inner.index(entries))
    }

    fn unindex<'a>(&'a self, entries: &'a [IndexEntry]) -> StoreFuture<'a, ()> {
        self.gate(true, self.inner.unindex(entries))
    }

    fn indexed<'a>(
        &'a self,
        index: &'a IndexKey,
        offset: usize,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoreKey>> {
        self.gate(false, self.inner.indexed(index, offset, limit))
    }

    fn mark_once<'a>(&'a self, mark: &'a MarkKey, ttl: Duration) -> StoreFuture<'a, bool> {
        self.gate(true, self.inner.mark_once(mark, ttl))
    }

    fn tell_changes(&self, listener: Arc<dyn ChangeListener>) -> BoxFuture<'_, ()> {
        self.inner.tell_changes(listener)
    }
}

/// A policy's part in this: its uid and sealers.
struct Policy {
    uid: &'static str,
    session_sealer: Sealer,
    login_sealer: Sealer,
    indexer: Indexer,
}

impl Policy {
    fn new(keyring: &Keyring, uid: &'static str) -> Self {
        Self {
            uid,
            session_sealer: Sealer::new(keyring, uid, Purpose::Session),
            login_sealer: Sealer::new(keyring, uid, Purpose::Login),
            indexer: Indexer::new(keyring, uid),
        }
    }

    fn terms(&self) -> Terms<'_> {
        Terms {
            policy_uid: self.uid,
            session_sealer: &self.session_sealer,
            login_sealer: &self.login_sealer,
            indexer: &self.indexer,
            idle_timeout: IDLE,
            absolute_timeout: ABSOLUTE,
        }
    }
}

struct Fixture {
    sessions: Sessions,
    store: Arc<SpyStore>,
    clock: Arc<ManualClock>,
    shop: Policy,
    desk: Policy,
}

impl Fixture {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let store = Arc::new(SpyStore {
            inner: MemoryStore::new(clock.clone()),
            replaced: AtomicUsize::default(),
            fails: AtomicBool::default(),
            fails_to_write: AtomicBool::default(),
            loses_races: AtomicBool::default(),
        });
        let keyring = Keyring::ephemeral(&SystemRandom);
        Self {
            sessions: Sessions::new(store.clone(), clock.clone(), Arc::new(SystemRandom)),
            store,
            clock,
            shop: Policy::new(&keyring, "default/shop"),
            desk: Policy::new(&keyring, "default/desk"),
        }
    }

    async fn create(&self) -> SecretId {
        let session = session(self.clock.now());
        self.sessions.create_session(self.shop.terms(), &session).await.expect("creates")
    }

    async fn load(&self, id: &SecretId) -> Option<Session> {
        let key = id.store_key(Purpose::Session, self.shop.uid);
        self.sessions.load_session(self.shop.terms(), &key).await.expect("loads")
    }

    async fn begin_login(&self) -> SecretId {
        let transaction = transaction(self.clock.now());
        self.sessions.create_login(self.shop.terms(), &transaction).await.expect("begins")
    }

    async fn take_login(&self, id: &SecretId) -> Option<LoginTransaction> {
        self.sessions.consume_login(self.shop.terms(), id).await.expect("takes")
    }

    fn replaced(&self) -> usize {
        self.store.replaced.load(Ordering::SeqCst)
    }
}

fn session(now: Timestamp) -> Session {
    Session {
        subject: "canary-subject".to_owned(),
        issuer: "https://canary-issuer.example".to_owned(),
        provider_session: Some("canary-sid".to_owned()),
        id_token: Token::new("canary-id-token"),
        id_token_expires_at: now.plus(60),
        access_token: Token::new("canary-access-token"),
        access_token_expires_at: None,
        refresh_token: None,
        nonce: None,
        claims: json!({"sub": "canary-subject", "email": "canary@example.com"})
            .as_object()
            .expect("an object")
            .clone(),
        acr: Some("canary-acr".to_owned()),
        auth_time: now,
        created_at: now,
        touched_at: now,
    }
}

fn transaction(now: Timestamp) -> LoginTransaction {
    LoginTransaction {
        state: Token::new("canary-state"),
        nonce: Token::new("canary-nonce"),
        code_verifier: Token::new("canary-verifier"),
        issuer: "https://canary-issuer.example".to_owned(),
        redirect_uri: "https://shop.example/bff/callback".to_owned(),
        return_to: "/canary-return".to_owned(),
        acr_values: Vec::new(),
        max_age: None,
        created_at: now,
    }
}

#[tokio::test]
async fn a_session_comes_back_as_it_was_stored() {
    let fixture = Fixture::new();
    let loaded = fixture.load(&fixture.create().await).await.expect("there is a session");
    let values = [loaded, session(START)].map(|session| serde_json::to_value(session).unwrap());
    assert_eq!(values[0], values[1]);
}

#[tokio::test]
async fn every_session_and_login_gets_a_new_id() {
    let fixture = Fixture::new();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..100 {
        assert!(seen.insert(fixture.create().await.encode()));
        assert!(seen.insert(fixture.begin_login().await.encode()));
    }
}

#[tokio::test]
async fn a_session_that_was_ended_is_gone() {
    let fixture = Fixture::new();
    let id = fixture.create().await;
    let key = id.store_key(Purpose::Session, fixture.shop.uid);
    fixture.store.delete(&key).await.expect("deletes");
    assert!(fixture.load(&id).await.is_none());
}

#[tokio::test]
async fn an_idle_session_is_over_to_the_second_and_deleted() {
    let fixture = Fixture::new();
    let id = fixture.create().await;
    fixture.clock.advance(IDLE - 1);
    assert!(fixture.load(&id).await.is_some());
    fixture.clock.advance(IDLE - 1);
    assert!(fixture.load(&id).await.is_some(), "the use did not count");
    fixture.clock.advance(IDLE);
    assert!(fixture.load(&id).await.is_none());
    assert!(fixture.store.inner.dump().is_empty());
}

#[tokio::test]
async fn a_session_in_steady_use_is_over_at_its_absolute_timeout() {
    let fixture = Fixture::new();
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

#[tokio::test]
async fn timeouts_hold_though_the_store_forgets_to_expire_and_cannot_delete() {
    let fixture = Fixture::new();
    let policy = &fixture.shop;
    for (idle_for, alive_for) in [(IDLE, IDLE), (0, ABSOLUTE)] {
        let id = SecretId::generate(&SystemRandom);
        let key = id.store_key(Purpose::Session, policy.uid);
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

#[tokio::test]
async fn use_is_written_at_most_once_per_tenth_of_the_idle_timeout() {
    let fixture = Fixture::new();
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

#[tokio::test]
async fn a_touch_that_fails_or_loses_its_race_is_no_end_of_the_session() {
    let fixture = Fixture::new();
    let id = fixture.create().await;
    fixture.clock.advance(IDLE / 2);
    for flag in [&fixture.store.fails_to_write, &fixture.store.loses_races] {
        flag.store(true, Ordering::SeqCst);
        assert_eq!(fixture.load(&id).await.expect("there is a session").touched_at, START);
        flag.store(false, Ordering::SeqCst);
    }
    assert_eq!(fixture.replaced(), 2);
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_an_error_and_never_no_session() {
    let fixture = Fixture::new();
    let (terms, login) = (fixture.shop.terms(), fixture.begin_login().await);
    let id = fixture.create().await;
    fixture.store.fails.store(true, Ordering::SeqCst);
    assert!(fixture.sessions.load_session(terms, &id.store_key(Purpose::Session, fixture.shop.uid)).await.is_err());
    assert!(fixture.sessions.consume_login(terms, &login).await.is_err());
    assert!(fixture.sessions.create_session(terms, &session(START)).await.is_err());
    fixture.store.fails.store(false, Ordering::SeqCst);
    assert!(fixture.load(&id).await.is_some(), "an outage ended the session");
}

#[tokio::test]
async fn t031_a_cookie_of_one_policy_is_nothing_to_another() {
    let fixture = Fixture::new();
    let (id, login) = (fixture.create().await, fixture.begin_login().await);
    let other = fixture.desk.terms();
    assert!(fixture.sessions.load_session(other, &id.store_key(Purpose::Session, fixture.desk.uid)).await.expect("loads").is_none());
    assert!(fixture.sessions.consume_login(other, &login).await.expect("takes").is_none());
    // Not even with the record moved to where the other policy looks.
    for (purpose, id) in [(Purpose::Session, &id), (Purpose::Login, &login)] {
        let [here, there] =
            [fixture.shop.uid, fixture.desk.uid].map(|uid| id.store_key(purpose, uid));
        let stored = fixture.store.load(&here).await.expect("loads").expect("there is a record");
        let ttl = Duration::from_secs(100);
        fixture.store.create(&there, stored.value, ttl).await.expect("creates");
    }
    assert!(fixture.sessions.load_session(other, &id.store_key(Purpose::Session, fixture.desk.uid)).await.expect("loads").is_none());
    assert!(fixture.sessions.consume_login(other, &login).await.expect("takes").is_none());
    assert!(fixture.load(&id).await.is_some());
    assert!(fixture.take_login(&login).await.is_some());
}

#[tokio::test]
async fn t019_the_id_of_a_login_is_no_session_and_the_other_way_round() {
    let fixture = Fixture::new();
    let (id, login) = (fixture.create().await, fixture.begin_login().await);
    assert!(fixture.load(&login).await.is_none());
    assert!(fixture.take_login(&id).await.is_none());
}

#[tokio::test]
async fn t024_a_record_that_was_altered_is_no_session_and_stays_where_it_is() {
    let fixture = Fixture::new();
    let id = fixture.create().await;
    let key = id.store_key(Purpose::Session, fixture.shop.uid);
    let long = Duration::from_hours(3);
    let stored = fixture.store.load(&key).await.expect("loads").expect("there is a record");
    let mut altered = stored.value.clone();
    altered[40] ^= 1;
    let not_a_session =
        fixture.sessions.seal(&fixture.shop.session_sealer, &key, &json!({"subject": 1}));
    let values = [altered, not_a_session.expect("seals"), b"junk".to_vec(), Vec::new()];
    for (version, value) in (stored.version..).zip(values) {
        assert!(fixture.store.replace_if_version(&key, version, value, long).await.expect("runs"));
        assert!(fixture.load(&id).await.is_none());
        assert!(fixture.store.load(&key).await.expect("loads").is_some());
    }
}

#[tokio::test]
async fn a_login_can_be_taken_once_within_ten_minutes() {
    let fixture = Fixture::new();
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
    let fixture = Fixture::new();
    let id = SecretId::generate(&SystemRandom);
    let key = id.store_key(Purpose::Login, fixture.shop.uid);
    let old = transaction(Timestamp(START.0 - LOGIN_SECONDS));
    let sealed = fixture.sessions.seal(&fixture.shop.login_sealer, &key, &old).expect("seals");
    fixture.store.create(&key, sealed, Duration::from_hours(3)).await.expect("creates");
    assert!(fixture.take_login(&id).await.is_none());
}

#[tokio::test]
async fn a_dump_of_the_store_shows_no_token_claim_or_id() {
    let fixture = Fixture::new();
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
