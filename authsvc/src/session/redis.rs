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
use super::store::{SessionStore, StoreError, Versioned};

/// Name resolution, TCP, TLS, AUTH and SELECT together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// One command.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);
/// A failed attempt to connect lasts at least this long, so that load becomes no storm of attempts.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// A record is its version as 8 big-endian bytes, then what was sealed.
const VERSION_LEN: usize = 8;

/// Compares and replaces in one step, reading only the version. Sent as it is: it is short and rare,
/// and needs no second round trip after a restart.
const REPLACE: &str = "\
if redis.call('GETRANGE', KEYS[1], 0, 7) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1";

/// An attempt to connect, shared by all who wait for it; later the connection it made.
type Link = Shared<BoxFuture<'static, Result<MultiplexedConnection, String>>>;

/// A store in one Redis or Valkey server, connected to when first used.
pub struct RedisStore {
    client: Client,
    link: ArcSwap<Link>,
}

/// Why a store URL was refused; it never shows the URL.
#[derive(Debug, thiserror::Error)]
#[error("store URL: {0}")]
pub struct RedisUrlError(String);

impl RedisStore {
    /// A store at `redis://` or `rediss://` `[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]`. With
    /// `rediss`, the server's certificate is checked against the system's authorities (or those in
    /// the file that `SSL_CERT_FILE` names).
    pub fn new(url: &str) -> Result<Self, RedisUrlError> {
        let client = Client::open(check_url(url)?)
            .map_err(|error| RedisUrlError(error.category().to_owned()))?;
        let link = ArcSwap::from_pointee(connect(client.clone()));
        Ok(Self { client, link })
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

fn encode(version: u64, value: &[u8]) -> Vec<u8> {
    [version.to_be_bytes().as_slice(), value].concat()
}

/// What is too short to be ours becomes an empty record, which does not open.
fn decode(stored: &[u8]) -> Versioned {
    match stored.split_first_chunk::<VERSION_LEN>() {
        Some((version, value)) => {
            Versioned { version: u64::from_be_bytes(*version), value: value.to_vec() }
        }
        None => Versioned { version: 0, value: Vec::new() },
    }
}

/// Redis refuses a time to live of 0.
fn milliseconds(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}

impl SessionStore for RedisStore {
    fn create<'a>(
        &'a self,
        key: &'a StoreKey,
        value: Vec<u8>,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let mut command = redis::cmd("SET");
        command.arg(key.as_str()).arg(encode(1, &value)).arg("NX").arg("PX").arg(milliseconds(ttl));
        let taken = || StoreError("there is a record under this key already".to_owned());
        async move { self.run::<Option<()>>(command).await?.ok_or_else(taken) }.boxed()
    }

    fn load<'a>(
        &'a self,
        key: &'a StoreKey,
    ) -> BoxFuture<'a, Result<Option<Versioned>, StoreError>> {
        let mut command = redis::cmd("GET");
        command.arg(key.as_str());
        async move { Ok(self.run::<Option<Vec<u8>>>(command).await?.as_deref().map(decode)) }
            .boxed()
    }

    fn replace_if_version<'a>(
        &'a self,
        key: &'a StoreKey,
        version: u64,
        value: Vec<u8>,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        let mut command = redis::cmd("EVAL");
        command
            .arg(REPLACE)
            .arg(1)
            .arg(key.as_str())
            .arg(version.to_be_bytes().as_slice())
            .arg(encode(version.wrapping_add(1), &value))
            .arg(milliseconds(ttl));
        self.run(command).boxed()
    }

    fn delete<'a>(&'a self, key: &'a StoreKey) -> BoxFuture<'a, Result<(), StoreError>> {
        let mut command = redis::cmd("DEL");
        command.arg(key.as_str());
        self.run(command).boxed()
    }

    fn take<'a>(&'a self, key: &'a StoreKey) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        let mut command = redis::cmd("GETDEL");
        command.arg(key.as_str());
        async move {
            let stored: Option<Vec<u8>> = self.run(command).await?;
            Ok(stored.map(|stored| decode(&stored).value))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_with_user_password_and_database_are_taken() {
        for url in [
            "redis://localhost",
            "redis://10.0.0.1:6380/3",
            "rediss://user:p%40ss@redis.example:6379/0",
            "redis://:secret@[::1]:6379/",
        ] {
            assert!(RedisStore::new(url).is_ok(), "{url} is refused");
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
            let error = RedisStore::new(url).err().expect("the URL is refused").to_string();
            assert!(error.contains(expected), "{url} gave {error:?}");
            assert!(!error.contains("hunter2"), "{error:?} shows the password");
        }
    }

    #[test]
    fn a_foreign_value_is_an_empty_record_not_a_panic() {
        assert_eq!(decode(b"short"), Versioned { version: 0, value: Vec::new() });
        let record = Versioned { version: 7, value: vec![1, 2] };
        assert_eq!(decode(&encode(7, &[1, 2])), record);
    }
}
