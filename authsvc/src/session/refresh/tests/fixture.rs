//! Replicas over one store, a provider that rotates its refresh tokens, and a log.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tracing::subscriber::DefaultGuard;

use super::super::{Outcome, Redeemer, Refreshed};
use super::faults::{Faults, FaultyStore};
use crate::clock::{Clock, Timestamp};
use crate::oidc::{Identity, OidcError, Providers, RefreshError};
use crate::policies::LivePolicy;
use crate::random::SystemRandom;
use crate::session::keyring::Keyring;
use crate::session::memory::MemoryStore;
use crate::session::service::{Loaded, Sessions, open};
use crate::session::store::{SessionStore as _, Versioned};
use crate::session::{Purpose, SecretId, Session};
use crate::token::Token;

pub const START: Timestamp = Timestamp(1_800_000_000);

/// Tokio's time, which passes at once where nobody has anything to do.
pub struct TokioClock(pub Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        START.plus(self.0.elapsed().as_secs())
    }
}

/// What the provider answers.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Answer {
    #[default]
    Tokens,
    /// With another `sid`.
    OtherSid,
    Ended,
    Failed,
    Panic,
}

/// A provider that counts.
#[derive(Default)]
pub struct FakeProvider {
    answer: Mutex<Answer>,
    takes: Mutex<Duration>,
    redeemed: Mutex<Vec<String>>,
    given: AtomicUsize,
    cut: Mutex<Vec<Instant>>,
    discarded: Mutex<Vec<String>>,
}

impl FakeProvider {
    pub fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub fn takes(&self, duration: Duration) {
        *self.takes.lock().unwrap() = duration;
    }

    /// The refresh tokens that it got, in order.
    pub fn redeemed(&self) -> Vec<String> {
        self.redeemed.lock().unwrap().clone()
    }

    fn next(&self) -> usize {
        self.given.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// When redeems were dropped before their end.
    pub fn cut(&self) -> Vec<Instant> {
        self.cut.lock().unwrap().clone()
    }

    /// The access tokens that it was told to revoke.
    pub fn discarded(&self) -> Vec<String> {
        self.discarded.lock().unwrap().clone()
    }
}

struct Cut<'a> {
    provider: &'a FakeProvider,
    done: bool,
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.provider.cut.lock().unwrap().push(Instant::now());
        }
    }
}

impl Redeemer for FakeProvider {
    fn redeem<'a>(
        &'a self,
        session: &'a Session,
        _deadline: Instant,
    ) -> BoxFuture<'a, Result<Identity, RefreshError>> {
        async move {
            let refresh_token = session.refresh_token.as_ref().expect("is there");
            self.redeemed.lock().unwrap().push(refresh_token.expose().to_owned());
            let (answer, takes) = (*self.answer.lock().unwrap(), *self.takes.lock().unwrap());
            let mut cut = Cut { provider: self, done: false };
            sleep(takes).await;
            cut.done = true;
            match answer {
                Answer::Ended => Err(RefreshError::Ended(OidcError::Refused("invalid_grant"))),
                Answer::Failed => {
                    let error = OidcError::Unavailable("token endpoint: status 502".to_owned());
                    Err(RefreshError::Failed(error))
                }
                Answer::Panic => panic!("a defect"),
                Answer::Tokens => Ok(identity(session, self.next(), "sid-0")),
                Answer::OtherSid => Ok(identity(session, self.next(), "sid-1")),
            }
        }
        .boxed()
    }

    fn discard(&self, session: &Session) {
        self.discarded.lock().unwrap().push(session.access_token.expose().to_owned());
    }
}

fn identity(session: &Session, count: usize, sid: &str) -> Identity {
    let session = session.clone();
    Identity {
        subject: session.subject,
        issuer: session.issuer,
        provider_session: Some(sid.to_owned()),
        id_token: session.id_token,
        id_token_expires_at: session.id_token_expires_at,
        access_token: Token::new(format!("access-{count}")),
        access_token_expires_at: session.access_token_expires_at.map(|end| end.plus(300)),
        refresh_token: Some(Token::new(format!("refresh-{count}"))),
        scopes: None,
        claims: session.claims,
        acr: session.acr,
        auth_time: session.auth_time,
    }
}

pub struct Fixture {
    pub replicas: Vec<Arc<Sessions>>,
    pub store: Arc<FaultyStore>,
    pub policy: Arc<LivePolicy>,
    pub provider: Arc<FakeProvider>,
    /// The session as every request here has seen it.
    pub seen: Loaded,
    id: SecretId,
    keyring: Keyring,
    clock: Arc<TokioClock>,
}

impl Fixture {
    pub async fn new(replicas: usize) -> Self {
        let clock = Arc::new(TokioClock(Instant::now()));
        let store = Arc::new(FaultyStore::by(Faults::default(), MemoryStore::new(clock.clone())));
        let replicas: Vec<_> = (0..replicas)
            .map(|_| Sessions::new(store.clone(), clock.clone(), Arc::new(SystemRandom)))
            .collect();
        for sessions in &replicas {
            let sessions = Arc::clone(sessions);
            tokio::spawn(async move { sessions.follow().await });
        }
        let keyring = Keyring::ephemeral(&SystemRandom);
        let policy = policy("shop", &clock, &keyring);
        let id = replicas[0].create(&policy, &session("refresh-0")).await.expect("creates");
        let seen = replicas[0].load(&policy, &id).await.expect("loads").expect("is there");
        let provider = Arc::default();
        Self { replicas, store, policy, provider, seen, id, keyring, clock }
    }

    pub fn redeemer(&self) -> Arc<dyn Redeemer> {
        self.provider.clone()
    }

    pub async fn refresh(&self, replica: usize) -> Outcome {
        self.refresh_seen(replica, &self.seen).await
    }

    pub async fn refresh_seen(&self, replica: usize, seen: &Loaded) -> Outcome {
        self.replicas[replica].refresh_by(&self.policy, self.redeemer(), seen).await
    }

    pub fn refresh_soon(&self, replica: usize) {
        self.replicas[replica].refresh_soon_by(&self.policy, self.redeemer(), &self.seen);
    }

    /// What the store has, whatever faults it shows.
    pub async fn stored(&self) -> Option<Session> {
        let record = self.record().await?;
        let opened = open(&self.policy.session_sealer, &self.seen.key, &record.value);
        Some(opened.expect("opens"))
    }

    pub async fn record(&self) -> Option<Versioned> {
        self.store.inner.load(&self.seen.key).await.expect("loads")
    }

    pub async fn another_session(&self, refresh_token: &str) -> Loaded {
        let sessions = &self.replicas[0];
        let id = sessions.create(&self.policy, &session(refresh_token)).await.expect("creates");
        sessions.load(&self.policy, &id).await.expect("loads").expect("is there")
    }

    /// A session of another policy under the same id.
    pub async fn session_of_another_policy(
        &self,
        refresh_token: &str,
    ) -> (Arc<LivePolicy>, Loaded) {
        let policy = policy("other", &self.clock, &self.keyring);
        let key = self.id.store_key(Purpose::Session, &policy.compiled.uid);
        let session = session(refresh_token);
        let plain = serde_json::to_vec(&session).expect("is JSON");
        let sealed = policy.session_sealer.seal(&SystemRandom, &key, plain);
        self.store.create(&key, sealed, Duration::from_mins(10)).await.expect("creates");
        (policy, Loaded { key, session: Arc::new(session) })
    }
}

fn policy(name: &str, clock: &Arc<TokioClock>, keyring: &Keyring) -> Arc<LivePolicy> {
    let compiled = crate::policies::tests::compiled(name, &["https://shop.example.com"]);
    let providers = Providers::new(clock.clone(), Arc::new(SystemRandom));
    let provider = providers.get(&compiled.provider).expect("an issuer");
    Arc::new(LivePolicy::new(compiled, keyring, provider).expect("names of headers"))
}

fn session(refresh_token: &str) -> Session {
    Session {
        subject: "u-1".to_owned(),
        issuer: "https://id.example.com".to_owned(),
        provider_session: Some("sid-0".to_owned()),
        id_token: Token::new("canary-id-token"),
        id_token_expires_at: START.plus(300),
        access_token: Token::new("access-0"),
        access_token_expires_at: Some(START.plus(300)),
        refresh_token: Some(Token::new(refresh_token)),
        tokens_issued_at: START,
        nonce: Some(Token::new("canary-nonce")),
        claims: json!({"sub": "u-1"}).as_object().expect("an object").clone().into(),
        acr: None,
        auth_time: START,
        created_at: START,
        touched_at: START,
        grant: None,
    }
}

impl Refreshed {
    /// The access token that came of it.
    pub(super) fn token(&self) -> &str {
        match self {
            Self::Fresh(loaded) => loaded.session.access_token.expose(),
            other => panic!("{other:?}"),
        }
    }
}

/// The log of this thread, while it lives.
pub struct Log {
    text: Arc<Mutex<Vec<u8>>>,
    _subscriber: DefaultGuard,
}

impl Log {
    pub fn start() -> Self {
        let text = Arc::<Mutex<Vec<u8>>>::default();
        let writer = Writer(Arc::clone(&text));
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        Self { text, _subscriber: tracing::subscriber::set_default(subscriber) }
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).expect("UTF-8")
    }
}

#[derive(Clone)]
struct Writer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
