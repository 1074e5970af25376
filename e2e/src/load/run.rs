//! What both kinds of load share: the connections, their common account, and the end. It must not wait
//! for ever: what is not answered a while after the end has failed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::JoinSet;

use super::ask::Ask;
use super::client::Connection;
use super::histogram::Latencies;

/// How long after the end answers are waited for.
const GRACE: Duration = Duration::from_secs(10);

/// What to ask, where, and on how many connections.
#[derive(Clone, Debug)]
pub struct Load {
    /// The server.
    pub addr: SocketAddr,
    /// The requests, sent in turn.
    pub asks: Vec<Ask>,
    /// How many connections there are, and so how many requests at once at most.
    pub connections: usize,
    /// Whether this thread never sleeps while it waits, which takes a core of its own. A server that is
    /// slower than its client pays in the kernel for waking it up with each answer, and a faster one does
    /// not: where servers are compared, none should.
    pub awake: bool,
    /// Who waits longer than this for a free connection gives up, as users and gateways do; `None`: nobody
    /// does. Only where the load has a pace of its own.
    pub patience: Option<Duration>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How many answers had which status.
    pub statuses: BTreeMap<u16, u64>,
    /// How many requests had no answer, even ten seconds after the end.
    pub failed: u64,
    /// How many were given up before they were sent.
    pub given_up: u64,
    /// All answers' latencies.
    pub latency: Latencies,
    /// The same by status.
    pub by_status: BTreeMap<u16, Latencies>,
    /// The same from when each was sent, without its wait for a free connection.
    pub since_sent: BTreeMap<u16, Latencies>,
    /// From the start to the last answer.
    pub elapsed: Duration,
    /// How many connections were made: more than the load has, where the server closed some.
    pub connects: u64,
}

impl Outcome {
    /// Answers per second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.per_second_of(&self.latency)
    }

    /// Answers of that status per second.
    #[must_use]
    pub fn per_second_with(&self, status: u16) -> f64 {
        self.by_status.get(&status).map_or(0.0, |latency| self.per_second_of(latency))
    }

    /// Requests per second that were given up.
    #[must_use]
    pub fn given_up_per_second(&self) -> f64 {
        self.each_second(self.given_up)
    }

    fn per_second_of(&self, latency: &Latencies) -> f64 {
        self.each_second(latency.count())
    }

    fn each_second(&self, count: u64) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let count = count as f64;
        if seconds > 0.0 { count / seconds } else { 0.0 }
    }
}

/// The common account of a run's connections.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) load: Load,
    pub(super) begun: Instant,
    next: AtomicUsize,
    offered: AtomicU64,
    given_up: AtomicU64,
    account: Mutex<Account>,
}

#[derive(Debug, Default)]
struct Account {
    by_status: BTreeMap<u16, Latencies>,
    since_sent: BTreeMap<u16, Latencies>,
    last: Option<Instant>,
    connects: u64,
}

impl Run {
    pub(super) fn new(load: &Load) -> Arc<Self> {
        assert!(!load.asks.is_empty() && load.connections > 0, "a load without requests");
        Arc::new(Self {
            load: load.clone(),
            begun: Instant::now(),
            next: AtomicUsize::new(0),
            offered: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            account: Mutex::default(),
        })
    }

    /// The next request in turn.
    pub(super) fn next(&self) -> &Ask {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        &self.load.asks[turn % self.load.asks.len()]
    }

    /// One more request is due.
    pub(super) fn offer(&self) {
        self.offered.fetch_add(1, Ordering::Relaxed);
    }

    /// One is given up.
    pub(super) fn give_up(&self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }

    /// The answer to a request that was due at `due` and sent at `sent` is here, at `now`. One without an
    /// answer is not noted, and so counts as failed.
    pub(super) fn answered(&self, status: u16, due: Instant, sent: Instant, now: Instant) {
        let mut account = self.account.lock().expect("no one panics with it");
        account.by_status.entry(status).or_default().record(now - due);
        account.since_sent.entry(status).or_default().record(now - sent);
        account.last = Some(now);
    }

    /// A connection was made.
    pub(super) fn connected(&self) {
        self.account.lock().expect("no one panics with it").connects += 1;
    }

    /// What came of it.
    pub(super) fn outcome(&self) -> Outcome {
        let account = self.account.lock().expect("no one panics with it");
        let given_up = self.given_up.load(Ordering::Relaxed);
        let mut latency = Latencies::default();
        for of_status in account.by_status.values() {
            latency.add(of_status);
        }
        Outcome {
            statuses: account
                .by_status
                .iter()
                .map(|(code, times)| (*code, times.count()))
                .collect(),
            failed: self.offered.load(Ordering::Relaxed) - latency.count() - given_up,
            given_up,
            latency,
            by_status: account.by_status.clone(),
            since_sent: account.since_sent.clone(),
            elapsed: account.last.unwrap_or(self.begun) - self.begun,
            connects: account.connects,
        }
    }
}

/// Runs a task for each connection on this thread until all end; what is left ten seconds after `lasts`
/// is given up.
pub(super) fn drive<T>(run: &Arc<Run>, lasts: Duration, task: impl Fn(Connection) -> T) -> Outcome
where
    T: Future<Output = ()> + Send + 'static,
{
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let awake = run.load.awake.then(|| {
            tokio::spawn(async {
                loop {
                    tokio::task::yield_now().await;
                }
            })
        });
        let mut running = JoinSet::new();
        for _ in 0..run.load.connections {
            running.spawn(task(Connection::new(run)));
        }
        let all = async { while running.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(lasts + GRACE, all).await;
        awake.inspect(tokio::task::JoinHandle::abort);
    });
    run.outcome()
}
