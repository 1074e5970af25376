//! Replicas of the session service on one Redis, with the news of each followed.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use vestibule_authsvc::clock::{Clock, SystemClock};
use vestibule_authsvc::oidc::Providers;
use vestibule_authsvc::policies::LivePolicy;
use vestibule_authsvc::random::{Random as _, SystemRandom};
use vestibule_authsvc::session::keyring::Keyring;
use vestibule_authsvc::session::redis::RedisStore;
use vestibule_authsvc::session::service::Sessions;
use vestibule_authsvc::session::store::{Acquired, Owner, SessionStore};
use vestibule_authsvc::session::{Purpose, SecretId, Session, StoreKey};
use vestibule_authsvc::token::Token;
use vestibule_crds::v1alpha1::{BffPolicySpec, BffProviderSpec, SecretKeyRef};
use vestibule_policy::compile::{Input, compile};
use vestibule_policy::model::PolicyId;

const SPEC: &str = r#"
origins: ["https://shop.example.com"]
providerRef: {name: corp}
client: {id: shop, secretRef: {name: shop-oidc, key: client-secret}}
"#;

pub struct Replica {
    pub sessions: Arc<Sessions>,
    store: Arc<RedisStore>,
    following: JoinHandle<()>,
}

impl Replica {
    pub fn new(url: &str) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = Arc::new(RedisStore::new(url, Arc::clone(&clock)).unwrap());
        let random = Arc::new(SystemRandom);
        let sessions = Sessions::new(store.clone(), clock, random);
        let followed = Arc::clone(&sessions);
        let following = tokio::spawn(async move { followed.follow().await });
        Self { sessions, store, following }
    }

    /// Waits until changes are told to it.
    pub async fn is_warm(&self) {
        let warm = async {
            while !self.sessions.answers_from_memory() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), warm).await.unwrap();
    }

    /// As a refresh does: a new record under a lease. Gives the moment at which it was acknowledged.
    pub async fn replace(&self, policy: &LivePolicy, key: &StoreKey, subject: &str) -> Instant {
        let mut owner = Owner([0; 16]);
        SystemRandom.fill(&mut owner.0);
        let hour = Duration::from_hours(1);
        let fence = loop {
            match self.store.acquire(key, owner, hour).await {
                Ok(Acquired::Mine { fence, .. }) => break fence,
                Ok(_) => panic!("nobody else refreshes"),
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let plain = serde_json::to_vec(&session(subject)).unwrap();
        let sealed = policy.session_sealer.seal(&SystemRandom, key, plain);
        // Where an answer is lost, the same is asked again.
        loop {
            match self.store.complete(key, owner, fence, sealed.clone(), hour).await {
                Ok(done) => break assert!(done, "nobody else refreshes"),
                Err(_) => tokio::task::yield_now().await,
            }
        }
        Instant::now()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.following.abort();
    }
}

pub fn policy() -> LivePolicy {
    let spec: BffPolicySpec = serde_saphyr::from_str(SPEC).unwrap();
    let provider: BffProviderSpec =
        serde_json::from_value(json!({"issuer": "https://id.example.com"})).unwrap();
    let secrets = |_: &SecretKeyRef| Ok(SecretString::from("canary-client-secret"));
    let compiled = compile(&Input {
        id: PolicyId { namespace: "default".to_owned(), name: "shop".to_owned() },
        uid: "default/shop".to_owned(),
        spec: &spec,
        provider: Some(&provider),
        secrets: &secrets,
        allow_insecure: false,
    })
    .unwrap();
    let providers = Providers::new(Arc::new(SystemClock), Arc::new(SystemRandom));
    let provider = providers.get(&compiled.provider).unwrap();
    LivePolicy::new(compiled, &Keyring::ephemeral(&SystemRandom), provider).unwrap()
}

pub fn session(subject: &str) -> Session {
    let now = SystemClock.now();
    Session {
        subject: subject.to_owned(),
        issuer: "https://id.example.com".to_owned(),
        provider_session: None,
        id_token: Token::new("canary-id-token"),
        id_token_expires_at: now.plus(3600),
        access_token: Token::new("canary-access-token"),
        access_token_expires_at: None,
        refresh_token: None,
        tokens_issued_at: now,
        nonce: None,
        claims: json!({"sub": subject}).as_object().unwrap().clone().into(),
        acr: None,
        auth_time: now,
        created_at: now,
        touched_at: now,
        grant: None,
    }
}

pub fn key(id: &SecretId) -> StoreKey {
    id.store_key(Purpose::Session, "default/shop")
}
