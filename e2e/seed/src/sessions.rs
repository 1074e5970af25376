//! Sessions of the policy `load/app-0`, put into a store as a login would.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt as _;
use serde_json::json;
use vestibule_authsvc::clock::{Clock, SystemClock};
use vestibule_authsvc::oidc::Providers;
use vestibule_authsvc::policies::LivePolicy;
use vestibule_authsvc::random::{self, Random, SystemRandom};
use vestibule_authsvc::session::Session;
use vestibule_authsvc::session::keyring::Keyring;
use vestibule_authsvc::session::redis::RedisStore;
use vestibule_authsvc::session::service::Sessions;

use crate::policies::compiled;

/// So many wait for the store at once.
const AT_ONCE: usize = 64;

/// Prints how many bytes the record of one session has before it is sealed, then the cookies' values.
pub fn create(store: &str, keyring: &str, issuer: &str, count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(create_all(store, Path::new(keyring), issuer, count));
}

async fn create_all(store: &str, keyring: &Path, issuer: &str, count: usize) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let text = std::fs::read_to_string(keyring).expect("a keyring");
    let keyring = Keyring::parse(&text).expect("a keyring");
    let policy = compiled("plain", "Deny", issuer, 0);
    let providers = Providers::new(Arc::clone(&clock), Arc::clone(&random));
    let provider = providers.get(&policy.provider).expect("a provider");
    let policy = LivePolicy::new(policy, &keyring, provider).expect("a policy that runs");
    let store = RedisStore::new(store, Arc::clone(&clock)).expect("a store");
    let sessions = Sessions::new(Arc::new(store), Arc::clone(&clock), random);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let one = session(0, issuer, &*clock);
    let own = serde_json::to_vec(&one).expect("a record");
    writeln!(out, "{}", own.len()).expect("it is read");
    let mut ids = futures_util::stream::iter(0..count)
        .map(|number| {
            let session = session(number, issuer, &*clock);
            let (sessions, policy) = (&sessions, &policy);
            async move { sessions.create(policy, &session).await.expect("the store takes it") }
        })
        .buffer_unordered(AT_ONCE);
    while let Some(id) = ids.next().await {
        writeln!(out, "{}", id.encode()).expect("it is read");
    }
    out.flush().expect("it is read");
}

/// As large as those of a company's provider; no two share a text but the issuer.
fn session(number: usize, issuer: &str, clock: &dyn Clock) -> Session {
    let now = clock.now();
    let token = |length: usize| {
        let mut text = String::new();
        while text.len() < length {
            text.push_str(&random::token::<48>(&SystemRandom));
        }
        text.truncate(length);
        text
    };
    let session = json!({
        "subject": format!("user-{number:08}"),
        "issuer": issuer,
        "provider_session": token(36),
        "id_token": token(900),
        "id_token_expires_at": now.plus(24 * 3600),
        "access_token": token(1_100),
        "access_token_expires_at": now.plus(24 * 3600),
        "refresh_token": token(64),
        "tokens_issued_at": now,
        "nonce": token(43),
        "claims": {
            "sub": format!("user-{number:08}"),
            "name": format!("User Number {number:08}"),
            "email": format!("user-{number:08}@example.com"),
            "groups": ["staff", "engineering", "on-call"],
        },
        "acr": "urn:example:gold",
        "auth_time": now,
        "created_at": now,
        "touched_at": now,
    });
    serde_json::from_value(session).expect("a session")
}
