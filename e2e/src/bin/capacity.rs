//! `make capacity`: what an authsvc costs with many policies, connections and sessions, as it runs in a
//! cluster: on a real API server that hands compiled Secrets out, without an operator. It prints the
//! tables of `docs/performance.md`.
#![expect(clippy::expect_used, reason = "a measurement whose parts fail ends, with the reason")]

use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;
use vestibule_e2e::apiserver::{ApiServer, NAMESPACE};
use vestibule_e2e::authsvc::write_keyring;
use vestibule_e2e::capacity::{
    Arrivals, Memory, Replica, Usage, cached_sessions, idle_connections,
};
use vestibule_e2e::process::free_port;
use vestibule_e2e::provider::Provider;

const USAGE: &str = "usage: capacity [policies N…|connections N|sessions N]";
const SIZES: [usize; 3] = [0, 1_000, 10_000];
const CONNECTIONS: usize = 10_000;
const SESSIONS: usize = 100_000;
const EDITS: usize = 100;
/// After this time without anything to do, what a start needed for itself is given back.
const QUIET: Duration = Duration::from_secs(3);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (what, numbers) = match arguments.split_first() {
        Some((what, numbers)) => (what.as_str(), numbers),
        None => ("all", &[][..]),
    };
    let numbers: Vec<usize> = numbers.iter().map(|text| text.parse().expect("a number")).collect();
    let or = |usual: usize| numbers.first().copied().unwrap_or(usual);
    let sizes: &[usize] = if numbers.is_empty() { &SIZES } else { &numbers };
    let place = Place::start();
    match what {
        "policies" => place.policies(sizes),
        "connections" => place.connections(or(CONNECTIONS)),
        "sessions" => place.sessions(or(SESSIONS)),
        "all" => {
            place.policies(&SIZES);
            place.connections(CONNECTIONS);
            place.sessions(SESSIONS);
        }
        _ => panic!("{USAGE}"),
    }
}

/// What every measurement needs.
struct Place {
    provider: Provider,
    api: ApiServer,
}

impl Place {
    fn start() -> Self {
        let api = ApiServer::start();
        let provider = Provider::start(api.dir(), &[], None);
        api.apply(&json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE},
        }));
        write_keyring(&api.dir().join("keyring.yaml"), &["k1"]);
        Self { provider, api }
    }

    fn replica(&self) -> Replica {
        Replica::start(&self.api, IpAddr::from([127, 0, 0, 1]), free_port(), &[])
    }

    fn arrivals(&self, shape: &'static str) -> Arrivals<'_> {
        Arrivals::new(&self.api, &self.provider.issuer, shape)
    }

    fn policies(&self, sizes: &[usize]) {
        println!(
            "| policies | memory (anonymous, of files; most while it started) | start to ready, CPU | after {EDITS} edits: memory (anonymous) | edit sent to enforced: p50, p99 (API server alone) | CPU per policy that arrived |"
        );
        println!("|---|---|---|---|---|---|");
        for shape in ["plain", "rich"] {
            let mut arrivals = self.arrivals(shape);
            for &size in sizes {
                if shape == "plain" || size == sizes[sizes.len() - 1] {
                    println!("{}", self.size(&mut arrivals, shape, size));
                }
            }
            arrivals.clear();
        }
    }

    /// One line of the table of policies.
    fn size(&self, arrivals: &mut Arrivals<'_>, shape: &str, size: usize) -> String {
        let arriving = size - arrivals.count();
        let cost = if arriving == 0 {
            "–".to_owned()
        } else {
            let running = self.replica();
            let (cpu, took) = arrivals.grow_under(&running, size);
            #[expect(clippy::cast_precision_loss, reason = "some thousands")]
            let count = arriving as f64;
            let rate = count / took.as_secs_f64();
            format!("{:.0} µs ({arriving} at {rate:.0} a second)", cpu / count * 1e6)
        };
        let replica = self.replica();
        let start = Usage::of(replica.id());
        std::thread::sleep(QUIET);
        let idle = Memory::of(replica.id());
        // An edit needs something to edit.
        arrivals.grow_under(&replica, size.max(1));
        let edits = arrivals.edit(&replica, EDITS);
        let ((p50, written50), (p99, written99)) = (edits.at(50), edits.at(99));
        std::thread::sleep(QUIET);
        let edited = Memory::of(replica.id());
        format!(
            "| {size} {shape} | {} ({}, {}; {} MiB) | {} ms, {:.2} s | {} ({}) | {}, {} ms ({}, {} ms) | {cost} |",
            mebibytes(idle.resident),
            mebibytes(idle.anonymous),
            mebibytes(idle.of_files()),
            start.most,
            replica.ready_after.as_millis(),
            start.cpu,
            mebibytes(edited.resident),
            mebibytes(edited.anonymous),
            p50.as_millis(),
            p99.as_millis(),
            written50.as_millis(),
            written99.as_millis(),
        )
    }

    fn connections(&self, count: usize) {
        let mut arrivals = self.arrivals("plain");
        arrivals.grow_to(1);
        let idle = idle_connections(&self.replica(), count);
        let (before, after) = idle.before_and_after;
        println!("\n| idle connections | each | without a file before, after all are closed |");
        println!("|---|---|---|");
        println!(
            "| {} | {} bytes | {}, {} |",
            idle.count,
            idle.bytes_each,
            mebibytes(before),
            mebibytes(after)
        );
        arrivals.clear();
    }

    fn sessions(&self, count: usize) {
        let mut arrivals = self.arrivals("plain");
        arrivals.grow_to(1);
        let cached = cached_sessions(&self.api, &self.provider.issuer, count);
        println!("\n| sessions in memory | each | of these its record | beyond it |");
        println!("|---|---|---|---|");
        println!(
            "| {} | {} bytes | {} bytes | {} bytes |",
            cached.count,
            cached.bytes_each,
            cached.own,
            cached.bytes_each.saturating_sub(cached.own)
        );
        arrivals.clear();
    }
}

fn mebibytes(kibibytes: u64) -> String {
    format!("{}.{} MiB", kibibytes / 1024, kibibytes % 1024 * 10 / 1024)
}
