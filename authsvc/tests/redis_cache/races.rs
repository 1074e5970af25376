//! Reads race a logout, or a refresh, on another connection. The redis client's own cache serves a
//! third and more of such reads for half an hour (reference/performance.md, section 1.5).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use vestibule_authsvc::audit::{EndReason, Ending};
use vestibule_authsvc::policies::LivePolicy;
use vestibule_authsvc::session::SecretId;
use vestibule_authsvc::session::service::Loaded;

use crate::replicas::{Replica, key, policy, session};
use crate::server::Server;

/// How late news may be.
const LATE: Duration = Duration::from_secs(1);
/// What this machine may be slower than one that has nothing else to do.
const SLACK: u32 = 5;
const ABREAST: usize = 64;
const LOGOUT: Ending<'_> = Ending { reason: EndReason::Logout, by: "user" };

fn rounds() -> usize {
    std::env::var("VESTIBULE_CACHE_ROUNDS").map_or(3_000, |rounds| rounds.parse().unwrap())
}

/// What one round saw.
struct Round {
    /// From the acknowledgement on, until the reader saw it.
    delay: Duration,
    /// Answers that the reader got before.
    reads: usize,
}

/// Each of these takes all that the machine has.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Two replicas: one changes sessions, the other reads them.
struct World {
    one: Replica,
    other: Replica,
    policy: LivePolicy,
}

impl World {
    async fn new(server: &Server) -> Arc<Self> {
        let [one, other] = [(); 2].map(|()| Replica::new(&server.url()));
        other.is_warm().await;
        Arc::new(Self { one, other, policy: policy() })
    }

    /// The subject that the other replica sees; `None`: no session. Asks again where the store does
    /// not answer.
    async fn seen(&self, id: &SecretId) -> Option<String> {
        loop {
            match self.other.sessions.load(&self.policy, id).await {
                Ok(loaded) => return loaded.map(|loaded| loaded.session.subject.clone()),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    async fn create(&self, subject: &str) -> SecretId {
        loop {
            match self.one.sessions.create(&self.policy, &session(subject)).await {
                Ok(id) => return id,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    async fn end(&self, id: &SecretId) -> Instant {
        let loaded = Loaded { key: key(id), session: session("alice").into() };
        while self.one.sessions.end(&self.policy, &loaded, LOGOUT).await.is_err() {
            tokio::task::yield_now().await;
        }
        Instant::now()
    }

    async fn logout_races_reads(&self) -> Round {
        let id = self.create("alice").await;
        self.race(&id, |seen| seen.is_none(), self.end(&id)).await
    }

    async fn refresh_races_reads(&self) -> Round {
        let id = self.create("old").await;
        let key = key(&id);
        let replace = self.one.replace(&self.policy, &key, "new");
        self.race(&id, |seen| seen == Some("new"), replace).await
    }

    /// Reads until it is seen that there was a change; from then on it must stay so.
    async fn race(
        &self,
        id: &SecretId,
        is_new: impl Fn(Option<&str>) -> bool,
        change: impl Future<Output = Instant>,
    ) -> Round {
        let (begun, mut reads) = (AtomicUsize::new(0), 0);
        let reading = async {
            loop {
                begun.fetch_add(1, Ordering::SeqCst);
                if is_new(self.seen(id).await.as_deref()) {
                    return Instant::now();
                }
                reads += 1;
                // Answers from memory never wait, and others are to have their turn.
                tokio::task::yield_now().await;
            }
        };
        // The first read is on its way, or answered, or there were some from memory.
        let first = usize::from(key(id).digest()[0] % 4);
        let changing = async {
            while begun.load(Ordering::SeqCst) < first {
                tokio::task::yield_now().await;
            }
            change.await
        };
        let both = async { tokio::join!(reading, changing) };
        let both = tokio::time::timeout(LATE * SLACK, both).await;
        let (seen, changed) = both.expect("what was changed is served for ever");
        for _ in 0..20 {
            assert!(is_new(self.seen(id).await.as_deref()), "what was changed came back");
            tokio::task::yield_now().await;
        }
        Round { delay: seen.saturating_duration_since(changed), reads }
    }
}

/// Many rounds at a time, on all threads.
async fn rounds_of<F: Future<Output = Round> + Send + 'static>(
    world: &Arc<World>,
    rounds: usize,
    round: fn(Arc<World>) -> F,
) -> Vec<Round> {
    let tasks: Vec<_> = (0..ABREAST)
        .map(|_| {
            let world = Arc::clone(world);
            tokio::spawn(async move {
                let mut seen = Vec::new();
                for _ in 0..rounds.div_ceil(ABREAST) {
                    seen.push(round(Arc::clone(&world)).await);
                }
                seen
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all
}

fn report(what: &str, mut rounds: Vec<Round>) {
    rounds.sort_by_key(|round| round.delay);
    let at = |share: usize| rounds[(rounds.len() - 1) * share / 1_000].delay;
    let overtaken = rounds.iter().filter(|round| round.reads > 0).count();
    println!(
        "{what}: {} rounds, {overtaken} with old answers before; delay after the acknowledgement \
         p50 {:?}, p99 {:?}, p99.9 {:?}, max {:?}",
        rounds.len(),
        at(500),
        at(990),
        at(999),
        at(1_000),
    );
    assert!(overtaken * 4 > rounds.len(), "there was no race");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_that_races_a_logout_is_served_after_it() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(server) = Server::start().await else { return };
    let world = World::new(&server).await;
    let round = |world: Arc<World>| async move { world.logout_races_reads().await };
    report("logout", rounds_of(&world, rounds(), round).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_that_races_a_refresh_is_served_after_it() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(server) = Server::start().await else { return };
    let world = World::new(&server).await;
    let round = |world: Arc<World>| async move { world.refresh_races_reads().await };
    report("refresh", rounds_of(&world, rounds(), round).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_logout_is_missed_though_connections_are_cut_all_the_time() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(server) = Server::start().await else { return };
    let world = World::new(&server).await;
    let mut connection = server.connection().await;
    let cutting = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(150));
        for kind in ["pubsub", "pubsub", "normal"].into_iter().cycle() {
            ticks.tick().await;
            let mut kill = redis::cmd("CLIENT");
            kill.arg("KILL").arg("TYPE").arg(kind);
            kill.exec_async(&mut connection).await.unwrap();
        }
    });
    let round = |world: Arc<World>| async move { world.logout_races_reads().await };
    let all = rounds_of(&world, rounds() / 2, round).await;
    assert!(!cutting.is_finished(), "nothing was cut");
    cutting.abort();
    report("logout with cuts", all);
}
