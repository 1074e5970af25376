//! Many requests at once, and what came of them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vestibule_e2e::http::Response;
use vestibule_e2e::replicas::Replicas;

/// `count` checks with one session at once, over these replicas by turns. Status 0 is no answer.
pub fn storm(site: &Replicas, cookie: &str, replicas: &[usize], count: usize) -> Vec<Response> {
    let request = site.check(cookie);
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..count)
            .map(|number| {
                let mut asker = site.asker(replicas[number % replicas.len()]);
                let request = &request;
                scope.spawn(move || asker.send(request).unwrap_or_default())
            })
            .collect();
        asking.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// How often there was which status.
pub fn by_status(answers: &[Response]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer.status).or_default() += 1;
    }
    counts
}

/// One answer under steady load.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub answered: Instant,
    pub replica: usize,
    pub status: u16,
}

/// Checks with these sessions, one after the other by two threads at each replica, while `work` runs.
pub fn under_load<T>(
    site: &Replicas,
    cookies: &[String],
    work: impl FnOnce() -> T,
) -> (T, Vec<Sample>) {
    let (done, samples) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let result = std::thread::scope(|scope| {
        for thread in 0..site.replicas.len() * 2 {
            let (done, samples) = (&done, &samples);
            scope.spawn(move || {
                let replica = thread % site.replicas.len();
                let mut asker = site.asker(replica);
                let mut seen = Vec::new();
                for cookie in cookies.iter().cycle().skip(thread) {
                    if done.load(Ordering::SeqCst) {
                        break;
                    }
                    let status = asker.send(&site.check(cookie)).map_or(0, |a| a.status);
                    seen.push(Sample { answered: Instant::now(), replica, status });
                }
                samples.lock().unwrap().extend(seen);
            });
        }
        // Also where `work` fails: the threads end only then.
        let _stop = Stop(&done);
        work()
    });
    (result, samples.into_inner().unwrap())
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// How often there was which status.
pub fn samples_by_status(samples: &[Sample]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for sample in samples {
        *counts.entry(sample.status).or_default() += 1;
    }
    counts
}

/// The distribution of some delays, on one line.
pub fn distribution(mut delays: Vec<Duration>) -> String {
    delays.sort_unstable();
    let Some(last) = delays.last() else { return "none".to_owned() };
    let at = |thousandth: usize| delays[(delays.len() - 1) * thousandth / 1000];
    format!(
        "n={} p50={:?} p90={:?} p99={:?} p99.9={:?} max={last:?}",
        delays.len(),
        at(500),
        at(900),
        at(990),
        at(999),
    )
}
