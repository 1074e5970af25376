//! What a session costs in the cache of an authsvc, beyond its own bytes: those of its record as it is
//! stored, which is the JSON that is sealed, without what sealing adds.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::replica::{Replica, check_of};
use super::seed;
use super::usage::Memory;
use crate::apiserver::ApiServer;
use crate::asker::Asker;
use crate::process::{eventually, free_port};
use crate::redis::Redis;

/// So many ask at once.
const ASKERS: usize = 4;

/// What sessions cost in the cache.
#[derive(Clone, Copy, Debug)]
pub struct CachedSessions {
    /// How many.
    pub count: usize,
    /// Bytes of one session's record.
    pub own: u64,
    /// Bytes of the process for each, its own included.
    pub bytes_each: u64,
    /// KiB without a file, before any was read.
    pub before: u64,
}

/// Puts so many sessions of policy 0 into a store, and has each read once by a fresh authsvc whose cache
/// holds them all.
#[must_use]
pub fn cached_sessions(api: &ApiServer, issuer: &str, count: usize) -> CachedSessions {
    let redis =
        Redis::start_with(&api.dir().join("sessions"), free_port(), &["--appendonly", "no"]);
    let (own, cookies) = seed_sessions(api, &redis, issuer, count);
    let ip = IpAddr::from([127, 0, 0, 1]);
    let arguments = ["--store", &redis.url(), "--session-cache-bytes", "4GiB"];
    let replica = Replica::start(api, ip, free_port(), &arguments);
    // What the first ones cost once and for all is no session's; nor is anything kept before the
    // store tells of changes.
    let (first, cookies) = cookies.split_at(cookies.len() / 100);
    let told = eventually(Duration::from_secs(30), || {
        let asked = reads_after(&redis, || ask_all(&replica, first));
        (asked == 0).then_some(())
    });
    assert!(told.is_some(), "sessions are not kept");
    let before = Memory::of(replica.id()).anonymous;
    ask_all(&replica, cookies);
    let after = Memory::of(replica.id()).anonymous;
    // A machine that stalls may have one asked for twice; one that was let go would show as well.
    let again = reads_after(&redis, || ask_all(&replica, cookies));
    assert!(again <= cookies.len() as u64 / 100, "{again} sessions are not in the cache");
    CachedSessions {
        count: cookies.len(),
        own,
        bytes_each: after.saturating_sub(before) * 1024 / cookies.len() as u64,
        before,
    }
}

/// Puts so many sessions of policy 0 into a store, by the keyring in the folder of `api`: the bytes of one
/// session's record, and the cookies' values.
#[must_use]
pub fn seed_sessions(
    api: &ApiServer,
    redis: &Redis,
    issuer: &str,
    count: usize,
) -> (u64, Vec<String>) {
    let keyring = api.dir().join("keyring.yaml").display().to_string();
    let mut lines = seed(&["sessions", &redis.url(), &keyring, issuer, &count.to_string()]);
    let own = lines.remove(0).parse().expect("a number");
    (own, lines)
}

/// A check with each of these cookies; all must be let through.
fn ask_all(replica: &Replica, cookies: &[String]) {
    std::thread::scope(|scope| {
        for share in cookies.chunks(cookies.len().div_ceil(ASKERS).max(1)) {
            scope.spawn(move || {
                let mut asker = Asker::new(replica.check);
                let mut statuses = BTreeSet::new();
                for cookie in share {
                    let ask = check_of(0, "/").header("Cookie", format!("__Host-bff={cookie}"));
                    statuses.insert(asker.send(&ask).map_or(0, |answer| answer.status));
                }
                assert_eq!(statuses, BTreeSet::from([200]), "sessions are refused");
            });
        }
    });
}

/// How often the store was asked for a record meanwhile.
fn reads_after(redis: &Redis, ask: impl FnOnce()) -> u64 {
    let before = reads(redis);
    ask();
    reads(redis) - before
}

/// How often the store was ever asked for a record.
fn reads(redis: &Redis) -> u64 {
    let all = redis.cli(&["INFO", "commandstats"]);
    let calls = all.lines().find_map(|line| line.strip_prefix("cmdstat_get:calls="));
    let calls = calls.and_then(|line| line.split(',').next()?.parse().ok());
    calls.unwrap_or_default()
}
