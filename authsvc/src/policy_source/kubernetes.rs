//! Policies from the operator: one Secret each, in Vestibule's namespace, watched.
//!
//! Thin: it connects, follows the events and publishes what `known` makes of them. Nothing that the
//! API server fails to say changes anything: only a Secret that was deleted or replaced does.

mod known;

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vestibule_crds::names::{COMPILED_LABEL, COMPILED_VALUE};

use super::{Load, PolicySource};
use known::Known;

/// How many events are told together at most, so that a flood cannot put off what came first.
const MAX_BATCH: usize = 4096;
/// How many of them are there whole at a time: a Secret takes several times the memory of what is kept of
/// it, and the process would keep its size.
const AT_ONCE: usize = 64;
/// How many Secrets come in one answer to a list, for the same reason.
const PAGE: u32 = 100;

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// Neither a service account nor a kubeconfig.
    #[error("there is no way to the cluster: run in a pod with a service account ({0})")]
    Config(#[from] kube::config::InferConfigError),
    /// What is configured cannot be used.
    #[error("the way to the cluster cannot be used: {0}")]
    Client(#[from] kube::Error),
}

/// Policies from the operator.
pub struct KubernetesSource {
    loads: mpsc::Receiver<Load>,
    known: Arc<Mutex<Known>>,
    /// Whether everything is to be said once more.
    again: bool,
    following: JoinHandle<()>,
}

impl Drop for KubernetesSource {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl KubernetesSource {
    /// Begins to watch; waits for nothing.
    ///
    /// # Errors
    /// Where no cluster is configured.
    pub async fn connect(namespace: Option<String>) -> Result<Self, KubernetesError> {
        let config = Config::infer().await?;
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        Ok(Self::of(Client::try_from(config)?, namespace))
    }

    fn of(client: Client, namespace: String) -> Self {
        tracing::info!(namespace, "policies are taken from the cluster");
        let secrets: Api<Secret> = Api::namespaced(client, &namespace);
        // In pages, not streamed: of a streamed list the watcher does not say when it begins anew,
        // and what was deleted between two attempts would count for ever (kube-runtime 4.2).
        let config = watcher::Config::default()
            .labels(&format!("{COMPILED_LABEL}={COMPILED_VALUE}"))
            .page_size(PAGE);
        Self::follow(namespace, watcher(secrets, config).default_backoff())
    }

    fn follow<S>(namespace: String, events: S) -> Self
    where
        S: Stream<Item = watcher::Result<Event<Secret>>> + Send + 'static,
    {
        // What comes while one is installed waits where it comes from, and is one load then.
        let (publish, loads) = mpsc::channel(1);
        let known = Arc::new(Mutex::new(Known::new(namespace)));
        let followed = Arc::clone(&known);
        let following = tokio::spawn(async move { follow(events, &followed, &publish).await });
        Self { loads, known, again: false, following }
    }
}

/// Takes whatever is there, then publishes: a burst is one load, a single edit is one at once.
async fn follow<S>(events: S, known: &Arc<Mutex<Known>>, publish: &mpsc::Sender<Load>)
where
    S: Stream<Item = watcher::Result<Event<Secret>>>,
{
    let mut events = pin!(events);
    while let Some(first) = events.next().await {
        let (mut next, mut taken) = (Some(first), 0);
        while let Some(event) = next {
            let mut batch: Vec<Event<Secret>> = good(event).into_iter().collect();
            while batch.len() < AT_ONCE
                && let Some(event) = events.next().now_or_never().flatten()
            {
                batch.extend(good(event));
            }
            taken += batch.len();
            read(known, batch).await;
            next = if taken < MAX_BATCH { events.next().now_or_never().flatten() } else { None };
        }
        let load = lock(known).load_if_changed();
        if let Some(load) = load
            && publish.send(load).await.is_err()
        {
            return;
        }
    }
}

fn good(event: watcher::Result<Event<Secret>>) -> Option<Event<Secret>> {
    event.inspect_err(|error| tracing::warn!(%error, "the watch of policies: what runs stays")).ok()
}

/// Compiling expressions takes a while at ten thousand policies: not on a thread that answers.
async fn read(known: &Arc<Mutex<Known>>, batch: Vec<Event<Secret>>) {
    let known = Arc::clone(known);
    let taken = tokio::task::spawn_blocking(move || {
        let mut known = lock(&known);
        for event in batch {
            known.take(event);
        }
    });
    if let Err(error) = taken.await {
        tracing::error!(%error, "a change of policies was not understood");
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PolicySource for KubernetesSource {
    fn next(&mut self) -> BoxFuture<'_, Load> {
        async move {
            if std::mem::take(&mut self.again) {
                let mut known = lock(&self.known);
                // What waits here is older, and must not come after it. What is on its way here is
                // the last that is known, and changes nothing.
                while self.loads.try_recv().is_ok() {}
                return known.everything();
            }
            match self.loads.recv().await {
                Some(load) => load,
                // Nobody tells of changes any more: what runs stays.
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn again(&mut self) {
        self.again = true;
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire_tests;
