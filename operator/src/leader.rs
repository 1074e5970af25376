//! Leader election: one of several operators writes, by holding a Lease.
//!
//! As client-go does it: a candidate waits a whole lease after it last saw the Lease change, so that
//! no two clocks are compared. Every write names the version it read, so that of two candidates one
//! fails. A leader that could not renew in two thirds of the lease stops before anybody may follow.
//! It must not know what leading means.

mod decide;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::api::{ApiError, Category, call};
use decide::{Observed, Step};

/// What a candidate needs.
#[derive(Clone)]
pub struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
    duration: Duration,
    leads: Arc<watch::Sender<bool>>,
}

impl Election {
    /// A candidate for the Lease `name`.
    #[must_use]
    pub fn new(
        client: Client,
        namespace: &str,
        name: String,
        identity: String,
        duration: Duration,
    ) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, name, identity, duration, leads: Arc::new(watch::Sender::new(false)) }
    }

    /// Tells whether this process leads, and every change of that.
    #[must_use]
    pub fn leads(&self) -> watch::Receiver<bool> {
        self.leads.subscribe()
    }

    /// Tries to lead, and to go on leading, for ever.
    pub async fn run(&self) {
        let mut observed = Observed::default();
        let mut renewed = Instant::now();
        loop {
            let begin = Instant::now();
            // A try that hangs must not keep a leader beyond its time.
            let ended = tokio::time::timeout(self.duration / 3, self.attempt(&mut observed)).await;
            match ended {
                Ok(Ok(true)) => {
                    renewed = begin;
                    self.tell(true);
                }
                Ok(Ok(false)) => self.tell(false),
                Ok(Err(error)) => tracing::warn!(%error, "the lease was not renewed"),
                Err(_) => tracing::warn!("the lease was not renewed: no answer"),
            }
            if *self.leads.borrow() && renewed.elapsed() + self.retry() > self.duration * 2 / 3 {
                tracing::warn!(lease = %self.name, "leading is given up: the lease could not be renewed");
                self.tell(false);
            }
            sleep(if *self.leads.borrow() { self.renewal() } else { self.retry() }).await;
        }
    }

    /// Lets another one follow at once.
    pub async fn release(&self) {
        if !*self.leads.borrow() {
            return;
        }
        self.tell(false);
        let released = async {
            let Some(mut lease) = self.read().await? else { return Ok(()) };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(&self.identity) {
                return Ok(());
            }
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            self.replace(&lease).await.map(|_| ())
        };
        match released.await {
            Ok(()) => tracing::info!(lease = %self.name, "leading is handed over"),
            Err(error) => {
                tracing::warn!(%error, "leading ends, but the lease stays until it expires");
            }
        }
    }

    /// One try; whether this process holds the lease after it.
    async fn attempt(&self, observed: &mut Observed) -> Result<bool, ApiError> {
        let lease = self.read().await?;
        let step = decide::decide(lease.as_ref(), &self.identity, observed, Instant::now());
        let written = match (step, lease) {
            (Step::Wait, _) => return Ok(false),
            (Step::Create, _) | (_, None) => self.create().await,
            (Step::Renew | Step::Take, Some(mut lease)) => {
                self.fill(lease.spec.get_or_insert_default(), step == Step::Take);
                self.replace(&lease).await
            }
        };
        match written {
            Ok(lease) => {
                observed.see(&lease, Instant::now());
                Ok(true)
            }
            // Another candidate was faster, or somebody edited the Lease: it is not renewed, and
            // whether it is still ours shows in the Lease itself.
            Err(error) if error.already_exists || error.category == Category::Conflict => {
                let holder = self.read().await?.and_then(|lease| lease.spec?.holder_identity);
                if holder.as_deref() == Some(&*self.identity) { Err(error) } else { Ok(false) }
            }
            Err(error) => Err(error),
        }
    }

    async fn read(&self) -> Result<Option<Lease>, ApiError> {
        call(|| format!("get Lease {}", self.name), self.api.get_opt(&self.name)).await
    }

    async fn create(&self) -> Result<Lease, ApiError> {
        let mut spec = LeaseSpec::default();
        self.fill(&mut spec, true);
        let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
        let lease = Lease { metadata, spec: Some(spec) };
        let params = PostParams::default();
        call(|| format!("create Lease {}", self.name), self.api.create(&params, &lease)).await
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, ApiError> {
        let params = PostParams::default();
        let replaced = self.api.replace(&self.name, &params, lease);
        call(|| format!("update Lease {}", self.name), replaced).await
    }

    fn fill(&self, spec: &mut LeaseSpec, taken: bool) {
        let now = Timestamp::now();
        if taken {
            spec.acquire_time = Some(MicroTime(now));
            spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |count| count + 1));
        }
        spec.holder_identity = Some(self.identity.clone());
        let seconds = i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX);
        spec.lease_duration_seconds = Some(seconds.max(1));
        spec.renew_time = Some(MicroTime(now));
    }

    fn tell(&self, leads: bool) {
        let changed = self.leads.send_if_modified(|old| std::mem::replace(old, leads) != leads);
        if changed {
            tracing::info!(lease = %self.name, identity = %self.identity, leads, "leadership");
        }
    }

    fn renewal(&self) -> Duration {
        self.duration / 3
    }

    fn retry(&self) -> Duration {
        (self.duration / 8).min(Duration::from_secs(2))
    }
}
