//! What a reconcile may use.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::Client;
use vestibule_crds::v1alpha1::BffPolicyStatus;
use vestibule_policy::model::PolicyId;

use crate::claims::Claims;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::queue::{Queue, Work};
use crate::reconcile::conditions::Draft;
use crate::reconcile::input::Installation;
use crate::reconcile::repairs::Repairs;
use crate::replicas::Replicas;
use crate::world::World;

/// What is remembered of a policy between two reconciles, so that a word of a replica needs no
/// full one.
#[derive(Clone, Debug)]
pub struct Known {
    /// What the verdict said.
    pub draft: Draft,
    /// Of which generation.
    pub generation: i64,
    /// What could not be written yet.
    pub pending: Option<String>,
    /// On which object somebody else undoes what we write.
    pub contested: Option<String>,
    /// The status that we wrote last.
    pub status: Option<BffPolicyStatus>,
}

/// Everything that the steps share.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// How Vestibule is installed.
    pub installation: Installation,
    /// The namespaces that are ours to watch; empty: all.
    pub scope: BTreeSet<String>,
    /// What is known of the cluster.
    pub world: Arc<World>,
    /// What is to be worked on.
    pub queue: Arc<Queue<PolicyId>>,
    /// What replicas run.
    pub replicas: Arc<Replicas>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Kubernetes Events.
    pub events: Events,
    /// Who undoes what we write.
    pub repairs: Repairs,
    claims: Mutex<Claims>,
    known: Mutex<HashMap<PolicyId, Known>>,
}

impl Context {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        client: Client,
        installation: Installation,
        scope: BTreeSet<String>,
        world: Arc<World>,
        metrics: Arc<Metrics>,
        events: Events,
    ) -> Self {
        Self {
            client,
            installation,
            scope,
            queue: Arc::clone(&world.queue),
            world,
            replicas: Arc::default(),
            metrics,
            events,
            repairs: Repairs::default(),
            claims: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// Who holds which host. Deciding and recording happen under one lock.
    pub fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered of a policy.
    pub fn known(&self, id: &PolicyId) -> Option<Known> {
        self.all_known().get(id).cloned()
    }

    /// Remembers.
    pub fn remember(&self, id: &PolicyId, known: Known) {
        self.all_known().insert(id.clone(), known);
    }

    /// Forgets a policy that is gone.
    pub fn forget(&self, id: &PolicyId) {
        self.all_known().remove(id);
    }

    /// Looks at every status again: a replica came or went.
    pub fn wake_statuses(&self) {
        for id in self.all_known().keys() {
            self.queue.add(id, Work::Status);
        }
    }

    /// Forgets everything that another leader may have changed meanwhile.
    pub fn begin(&self) {
        self.claims().clear();
        self.all_known().clear();
        self.queue.clear();
        self.replicas.forget();
    }

    fn all_known(&self) -> MutexGuard<'_, HashMap<PolicyId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
