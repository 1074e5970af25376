//! A replica of authsvc that answers a new leader late: until it has, nothing is known of it, and
//! nothing is said of it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vestibule_e2e::apiserver::{ApiServer, NAMESPACE};
use vestibule_e2e::http::Request;
use vestibule_e2e::process::eventually;

use crate::bench::{Bench, LIMIT, policy_path};

/// Less than what a replica is given to answer.
const LATE: Duration = Duration::from_secs(3);

/// What stands for a replica: its stream of policies.
#[derive(Clone, Default)]
struct Replica {
    lines: Arc<Mutex<String>>,
    mute: Arc<AtomicBool>,
    told: Arc<AtomicUsize>,
}

impl Replica {
    /// Starts it and gives its port.
    fn start(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let replica = self.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let replica = replica.clone();
                std::thread::spawn(move || replica.tell(&client));
            }
        });
        port
    }

    fn tell(&self, mut client: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(client.try_clone().ok()?);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n";
        client.write_all(head.as_bytes()).ok()?;
        eventually(LIMIT, || (!self.mute.load(Ordering::SeqCst)).then_some(()))?;
        let lines = self.lines.lock().unwrap().clone();
        client.write_all(lines.as_bytes()).ok()?;
        self.told.fetch_add(1, Ordering::SeqCst);
        reader.read_line(&mut line).ok().map(|_| ())
    }
}

/// The object of its pod, as long as this is there.
struct Pod(SocketAddr);

impl Pod {
    fn create(api: &ApiServer) -> Self {
        api.apply(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "authsvc", "namespace": NAMESPACE, "labels": {
                "app.kubernetes.io/name": "vestibule", "app.kubernetes.io/component": "authsvc",
            }},
            "spec": {"containers": [{"name": "authsvc", "image": "here"}]},
        }));
        let status = json!({
            "phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        });
        api.merge(&format!("{POD}/status"), &json!({ "status": status }));
        Self(api.plain())
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let path = format!("{POD}?gracePeriodSeconds=0");
        let _ = Request::new("DELETE", path, "127.0.0.1").try_send(self.0);
    }
}

const POD: &str = "/api/v1/namespaces/vestibule/pods/authsvc";

fn is_programmed(bench: &Bench, name: &str) -> bool {
    let policy = bench.api.object(&policy_path(name));
    let conditions = policy["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let mine = |condition: &&Value| condition["type"] == "Programmed";
    conditions.iter().find(mine).is_some_and(|condition| condition["status"] == "True")
}

#[test]
fn a_new_leader_says_nothing_before_its_replicas_have_answered() {
    let replica = Replica::default();
    let mut bench = Bench::prepare();
    bench.more = vec![format!("--authsvc-admin-port={}", replica.start())];
    bench.begin();
    bench.app("late");
    let uid = bench.policy("late")["metadata"]["uid"].clone();
    bench.settle("late");
    let secret = bench.compiled("late").unwrap();
    let line = json!({
        "type": "policy", "namespace": "late", "name": "shop", "uid": uid, "generation": 1,
        "hash": secret["metadata"]["annotations"]["vestibule.dev/hash"], "state": "Live",
        "problem": null, "provider": {"state": "Ready", "message": ""},
    });
    *replica.lines.lock().unwrap() = format!("{line}\n{{\"type\":\"synced\"}}\n");
    let _pod = Pod::create(&bench.api);
    let programmed = eventually(LIMIT, || is_programmed(&bench, "late").then_some(()));
    assert!(programmed.is_some(), "{}", bench.tail());
    replica.mute.store(true, Ordering::SeqCst);
    bench.crash();
    let _ = bench.proxy.take_calls();
    bench.begin();
    let (start, told) = (Instant::now(), replica.told.load(Ordering::SeqCst));
    eventually(LIMIT, || (start.elapsed() >= LATE).then_some(()));
    replica.mute.store(false, Ordering::SeqCst);
    let answered = eventually(LIMIT, || (replica.told.load(Ordering::SeqCst) > told).then_some(()));
    assert!(answered.is_some(), "it is not asked");
    let written = eventually(LATE, || {
        let calls = bench.proxy.calls();
        let status = format!("{}/status", policy_path("late"));
        let call = calls.iter().find(|call| call.target.starts_with(&status))?;
        Some(String::from_utf8_lossy(&call.body).into_owned())
    });
    assert_eq!(written, None);
    assert!(is_programmed(&bench, "late"));
}
