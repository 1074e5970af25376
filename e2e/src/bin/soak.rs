//! `make soak`: fails if an hour of logins, logouts, timeouts and edits leaves an authsvc larger than it
//! was. It prints a table by quarters of the time. The argument is the time in seconds.
//!
//! What it knows to grow: an authsvc remembers the sessions that ended for an hour, about a hundred bytes
//! each, and a store keeps a login that nobody finishes for ten minutes. The first stays below what counts
//! as growth here; for the second a quarter must be longer than that, so a run of less than 40 minutes says
//! nothing of the store.
#![expect(clippy::expect_used, reason = "a measurement whose parts fail ends, with the reason")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use vestibule_e2e::capacity::Usage;
use vestibule_e2e::soak::{Churn, Place, Sample, Verdict};

const USUAL: u64 = 3600;
const SECOND: Duration = Duration::from_secs(1);
/// Seconds between two samples.
const EVERY: u64 = 10;
/// One in so many logins and checks may go wrong: others work on this machine.
const TOLERATED: u64 = 1000;

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    let seconds = argument.map_or(USUAL, |text| text.parse().expect("usage: soak [SECONDS]"));
    let place = Place::start();
    let issuer = place.provider.issuer.as_str();
    let mut churns: Vec<Churn<'_>> =
        place.services.iter().map(|service| Churn::new(service, issuer)).collect();
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); churns.len()];
    let start = Instant::now();
    let mut due = start;
    for second in 0..seconds {
        churns.iter_mut().for_each(Churn::next);
        if second % EVERY == EVERY - 1 {
            for (samples, service) in samples.iter_mut().zip(&place.services) {
                samples.push(Sample::of(service));
            }
        }
        // A machine that lags behind is not hurried afterwards.
        due = (due + SECOND).max(Instant::now());
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    println!("{:.0} s\n", start.elapsed().as_secs_f64());
    println!("| sessions in | | by quarter of the time | grows in an hour by | |");
    println!("|---|---|---|---|---|");
    let mut right = true;
    for ((churn, samples), service) in churns.iter().zip(&samples).zip(&place.services) {
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let apart = start.elapsed().as_secs_f64() / samples.len() as f64;
        for verdict in Sample::judge(samples, apart) {
            right &= !verdict.grew;
            println!("| {} | {} |", service.name, line(&verdict));
        }
        let done = churn.done;
        right &= done.wrong <= (done.logins + done.checks) / TOLERATED;
        let cpu = Usage::of(service.authsvc.id()).cpu;
        println!("| {} | {done:?}, {cpu:.1} s of a processor | | | |", service.name);
    }
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn line(verdict: &Verdict) -> String {
    let quarters = verdict.quarters.map(|value| value.to_string()).join(", ");
    let word = if verdict.grew { "GREW" } else { "steady" };
    format!("{} | {quarters} | {:+.0} | {word}", verdict.name, verdict.per_hour)
}
