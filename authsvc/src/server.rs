//! Puts the parts together, binds the three ports, and ends without losing a request.
//!
//! It knows no policy and no HTTP route. What a request may do is decided in the routers.

mod between;
mod browser_port;
pub mod check_port;
mod connection;
mod listener;
mod middleware;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::admin::access::{Access, ClusterReviews};
use crate::admin::{self, AdminToken, AdminTokenError};
use crate::app::App;
use crate::clock::{Clock, SystemClock};
use crate::metrics::Metrics;
use crate::oidc::{Backoff, Providers, keep_probing};
use crate::overload::Overload;
use crate::policies::Policies;
use crate::policy_source::directory::DirectorySource;
use crate::policy_source::kubernetes::{KubernetesError, KubernetesSource};
use crate::policy_source::{self, KeyringFileError, KeyringSource, PolicySource, WatchError};
use crate::random::{Random, SystemRandom};
use crate::router;
use crate::session::memory::MemoryStore;
use crate::session::redis::RedisStore;
use crate::session::service::Sessions;
use crate::session::store::SessionStore;
use crate::settings::{EXIT_USAGE, Settings, SettingsError, SourceSetting, StoreSetting};
use crate::telemetry;
use browser_port::BrowserPort;
use check_port::CheckPort;
use connection::Limits;
use listener::{Listener, Port};

/// Requests that are under way when the ports close may take this long.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// Then those refreshes that outlive their requests: less than the pod's grace period allows.
const REFRESHES_WITHIN: Duration = Duration::from_secs(4);
/// Tokens of sessions that have ended may take this long to be revoked, after that.
const REVOCATIONS_WITHIN: Duration = Duration::from_secs(5);

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting cannot work.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The keyring cannot be used.
    #[error("--keyring: {0}")]
    Keyring(#[from] KeyringFileError),
    /// A folder cannot be watched.
    #[error("--policies or --secrets: {0}")]
    Watch(#[from] WatchError),
    /// The token of the admin port cannot be used.
    #[error("--admin-token-file: {0}")]
    AdminToken(#[from] AdminTokenError),
    /// There is no cluster to take policies from.
    #[error("--kubernetes: {0}")]
    Kubernetes(#[from] KubernetesError),
    /// A port cannot be bound.
    #[error("{flag}: {addr} cannot be bound ({source}): free the port or give another")]
    Bind {
        /// The flag.
        flag: &'static str,
        /// What was to be bound.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The file of addresses cannot be written.
    #[error("--addr-file: {path} cannot be written: {source}")]
    AddrFile {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The system gives no signals.
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
}

impl StartError {
    /// 64 where the settings are wrong, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(_) | Self::Keyring(_) | Self::AdminToken(_) => EXIT_USAGE,
            _ => 1,
        }
    }
}

/// A server that answers.
pub struct Running {
    /// Where browsers arrive.
    pub browser_addr: SocketAddr,
    /// Where gateways ask.
    pub check_addr: SocketAddr,
    /// Health, readiness, metrics.
    pub admin_addr: SocketAddr,
    app: Arc<App>,
    draining: watch::Sender<bool>,
    drain_delay: Duration,
    ports: Vec<Listener>,
    tasks: [JoinHandle<()>; 5],
}

/// Logs, serves until SIGTERM or SIGINT, and drains.
///
/// # Errors
/// Where it cannot start.
pub async fn run(settings: Settings) -> Result<(), StartError> {
    settings.validate()?;
    let telemetry = telemetry::init(settings.log_format)?;
    let stop = StopSignals::new().map_err(StartError::Signals)?;
    let running = start(settings).await?;
    running.until(stop).await;
    telemetry.shutdown().await;
    Ok(())
}

/// Starts to answer on all ports; not ready before the policies were read.
///
/// # Errors
/// Where a setting cannot work or a port cannot be bound.
pub async fn start(settings: Settings) -> Result<Running, StartError> {
    settings.validate()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let keyring = match &settings.keyring {
        Some(file) => KeyringSource::open(file.clone())?,
        None => KeyringSource::ephemeral(&*random),
    };
    let metrics = Metrics::new();
    let store: Arc<dyn SessionStore> = match &settings.store {
        StoreSetting::Memory => Arc::new(MemoryStore::new(Arc::clone(&clock))),
        StoreSetting::Redis(url) => {
            let store = RedisStore::new(url, Arc::clone(&clock))
                .map_err(|error| SettingsError { flag: "--store", message: error.to_string() })?;
            Arc::new(store.waiting_for(settings.store_wait_replicas, metrics.unconfirmed_ends()))
        }
    };
    let token = settings.admin_token_file.clone().map(AdminToken::open).transpose()?;
    let access = access(&settings, token.as_ref()).await?;
    let source = source(&settings).await?;
    let providers = Arc::new(Providers::new(Arc::clone(&clock), Arc::clone(&random)));
    let app = Arc::new(App {
        policies: Arc::new(Policies::new(Arc::clone(&providers))),
        sessions: Sessions::with_cache(
            store,
            Arc::clone(&clock),
            Arc::clone(&random),
            settings.session_cache_bytes,
        ),
        clock,
        random,
        metrics,
        overload: Overload::new(settings.login_limits()?),
    });
    let draining = watch::Sender::new(false);
    let drained = draining.subscribe();
    let traced = telemetry::traces_wanted();
    let bind =
        |flag, addr| listener::bind(addr).map_err(|source| StartError::Bind { flag, addr, source });
    // All are bound before any is served.
    let browser = bind("--browser-addr", settings.browser_addr)?;
    let check = bind("--check-addr", settings.check_addr)?;
    let admin = bind("--admin-addr", settings.admin_addr)?;
    let guard = |router, port| middleware::around(router, port, &app, &drained, traced);
    let admins = admin::router(Arc::clone(&app), drained.clone(), token, access);
    let checks = CheckPort::new(Arc::clone(&app), drained.clone(), traced);
    let browsers = guard(router::browser(Arc::clone(&app)), Port::Browser);
    let browsers = BrowserPort::new(Arc::clone(&app), browsers);
    let listeners = vec![
        Listener::serve(browser.0, browser.1, Port::Browser, browsers, Limits::USUAL),
        Listener::serve(check.0, check.1, Port::Check, checks, Limits::USUAL),
        Listener::serve(admin.0, admin.1, Port::Admin, guard(admins, Port::Admin), Limits::USUAL),
    ];
    let [browser_addr, check_addr, admin_addr] =
        [0, 1, 2].map(|index: usize| listeners[index].addr);
    if let Some(file) = &settings.addr_file {
        write_addresses(file, browser_addr, check_addr, admin_addr)
            .map_err(|source| StartError::AddrFile { path: file.display().to_string(), source })?;
    }
    let tasks = [
        tokio::spawn(policy_source::keep_installed(Arc::clone(&app), source, keyring)),
        tokio::spawn(keep_probing(providers, Backoff::USUAL)),
        tokio::spawn(follow(Arc::clone(&app))),
        tokio::spawn(end_timeouts(Arc::clone(&app))),
        tokio::spawn(watch_overload(Arc::clone(&app))),
    ];
    Ok(Running {
        browser_addr,
        check_addr,
        admin_addr,
        app,
        draining,
        drain_delay: settings.drain_delay,
        ports: listeners,
        tasks,
    })
}

/// Hears of what becomes of sessions on other replicas.
async fn follow(app: Arc<App>) {
    app.sessions.follow().await;
}

/// Ends sessions that nobody uses any more.
async fn end_timeouts(app: Arc<App>) {
    app.sessions.end_timeouts(&app.policies).await;
}

/// Measures whether more is asked than can be answered.
async fn watch_overload(app: Arc<App>) {
    app.overload.watch(&app.metrics).await;
}

/// Who may manage sessions: in a cluster whom it lets, and not whoever has the operator's token.
async fn access(settings: &Settings, token: Option<&AdminToken>) -> Result<Access, StartError> {
    Ok(match (settings.kubernetes, token) {
        (true, _) => Access::cluster(Box::new(ClusterReviews::connect().await?)),
        (false, Some(token)) => Access::Token(token.clone()),
        (false, None) => Access::Nobody,
    })
}

/// Begins to watch where policies come from.
async fn source(settings: &Settings) -> Result<Box<dyn PolicySource>, StartError> {
    Ok(match settings.source()? {
        SourceSetting::Directory(policies) => Box::new(DirectorySource::open(
            policies,
            settings.secrets.clone(),
            settings.allow_insecure_issuers,
        )?),
        SourceSetting::Kubernetes => {
            Box::new(KubernetesSource::connect(settings.namespace.clone()).await?)
        }
    })
}

impl Running {
    /// Whether the policies were read and it is not about to end.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.app.policies.is_loaded() && !*self.draining.borrow()
    }

    /// Ends: not ready any more, then for the drain delay as before, then no new connections, then
    /// what is under way is finished.
    pub async fn shutdown(self) {
        self.draining.send_replace(true);
        tracing::info!(delay = ?self.drain_delay, "draining");
        tokio::time::sleep(self.drain_delay).await;
        let ended = futures_util::future::join_all(
            self.ports.into_iter().map(|port| port.finish(FINISH_WITHIN)),
        );
        ended.await;
        if !self.app.sessions.finish_refreshes(REFRESHES_WITHIN).await {
            tracing::warn!("stopped during a refresh: its session may have to log in again");
        }
        let left = self.app.policies.providers().revocations_done(REVOCATIONS_WITHIN).await;
        if left > 0 {
            tracing::warn!(sessions = left, "stopped while tokens were to be revoked");
        }
        for task in self.tasks {
            task.abort();
        }
        tracing::info!("stopped");
    }

    /// Serves until SIGTERM or SIGINT, then shuts down; a second signal ends that at once.
    ///
    /// # Errors
    /// Where the system gives no signals.
    pub async fn wait_for_signal(self) -> io::Result<()> {
        let stop = StopSignals::new()?;
        self.until(stop).await;
        Ok(())
    }

    async fn until(self, mut stop: StopSignals) {
        stop.received().await;
        tokio::select! {
            () = self.shutdown() => {}
            () = stop.received() => tracing::warn!("stopped at once, by a second signal"),
        }
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

/// Whole or not at all: whoever waits for the file must not read half of it.
fn write_addresses(
    file: &Path,
    browser: SocketAddr,
    check: SocketAddr,
    admin: SocketAddr,
) -> io::Result<()> {
    let mut name = file.file_name().map(std::ffi::OsStr::to_owned).unwrap_or_default();
    name.push(".tmp");
    let unfinished = file.with_file_name(name);
    let text = serde_json::json!({
        "browser": browser.to_string(),
        "check": check.to_string(),
        "admin": admin.to_string(),
    });
    std::fs::write(&unfinished, format!("{text}\n"))?;
    std::fs::rename(&unfinished, file)
}

#[cfg(test)]
mod tests;
