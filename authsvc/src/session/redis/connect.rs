//! Connections that come back by themselves: one attempt at a time, shared by all who wait for it.
//!
//! It must not need a server to start, wait longer than a second for one, or show a password.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError};
use tokio::sync::Semaphore;

use super::sentinel::Sentinels;

/// Finding the server, name resolution, TCP, TLS, AUTH and SELECT together.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// One command.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long replicas are waited for.
const REPLICA_TIMEOUT: Duration = Duration::from_millis(200);
/// A failed attempt to connect lasts at least this long, so that load becomes no storm of attempts.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// Commands that wait for replicas at a time, each on a connection of its own: it blocks there.
const WAITING: usize = 8;

/// An attempt to connect, shared by all who wait for it; later the connection it made.
type Attempt = Shared<BoxFuture<'static, Result<MultiplexedConnection, String>>>;

/// Where a server is.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "there are as many as servers")]
pub(super) enum Place {
    /// Always there.
    At(Client),
    /// Where the sentinels say.
    Named(Arc<Sentinels>),
}

impl Place {
    /// The server that may be written to, and a connection to it.
    pub(super) async fn find(&self) -> Result<(Client, MultiplexedConnection), String> {
        let finding = async {
            match self {
                Self::At(client) => Ok((client.clone(), connect(client).await?)),
                Self::Named(sentinels) => sentinels.find().await,
            }
        };
        let late = || Err("no connection within a second".to_owned());
        tokio::time::timeout(CONNECT_TIMEOUT, finding).await.unwrap_or_else(|_| late())
    }

    /// Returns, with the reason, once another server than this may be written to.
    pub(super) async fn moved(&self, from: &Client) -> String {
        match self {
            Self::At(_) => std::future::pending().await,
            Self::Named(sentinels) => sentinels.moved(from).await,
        }
    }
}

/// One attempt to connect.
pub(super) async fn connect(client: &Client) -> Result<MultiplexedConnection, String> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT));
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    connecting.await.map_err(|error| describe(&error))
}

/// Why a command gave no answer.
pub(super) enum Failure {
    /// There is no connection.
    Unconnected(String),
    /// The command failed.
    Failed(RedisError),
}

impl Failure {
    /// What may be said of it.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Unconnected(why) => why.clone(),
            Self::Failed(error) => describe(error),
        }
    }
}

/// An answer, and how many replicas of the server had the change by then.
pub(super) type Confirmed<T> = (T, usize);

/// The connections to one place, made when first used.
pub(super) struct Link {
    place: Place,
    current: ArcSwap<Attempt>,
    /// Connections that wait for replicas, while they do not.
    idle: Mutex<Vec<MultiplexedConnection>>,
    waiting: Semaphore,
}

impl Link {
    pub(super) fn new(place: Place) -> Self {
        let current = ArcSwap::from_pointee(attempt(place.clone()));
        Self { place, current, idle: Mutex::default(), waiting: Semaphore::new(WAITING) }
    }

    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// Runs a command. After a dropped connection it is sent again, once: each of ours may be.
    pub(super) async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let mut sent_before = false;
        loop {
            let current = self.current.load_full();
            let mut connection = match Attempt::clone(&current).await {
                Ok(connection) => connection,
                Err(error) => {
                    self.renew(&current);
                    return Err(Failure::Unconnected(error));
                }
            };
            let error = match command.query_async(&mut connection).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            if is_broken(&error) {
                self.renew(&current);
            }
            if sent_before || !was_dropped(&error) {
                return Err(Failure::Failed(error));
            }
            sent_before = true;
        }
    }

    /// Runs a command that a node in a cluster refuses unless asked like this (`ASK`).
    pub(super) async fn run_asking<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let (_, mut connection) = self.place.find().await.map_err(Failure::Unconnected)?;
        let mut both = redis::pipe();
        both.cmd("ASKING").ignore().add_command(command.clone());
        let (reply,) = both.query_async(&mut connection).await.map_err(Failure::Failed)?;
        Ok(reply)
    }

    /// Runs a command and waits a while until so many replicas have what it changed. As `run`, and
    /// where nobody can say how many have it, then none.
    pub(super) async fn run_confirmed<T: FromRedisValue>(
        &self,
        command: &Cmd,
        replicas: u8,
    ) -> Result<Confirmed<T>, Failure> {
        let Ok(Ok(_turn)) = tokio::time::timeout(REPLICA_TIMEOUT, self.waiting.acquire()).await
        else {
            return Ok((self.run(command).await?, 0));
        };
        let milliseconds = REPLICA_TIMEOUT.as_millis().to_string();
        let mut both = redis::pipe();
        both.add_command(command.clone()).cmd("WAIT").arg(replicas).arg(milliseconds);
        loop {
            let current = self.current.load_full();
            let kept = self.idle().pop();
            let was_kept = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.place.find().await.map_err(Failure::Unconnected)?.1,
            };
            match both.query_async(&mut connection).await {
                Ok(confirmed) => {
                    let mut idle = self.idle();
                    // Unless the server was given up meanwhile: that one may be the primary no more.
                    if Arc::ptr_eq(&current, &self.current.load_full()) {
                        idle.push(connection);
                    }
                    return Ok(confirmed);
                }
                Err(error) if was_kept && was_dropped(&error) => {}
                Err(error) if error.is_io_error() => return Err(Failure::Failed(error)),
                // One of the two was refused; if it was the command, that says why.
                Err(_) => return Ok((self.run(command).await?, 0)),
            }
        }
    }

    /// Whether the server may become another.
    pub(super) fn may_move(&self) -> bool {
        matches!(self.place, Place::Named(_))
    }

    /// Lets the next command find its server anew.
    pub(super) fn forget(&self) {
        let current = self.current.load_full();
        self.renew(&current);
    }

    /// Lets the next command connect anew, unless another has seen to it already.
    fn renew(&self, broken: &Arc<Attempt>) {
        self.current.compare_and_swap(broken, Arc::new(attempt(self.place.clone())));
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<MultiplexedConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects when first polled. One attempt: the next command makes the next one.
fn attempt(place: Place) -> Attempt {
    let attempt = async move {
        match place.find().await {
            Ok((_, connection)) => Ok(connection),
            Err(error) => {
                tokio::time::sleep(RETRY_DELAY).await;
                Err(error)
            }
        }
    };
    attempt.boxed().shared()
}

/// Whether the connection is worth nothing now. After a timeout too: the peer may be gone without a
/// word. So may be its right to write.
fn is_broken(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error() || error.code() == Some("READONLY")
}

/// Whether the connection ended, and did not fall silent.
fn was_dropped(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_timeout()
}

/// The kind of error only: a server's own words may repeat what it was sent, a password among it.
pub(super) fn describe(error: &RedisError) -> String {
    match error.code() {
        _ if error.is_io_error() => error.to_string(),
        Some(code) => format!("Redis answered {code}"),
        None => error.category().to_owned(),
    }
}
