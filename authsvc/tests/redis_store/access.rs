//! What a user of ours must be allowed, and whose certificates are believed.

use std::process::{Command, Stdio};

use prometheus_client::metrics::counter::Counter;

use super::server::skip;
use super::store::Owner;
use super::store_contract::{Recorder, Told, while_told};
use super::*;

/// Set in the process that the TLS test runs itself in again, with its own certificate authority.
const TLS_URL: &str = "VESTIBULE_TEST_TLS_URL";

/// What a server's user for us must be allowed to send.
const SENT: [&str; 5] = ["set", "get", "getdel", "eval", "zrem"];
/// What scripts call, and `SELECT` for a database other than 0: there, Redis says no more than that
/// it is an error.
const CALLED: [&str; 11] = [
    "select",
    "getrange",
    "setrange",
    "del",
    "pttl",
    "pexpire",
    "publish",
    "zremrangebyscore",
    "zadd",
    "zrange",
    "expireat",
];
/// What hearing of changes takes.
const HEARING: [&str; 2] = ["subscribe", "ping"];

fn all_but(missing: &str) -> Vec<&'static str> {
    let all = SENT.into_iter().chain(CALLED).chain(HEARING);
    all.filter(|command| *command != missing).collect()
}

/// What gives a server one user, who may run these commands on our keys and channel and nothing else.
fn user(commands: &[&str]) -> Vec<String> {
    let of_ours = ["--user", "vestibule", "on", ">hunter4", "~vestibule:*", "&vestibule:changes"];
    let allowed = commands.iter().map(|command| format!("+{command}"));
    of_ours.into_iter().map(str::to_owned).chain(allowed).collect()
}

/// The same for all our commands and these.
pub fn user_of_all_and(more: &[&str]) -> Vec<String> {
    user(&[all_but("nothing").as_slice(), more].concat())
}

/// A server with one user, who may run these commands on our keys and channel and nothing else.
async fn server_with_user(commands: &[&str]) -> Option<(Server, RedisStore)> {
    let arguments = user(commands);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let server = Server::start(&arguments).await?;
    let url = format!("redis://vestibule:hunter4@127.0.0.1:{}/3", server.port);
    let store = RedisStore::new(&url, Arc::new(SystemClock)).expect("the URL is good");
    Some((server, store))
}

/// Everything that a store does, and that it does not say no to.
async fn use_all(store: &RedisStore) -> Result<(), StoreError> {
    let (key, one, other) = (fresh(), Owner([1; 16]), Owner([2; 16]));
    let until = Timestamp(SystemClock.now().0 + 60);
    let entry = index::IndexEntry { index: fresh_index(), record: key, until };
    bounded(store.create(&key, b"first".to_vec(), LONG)).await?;
    bounded(store.load(&key)).await?;
    bounded(store.replace_if_version(&key, 1, b"second".to_vec(), LONG)).await?;
    bounded(store.acquire(&key, one, LONG)).await?;
    bounded(store.acquire(&key, other, LONG)).await?;
    bounded(store.renew(&key, one, LONG)).await?;
    bounded(store.complete(&key, one, 1, b"third".to_vec(), LONG)).await?;
    bounded(store.release(&key, one, LONG)).await?;
    bounded(store.take(&key)).await?;
    bounded(store.index(&[entry])).await?;
    bounded(store.indexed(&entry.index, 0, 1)).await?;
    bounded(store.unindex(&[entry])).await?;
    bounded(store.mark_once(&fresh_mark(), LONG)).await?;
    bounded(store.delete_under_lease(&key, one, 1)).await?;
    bounded(store.delete(&key)).await.map(|_| ())
}

#[tokio::test]
async fn a_user_of_just_our_commands_keys_and_channel_suffices_in_any_database() {
    let Some((server, store)) = server_with_user(&all_but("nothing")).await else { return };
    holds_the_contract(&store).await;
    let key = fresh();
    bounded(store.create(&key, b"third".to_vec(), LONG)).await.expect("creates");
    let elsewhere = bounded(server.store().load(&key)).await.expect("loads");
    assert_eq!(elsewhere, None, "database 1 does not have what database 3 has");
}

#[tokio::test]
async fn a_user_who_lacks_one_of_our_commands_gets_an_error_that_names_the_kind() {
    for missing in SENT.into_iter().chain(CALLED) {
        let Some((_server, store)) = server_with_user(&all_but(missing)).await else { return };
        let error = use_all(&store).await.expect_err(missing).to_string();
        let code = if SENT.contains(&missing) { "NOPERM" } else { "ERR" };
        assert!(error.contains(&format!("answered {code}")), "{missing}: {error}");
        assert!(!error.contains("hunter4"), "{error} shows the password");
    }
}

#[tokio::test]
async fn a_user_who_may_not_wait_for_replicas_ends_sessions_unconfirmed() {
    let Some((_server, store)) = server_with_user(&all_but("nothing")).await else { return };
    let (key, unconfirmed) = (fresh(), Counter::default());
    let store = store.waiting_for(Some(1), unconfirmed.clone());
    bounded(store.create(&key, b"one".to_vec(), LONG)).await.expect("creates");
    assert!(bounded(store.delete(&key)).await.expect("deletes"));
    assert_eq!(bounded(store.load(&key)).await.expect("loads"), None);
    assert_eq!(unconfirmed.get(), 1);
}

#[tokio::test]
async fn a_user_who_may_not_hear_of_changes_is_never_up_to_date() {
    for missing in HEARING {
        let Some((_server, store)) = server_with_user(&all_but(missing)).await else { return };
        let heard = Arc::new(Recorder::default());
        let tried_twice = heard.until("it tries again", |told| told.len() > 3);
        while_told(store.tell_changes(heard.clone()), tried_twice).await;
        let told = heard.told();
        assert!(told.iter().all(|(_, told)| *told == Told::Interrupted), "{missing}: {told:?}");
    }
}

#[tokio::test]
async fn rediss_trusts_the_systems_authorities_only() {
    if let Ok(url) = std::env::var(TLS_URL) {
        let store = RedisStore::new(&url, Arc::new(SystemClock)).expect("the URL is good");
        holds_the_contract(&store).await;
        return;
    }
    let certificates = tempfile::tempdir().expect("a directory");
    let path = |name: &str| certificates.path().join(name).display().to_string();
    let (key, certificate) = (path("key.pem"), path("cert.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=store", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-days", "2"])
        .args(["-keyout", &key, "-out", &certificate])
        .stderr(Stdio::null())
        .status();
    let Ok(made) = made else { return skip("openssl") };
    assert!(made.success(), "openssl makes a certificate");
    let arguments = ["--port", "0", "--tls-port", "PORT", "--tls-auth-clients", "no"];
    let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
    let Some(server) = Server::start(&[arguments.as_slice(), &files].concat()).await else {
        return;
    };
    let url = server.url().replace("redis:", "rediss:");
    let untrusting = RedisStore::new(&url, Arc::new(SystemClock)).expect("the URL is good");
    bounded(untrusting.load(&fresh())).await.expect_err("nobody vouches for the server");
    let trusting = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "access::rediss_trusts_the_systems_authorities_only"])
        .env(TLS_URL, url)
        .env("SSL_CERT_FILE", certificate)
        .output()
        .expect("this program runs again");
    assert!(trusting.status.success(), "{}", String::from_utf8_lossy(&trusting.stdout));
}
