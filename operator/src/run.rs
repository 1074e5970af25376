//! Puts the parts together and ends cleanly.
//!
//! Caches are filled whether this process leads or not, so that it can follow a leader at once.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::{Client, Config};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use crate::admin::{self, Admin};
use crate::context::Context;
use crate::events::Events;
use crate::lead::lead;
use crate::leader::Election;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::settings::{EXIT_USAGE, Settings, SettingsError};
use crate::world::World;
use crate::{random, telemetry};

/// The lease is given back within this time, or not at all.
const ENDS_WITHIN: Duration = Duration::from_millis(1500);

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting cannot work.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// No API server is configured.
    #[error("the API server: {0}: run it in a cluster, or set KUBECONFIG")]
    Config(#[from] kube::config::InferConfigError),
    /// The client cannot be made.
    #[error("the API server: {0}")]
    Client(#[from] kube::Error),
    /// The port cannot be bound.
    #[error("--admin-addr: {0} cannot be bound ({1}): free the port or give another")]
    Bind(SocketAddr, io::Error),
    /// The system gives no signals.
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
}

impl StartError {
    /// 64 where the settings are wrong, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Self::Settings(_)) { EXIT_USAGE } else { 1 }
    }
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// Where it cannot start.
pub async fn run(settings: Settings) -> Result<(), StartError> {
    telemetry::init(settings.log_format)?;
    let mut stop = StopSignals::new().map_err(StartError::Signals)?;
    let client = Client::try_from(Config::infer().await?)?;
    let metrics = Arc::new(Metrics::new());
    let ready = Arc::new(AtomicBool::new(false));
    let admin = Admin { metrics: Arc::clone(&metrics), ready: Arc::clone(&ready) };
    let addr = admin::serve(settings.admin_addr, admin)
        .await
        .map_err(|error| StartError::Bind(settings.admin_addr, error))?;
    tracing::info!(%addr, identity = settings.identity, "started");

    let world = Arc::new(World::new(
        &settings.installation.namespace,
        Arc::new(Queue::new(random::fraction)),
    ));
    let watches = world.start(&client, &settings, &metrics);
    let events = Events::start(client.clone(), &settings.identity);
    let context = Arc::new(Context::new(
        client.clone(),
        settings.installation.clone(),
        settings.scope.clone(),
        Arc::clone(&world),
        metrics,
        events,
    ));
    let election = Election::new(
        client,
        &settings.installation.namespace,
        settings.lease.clone(),
        settings.identity.clone(),
        settings.lease_duration,
    );
    tokio::select! {
        () = stop.received() => tracing::info!("stopping"),
        () = election.run() => {}
        () = follow_leadership(&context, &election, &settings) => {}
        () = tell_when_ready(&world, &ready) => {}
    }
    // All work has ended with the futures above: nobody writes while another one takes over.
    drop(watches);
    if timeout(ENDS_WITHIN, election.release()).await.is_err() {
        tracing::warn!("the lease was not given back: it expires by itself");
    }
    tracing::info!("stopped");
    Ok(())
}

/// For ever: once the objects were read, they are kept.
async fn tell_when_ready(world: &World, ready: &AtomicBool) {
    world.pending.none().await;
    ready.store(true, Ordering::Release);
    std::future::pending::<()>().await;
}

/// Works while this process leads.
async fn follow_leadership(context: &Arc<Context>, election: &Election, settings: &Settings) {
    let mut leads = election.leads();
    loop {
        if leads.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        context.metrics.leads(true);
        tokio::select! {
            () = lead(context, settings) => {}
            _ = leads.wait_for(|leads| !*leads) => {}
        }
        context.metrics.leads(false);
    }
}

/// SIGTERM and SIGINT, from now on.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
