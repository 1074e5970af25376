//! Compiled policies on the API server: how they arrive, and how soon an edit of one is enforced.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::replica::{Replica, check_of};
use super::seed;
use super::usage::Usage;
use crate::apiserver::{ApiServer, NAMESPACE};
use crate::asker::Asker;
use crate::http::Request;
use crate::process::eventually;

const LIMIT: Duration = Duration::from_mins(5);
/// So many write at once.
const WRITERS: usize = 4;
/// The answer for `/door`, by its access.
const CLOSED: (&str, u16) = ("Deny", 403);
const OPEN: (&str, u16) = ("Public", 200);

/// The policies that are on the API server, numbered from 0.
#[derive(Debug)]
pub struct Arrivals<'a> {
    api: &'a ApiServer,
    issuer: String,
    shape: &'static str,
    count: usize,
}

/// The times of some edits, shortest first.
#[derive(Clone, Debug)]
pub struct Edits {
    /// From sending an edit until a check is answered by it.
    pub enforced: Vec<Duration>,
    /// From sending it until the API server answered.
    pub written: Vec<Duration>,
}

impl Edits {
    /// The times at this share of all, of both.
    #[must_use]
    pub fn at(&self, hundredths: usize) -> (Duration, Duration) {
        let at = |times: &[Duration]| times[(times.len() * hundredths / 100).min(times.len() - 1)];
        (at(&self.enforced), at(&self.written))
    }
}

impl<'a> Arrivals<'a> {
    /// None yet. `shape` is what `seed` takes.
    #[must_use]
    pub fn new(api: &'a ApiServer, issuer: &str, shape: &'static str) -> Self {
        Self { api, issuer: issuer.to_owned(), shape, count: 0 }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Writes more until there are so many, as fast as the API server takes them.
    pub fn grow_to(&mut self, count: usize) {
        let secrets = self.secrets(CLOSED.0, self.count, count.max(self.count));
        let to = self.api.plain();
        std::thread::scope(|scope| {
            for worker in 0..WRITERS {
                let mine: Vec<&Value> = secrets.iter().skip(worker).step_by(WRITERS).collect();
                scope.spawn(move || {
                    let mut asker = Asker::new(to);
                    for secret in mine {
                        let answer = asker.send(&create(secret)).expect("the API server answers");
                        assert_eq!(answer.status, 201, "{answer}");
                    }
                });
            }
        });
        self.count = count.max(self.count);
    }

    /// The same while an authsvc runs: seconds of a processor that it takes for all, how long until
    /// it enforces the last.
    pub fn grow_under(&mut self, replica: &Replica, count: usize) -> (f64, Duration) {
        let (before, start) = (Usage::of(replica.id()).cpu, Instant::now());
        let first = self.count;
        self.grow_to(count);
        // Whichever is written last: all must be there.
        let mut asker = Asker::new(replica.check);
        for number in first..count {
            let there = eventually(LIMIT, || {
                (asker.send(&check_of(number, "/door"))?.status == CLOSED.1).then_some(())
            });
            assert!(there.is_some(), "policy {number} never arrives");
        }
        let took = start.elapsed();
        (Usage::of(replica.id()).cpu - before, took)
    }

    /// Opens and closes `/door` of one policy after the other, so many times.
    ///
    /// # Panics
    /// Where a check is answered neither by the version before nor by the new one.
    #[must_use]
    pub fn edit(&self, replica: &Replica, times: usize) -> Edits {
        let policies = self.count.min(times.div_ceil(2));
        let versions = [OPEN, CLOSED].map(|(access, _)| self.secrets(access, 0, policies));
        let mut writer = Asker::new(self.api.plain());
        let mut asker = Asker::new(replica.check);
        let mut edits = Edits { enforced: Vec::new(), written: Vec::new() };
        for round in 0..times {
            let number = (round / 2) % policies;
            let secret = &versions[round % 2][number];
            let [wanted, before] = [round, round + 1].map(|round| [OPEN, CLOSED][round % 2].1);
            let start = Instant::now();
            let answer = writer.send(&replace(secret)).expect("the API server answers");
            edits.written.push(start.elapsed());
            assert_eq!(answer.status, 200, "{answer}");
            let check = check_of(number, "/door");
            loop {
                let status = asker.send(&check).map_or(0, |answer| answer.status);
                if status == wanted {
                    break;
                }
                assert_eq!(status, before, "an answer of no version");
                assert!(start.elapsed() < LIMIT, "the edit is not enforced");
                std::thread::sleep(Duration::from_millis(1));
            }
            edits.enforced.push(start.elapsed());
        }
        edits.enforced.sort_unstable();
        edits.written.sort_unstable();
        edits
    }

    /// Deletes all that `seed` ever made. Ten thousand take longer than one answer is waited for.
    pub fn clear(&mut self) {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets?labelSelector=seed%3Dtrue");
        let gone = eventually(LIMIT, || {
            let _ = Request::new("DELETE", &path, "127.0.0.1").try_send(self.api.plain());
            let left = self.api.get(&format!("{path}&limit=1"))?;
            left["items"].as_array()?.is_empty().then_some(())
        });
        assert!(gone.is_some(), "policies stay");
        self.count = 0;
    }

    fn secrets(&self, access: &str, first: usize, end: usize) -> Vec<Value> {
        let (first, end) = (first.to_string(), end.to_string());
        let lines = seed(&["policies", self.shape, access, &self.issuer, &first, &end]);
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn create(secret: &Value) -> Request {
    with_body("POST", &format!("/api/v1/namespaces/{NAMESPACE}/secrets"), secret)
}

fn replace(secret: &Value) -> Request {
    let name = secret["metadata"]["name"].as_str().expect("a name");
    let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/{name}");
    with_body("PATCH", &path, &json!({"data": secret["data"]}))
}

fn with_body(method: &str, path: &str, body: &Value) -> Request {
    let media = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let mut request = Request::new(method, path, "127.0.0.1").header("Content-Type", media);
    request.body = body.to_string().into_bytes();
    request
}
