//! A session with elevated tokens on some replicas over one store, and a provider that counts.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use vestibule_policy::model::{CompiledAuthority, CompiledScope, Obtain, TokenStorage};

use crate::clock::{Clock, Timestamp};
use crate::oidc::{Identity, OidcError, Providers, RefreshError};
use crate::policies::{LiveAuthority, LivePolicy};
use crate::random::SystemRandom;
use crate::session::keyring::Keyring;
use crate::session::memory::MemoryStore;
use crate::session::refresh::{Redeemer, Refreshed};
use crate::session::service::{Loaded, Sessions, Terms};
use crate::session::store::{SessionStore as _, StoreError, Versioned};
use crate::session::{Claims, Grant, SecretId, Session, StoreKey};
use crate::token::Token;

pub const START: Timestamp = Timestamp(1_800_000_000);
pub const ISSUER: &str = "https://id.example.com";
/// The authorities of the policy, and what each lists.
const BASES: [(&str, &[&str]); 2] = [("/production", &["read", "write"]), ("/billing", &["pay"])];

/// Tokio's time, which passes at once where nobody has anything to do.
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        START.plus(self.0.elapsed().as_secs())
    }
}

pub fn scopes(list: &[&str]) -> Vec<String> {
    list.iter().map(|scope| (*scope).to_owned()).collect()
}

pub fn authority(base: &str, listed: &[&str]) -> CompiledAuthority {
    let scope = |name: &&str| CompiledScope { name: (*name).to_owned(), description: None };
    CompiledAuthority {
        base: base.to_owned(),
        scopes: listed.iter().map(scope).collect(),
        added_scopes: scopes(&["openid", "email"]),
        obtain: Obtain::AuthorizationCode,
        audience: None,
        resources: Vec::new(),
        acr: None,
        max_age: None,
        storage: TokenStorage::Session,
        client: None,
        permissions: Vec::new(),
    }
}

/// An authority of a policy that has it alone.
pub fn live(base: &str, listed: &[&str]) -> Arc<LiveAuthority> {
    let clock: Arc<dyn Clock> = Arc::new(crate::clock::ManualClock::new(START));
    let keyring = Keyring::ephemeral(&SystemRandom);
    let policy = policy("shop", &clock, &keyring, vec![authority(base, listed)]);
    Arc::clone(&policy.authorities()[0])
}

fn policy(
    name: &str,
    clock: &Arc<dyn Clock>,
    keyring: &Keyring,
    authorities: Vec<CompiledAuthority>,
) -> Arc<LivePolicy> {
    let mut compiled = crate::policies::tests::compiled(name, &["https://shop.example.com"]);
    compiled.authorities = authorities;
    let providers = Providers::new(Arc::clone(clock), Arc::new(SystemRandom));
    let provider = providers.get(&compiled.provider).expect("an issuer");
    Arc::new(LivePolicy::new(compiled, keyring, provider).expect("names of headers"))
}

/// What a login at the provider gives.
pub fn identity(scopes: Option<Vec<String>>) -> Identity {
    Identity {
        subject: "u-1".to_owned(),
        issuer: ISSUER.to_owned(),
        provider_session: Some("sid-1".to_owned()),
        id_token: Token::new("canary-id-token"),
        id_token_expires_at: START.plus(300),
        access_token: Token::new("access"),
        access_token_expires_at: Some(START.plus(300)),
        refresh_token: Some(Token::new("refresh")),
        scopes,
        claims: json!({"sub": "u-1", "email": "ada@example.com"})
            .as_object()
            .expect("an object")
            .clone()
            .into(),
        acr: None,
        auth_time: START,
    }
}

/// An elevated token of the user, for `read`.
pub fn elevated(access_token: &str, refresh_token: Option<&str>) -> Session {
    Session {
        id_token: Token::new(""),
        claims: Claims::new(),
        access_token: Token::new(access_token),
        refresh_token: refresh_token.map(Token::new),
        grant: Some(Box::new(Grant { asked: scopes(&["read"]), granted: scopes(&["read"]) })),
        ..identity(None).into_session(None, START)
    }
}

/// What the provider says to a refresh.
#[derive(Clone, Default)]
pub enum Answer {
    #[default]
    Tokens,
    /// With these scopes.
    Scopes(Vec<String>),
    Ended,
    Failed,
}

#[derive(Default)]
pub struct FakeProvider {
    pub answer: Mutex<Answer>,
    pub takes: Mutex<Duration>,
    redeemed: Mutex<Vec<String>>,
    discarded: Mutex<Vec<String>>,
}

impl FakeProvider {
    pub fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub fn takes(&self, seconds: u64) {
        *self.takes.lock().unwrap() = Duration::from_secs(seconds);
    }

    /// The refresh tokens that it got, sorted.
    pub fn redeemed(&self) -> Vec<String> {
        let mut redeemed = self.redeemed.lock().unwrap().clone();
        redeemed.sort();
        redeemed
    }

    pub fn discarded(&self) -> Vec<String> {
        self.discarded.lock().unwrap().clone()
    }
}

/// Redeems for one authority of a session, at the provider that counts; `None`: for the session itself.
struct At {
    provider: Arc<FakeProvider>,
    elevation: Option<(Arc<LiveAuthority>, StoreKey)>,
}

impl Redeemer for At {
    fn terms<'a>(&'a self, policy: &'a LivePolicy) -> Terms<'a> {
        match &self.elevation {
            Some((authority, session)) => Terms::of_elevation(policy, authority, session),
            None => Terms::of(policy),
        }
    }

    fn redeem<'a>(
        &'a self,
        session: &'a Session,
        _deadline: Instant,
    ) -> BoxFuture<'a, Result<Identity, RefreshError>> {
        async move {
            let refresh_token = session.refresh_token.as_ref().expect("is there").expose();
            self.provider.redeemed.lock().unwrap().push(refresh_token.to_owned());
            let takes = *self.provider.takes.lock().unwrap();
            sleep(takes).await;
            let new = |scopes| Identity {
                access_token: Token::new(format!("{}+", session.access_token.expose())),
                refresh_token: Some(Token::new(format!("{refresh_token}+"))),
                ..identity(scopes)
            };
            match self.provider.answer.lock().unwrap().clone() {
                Answer::Tokens => Ok(new(None)),
                Answer::Scopes(scopes) => Ok(new(Some(scopes))),
                Answer::Ended => Err(RefreshError::Ended(OidcError::Refused("invalid_grant"))),
                Answer::Failed => {
                    let error = OidcError::Unavailable("token endpoint: status 502".to_owned());
                    Err(RefreshError::Failed(error))
                }
            }
        }
        .boxed()
    }

    fn discard(&self, session: &Session) {
        self.provider.discarded.lock().unwrap().push(session.access_token.expose().to_owned());
    }
}

pub struct Fixture {
    pub replicas: Vec<Arc<Sessions>>,
    pub store: Arc<MemoryStore>,
    pub policy: Arc<LivePolicy>,
    pub provider: Arc<FakeProvider>,
    pub id: SecretId,
    /// The session.
    pub session: Loaded,
    clock: Arc<dyn Clock>,
}

impl Fixture {
    /// So many replicas, all of which answer from memory where they can.
    pub async fn new(replicas: usize) -> Self {
        Self::by(replicas, &[1]).await
    }

    /// Under a keyring of these keys, the first the active one.
    pub async fn by(replicas: usize, keys: &[u8]) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock(Instant::now()));
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock)));
        let replicas: Vec<Arc<Sessions>> = (0..replicas)
            .map(|_| Sessions::new(store.clone(), Arc::clone(&clock), Arc::new(SystemRandom)))
            .collect();
        for sessions in &replicas {
            let sessions = Arc::clone(sessions);
            tokio::spawn(async move { sessions.follow().await });
        }
        let policy = policy_by("shop", &clock, keys);
        let session = identity(None).into_session(None, START);
        let id = replicas[0].create(&policy, &session).await.expect("creates");
        let session = replicas[0].load(&policy, &id).await.expect("loads").expect("is there");
        let fixture =
            Self { replicas, store, policy, provider: Arc::default(), id, session, clock };
        for sessions in &fixture.replicas {
            until(|| async { sessions.answers_from_memory() }).await;
        }
        fixture
    }

    /// The same policy under other keys.
    pub fn rekeyed(&self, keys: &[u8]) -> Arc<LivePolicy> {
        policy_by("shop", &self.clock, keys)
    }

    /// Another policy with the same bases, under the same keys.
    pub fn neighbour(&self) -> Arc<LivePolicy> {
        policy_by("other", &self.clock, &[1])
    }

    pub fn authority(&self, base: &str) -> Arc<LiveAuthority> {
        Arc::clone(self.policy.authority(base).expect("is there"))
    }

    pub fn key(&self, base: &str) -> StoreKey {
        StoreKey::of_elevation(&self.session.key, &self.authority(base).tag)
    }

    pub async fn another_session(&self) -> (SecretId, Loaded) {
        let sessions = &self.replicas[0];
        let session = identity(None).into_session(None, START);
        let id = sessions.create(&self.policy, &session).await.expect("creates");
        let loaded = sessions.load(&self.policy, &id).await.expect("loads").expect("is there");
        (id, loaded)
    }

    /// Gives the session a token for a base.
    pub async fn elevate(&self, base: &str, access_token: &str) -> Loaded {
        let refresh_token = format!("refresh-{access_token}");
        let authority = self.authority(base);
        let scopes = vec![authority.compiled.scopes[0].name.clone()];
        let grant = Some(Box::new(Grant { asked: scopes.clone(), granted: scopes }));
        let elevated = Session { grant, ..elevated(access_token, Some(&refresh_token)) };
        let kept = self.replicas[0].elevate(&self.policy, &authority, &self.session, elevated);
        kept.await.expect("is kept").expect("the session is there")
    }

    /// The access token that a replica knows for a base.
    pub async fn token(&self, replica: usize, base: &str) -> Option<String> {
        let authority = self.authority(base);
        let found = self.replicas[replica].elevation(&self.policy, &authority, &self.session).await;
        found.expect("answers").map(|found| found.session.access_token.expose().to_owned())
    }

    pub async fn refresh(
        &self,
        replica: usize,
        base: &str,
        seen: &Loaded,
    ) -> Result<Refreshed, StoreError> {
        let elevation = Some((self.authority(base), self.session.key));
        let redeemer = Arc::new(At { provider: Arc::clone(&self.provider), elevation });
        self.replicas[replica].refresh_by(&self.policy, redeemer, seen).await
    }

    /// Refreshes the session itself.
    pub async fn refresh_session(&self) -> Result<Refreshed, StoreError> {
        let redeemer = Arc::new(At { provider: Arc::clone(&self.provider), elevation: None });
        self.replicas[0].refresh_by(&self.policy, redeemer, &self.session).await
    }

    pub async fn record(&self, key: &StoreKey) -> Option<Versioned> {
        self.store.load(key).await.expect("loads")
    }
}

/// Keys as in a rotation: the first is the active one.
fn policy_by(name: &str, clock: &Arc<dyn Clock>, keys: &[u8]) -> Arc<LivePolicy> {
    let line = |key: &u8| format!("- {{id: k{key}, secret: {}}}\n", STANDARD.encode([*key; 32]));
    let yaml = format!("keys:\n{}", keys.iter().map(line).collect::<String>());
    let keyring = Keyring::parse(&yaml).expect("a keyring");
    let authorities = BASES.map(|(base, listed)| authority(base, listed));
    policy(name, clock, &keyring, authorities.into())
}

/// Waits until it is so.
pub async fn until<F: Future<Output = bool>>(is_so: impl Fn() -> F) {
    let waiting = async {
        while !is_so().await {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(10), waiting).await.expect("it is never so");
}
