//! Sessions in Redis or Valkey: what several replicas share.
//!
//! Why it exists beside the client library: an outage must be answered within two seconds and end
//! within two seconds of the server's return, whatever the connection died of. It must not need a
//! server to start, turn an error into "no session", or show the URL's password.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError};
use url::Url;

use super::StoreKey;
use crate::clock::Clock;
use super::index::{IndexEntry, IndexKey, MarkKey};
use super::store::{
    Acquired, Change, ChangeListener, Owner, SessionStore, StoreError, StoreFuture, Versioned,
};

/// Name resolution, TCP, TLS, AUTH and SELECT together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// One command.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);
/// A failed attempt to connect lasts at least this long, so that load becomes no storm of attempts.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// A record is its version as 8 big-endian bytes, then what was sealed.
const VERSION_LEN: usize = 8;
/// Then comes the fence, which counts leases.
const HEAD_LEN: usize = 16;

/// Where changes are told.
const CHANNEL: &str = "vestibule:changes";

// Scripts compare and change in one step. They are sent as they are: they are short, and need no
// second round trip after a restart. A record is version, fence (8 big-endian bytes each), content.

/// Replaces a record of one version.
const REPLACE: &str = "\
local head = redis.call('GETRANGE', KEYS[1], 0, 15)
if string.sub(head, 1, 8) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2] .. string.sub(head, 9, 16) .. ARGV[3], 'PX', ARGV[4])
return 1";

/// Deletes a record and tells.
const DELETE: &str = "\
local there = redis.call('DEL', KEYS[1])
redis.call('DEL', KEYS[2])
redis.call('PUBLISH', ARGV[1], ARGV[2])
return there";

/// Gives the lease of a record, and counts it in the record's fence.
const ACQUIRE: &str = "\
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return {0, redis.call('PTTL', KEYS[2])} end
local record = redis.call('GET', KEYS[1])
if not record then return {2} end
local fence = struct.pack('>I8', struct.unpack('>I8', string.sub(record, 9, 16)) + 1)
redis.call('SETRANGE', KEYS[1], 8, fence)
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {1, fence, record}";

/// Prolongs a lease.
const RENEW: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])";

/// Replaces a record under a lease: a later lease has another fence.
const COMPLETE: &str = "\
local head = redis.call('GETRANGE', KEYS[1], 0, 15)
if string.sub(head, 9, 16) ~= ARGV[2] then return 0 end
local version = struct.pack('>I8', struct.unpack('>I8', string.sub(head, 1, 8)) + 1)
redis.call('SET', KEYS[1], version .. ARGV[2] .. ARGV[3], 'PX', ARGV[4])
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
redis.call('PUBLISH', ARGV[5], ARGV[6])
return 1";

/// Deletes a record under a lease.
const DELETE_UNDER_LEASE: &str = "\
if redis.call('GETRANGE', KEYS[1], 8, 15) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('DEL', KEYS[2])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1";

/// Gives a lease back, after which nobody gets it for a while.
const RELEASE: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], '', 'PX', ARGV[2])
return 1";

/// Adds a record to an index, which lasts as long as the longest of its records.
const INDEX: &str = "\
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[3])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('EXPIREAT', KEYS[1], last[2])
return 1";

/// An attempt to connect, shared by all who wait for it; later the connection it made.
type Link = Shared<BoxFuture<'static, Result<MultiplexedConnection, String>>>;

/// A store in one Redis or Valkey server, connected to when first used.
pub struct RedisStore {
    client: Client,
    link: ArcSwap<Link>,
    clock: Arc<dyn Clock>,
}

/// Why a store URL was refused; it never shows the URL.
#[derive(Debug, thiserror::Error)]
#[error("store URL: {0}")]
pub struct RedisUrlError(String);

impl RedisStore {
    /// A store at `redis://` or `rediss://` `[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]`. With
    /// `rediss`, the server's certificate is checked against the system's authorities (or those in
    /// the file that `SSL_CERT_FILE` names).
    pub fn new(url: &str, clock: Arc<dyn Clock>) -> Result<Self, RedisUrlError> {
        let client = Client::open(check_url(url)?)
            .map_err(|error| RedisUrlError(error.category().to_owned()))?;
        let link = ArcSwap::from_pointee(connect(client.clone()));
        Ok(Self { client, link, clock })
    }

    /// Runs a command. After a dropped connection it is sent again, once: each of ours may be. A
    /// create that had succeeded then reports an existing record, a take finds nothing, a
    /// replacement a new version, all of which callers survive.
    async fn run<T: FromRedisValue>(&self, command: Cmd) -> Result<T, StoreError> {
        let mut sent_before = false;
        loop {
            let link = self.link.load_full();
            let mut connection = match Link::clone(&link).await {
                Ok(connection) => connection,
                Err(error) => {
                    self.renew(&link);
                    return Err(StoreError(error));
                }
            };
            let error = match command.query_async(&mut connection).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            // A timeout too: the peer may be gone without a word. So may be its right to write.
            if error.is_io_error() || error.is_unrecoverable_error() || is_read_only(&error) {
                self.renew(&link);
            }
            if sent_before || !error.is_connection_dropped() || error.is_timeout() {
                return Err(StoreError(describe(&error)));
            }
            sent_before = true;
        }
    }

    /// Lets the next command connect anew, unless another has seen to it already.
    fn renew(&self, broken: &Arc<Link>) {
        self.link.compare_and_swap(broken, Arc::new(connect(self.client.clone())));
    }
}

/// Connects when first polled. One attempt: the next command makes the next one.
fn connect(client: Client) -> Link {
    let attempt = async move {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let error = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => describe(&error),
            Err(_) => "no connection within a second".to_owned(),
        };
        tokio::time::sleep(RETRY_DELAY).await;
        Err(error)
    };
    attempt.boxed().shared()
}

fn check_url(url: &str) -> Result<Url, RedisUrlError> {
    let refuse = |why: &str| Err(RedisUrlError(why.to_owned()));
    let Ok(url) = Url::parse(url) else {
        return refuse(
            "is no URL; write redis://HOST:PORT (characters such as @ / # in a password \
                       are percent-encoded)",
        );
    };
    if !matches!(url.scheme(), "redis" | "rediss") {
        return refuse("has another scheme than redis:// or rediss:// (TLS)");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return refuse("names no host; write redis://HOST:PORT");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse(
            "has a query or fragment; leave it out (percent-encode ? and # in a password)",
        );
    }
    let database = url.path().trim_matches('/');
    if !database.is_empty() && database.parse::<u16>().is_err() {
        return refuse("has a path that is no database number; write redis://HOST:PORT/0");
    }
    Ok(url)
}

fn is_read_only(error: &RedisError) -> bool {
    error.code() == Some("READONLY")
}

/// The kind of error only: a server's own words may repeat what it was sent, a password among it.
fn describe(error: &RedisError) -> String {
    match error.code() {
        _ if error.is_io_error() => error.to_string(),
        Some(code) => format!("Redis answered {code}"),
        None => error.category().to_owned(),
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

/// What is told of a change.
fn message(key: &StoreKey, change: Change) -> String {
    let kind = match change {
        Change::Ended => 'e',
        Change::Replaced => 'r',
    };
    format!("{kind}{}", key.name())
}

/// A script over the keys of one record.
fn script(text: &str, keys: &[String]) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(text).arg(keys.len());
    for key in keys {
        command.arg(key);
    }
    command
}

fn record_script(text: &str, key: &StoreKey) -> Cmd {
    script(text, &[key.text(), key.lease_text()])
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
        let mut command = redis::cmd("SET");
        command.arg(key.text()).arg(encode(&value)).arg("NX").arg("PX").arg(milliseconds(ttl));
        let taken = || StoreError("there is a record under this key already".to_owned());
        async move { self.run::<Option<()>>(command).await?.ok_or_else(taken) }.boxed()
    }

    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        let mut command = redis::cmd("GET");
        command.arg(key.text());
        async move { Ok(self.run::<Option<Vec<u8>>>(command).await?.as_deref().map(decode)) }
            .boxed()
    }

    fn load_many<'a>(&'a self, keys: &'a [StoreKey]) -> StoreFuture<'a, Vec<Option<Versioned>>> {
        futures_util::future::try_join_all(keys.iter().map(|key| self.load(key))).boxed()
    }

    fn replace_if_version<'a>(
        &'a self,
        key: &'a StoreKey,
        version: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        let mut command = script(REPLACE, &[key.text()]);
        command
            .arg(version.to_be_bytes().as_slice())
            .arg(version.wrapping_add(1).to_be_bytes().as_slice())
            .arg(value)
            .arg(milliseconds(ttl));
        self.run(command).boxed()
    }

    fn delete<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, bool> {
        let mut command = record_script(DELETE, key);
        command.arg(CHANNEL).arg(message(key, Change::Ended));
        self.run(command).boxed()
    }

    fn take<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Vec<u8>>> {
        let mut command = redis::cmd("GETDEL");
        command.arg(key.text());
        async move {
            let stored: Option<Vec<u8>> = self.run(command).await?;
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
        let mut command = record_script(ACQUIRE, key);
        command.arg(owner.0.as_slice()).arg(milliseconds(lease));
        async move {
            let reply: Vec<redis::Value> = self.run(command).await?;
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
        let mut command = script(RENEW, &[key.lease_text()]);
        command.arg(owner.0.as_slice()).arg(milliseconds(lease));
        self.run(command).boxed()
    }

    fn complete<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        fence: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        let mut command = record_script(COMPLETE, key);
        command
            .arg(owner.0.as_slice())
            .arg(fence.to_be_bytes().as_slice())
            .arg(value)
            .arg(milliseconds(ttl))
            .arg(CHANNEL)
            .arg(message(key, Change::Replaced));
        self.run(command).boxed()
    }

    fn delete_under_lease<'a>(
        &'a self,
        key: &'a StoreKey,
        _owner: Owner,
        fence: u64,
    ) -> StoreFuture<'a, bool> {
        let mut command = record_script(DELETE_UNDER_LEASE, key);
        command
            .arg(fence.to_be_bytes().as_slice())
            .arg(CHANNEL)
            .arg(message(key, Change::Ended));
        self.run(command).boxed()
    }

    fn release<'a>(
        &'a self,
        key: &'a StoreKey,
        owner: Owner,
        pause: Duration,
    ) -> StoreFuture<'a, ()> {
        let mut command = script(RELEASE, &[key.lease_text()]);
        command.arg(owner.0.as_slice()).arg(milliseconds(pause));
        async move { self.run::<bool>(command).await.map(|_| ()) }.boxed()
    }

    fn index<'a>(&'a self, entries: &'a [IndexEntry]) -> StoreFuture<'a, ()> {
        let adding = entries.iter().map(|entry| {
            let mut command = script(INDEX, &[entry.index.text()]);
            command.arg(self.clock.now().0).arg(entry.until.0).arg(entry.record.digest());
            self.run::<()>(command)
        });
        let adding = futures_util::future::try_join_all(adding);
        async move { adding.await.map(|_| ()) }.boxed()
    }

    fn unindex<'a>(&'a self, entries: &'a [IndexEntry]) -> StoreFuture<'a, ()> {
        let removing = entries.iter().map(|entry| {
            let mut command = redis::cmd("ZREM");
            command.arg(entry.index.text()).arg(entry.record.digest());
            self.run::<()>(command)
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
        let mut command = redis::cmd("ZRANGE");
        let last = offset.saturating_add(limit).saturating_sub(1);
        command.arg(index.text()).arg(offset).arg(last);
        async move {
            let found: Vec<Vec<u8>> = self.run(command).await?;
            Ok(found.iter().filter_map(|digest| StoreKey::of_session(digest)).collect())
        }
        .boxed()
    }

    fn mark_once<'a>(&'a self, mark: &'a MarkKey, ttl: Duration) -> StoreFuture<'a, bool> {
        let mut command = redis::cmd("SET");
        command.arg(mark.text()).arg("").arg("NX").arg("PX").arg(milliseconds(ttl));
        async move { Ok(self.run::<Option<()>>(command).await?.is_some()) }.boxed()
    }

    /// Nothing is told yet, so nothing is ever up to date.
    fn tell_changes(&self, listener: Arc<dyn ChangeListener>) -> BoxFuture<'_, ()> {
        listener.interrupted();
        std::future::pending().boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn clock() -> Arc<dyn Clock> {
        Arc::new(SystemClock)
    }

    #[test]
    fn urls_with_user_password_and_database_are_taken() {
        for url in [
            "redis://localhost",
            "redis://10.0.0.1:6380/3",
            "rediss://user:p%40ss@redis.example:6379/0",
            "redis://:secret@[::1]:6379/",
        ] {
            assert!(RedisStore::new(url, clock()).is_ok(), "{url} is refused");
        }
    }

    #[test]
    fn refused_urls_are_explained_without_being_shown() {
        for (url, expected) in [
            ("redis://user:hunter2@", "is no URL"),
            ("user:hunter2@host", "another scheme"),
            ("hunter2", "is no URL"),
            ("http://:hunter2@host", "another scheme"),
            ("redis://:hunter2#@host", "is no URL"),
            ("redis://:hunter2@host/?x=hunter2", "query or fragment"),
            ("rediss://:hunter2@host#insecure", "query or fragment"),
            ("redis://:hunter2@host/main", "database number"),
            ("unix:///run/hunter2.sock", "another scheme"),
        ] {
            let error = RedisStore::new(url, clock()).err().expect("the URL is refused").to_string();
            assert!(error.contains(expected), "{url} gave {error:?}");
            assert!(!error.contains("hunter2"), "{error:?} shows the password");
        }
    }

    #[test]
    fn a_foreign_value_is_an_empty_record_not_a_panic() {
        assert_eq!(decode(b"short"), Versioned { version: 0, value: Vec::new() });
        let record = Versioned { version: 1, value: vec![1, 2] };
        assert_eq!(decode(&encode(&[1, 2])), record);
    }
}
