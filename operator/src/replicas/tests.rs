//! What the streams of replicas say, line by line. No network.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::advance;

use super::*;
use crate::reconcile::conditions::{Draft, ReplicaView, conditions};
use crate::reconcile::validate::problems::{Finding, MAX_MESSAGE};

fn id(name: &str) -> PolicyId {
    PolicyId { namespace: "shop".to_owned(), name: name.to_owned() }
}

fn policy(name: &str, hash: &str) -> Line {
    let text = format!(
        r#"{{"type":"policy","namespace":"shop","name":"{name}","uid":"u","generation":1,"hash":"{hash}","state":"Live","problem":null,"provider":null}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn pods(pods: &[(&str, bool)]) -> BTreeMap<String, bool> {
    pods.iter().map(|(name, ready)| ((*name).to_owned(), *ready)).collect()
}

fn hashes(replicas: &Replicas, name: &str) -> Vec<Option<String>> {
    let view = replicas.view(&id(name));
    view.into_iter().map(|replica| replica.running.map(|running| running.hash)).collect()
}

#[tokio::test(start_paused = true)]
async fn every_ready_replica_is_seen_with_what_it_runs() {
    let replicas = Replicas::default();
    assert!(replicas.set(&pods(&[("a", true), ("b", false)])));
    replicas.began("a");
    assert_eq!(replicas.take("a", policy("app", "1")), [id("app")]);
    assert!(replicas.take("a", policy("app", "1")).is_empty(), "nothing changed");
    replicas.take("a", Line::Synced);
    assert_eq!(hashes(&replicas, "app"), [Some("1".to_owned())]);
    assert_eq!(hashes(&replicas, "other"), [None]);
    assert!(replicas.set(&pods(&[("a", true), ("b", true)])), "b became ready");
    assert_eq!(hashes(&replicas, "app"), [Some("1".to_owned()), None], "a does not count alone");
    assert!(!replicas.settled(), "b is given time to tell");
    advance(GRACE).await;
    assert_eq!(hashes(&replicas, "app"), [Some("1".to_owned()), None]);
    assert!(replicas.settled());
    assert!(replicas.set(&pods(&[("a", true)])));
    assert_eq!(hashes(&replicas, "app"), [Some("1".to_owned())]);
}

/// Found at 10,000 policies: a new leader heard one replica's listing before the other's, and wrote
/// that all of one replica enforce what the former leader had seen both enforce.
#[tokio::test(start_paused = true)]
async fn a_replica_that_is_heard_before_the_other_is_not_all_of_them() {
    let replicas = Replicas::default();
    replicas.set(&pods(&[("a", true), ("b", true)]));
    for (heard, expected) in
        [("a", [Some("1".to_owned()), None]), ("b", [(); 2].map(|()| Some("1".to_owned())))]
    {
        assert!(!replicas.settled());
        replicas.began(heard);
        replicas.take(heard, policy("app", "1"));
        assert_eq!(hashes(&replicas, "app"), expected);
        replicas.take(heard, Line::Synced);
    }
    assert!(replicas.settled());
}

#[tokio::test(start_paused = true)]
async fn what_a_new_listing_leaves_out_runs_no_more() {
    let replicas = Replicas::default();
    replicas.set(&pods(&[("a", true)]));
    replicas.began("a");
    replicas.take("a", policy("one", "1"));
    replicas.take("a", policy("two", "1"));
    replicas.take("a", Line::Synced);
    replicas.lost("a");
    assert_eq!(hashes(&replicas, "one"), [Some("1".to_owned())], "for a short time");
    replicas.began("a");
    replicas.take("a", policy("one", "1"));
    assert_eq!(replicas.take("a", Line::Synced), [id("two")]);
    assert_eq!(hashes(&replicas, "two"), [None]);
    replicas.lost("a");
    advance(GRACE).await;
    assert_eq!(hashes(&replicas, "one"), [None], "nothing is known of it any more");
}

#[tokio::test]
async fn a_stream_that_ends_is_opened_again_and_sends_the_token_each_time() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let replicas = Arc::new(Replicas::default());
    replicas.set(&pods(&[("a", true)]));
    let (told, mut woken) = mpsc::unbounded_channel();
    let endpoint = stream::Endpoint {
        pod: "a".to_owned(),
        ip: addr.ip(),
        port: addr.port(),
        token: Arc::new(SecretString::from("canary")),
    };
    let wake = move |ids: &[PolicyId]| ids.iter().for_each(|id| told.send(id.clone()).unwrap());
    let follower = tokio::spawn(stream::follow(endpoint, Arc::clone(&replicas), wake));
    for hash in ["1", "2"] {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = socket.read(&mut request).await.unwrap();
        let request = String::from_utf8_lossy(&request[..length]).to_lowercase();
        assert!(request.starts_with("get /policies http/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: bearer canary\r\n"), "{request}");
        let line = format!(
            "{{\"type\":\"policy\",\"namespace\":\"shop\",\"name\":\"app\",\"uid\":\"u\",\"generation\":1,\"hash\":\"{hash}\",\"problem\":null,\"provider\":null}}\n{{\"type\":\"synced\"}}\n"
        );
        let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{line}");
        socket.write_all(answer.as_bytes()).await.unwrap();
        assert_eq!(woken.recv().await, Some(id("app")));
        assert_eq!(hashes(&replicas, "app"), [Some(hash.to_owned())]);
    }
    follower.abort();
}

#[test]
fn what_a_replica_says_of_a_provider_becomes_one_short_line() {
    // The longest that authsvc sends, and then as long as a line can be.
    for length in [1024, 60_000] {
        let text = format!("{}\nAccepted: True", "é".repeat(length / 2));
        let line = serde_json::json!({
            "type": "policy", "namespace": "shop", "name": "app", "uid": "u", "generation": 1,
            "hash": "h", "state": "Live", "problem": null,
            "provider": {"state": "Failed", "message": text},
        });
        let mut lines = line::Lines::default().push(format!("{line}\n").as_bytes()).unwrap();
        let replicas = Replicas::default();
        replicas.set(&pods(&[("a", true)]));
        replicas.began("a");
        replicas.take("a", lines.remove(0));
        replicas.take("a", Line::Synced);
        let draft = Draft {
            accepted: Finding::ok("Accepted", ""),
            resolved_refs: Finding::ok("ResolvedRefs", ""),
            host_exclusive: Finding::ok("Exclusive", ""),
            not_attached: None,
            origins: Vec::new(),
            hash: "h".to_owned(),
            uid: "u".to_owned(),
        };
        let view = ReplicaView { replicas: replicas.view(&id("app")), ..ReplicaView::default() };
        let now = Time(Timestamp::UNIX_EPOCH);
        let conditions = conditions(&draft, &view, 1, &[], &now);
        let ready = conditions.iter().find(|c| c.type_ == "ProviderReady").unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "DiscoveryFailed"));
        assert!(ready.message.len() <= MAX_MESSAGE, "{}", ready.message.len());
        assert!(!ready.message.contains('\n'), "{}", ready.message);
    }
}
