//! Keeps one stream per pod.

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use secrecy::SecretString;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use vestibule_policy::model::PolicyId;

use super::Replicas;
use super::stream::{Endpoint, follow};
use crate::metrics::Metrics;
use crate::queue::Work;
use crate::world::World;

/// How soon it is noticed that a silent replica's grace ended.
const TICK: Duration = Duration::from_secs(1);

/// Follows every pod for ever. Dropping the future ends all streams. `wake_all` looks at every
/// policy's status.
pub async fn run(
    world: &Arc<World>,
    replicas: &Arc<Replicas>,
    metrics: &Metrics,
    port: u16,
    token: SecretString,
    wake_all: impl Fn(),
) {
    let token = Arc::new(token);
    let mut tasks: JoinSet<()> = JoinSet::new();
    let mut streams: HashMap<String, (IpAddr, AbortHandle)> = HashMap::new();
    let mut counted = Vec::new();
    loop {
        let pods = present(&world.caches.pods.all());
        streams.retain(|name, (ip, stream)| {
            let stays = pods.get(name).is_some_and(|(address, _)| address == ip);
            if !stays {
                stream.abort();
            }
            stays
        });
        let ready = pods.iter().map(|(name, (_, ready))| (name.clone(), *ready)).collect();
        let mut changed = replicas.set(&ready);
        for (pod, (ip, _)) in pods {
            if streams.contains_key(&pod) {
                continue;
            }
            let endpoint = Endpoint { pod: pod.clone(), ip, port, token: Arc::clone(&token) };
            let queue = Arc::clone(&world.queue);
            let wake = move |ids: &[PolicyId]| {
                for id in ids {
                    queue.add(id, Work::Status);
                }
            };
            let stream = tasks.spawn(follow(endpoint, Arc::clone(replicas), wake));
            streams.insert(pod, (ip, stream));
        }
        let now = replicas.counted();
        changed |= now != counted;
        counted = now;
        if changed {
            wake_all();
        }
        let (followed, synced) = replicas.counts();
        metrics.replicas(followed, synced);
        tokio::select! {
            () = world.pods_changed.notified() => {}
            () = async { if followed == 0 { pending().await } else { sleep(TICK).await } } => {}
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
        }
    }
}

/// The pods that run and do not end, with address and readiness.
fn present(pods: &[Arc<Pod>]) -> BTreeMap<String, (IpAddr, bool)> {
    let running = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    running
        .filter_map(|pod| {
            let status = pod.status.as_ref()?;
            let ip = status.pod_ip.as_deref()?.parse().ok()?;
            let ready = status
                .conditions
                .iter()
                .flatten()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True");
            let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
            (!ended).then(|| (pod.name_any(), (ip, ready)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_pods_that_run_are_followed_and_ready_is_what_kubernetes_says() {
        let pod = |name: &str, more: serde_json::Value| {
            let mut pod = json!({"metadata": {"name": name}, "status": {
                "podIP": "10.0.0.1", "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}]
            }});
            for (key, value) in more.as_object().unwrap() {
                *pod.pointer_mut(key).unwrap() = value.clone();
            }
            Arc::new(serde_json::from_value::<Pod>(pod).unwrap())
        };
        let ending = json!({"name": "ending", "deletionTimestamp": "2026-01-01T00:00:00Z"});
        let pods = present(&[
            pod("ready", json!({})),
            pod("waiting", json!({"/status/conditions/0/status": "False"})),
            pod("ending", json!({"/metadata": ending})),
            pod("failed", json!({"/status/phase": "Failed"})),
            pod("new", json!({"/status/podIP": null})),
        ]);
        let ready: Vec<_> = pods.iter().map(|(name, (_, ready))| (name.as_str(), *ready)).collect();
        assert_eq!(ready, [("ready", true), ("waiting", false)]);
    }
}
