//! Sessions in Redis or Valkey: what several replicas share.
//!
//! Why it exists beside the client library: an outage must be answered within two seconds and end
//! within two seconds of the server's return, whatever the connection died of. It must not need a
//! server to start, turn an error into "no session", or show the URL's password.

mod address;
mod cluster;
mod connect;
mod feed;
mod scripts;
mod sentinel;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use prometheus_client::metrics::counter::Counter;
use redis::{Client, Cmd, FromRedisValue, RedisError};

use super::StoreKey;
use super::index::{IndexEntry, IndexKey, MarkKey};
use super::store::{
    Acquired, Change, ChangeListener, Owner, SessionStore, StoreError, StoreFuture, Versioned,
};
use crate::clock::{Clock, Timestamp};
use crate::overload::waiting::AdaptiveRoom;
use crate::random::{Random as _, SystemRandom};
use address::Address;
use cluster::Cluster;
use connect::{Link, Place};
use feed::Backoff;
use scripts::{CHANNEL, ending_script, lease_script, message, script};
use sentinel::Sentinels;

/// A record is its version as 8 big-endian bytes, then what was sealed.
const VERSION_LEN: usize = 8;
/// Then comes the fence, which counts leases.
const HEAD_LEN: usize = 16;

/// A store in Redis or Valkey, connected to when first used.
pub struct RedisStore {
    servers: Servers,
    /// So many replicas of the store should have the end of a session before it is acknowledged.
    replicas: u8,
    unconfirmed: Counter,
    clock: Arc<dyn Clock>,
    random: SystemRandom,
    /// For checks that read a session.
    reading: AdaptiveRoom,
}

#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
enum Servers {
    /// One that has all.
    One(Link),
    /// Each has some.
    Cluster(Cluster),
}

/// Why a store URL was refused; it never shows the URL.
#[derive(Debug, thiserror::Error)]
#[error("store URL: {0}")]
pub struct RedisUrlError(String);

impl RedisStore {
    /// A store at
    /// - `redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]`,
    /// - `redis-sentinel://[USER[:PASSWORD]@]HOST[:PORT],…[/DATABASE]?master=NAME` (where sentinels
    ///   want a login of their own, `&sentinelUser=…&sentinelPassword=…`), or
    /// - `redis-cluster://[USER[:PASSWORD]@]HOST[:PORT],…`.
    ///
    /// With `rediss` in place of `redis`, all speak TLS, and certificates are checked against the
    /// system's authorities (or those in the file that `SSL_CERT_FILE` names).
    pub fn new(url: &str, clock: Arc<dyn Clock>) -> Result<Self, RedisUrlError> {
        let wrong = |error: RedisError| RedisUrlError(error.category().to_owned());
        let (servers, replicas) = match Address::parse(url)? {
            Address::One(server) => {
                let client = Client::open(server).map_err(wrong)?;
                (Servers::One(Link::new(Place::At(client))), 0)
            }
            Address::Sentinel { sentinels, master, server } => {
                let sentinels = Sentinels::new(sentinels, &master, server).map_err(wrong)?;
                (Servers::One(Link::new(Place::Named(Arc::new(sentinels)))), 1)
            }
            Address::Cluster(seeds) => (Servers::Cluster(Cluster::new(seeds)), 1),
        };
        let unconfirmed = Counter::default();
        Ok(Self {
            servers,
            replicas,
            unconfirmed,
            clock,
            random: SystemRandom,
            reading: AdaptiveRoom::new(),
        })
    }

    /// So many replicas of the store should have the end of a session before it is acknowledged,
    /// and this counts the ends that so many did not have in time. Unless told otherwise: one with
    /// Sentinel and Cluster, else none.
    #[must_use]
    pub fn waiting_for(mut self, replicas: Option<u8>, unconfirmed: Counter) -> Self {
        self.replicas = replicas.unwrap_or(self.replicas);
        self.unconfirmed = unconfirmed;
        self
    }

    /// Runs a command over this key and others of its slot. After a dropped connection it is sent
    /// again, once, so each must bear that. A take then finds nothing and a replacement a new
    /// version, which callers survive; the others give the answer that was lost.
    async fn run<T: FromRedisValue>(&self, key: String, command: Cmd) -> Result<T, StoreError> {
        let answer = match &self.servers {
            Servers::One(link) => link.run(&command).await,
            Servers::Cluster(cluster) => cluster.run(&key, &command).await,
        };
        answer.map_err(|failure| StoreError(failure.describe()))
    }

    /// The same, and waits for replicas of the store.
    async fn run_confirmed(&self, key: String, command: Cmd) -> Result<bool, StoreError> {
        if self.replicas == 0 {
            return self.run(key, command).await;
        }
        let answer = match &self.servers {
            Servers::One(link) => link.run_confirmed(&command, self.replicas).await,
            Servers::Cluster(cluster) => cluster.run_confirmed(&key, &command, self.replicas).await,
        };
        let (reply, replicas) = answer.map_err(|failure| StoreError(failure.describe()))?;
        if replicas < usize::from(self.replicas) {
            self.unconfirmed.inc();
            let wanted = self.replicas;
            tracing::warn!(replicas, wanted, "too few replicas of the store have a session's end");
        }
        Ok(reply)
    }

    async fn read(&self, key: &StoreKey) -> Result<Option<Versioned>, StoreError> {
        let mut command = redis::cmd("GET");
        command.arg(key.text());
        let stored: Option<Vec<u8>> = self.run(key.text(), command).await?;
        Ok(stored.as_deref().map(decode))
    }

    /// The records that a command finds in an index.
    async fn found(&self, index: &IndexKey, command: Cmd) -> Result<Vec<StoreKey>, StoreError> {
        let found: Vec<Vec<u8>> = self.run(index.text(), command).await?;
        Ok(found.iter().filter_map(|digest| StoreKey::of_session(digest)).collect())
    }

    /// Sets what is not there. What is there is taken for ours if it is the same: then the answer
    /// was lost, since a value is never used twice.
    async fn set_once(
        &self,
        key: String,
        value: Vec<u8>,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let mut set = redis::cmd("SET");
        set.arg(&key).arg(&value).arg("NX").arg("PX").arg(milliseconds(ttl));
        if self.run::<Option<()>>(key.clone(), set).await?.is_some() {
            return Ok(true);
        }
        let mut get = redis::cmd("GET");
        get.arg(&key);
        Ok(self.run::<Option<Vec<u8>>>(key, get).await?.is_some_and(|there| there == value))
    }

    /// Tells of changes until they cannot be heard any more, and why.
    async fn listen(&self, listener: &dyn ChangeListener, backoff: &mut Backoff) -> String {
        match &self.servers {
            Servers::One(link) => {
                if link.may_move() {
                    // Commands must not go on to what was the primary when the last news came.
                    link.forget();
                }
                let server = match link.place().find().await {
                    Ok((server, _)) => [server],
                    Err(error) => return error,
                };
                let moved = async {
                    let why = link.place().moved(&server[0]).await;
                    // Commands must not go on to the other.
                    link.forget();
                    why
                };
                feed::listen(&server, listener, backoff, moved).await
            }
            Servers::Cluster(cluster) => match cluster.primaries().await {
                Ok(servers) => {
                    let moved = cluster.moved(&servers);
                    feed::listen(&servers, listener, backoff, moved).await
                }
                Err(error) => error,
            },
        }
    }

    /// Names one attempt, also when it is sent twice.
    fn attempt(&self) -> [u8; 16] {
        let mut attempt = [0; 16];
        self.random.fill(&mut attempt);
        attempt
    }
}

/// A new record.
fn encode(value: &[u8]) -> Vec<u8> {
    [1_u64.to_be_bytes().as_slice(), &0_u64.to_be_bytes(), value].concat()
}

/// What is too short to be ours becomes an empty record, which does not open.
fn decode(stored: &[u8]) -> Versioned {
    match (stored.split_first_chunk::<VERSION_LEN>(), stored.get(HEAD_LEN..)) {
        (Some((version, _)), Some(value)) => {
            Versioned { version: u64::from_be_bytes(*version), value: value.to_vec() }
        }
        _ => Versioned { version: 0, value: Vec::new() },
    }
}

/// Redis refuses a time to live of 0.
fn milliseconds(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn read_acquired(reply: &[redis::Value]) -> Option<Acquired> {
    use redis::Value::{BulkString, Int};
    match reply {
        [Int(0), Int(remaining)] => {
            let remaining = u64::try_from(*remaining).unwrap_or(0);
            Some(Acquired::Held { remaining: Duration::from_millis(remaining) })
        }
        [Int(1), BulkString(fence), BulkString(record)] => {
            let fence = u64::from_be_bytes(fence.as_slice().try_into().ok()?);
            Some(Acquired::Mine { fence, record: decode(record) })
        }
        [Int(2)] => Some(Acquired::Gone),
        _ => None,
    }
}

impl SessionStore for RedisStore {
    fn create<'a>(
        &'a self,
        key: &'a StoreKey,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, ()> {
        let taken = || StoreError("there is a record under this key already".to_owned());
        let setting = self.set_once(key.text(), encode(&value), ttl);
        async move { setting.await?.then_some(()).ok_or_else(taken) }.boxed()
    }

    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        async move {
            let Some(_place) = self.reading.enter() else {
                return Err(StoreError("too many requests wait for it".to_owned()));
            };
            self.read(key).await
        }
        .boxed()
    }

    fn load_many<'a>(&'a self, keys: &'a [StoreKey]) -> StoreFuture<'a, Vec<Option<Versioned>>> {
        futures_util::future::try_join_all(keys.iter().map(|key| self.read(key))).boxed()
    }

    fn replace_if_version<'a>(
        &'a self,
        key: &'a StoreKey,
        version: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        let mut command = script(scripts::REPLACE, &[key.text()]);
        command
            .arg(version.to_be_bytes().as_slice())
            .arg(version.wrapping_add(1).to_be_bytes().as_slice())
            .arg(value)
            .arg(milliseconds(ttl));
        self.run(key.text(), command).boxed()
    }

    fn delete<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, bool> {
        let mut command = ending_script(scripts::DELETE, key);
        command.arg(self.attempt().as_slice());
        self.run_confirmed(key.text(), command).boxed()
    }

    fn take<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Vec<u8>>> {
        let mut command = redis::cmd("GETDEL");
        command.arg(key.text());
        async move {
            let stored: Option<Vec<u8>> = self.run(key.text(), command).await?;
            Ok(stored.map(|stored| decode(&stored).value))
        }
        .boxed()
    }

    fn acquire<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        lease: Duration,
    ) -> StoreFuture<'a, Acquired> {
        let mut command = lease_script(scripts::ACQUIRE, key);
        command.arg(owner.0.as_slice()).arg(milliseconds(lease));
        async move {
            let reply: Vec<redis::Value> = self.run(key.text(), command).await?;
            read_acquired(&reply).ok_or_else(|| StoreError("an answer was not understood".into()))
        }
        .boxed()
    }

    fn renew<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        lease: Duration,
    ) -> StoreFuture<'a, bool> {
        let mut command = script(scripts::RENEW, &[key.lease_text()]);
        command.arg(owner.0.as_slice()).arg(milliseconds(lease));
        self.run(key.text(), command).boxed()
    }

    fn complete<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        fence: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        let mut command = lease_script(scripts::COMPLETE, key);
        command
            .arg(owner.0.as_slice())
            .arg(fence.to_be_bytes().as_slice())
            .arg(value)
            .arg(milliseconds(ttl))
            .arg(CHANNEL)
            .arg(message(key, Change::Replaced));
        self.run(key.text(), command).boxed()
    }

    fn delete_under_lease<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        fence: u64,
    ) -> StoreFuture<'a, bool> {
        let mut command = ending_script(scripts::DELETE_UNDER_LEASE, key);
        command.arg(fence.to_be_bytes().as_slice()).arg(owner.0.as_slice());
        self.run(key.text(), command).boxed()
    }

    fn release<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        pause: Duration,
    ) -> StoreFuture<'a, ()> {
        let mut command = script(scripts::RELEASE, &[key.lease_text()]);
        command.arg(owner.0.as_slice()).arg(milliseconds(pause));
        async move { self.run::<bool>(key.text(), command).await.map(|_| ()) }.boxed()
    }

    fn index<'a>(&'a self, entries: &'a [IndexEntry]) -> StoreFuture<'a, ()> {
        let adding = entries.iter().map(|entry| {
            let mut command = script(scripts::INDEX, &[entry.index.text()]);
            command.arg(self.clock.now().0).arg(entry.until.0).arg(entry.record.digest());
            self.run::<()>(entry.index.text(), command)
        });
        let adding = futures_util::future::try_join_all(adding);
        async move { adding.await.map(|_| ()) }.boxed()
    }

    fn unindex<'a>(&'a self, entries: &'a [IndexEntry]) -> StoreFuture<'a, ()> {
        let removing = entries.iter().map(|entry| {
            let mut command = redis::cmd("ZREM");
            command.arg(entry.index.text()).arg(entry.record.digest());
            self.run::<()>(entry.index.text(), command)
        });
        let removing = futures_util::future::try_join_all(removing);
        async move { removing.await.map(|_| ()) }.boxed()
    }

    fn indexed<'a>(
        &'a self,
        index: &'a IndexKey,
        offset: usize,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoreKey>> {
        let Some(last) = limit.checked_sub(1).map(|more| offset.saturating_add(more)) else {
            return std::future::ready(Ok(Vec::new())).boxed();
        };
        let mut command = redis::cmd("ZRANGE");
        command.arg(index.text()).arg(offset).arg(last);
        self.found(index, command).boxed()
    }

    fn indexed_until<'a>(
        &'a self,
        index: &'a IndexKey,
        until: Timestamp,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoreKey>> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(index.text()).arg("-inf").arg(until.0).arg("BYSCORE");
        command.arg("LIMIT").arg(0).arg(limit);
        self.found(index, command).boxed()
    }

    fn mark_once<'a>(&'a self, mark: &'a MarkKey, ttl: Duration) -> StoreFuture<'a, bool> {
        self.set_once(mark.text(), self.attempt().to_vec(), ttl).boxed()
    }

    fn tell_changes(&self, listener: Arc<dyn ChangeListener>) -> BoxFuture<'_, ()> {
        async move {
            let mut backoff = Backoff::new();
            listener.interrupted();
            loop {
                let lost = self.listen(&*listener, &mut backoff).await;
                listener.interrupted();
                if backoff.is_new() {
                    tracing::warn!(%lost, "what other replicas change is not heard for now");
                }
                backoff.pause().await;
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_value_is_an_empty_record_not_a_panic() {
        assert_eq!(decode(b"short"), Versioned { version: 0, value: Vec::new() });
        let record = Versioned { version: 1, value: vec![1, 2] };
        assert_eq!(decode(&encode(&[1, 2])), record);
    }
}
