//! A cluster: each primary has its part, parts move, and primaries die.

use prometheus_client::metrics::counter::Counter;

use super::access::user_of_all_and;
use super::server::{free_port, until};
use super::store_contract::{Recorder, while_told};
use super::*;

/// First and last slot of the three primaries.
const PARTS: [(u16, u16); 3] = [(0, 5460), (5461, 10922), (10923, 16383)];

/// Three primaries, the first with a replica.
struct Cluster {
    nodes: Vec<Server>,
}

async fn node() -> Option<(Server, u16)> {
    let bus = free_port();
    let bus_port = bus.to_string();
    let arguments = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1500"];
    let more = ["--cluster-port", &bus_port, "--masterauth", server::PASSWORD];
    let user = user_of_all_and(&["cluster|slots", "asking", "wait"]);
    let user: Vec<&str> = user.iter().map(String::as_str).collect();
    Server::start(&[&arguments, &more, &user[..]].concat()).await.map(|server| (server, bus))
}

impl Cluster {
    async fn start() -> Option<Self> {
        let mut nodes = Vec::new();
        for _ in 0..4 {
            nodes.push(node().await?);
        }
        for ((node, _), (first, last)) in nodes.iter().zip(PARTS) {
            let slots = [first.to_string(), last.to_string()];
            let answer = node.cli(&["CLUSTER", "ADDSLOTSRANGE", &slots[0], &slots[1]]);
            assert_eq!(answer.trim(), "OK");
        }
        let epochs = nodes.iter().enumerate();
        for (epoch, (node, _)) in epochs {
            node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(epoch + 1).to_string()]);
        }
        for (node, bus) in &nodes[1..] {
            let (port, bus) = (node.port.to_string(), bus.to_string());
            nodes[0].0.cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        let nodes: Vec<Server> = nodes.into_iter().map(|(node, _)| node).collect();
        let cluster = Self { nodes };
        for node in &cluster.nodes {
            until("all know each other", || {
                let info = node.cli(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:4")
            })
            .await;
        }
        let first = cluster.id(0);
        let replica = &cluster.nodes[3];
        until("there is a replica", || {
            replica.cli(&["CLUSTER", "REPLICATE", &first]);
            replica.cli(&["ROLE"]).contains("connected")
        })
        .await;
        Some(cluster)
    }

    fn id(&self, node: usize) -> String {
        self.nodes[node].cli(&["CLUSTER", "MYID"]).trim().to_owned()
    }

    fn store(&self) -> RedisStore {
        // One that is a replica and one that has nothing of most keys.
        let hosts = [3, 1].map(|node: usize| format!("127.0.0.1:{}", self.nodes[node].port));
        let url = format!("redis-cluster://vestibule:hunter4@{}", hosts.join(","));
        RedisStore::new(&url, Arc::new(SystemClock)).expect("the URL is good")
    }

    fn slot(&self, key: &StoreKey) -> u16 {
        let slot = self.nodes[0].cli(&["CLUSTER", "KEYSLOT", &key.text()]);
        slot.trim().parse().expect("a slot")
    }

    fn node_of(&self, key: &StoreKey) -> usize {
        let slot = self.slot(key);
        PARTS.iter().position(|(first, last)| (*first..=*last).contains(&slot)).expect("a part")
    }
}

#[tokio::test]
async fn a_cluster_holds_the_contract_of_all_stores() {
    let Some(cluster) = Cluster::start().await else { return };
    let store = cluster.store().waiting_for(Some(0), Counter::default());
    holds_the_contract(&store).await;
    // Two of three primaries have no replica here.
    let unconfirmed = Counter::default();
    let store = cluster.store().waiting_for(None, unconfirmed.clone());
    for _ in 0..20 {
        let key = fresh();
        let before = unconfirmed.get();
        bounded(store.create(&key, b"one".to_vec(), LONG)).await.expect("creates");
        assert!(bounded(store.delete(&key)).await.expect("deletes"));
        assert_eq!(unconfirmed.get() > before, cluster.node_of(&key) != 0);
    }
}

#[tokio::test]
async fn changes_are_heard_from_every_primary() {
    let Some(cluster) = Cluster::start().await else { return };
    let (ours, theirs) = (cluster.store(), cluster.store());
    let heard = Arc::new(Recorder::default());
    let work = async {
        heard.caught_up().await;
        let keys: Vec<StoreKey> = (0..60).map(|_| fresh()).collect();
        for key in &keys {
            theirs.delete(key).await.expect("deletes");
        }
        heard.caught_up().await;
        let changes = heard.changes();
        assert!(keys.iter().all(|key| changes.iter().any(|(changed, _)| changed == key)));
        // Not one of them may be silent.
        cluster.nodes[1].signal("-STOP");
        let stopped = Instant::now();
        heard
            .until("it is noticed", |told| {
                told.last().is_some_and(|(_, told)| *told == store_contract::Told::Interrupted)
            })
            .await;
        assert!(stopped.elapsed() < Duration::from_millis(2500), "{:?}", stopped.elapsed());
        cluster.nodes[1].signal("-CONT");
        heard.caught_up().await;
    };
    while_told(ours.tell_changes(heard.clone()), work).await;
}

#[tokio::test]
async fn a_slot_that_moves_is_followed_while_it_moves_and_afterwards() {
    let Some(cluster) = Cluster::start().await else { return };
    let store = cluster.store();
    let key = fresh();
    bounded(store.create(&key, b"kept".to_vec(), LONG)).await.expect("creates");
    let (slot, from) = (cluster.slot(&key).to_string(), cluster.node_of(&key));
    let to = (from + 1) % 3;
    let (from_id, to_id) = (cluster.id(from), cluster.id(to));
    cluster.nodes[to].cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    cluster.nodes[from].cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    let loaded = bounded(store.load(&key)).await.expect("it is still there");
    assert_eq!(loaded.map(|record| record.value).as_deref(), Some(b"kept".as_slice()));
    let port = cluster.nodes[to].port.to_string();
    let text = key.text();
    let auth = ["AUTH", server::PASSWORD];
    let moved = cluster.nodes[from]
        .cli(&[["MIGRATE", "127.0.0.1", &port, &text, "0", "1000"].as_slice(), &auth].concat());
    assert_eq!(moved.trim(), "OK");
    let loaded = bounded(store.load(&key)).await.expect("it is asked for there");
    assert_eq!(loaded.map(|record| record.value).as_deref(), Some(b"kept".as_slice()));
    for node in [to, from] {
        cluster.nodes[node].cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
    assert!(bounded(store.replace_if_version(&key, 1, b"new".to_vec(), LONG)).await.expect("runs"));
    assert!(bounded(store.delete(&key)).await.expect("deletes"));
    assert_eq!(bounded(store.load(&key)).await.expect("loads"), None);
}

#[tokio::test]
async fn a_primary_that_dies_costs_its_part_until_its_replica_is_promoted() {
    let Some(cluster) = Cluster::start().await else { return };
    let (store, heard) = (cluster.store(), Arc::new(Recorder::default()));
    let mut of_first = std::iter::repeat_with(fresh).filter(|key| cluster.node_of(key) == 0);
    let keys: Vec<StoreKey> = of_first.by_ref().take(10).collect();
    let elsewhere = std::iter::repeat_with(fresh).find(|key| cluster.node_of(key) != 0);
    let elsewhere = elsewhere.expect("there are many");
    let work = async {
        heard.caught_up().await;
        for key in keys.iter().chain([&elsewhere]) {
            bounded(store.create(key, b"kept".to_vec(), LONG)).await.expect("creates");
        }
        let ended = &keys[..5];
        for key in ended {
            assert!(bounded(store.delete(key)).await.expect("deletes"));
        }
        cluster.nodes[0].signal("-KILL");
        bounded(store.load(&keys[9])).await.expect_err("its node is gone");
        bounded(store.load(&elsewhere)).await.expect("its node is there");
        let traffic = async {
            loop {
                let _ = bounded(store.load(&keys[9])).await;
                sleep(Duration::from_millis(20)).await;
            }
        };
        let promoted = until("the replica is a primary", || {
            cluster.nodes[3].cli(&["ROLE"]).starts_with("master")
                && cluster.nodes[3].cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
        });
        tokio::select! {
            () = traffic => {}
            () = promoted => {}
        }
        let since = Instant::now();
        while bounded(store.load(&keys[9])).await.is_err() {
            assert!(since.elapsed() < BOUND * 2, "the new primary is not used");
        }
        println!("used {:?} after the promotion was seen", since.elapsed());
        for key in ended {
            assert_eq!(bounded(store.load(key)).await.expect("loads"), None, "an end was undone");
        }
        heard.caught_up().await;
    };
    while_told(store.tell_changes(heard.clone()), work).await;
}
