//! Where the store is: its URL, checked before anything is connected.
//!
//! An error says what is wrong and never shows the URL: it may hold a password.

use percent_encoding::percent_decode_str;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo};
use url::Url;

use super::RedisUrlError;

/// Where sentinels listen unless told otherwise.
const SENTINEL_PORT: u16 = 26379;

/// Where the store is.
pub(super) enum Address {
    /// One server.
    One(ConnectionInfo),
    /// The primary that sentinels name.
    Sentinel {
        /// The sentinels.
        sentinels: Vec<ConnectionInfo>,
        /// What they call it.
        master: String,
        /// How to log in there, wherever it is.
        server: ConnectionInfo,
    },
    /// The primaries of a cluster, as any of these tells.
    Cluster(Vec<ConnectionInfo>),
}

impl Address {
    /// Reads a URL.
    pub(super) fn parse(text: &str) -> Result<Self, RedisUrlError> {
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        match scheme {
            "redis-sentinel" => sentinel("redis", rest),
            "rediss-sentinel" => sentinel("rediss", rest),
            "redis-cluster" => cluster("redis", rest),
            "rediss-cluster" => cluster("rediss", rest),
            _ => Ok(Self::One(connection(&check_url(text)?)?)),
        }
    }
}

/// The same login at another server.
pub(super) fn at(server: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let mut addr = server.addr().clone();
    match &mut addr {
        ConnectionAddr::TcpTls { host: old, port: old_port, .. } => {
            host.clone_into(old);
            *old_port = port;
        }
        other => *other = ConnectionAddr::Tcp(host.to_owned(), port),
    }
    server.clone().set_addr(addr)
}

/// What comes after the scheme.
struct Parts<'a> {
    /// With its `@`, or empty.
    login: &'a str,
    hosts: Vec<&'a str>,
    database: &'a str,
    query: Option<&'a str>,
}

fn parts(rest: &str) -> Result<Parts<'_>, RedisUrlError> {
    if rest.contains('#') {
        return refuse("has a fragment; leave it out (percent-encode # in a password)");
    }
    let (rest, query) =
        rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    Ok(Parts { login, hosts: hosts.split(',').collect(), database, query })
}

fn servers(scheme: &str, parts: &Parts<'_>) -> Result<Vec<Url>, RedisUrlError> {
    let url = |host: &&str| {
        if host.is_empty() {
            return refuse("names no host; write HOST:PORT,HOST:PORT");
        }
        check_url(&format!("{scheme}://{}{host}/{}", parts.login, parts.database))
    };
    parts.hosts.iter().map(url).collect()
}

fn sentinel(scheme: &str, rest: &str) -> Result<Address, RedisUrlError> {
    let parts = parts(rest)?;
    let [mut master, mut user, mut password] = [None, None, None];
    for parameter in parts.query.unwrap_or_default().split('&').filter(|text| !text.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let slot = match name {
            "master" => &mut master,
            "sentinelUser" => &mut user,
            "sentinelPassword" => &mut password,
            _ => {
                return refuse(
                    "has another parameter than master, sentinelUser and sentinelPassword",
                );
            }
        };
        if value.is_empty() || slot.is_some() {
            return refuse("has a parameter that is empty or there twice");
        }
        *slot = Some(decode(value)?);
    }
    let Some(master) = master else {
        return refuse("does not say which master; add ?master=NAME, as the sentinels call it");
    };
    let urls = servers(scheme, &parts)?;
    let mut login = RedisConnectionInfo::default();
    if let Some(user) = user {
        login = login.set_username(user);
    }
    if let Some(password) = password {
        login = login.set_password(password);
    }
    let mut sentinels = Vec::with_capacity(urls.len());
    for url in &urls {
        let server = connection(url)?.set_redis_settings(login.clone());
        let host = host(server.addr());
        sentinels.push(at(&server, &host, url.port().unwrap_or(SENTINEL_PORT)));
    }
    let Some(first) = urls.first() else { return refuse("names no host") };
    Ok(Address::Sentinel { sentinels, master, server: connection(first)? })
}

fn cluster(scheme: &str, rest: &str) -> Result<Address, RedisUrlError> {
    let parts = parts(rest)?;
    if parts.query.is_some() {
        return refuse("has a query; leave it out (percent-encode ? in a password)");
    }
    if !matches!(parts.database, "" | "0") {
        return refuse("names a database; a cluster has one only, leave it out");
    }
    Ok(Address::Cluster(servers(scheme, &parts)?.iter().map(connection).collect::<Result<_, _>>()?))
}

/// The host of an address of ours.
pub(super) fn host(addr: &ConnectionAddr) -> String {
    match addr {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        other => other.to_string(),
    }
}

fn connection(url: &Url) -> Result<ConnectionInfo, RedisUrlError> {
    url.clone().into_connection_info().map_err(|error| RedisUrlError(error.category().to_owned()))
}

fn decode(text: &str) -> Result<String, RedisUrlError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| RedisUrlError("has a parameter that is not UTF-8".to_owned()))
}

fn refuse<T>(why: &str) -> Result<T, RedisUrlError> {
    Err(RedisUrlError(why.to_owned()))
}

/// Checks the URL of one server.
fn check_url(url: &str) -> Result<Url, RedisUrlError> {
    let Ok(url) = Url::parse(url) else {
        return refuse(
            "is no URL; write redis://HOST:PORT (characters such as @ / # in a password \
             are percent-encoded)",
        );
    };
    if !matches!(url.scheme(), "redis" | "rediss") {
        return refuse(
            "has another scheme than redis://, redis-sentinel://, redis-cluster:// (or \
             rediss… with TLS)",
        );
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

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(servers: &[ConnectionInfo]) -> Vec<String> {
        servers.iter().map(|server| server.addr().to_string()).collect()
    }

    #[test]
    fn urls_with_user_password_and_database_are_taken() {
        for (url, addr, db) in [
            ("redis://localhost", "localhost:6379", 0),
            ("redis://10.0.0.1:6380/3", "10.0.0.1:6380", 3),
            ("rediss://user:p%40ss@redis.example:6379/0", "redis.example:6379", 0),
            ("redis://:secret@[::1]:6379/", "::1:6379", 0),
        ] {
            let Ok(Address::One(server)) = Address::parse(url) else { panic!("{url} is refused") };
            assert_eq!(
                (server.addr().to_string().as_str(), server.redis_settings().db()),
                (addr, db)
            );
        }
    }

    #[test]
    fn a_sentinel_url_names_sentinels_and_master_each_with_their_own_login() {
        let url = "rediss-sentinel://app:p%40ss@one:1,[::2],three/2?master=my%20shop\
                   &sentinelUser=watcher&sentinelPassword=s%26cret";
        let Ok(Address::Sentinel { sentinels, master, server }) = Address::parse(url) else {
            panic!("refused")
        };
        assert_eq!(addresses(&sentinels), ["one:1", "::2:26379", "three:26379"]);
        assert_eq!(master, "my shop");
        for sentinel in &sentinels {
            let login = sentinel.redis_settings();
            assert_eq!((login.username(), login.password()), (Some("watcher"), Some("s&cret")));
            assert_eq!(login.db(), 0);
            assert!(matches!(sentinel.addr(), ConnectionAddr::TcpTls { insecure: false, .. }));
        }
        let login = server.redis_settings();
        assert_eq!((login.username(), login.password()), (Some("app"), Some("p@ss")));
        assert_eq!(login.db(), 2);
        assert!(matches!(at(&server, "h", 7).addr(), ConnectionAddr::TcpTls { port: 7, .. }));
    }

    #[test]
    fn a_cluster_url_names_several_nodes() {
        let Ok(Address::Cluster(seeds)) = Address::parse("redis-cluster://u:p@one:7000,two") else {
            panic!("refused")
        };
        assert_eq!(addresses(&seeds), ["one:7000", "two:6379"]);
        assert!(seeds.iter().all(|seed| seed.redis_settings().password() == Some("p")));
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
            ("redis-sentinel://:hunter2@host", "which master"),
            ("redis-sentinel://:hunter2@/?master=m", "names no host"),
            ("redis-sentinel://:hunter2@a,,b/?master=m", "names no host"),
            ("redis-sentinel://:hunter2@a:x/?master=m", "is no URL"),
            ("redis-sentinel://:hunter2@a/main?master=m", "database number"),
            ("redis-sentinel://a?master=m&sentinelPassword=hunter2#x", "fragment"),
            ("redis-sentinel://a?master=m&password=hunter2", "another parameter"),
            ("redis-sentinel://a?master=m&master=hunter2", "twice"),
            ("redis-sentinel://a?sentinelPassword=hunter2&master=", "empty"),
            ("redis-sentinel://a?sentinelPassword=hunter2%ff&master=a", "UTF-8"),
            ("redis-cluster://:hunter2@a/1", "one only"),
            ("redis-cluster://:hunter2@a?b", "query"),
            ("redis-cluster://:hunter2@a,b:99999", "is no URL"),
            ("redis-ring://:hunter2@a,b:9", "another scheme"),
        ] {
            let error = Address::parse(url).err().expect("the URL is refused").to_string();
            assert!(error.contains(expected), "{url} gave {error:?}");
            assert!(!error.contains("hunter2"), "{error:?} shows the password");
        }
    }
}
