//! What sessions take in memory, counted by dhat: little beyond their records, and never more than the cache
//! counts, whose bound is one of bytes.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::sync::{Arc, Mutex, PoisonError};

use dhat::{HeapStats, Profiler};
use serde_json::{Value, json};
use tokio::time::Instant;
use vestibule_authsvc::random::SystemRandom;
use vestibule_authsvc::session::cache::{Kept, SessionCache};
use vestibule_authsvc::session::keyring::Keyring;
use vestibule_authsvc::session::seal::Sealer;
use vestibule_authsvc::session::store::ChangeListener as _;
use vestibule_authsvc::session::{Purpose, SecretId, Session, StoreKey};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// dhat counts what all threads do.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Issue 7: bytes of a session beyond those of its record.
const LIMIT: usize = 1_024;
/// What an allocator needs beside what it is asked for: a count, and up to the next multiple of 16.
const ALLOCATION: usize = 16;
const POLICY: &str = "default/shop";

/// What is allocated for so many sessions, made of their records as a load makes them: bytes, allocations,
/// and what the cache takes them to need.
struct Taken {
    bytes: usize,
    blocks: usize,
    counted: usize,
}

fn taken(count: usize, record: impl Fn(usize) -> Vec<u8>) -> Taken {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = SessionCache::new(1 << 30);
    cache.up_to_date(Instant::now());
    let keyring = Keyring::ephemeral(&SystemRandom);
    let sealer = Sealer::new(&keyring, POLICY, Purpose::Session);
    let keys: Vec<StoreKey> = (0..count)
        .map(|_| SecretId::generate(&SystemRandom).store_key(Purpose::Session, POLICY))
        .collect();
    let records: Vec<Vec<u8>> = (0..count).map(record).collect();
    let _profiler = Profiler::builder().testing().build();
    let before = HeapStats::get();
    for (record, key) in records.iter().zip(&keys) {
        let session = Arc::new(serde_json::from_slice::<Session>(record).unwrap());
        let opened_by = sealer.id().clone();
        let kept = Kept { session, version: 1, opened_by, by_active_key: true };
        cache.keep(cache.ticket(key), key, kept);
    }
    let after = HeapStats::get();
    cache.up_to_date(Instant::now());
    assert!(keys.iter().all(|key| cache.get(key, sealer.id()).is_some()), "not all are kept");
    Taken {
        bytes: after.curr_bytes - before.curr_bytes,
        blocks: after.curr_blocks - before.curr_blocks,
        counted: cache.bytes(),
    }
}

/// As large as those of a company's provider.
fn session(number: usize) -> Value {
    json!({
        "subject": format!("user-{number:08}"),
        "issuer": "https://login.example.com/realms/staff",
        "provider_session": "s".repeat(36),
        "id_token": "i".repeat(900),
        "id_token_expires_at": 1_800_000_000,
        "access_token": "a".repeat(1_100),
        "access_token_expires_at": 1_800_000_000,
        "refresh_token": "r".repeat(64),
        "tokens_issued_at": 1_800_000_000,
        "nonce": "n".repeat(43),
        "claims": {
            "sub": format!("user-{number:08}"),
            "name": format!("User Number {number:08}"),
            "email": format!("user-{number:08}@example.com"),
            "groups": ["staff", "engineering", "on-call"],
        },
        "acr": "urn:example:gold",
        "auth_time": 1_800_000_000,
        "created_at": 1_800_000_000,
        "touched_at": 1_800_000_000,
    })
}

fn with(mut session: Value, name: &str, value: Value) -> Value {
    session[name] = value;
    session
}

#[test]
fn a_session_takes_little_beyond_its_record() {
    const COUNT: usize = 2_000;
    let record = |number| session(number).to_string().into_bytes();
    let taken = taken(COUNT, record);
    let each = (taken.bytes + ALLOCATION * taken.blocks) / COUNT;
    let beyond = each.saturating_sub(record(0).len());
    println!(
        "a session takes {each} bytes, {beyond} beyond its record: {} in {} allocations",
        taken.bytes / COUNT,
        taken.blocks / COUNT
    );
    assert!(beyond <= LIMIT, "a session takes {beyond} bytes beyond its record");
}

#[test]
fn no_session_takes_more_than_is_counted() {
    let scopes: Vec<String> = (0..9).map(|number| format!("scope-{number}")).collect();
    let many: Value = (0..40).map(|number| (format!("c{number}"), json!([number]))).collect();
    let nested = json!({"realm_access": {"roles": ["a", "b"]}, "address": {"a": {"b": {"c": 1}}}});
    let shapes = [
        ("ordinary", json!({})),
        ("bare", json!({"claims": {}, "refresh_token": null, "nonce": null, "acr": null})),
        ("elevated", json!({"claims": {}, "grant": {"asked": scopes, "granted": scopes}})),
        ("many claims", json!({ "claims": many })),
        ("nested claims", json!({ "claims": nested })),
        ("large nested claims", json!({"claims": {"all": many}})),
        ("lists", json!({"claims": {"lists": vec![json!([["a"], [], [null, 1, true]]); 20]}})),
    ];
    for (shape, members) in shapes {
        let record = |number| {
            let members = members.as_object().unwrap().clone().into_iter();
            let shaped =
                members.fold(session(number), |shaped, (name, value)| with(shaped, &name, value));
            shaped.to_string().into_bytes()
        };
        // Lists and tables grow to the double: just after that, and just before.
        for count in [280, 480] {
            let Taken { bytes, blocks, counted } = taken(count, record);
            let takes = bytes + ALLOCATION / 2 * blocks;
            assert!(takes <= counted, "{count} {shape}: {takes} bytes, {counted} are counted");
        }
    }
}
