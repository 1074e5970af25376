//! Providers that are asked in the background: what is known of them before anybody logs in.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use vestibule_authsvc::clock::{ManualClock, Timestamp};
use vestibule_authsvc::oidc::{Backoff, Provider, ProviderState, Providers, keep_probing};
use vestibule_authsvc::random::SystemRandom;
use vestibule_policy::model::PolicyId;

use crate::idp::{FakeIdp, Reply};
use crate::site::{START, provider_config};

const DISCOVERY: &str = "/.well-known/openid-configuration";
const SOON: Duration = Duration::from_secs(10);
const QUICK: Backoff = Backoff { first: Duration::from_millis(5), most: Duration::from_millis(20) };

/// Providers that are asked until this is dropped.
struct Probed {
    clock: Arc<ManualClock>,
    providers: Arc<Providers>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Probed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Probed {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(START)));
        let providers = Arc::new(Providers::new(clock.clone(), Arc::new(SystemRandom)));
        let task = tokio::spawn(keep_probing(Arc::clone(&providers), QUICK));
        Self { clock, providers, task }
    }

    /// Waits for a state, while time passes for what may be asked again only later.
    async fn becomes(&self, provider: &Provider, expected: &str) -> Arc<ProviderState> {
        let changes = self.providers.state_changes();
        let waited = tokio::time::timeout(SOON, async {
            while provider.state().name() != expected {
                self.clock.advance(5);
                // Whether it changed or not, it is looked at again.
                let _ = tokio::time::timeout(QUICK.most, changes.next()).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("not {expected}: {:?}", provider.state()));
        provider.state()
    }
}

#[tokio::test]
async fn a_provider_is_ready_without_a_login_and_is_asked_once() {
    let idp = FakeIdp::start().await;
    let probed = Probed::new();
    let provider = probed.providers.get(&provider_config(&idp.issuer)).unwrap();
    assert_eq!(*provider.state(), ProviderState::Pending);
    probed.becomes(&provider, "Ready").await;
    provider.metadata().await.unwrap();
    assert_eq!((idp.seen(DISCOVERY).len(), idp.seen("/jwks").len()), (1, 1));
}

#[tokio::test]
async fn a_provider_that_can_be_reached_again_becomes_ready_by_itself() {
    let idp = FakeIdp::start().await;
    idp.reply(DISCOVERY, Reply::status(503, &json!({})));
    let probed = Probed::new();
    let provider = probed.providers.get(&provider_config(&idp.issuer)).unwrap();
    let failed = probed.becomes(&provider, "Failed").await;
    assert!(failed.message().contains("discovery document: status 503"), "{failed:?}");
    idp.reply("/jwks", Reply::json(&json!({"keys": []})));
    idp.set_metadata(|_| {});
    let tried = tokio::time::timeout(SOON, async {
        while !provider.state().message().contains("no key") {
            probed.becomes(&provider, "Failed").await;
            probed.clock.advance(5);
            tokio::task::yield_now().await;
        }
    });
    tried.await.unwrap();
    idp.reply("/jwks", Reply::json(&crate::jose::jwks()));
    probed.becomes(&provider, "Ready").await;
}

#[tokio::test]
async fn a_provider_that_hangs_holds_up_no_other() {
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let idp = FakeIdp::start().await;
    let probed = Probed::new();
    let mut config = provider_config(&format!("http://{}", hanging.local_addr().unwrap()));
    config.request_timeout = Duration::from_mins(1);
    let stuck = probed.providers.get(&config).unwrap();
    // It has the connection, and never answers.
    let _connection = tokio::time::timeout(SOON, hanging.accept()).await.unwrap().unwrap();
    let provider = probed.providers.get(&provider_config(&idp.issuer)).unwrap();
    probed.becomes(&provider, "Ready").await;
    assert_eq!(*stuck.state(), ProviderState::Pending);
}

#[tokio::test]
async fn a_provider_that_no_policy_uses_is_not_asked_any_more() {
    let idp = FakeIdp::start().await;
    idp.reply(DISCOVERY, Reply::status(503, &json!({})));
    let probed = Probed::new();
    let provider = probed.providers.get(&provider_config(&idp.issuer)).unwrap();
    probed.becomes(&provider, "Failed").await;
    probed.providers.left(&PolicyId { namespace: String::new(), name: String::new() }, &provider);
    let forgotten = tokio::time::timeout(SOON, async {
        // The test and `provider` itself; the probe held a third.
        while Arc::strong_count(&provider) > 1 {
            tokio::task::yield_now().await;
        }
    });
    forgotten.await.unwrap();
}
