//! What a reader of the stream is told, and when.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::Value;

use super::super::tests::{TOKEN, app, ask, with_token};
use super::*;
use crate::policies::tests::compiled;
use crate::policies::{PolicyEntry, Revision, RevisionState};
use crate::session::keyring::Keyring;

const SOON: Duration = Duration::from_secs(5);

struct Client {
    body: std::pin::Pin<Box<axum::body::BodyDataStream>>,
    rest: String,
}

impl Client {
    async fn open(router: &Router) -> Self {
        let answer = ask(router, "/policies", &[&format!("Bearer {TOKEN}")]).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/x-ndjson");
        Self { body: Box::pin(answer.into_body().into_data_stream()), rest: String::new() }
    }

    /// The next line; `None` at the end.
    async fn line(&mut self) -> Option<Value> {
        loop {
            if let Some((line, rest)) = self.rest.split_once('\n') {
                let value: Value = serde_json::from_str(line).unwrap();
                self.rest = rest.to_owned();
                return Some(value);
            }
            let chunk = tokio::time::timeout(SOON, self.body.next()).await.expect("a line");
            self.rest.push_str(std::str::from_utf8(&chunk?.unwrap()).unwrap());
        }
    }

    async fn policy(&mut self) -> Value {
        let line = self.line().await.unwrap();
        assert_eq!(line["type"], "policy", "{line}");
        line
    }
}

fn entry(name: &str, generation: i64) -> PolicyEntry {
    let policy = Arc::new(compiled(name, &[&format!("https://{name}.example.com")]));
    let revision = Revision {
        uid: policy.uid.clone(),
        generation,
        hash: format!("hash-{generation}"),
        state: RevisionState::Live,
        problem: None,
    };
    let revision = Arc::new(revision);
    PolicyEntry { id: Arc::new(policy.id.clone()), policy: Some(policy), revision, wired: true }
}

#[tokio::test]
async fn every_change_is_told_at_once_and_no_secret_ever() {
    let app = app();
    let (draining, keyring) =
        (watch::Sender::new(false), Arc::new(Keyring::ephemeral(&*app.random)));
    let (router, _file) = with_token(&app, &draining);
    let mut early = Client::open(&router).await;
    let (a, b) = (entry("a", 1), entry("b", 1));
    app.policies.install(vec![a.clone(), b.clone()], &keyring);
    let mut names =
        vec![early.policy().await["name"].clone(), early.policy().await["name"].clone()];
    names.sort_by_key(Value::to_string);
    assert_eq!(names, ["a", "b"]);
    assert_eq!(early.line().await, Some(json!({"type": "synced"})));

    let mut reader = Client::open(&router).await;
    let first = reader.policy().await;
    reader.policy().await;
    assert!(!first.to_string().contains("canary"), "{first}");
    assert_eq!(reader.line().await, Some(json!({"type": "synced"})));
    app.policies.install(vec![a.clone(), entry("b", 2)], &keyring);
    let expected = json!({
        "type": "policy", "namespace": "default", "name": "b", "uid": "uid-of-b",
        "generation": 2, "hash": "hash-2", "state": "Live", "problem": null,
        "provider": {"state": "Pending", "message": ""},
    });
    assert_eq!(reader.policy().await, expected);
    assert_eq!(early.policy().await, expected);

    let tombstone = Revision { state: RevisionState::Tombstone, ..(*a.revision).clone() };
    let gone = PolicyEntry { policy: None, revision: Arc::new(tombstone), ..a };
    app.policies.install(vec![gone, entry("b", 2)], &keyring);
    let mut lines = [reader.policy().await, reader.policy().await];
    lines.sort_by_key(|line| line["name"].to_string());
    assert_eq!((&lines[0]["state"], &lines[0]["provider"]), (&json!("Tombstone"), &Value::Null));

    app.policies.install(Vec::new(), &keyring);
    let mut removed = [reader.line().await.unwrap(), reader.line().await.unwrap()];
    removed.sort_by_key(|line| line["name"].to_string());
    assert_eq!(removed[0], json!({"type": "removed", "namespace": "default", "name": "a"}));
    draining.send_replace(true);
    assert_eq!(reader.line().await, None, "it ends with the service");
}

#[tokio::test]
async fn a_reader_that_is_late_is_told_the_last_state_alone() {
    let app = app();
    let (draining, keyring) =
        (watch::Sender::new(false), Arc::new(Keyring::ephemeral(&*app.random)));
    let (router, _file) = with_token(&app, &draining);
    app.policies.install(vec![entry("a", 0)], &keyring);
    let mut reader = Client::open(&router).await;
    reader.policy().await;
    reader.line().await;
    for generation in 1..=1000 {
        app.policies.install(vec![entry("a", generation)], &keyring);
    }
    assert_eq!(reader.policy().await["generation"], 1000);
}

#[tokio::test]
async fn at_most_sixteen_readers_are_served_and_a_place_becomes_free() {
    let app = app();
    let draining = watch::Sender::new(false);
    let (router, _file) = with_token(&app, &draining);
    let mut readers = Vec::new();
    for _ in 0..MAX_STREAMS {
        readers.push(Client::open(&router).await);
    }
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(ask(&router, "/policies", &[&bearer]).await.status(), 503);
    readers.pop();
    assert_eq!(ask(&router, "/policies", &[&bearer]).await.status(), 200);
}

#[tokio::test]
async fn a_heartbeat_comes_even_before_anything_is_loaded() {
    let app = app();
    let draining = watch::Sender::new(false);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), TOKEN).unwrap();
    let shared = Shared {
        app,
        draining: draining.subscribe(),
        token: AdminToken::open(file.path().to_owned()).unwrap(),
        free: Arc::new(Semaphore::new(1)),
    };
    let permit = Arc::clone(&shared.free).try_acquire_owned().unwrap();
    let mut follower = Follower::new(&shared, permit, Duration::from_millis(10));
    for _ in 0..3 {
        let line = tokio::time::timeout(SOON, follower.next()).await.unwrap().unwrap();
        assert_eq!(line, "{\"type\":\"heartbeat\"}\n");
    }
}

#[tokio::test]
async fn a_line_is_short_whatever_a_policy_or_its_provider_says() {
    let app = app();
    let keyring = Arc::new(Keyring::ephemeral(&*app.random));
    // Six bytes each as JSON writes them, and a character across the limit.
    let long = format!("{}\u{1}{}", "\u{1}".repeat(MAX_TEXT - 2), "ä".repeat(MAX_TEXT));
    let wrong = entry("a", 1);
    let revision = Revision { problem: Some(long.clone()), ..(*wrong.revision).clone() };
    app.policies.install(vec![PolicyEntry { revision: Arc::new(revision), ..wrong }], &keyring);
    let running = app.policies.running().into_iter().next().unwrap();
    let line =
        Line::Policy(running, Some(Arc::new(ProviderState::Failed { message: long }))).render();
    // What the operator takes for a line of ours.
    assert!(line.len() < 64 * 1024 && line.ends_with('\n'), "{}", line.len());
    let said: Value = serde_json::from_str(&line).unwrap();
    for text in [&said["problem"], &said["provider"]["message"]] {
        assert_eq!(text.as_str().unwrap().len(), MAX_TEXT - 1, "cut between characters");
    }
    assert_eq!(said["provider"]["state"], "Failed");
}
