//! Asks every provider in the background, so that whether logins are possible is known before
//! somebody tries.
//!
//! What is fetched here is what a login would fetch, and is kept for it. It must not hold up a login
//! or another provider, and never decides anything: a provider that fails here is asked by the next
//! login all the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::{OidcError, Provider, Providers};
use crate::random::Random;

/// How many providers are asked at a time; each answers within its own timeout.
const AT_A_TIME: usize = 128;

/// What is known of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProviderState {
    /// Nothing yet.
    #[default]
    Pending,
    /// Its metadata and keys were fetched.
    Ready,
    /// They could not be.
    Failed {
        /// Why; an [`OidcError`], safe to show.
        message: String,
    },
}

impl ProviderState {
    /// As the policy stream names it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Ready => "Ready",
            Self::Failed { .. } => "Failed",
        }
    }

    /// Why it failed; empty where it did not.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Failed { message } => message,
            Self::Pending | Self::Ready => "",
        }
    }
}

/// How long after a failure a provider is asked again: the first time, and at most.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// After the first failure; doubled after each further one.
    pub first: Duration,
    /// The bound.
    pub most: Duration,
}

impl Backoff {
    /// What authsvc uses.
    pub const USUAL: Self = Self { first: Duration::from_secs(1), most: Duration::from_mins(1) };
}

/// A probe that ends when its provider is forgotten.
struct Probe {
    /// Held, so that no other provider can have its address.
    _provider: Arc<Provider>,
    task: JoinHandle<()>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks every provider that is known until it answered, and each new one, until it is dropped.
pub async fn keep_probing(providers: Arc<Providers>, backoff: Backoff) {
    let slots = Arc::new(Semaphore::new(AT_A_TIME));
    let mut set = providers.set.subscribe();
    let mut probes: HashMap<usize, Probe> = HashMap::new();
    loop {
        set.borrow_and_update();
        let known: HashMap<usize, Arc<Provider>> =
            providers.all().into_iter().map(|one| (Arc::as_ptr(&one).addr(), one)).collect();
        probes.retain(|address, _| known.contains_key(address));
        for (address, provider) in known {
            probes.entry(address).or_insert_with(|| {
                let (all, slots) = (Arc::clone(&providers), Arc::clone(&slots));
                let task = tokio::spawn(probe(all, Arc::clone(&provider), slots, backoff));
                Probe { _provider: provider, task }
            });
        }
        if set.changed().await.is_err() {
            return;
        }
    }
}

async fn probe(
    providers: Arc<Providers>,
    provider: Arc<Provider>,
    slots: Arc<Semaphore>,
    backoff: Backoff,
) {
    let mut wait = backoff.first;
    loop {
        let asked = {
            // The semaphore is never closed.
            let _slot = slots.acquire().await;
            provider.ask().await
        };
        let state = match asked {
            Ok(()) => ProviderState::Ready,
            Err(error) => ProviderState::Failed { message: error.to_string() },
        };
        let ready = state == ProviderState::Ready;
        provider.tell(state, &providers);
        if ready {
            return;
        }
        tokio::time::sleep(jittered(wait, backoff.most, provider.random())).await;
        wait = (wait * 2).min(backoff.most);
    }
}

/// Up to half longer, so that replicas that lost a provider together do not ask it together.
fn jittered(wait: Duration, most: Duration, random: &dyn Random) -> Duration {
    let mut byte = [0];
    random.fill(&mut byte);
    (wait + wait * u32::from(byte[0]) / 512).min(most)
}

impl Provider {
    /// Fetches what a login needs, unless it is there.
    async fn ask(&self) -> Result<(), OidcError> {
        let metadata = self.metadata().await?;
        let mut keys = self.keys(&metadata).await?;
        if keys.is_empty() {
            keys = self.newer_keys(&metadata, &keys).await?;
        }
        if keys.is_empty() {
            let why = "the key set has no key that could verify a signature";
            return Err(OidcError::Unusable(why.to_owned()));
        }
        Ok(())
    }

    fn tell(&self, state: ProviderState, providers: &Providers) {
        if *self.state.load_full() == state {
            return;
        }
        if let ProviderState::Failed { message } = &state {
            tracing::warn!(issuer = self.issuer(), "{message}");
        } else {
            tracing::info!(issuer = self.issuer(), "the provider is ready");
        }
        self.state.store(Arc::new(state));
        providers.state_changed(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    #[test]
    fn a_wait_is_never_shorter_than_due_and_never_longer_than_the_bound() {
        let random = SeededRandom::default();
        for _ in 0..1000 {
            let wait = jittered(Duration::from_secs(1), Duration::from_mins(1), &random);
            assert!((Duration::from_secs(1)..Duration::from_millis(1500)).contains(&wait));
            let longest = jittered(Duration::from_mins(1), Duration::from_mins(1), &random);
            assert_eq!(longest, Duration::from_mins(1));
        }
    }
}
