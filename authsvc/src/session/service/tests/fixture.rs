//! Sessions of two policies over a memory store, a clock that we move, and news that we tell.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;
use tokio::time::Instant;
use vestibule_policy::model::PolicyId;

use super::spy::{Spy, SpyStore};
use crate::clock::{Clock as _, ManualClock, Timestamp};
use crate::random::SystemRandom;
use crate::session::index::Indexer;
use crate::session::keyring::Keyring;
use crate::session::memory::MemoryStore;
use crate::session::seal::Sealer;
use crate::session::service::{Kind, Sessions, Terms};
use crate::session::store::ChangeListener as _;
use crate::session::{LoginTransaction, Purpose, SecretId, Session, StoreKey};
use crate::token::Token;

pub(super) const START: Timestamp = Timestamp(1_000_000);
pub(super) const IDLE: u64 = 1_000;
pub(super) const ABSOLUTE: u64 = 5_000;
pub(super) const ISSUER: &str = "https://canary-issuer.example";

/// A policy's part in this: its uid and sealers.
pub(super) struct Policy {
    id: PolicyId,
    pub(super) uid: &'static str,
    pub(super) session_sealer: Sealer,
    pub(super) login_sealer: Sealer,
    pub(super) indexer: Indexer,
}

impl Policy {
    pub(super) fn new(keyring: &Keyring, uid: &'static str) -> Self {
        Self {
            id: PolicyId { namespace: "default".to_owned(), name: "shop".to_owned() },
            uid,
            session_sealer: Sealer::new(keyring, uid, Purpose::Session),
            login_sealer: Sealer::new(keyring, uid, Purpose::Login),
            indexer: Indexer::new(keyring, uid),
        }
    }

    pub(super) fn terms(&self) -> Terms<'_> {
        Terms {
            policy: &self.id,
            policy_uid: self.uid,
            kind: Kind::Session(&[]),
            sealer: &self.session_sealer,
            login_sealer: &self.login_sealer,
            indexer: &self.indexer,
            idle_timeout: IDLE,
            absolute_timeout: ABSOLUTE,
        }
    }

    pub(super) fn key(&self, id: &SecretId) -> StoreKey {
        id.store_key(Purpose::Session, self.uid)
    }
}

/// One replica, or several.
pub(super) struct Fixture {
    pub(super) sessions: Arc<Sessions>,
    pub(super) store: Arc<SpyStore>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) shop: Policy,
    pub(super) desk: Policy,
    /// Whether sessions may come from memory.
    pub(super) warm: bool,
}

impl Fixture {
    fn new(warm: bool) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let store = Arc::new(SpyStore::by(Spy::default(), MemoryStore::new(clock.clone())));
        let keyring = Keyring::ephemeral(&SystemRandom);
        let shop = Policy::new(&keyring, "default/shop");
        let desk = Policy::new(&keyring, "default/desk");
        let sessions = replica(&store, &clock);
        Self { sessions, store, clock, shop, desk, warm }
    }

    /// Without news: the store is always asked.
    pub(super) fn cold() -> Self {
        Self::new(false)
    }

    /// With news: the store is asked no more than it has to be.
    pub(super) fn warm() -> Self {
        Self::new(true)
    }

    /// What must be so either way.
    pub(super) fn both() -> [Self; 2] {
        [Self::cold(), Self::warm()]
    }

    /// A second replica, which hears of what the first does.
    pub(super) fn beside(&self) -> Arc<Sessions> {
        replica(&self.store, &self.clock)
    }

    pub(super) async fn create(&self) -> SecretId {
        let session = session(self.clock.now());
        self.sessions.create_session(self.shop.terms(), &session).await.expect("creates")
    }

    pub(super) async fn load(&self, id: &SecretId) -> Option<Session> {
        self.load_at(&self.sessions, &self.shop, id).await
    }

    /// On this replica, under this version of the policy.
    pub(super) async fn load_at(
        &self,
        replica: &Sessions,
        policy: &Policy,
        id: &SecretId,
    ) -> Option<Session> {
        if self.warm {
            replica.cache.up_to_date(Instant::now());
        }
        let loaded = replica.load_session(policy.terms(), &policy.key(id)).await;
        loaded.expect("loads").map(Arc::unwrap_or_clone)
    }

    pub(super) async fn begin_login(&self) -> SecretId {
        let transaction = transaction(self.clock.now());
        self.sessions.create_login(self.shop.terms(), &transaction).await.expect("begins")
    }

    pub(super) async fn take_login(&self, id: &SecretId) -> Option<LoginTransaction> {
        self.sessions.consume_login(self.shop.terms(), id).await.expect("takes")
    }

    /// How often the store was asked to replace a record.
    pub(super) fn replaced(&self) -> usize {
        self.store.replaced.load(Ordering::SeqCst)
    }

    /// How often the store was asked anything.
    pub(super) fn asked(&self) -> usize {
        self.store.asked.load(Ordering::SeqCst)
    }
}

fn replica(store: &Arc<SpyStore>, clock: &Arc<ManualClock>) -> Arc<Sessions> {
    let sessions = Sessions::new(store.clone(), clock.clone(), Arc::new(SystemRandom));
    // It hears of all from here on; that nothing was missed is for each test to say.
    store.listen(sessions.cache.clone());
    sessions
}

pub(super) fn session(now: Timestamp) -> Session {
    Session {
        subject: "canary-subject".to_owned(),
        issuer: ISSUER.to_owned(),
        provider_session: Some("canary-sid".to_owned()),
        id_token: Token::new("canary-id-token"),
        id_token_expires_at: now.plus(60),
        access_token: Token::new("canary-access-token"),
        access_token_expires_at: None,
        refresh_token: None,
        tokens_issued_at: now,
        nonce: None,
        claims: json!({"sub": "canary-subject", "email": "canary@example.com"})
            .as_object()
            .expect("an object")
            .clone()
            .into(),
        acr: Some("canary-acr".to_owned()),
        auth_time: now,
        created_at: now,
        touched_at: now,
        grant: None,
    }
}

pub(super) fn transaction(now: Timestamp) -> LoginTransaction {
    LoginTransaction {
        state: Token::new("canary-state"),
        nonce: Token::new("canary-nonce"),
        code_verifier: Token::new("canary-verifier"),
        issuer: ISSUER.to_owned(),
        redirect_uri: "https://shop.example/bff/callback".to_owned(),
        return_to: "/canary-return".to_owned(),
        acr_values: Vec::new(),
        max_age: None,
        created_at: now,
        elevation: None,
    }
}
