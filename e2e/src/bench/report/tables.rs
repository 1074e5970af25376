//! The blocks of text and tables.

use crate::bench::floor::HYPER;
use crate::bench::results::{Group, Latency, Measured, Results, Sample, Tail};
use crate::bench::spread::Spread;
use crate::bench::table::{count, figure, markdown, micros, ratio, thousands};

/// What must hold of processor time per request: of a contender beside another, at most so many times.
const LIMITS: &[(&str, &str, f64, &str)] = &[
    ("ours-warm-redis", HYPER, 1.5, "a warm allow, beside bare hyper"),
    ("ours-denial-redis", HYPER, 1.5, "a denial, beside bare hyper"),
    (
        "nginx-file-ours",
        "apache-openidc",
        1.0,
        "nginx with Vestibule, beside Apache with mod_auth_openidc: the same file, allowed",
    ),
];

/// Where, when and how.
pub(super) fn machine(results: &Results) -> String {
    let (machine, method) = (&results.machine, &results.method);
    let versions: Vec<String> =
        machine.versions.iter().map(|(program, version)| format!("{program} {version}")).collect();
    let rows = [
        ("when, what", format!("{}, commit {}", machine.date, machine.commit)),
        (
            "machine",
            format!("{}, {} cores, {} GiB", machine.cpu, machine.cores, machine.memory_gib),
        ),
        ("system", format!("{}, Linux {}", machine.system, machine.kernel)),
        ("beside Vestibule", versions.join(", ")),
        (
            "rounds",
            format!(
                "{} of {} s for each contender, on {} connections, with {} sessions in turn",
                method.rounds,
                figure(method.window_seconds),
                method.connections,
                method.sessions
            ),
        ),
    ];
    markdown(&["", ""], &rows.map(|(name, value)| vec![name.to_owned(), value]))
        .replace("---:", "---")
}

/// What must hold, and whether it did.
pub(super) fn limits(results: &Results) -> String {
    let rows: Vec<_> = LIMITS
        .iter()
        .filter_map(|(of, to, most, what)| {
            let spread = results.ratio(of, to, |sample| sample.cpu)?;
            let verdict = if spread.median <= *most { "held" } else { "**missed**" };
            let cells =
                [(*what).to_owned(), format!("{most:.1}×"), ratio(&spread), verdict.to_owned()];
            Some(cells.to_vec())
        })
        .collect();
    table(&["CPU time per request", "at most", "measured", ""], &rows)
}

/// Contenders that are asked what a gateway asks.
pub(super) fn checks(results: &Results) -> String {
    contenders(results, &[Group::Floor, Group::Vestibule])
}

/// Contenders that serve whole requests.
pub(super) fn requests(results: &Results) -> String {
    contenders(results, &[Group::Gateway, Group::Peer])
}

fn contenders(results: &Results, groups: &[Group]) -> String {
    let head = [
        "contender",
        "answers",
        "CPU per request",
        "beside bare hyper",
        "CPU beside it",
        "requests/s on a core",
        "TCP accepts per request",
        "memory",
    ];
    let all = results.contenders.iter().filter(|one| groups.contains(&one.group));
    table(&head, &all.map(|one| row(results, one)).collect::<Vec<_>>())
}

fn row(results: &Results, one: &Measured) -> Vec<String> {
    let median = |of: fn(&Sample) -> f64| one.spread(of).map_or(0.0, |spread| spread.median);
    let title = titled(&one.name, &one.title);
    let note = if one.note.is_empty() { String::new() } else { format!(" ({})", one.note) };
    vec![
        format!("{title}{note}<br>`{}`", one.name),
        one.status.to_string(),
        written(one.spread(|sample| sample.cpu), micros),
        written(results.ratio(&one.name, HYPER, |sample| sample.cpu), ratio),
        format!("{} µs", figure(median(|sample| sample.beside))),
        written(one.spread(|sample| sample.per_second), count),
        format!("{:.3}", median(|sample| sample.accepts)),
        format!("{} MiB", one.resident_bytes / (1024 * 1024)),
    ]
}

/// A title as a reader needs it who does not see which group it is in.
pub(super) fn titled(name: &str, title: &str) -> String {
    if is_ours(name) { format!("Vestibule, {title}") } else { title.to_owned() }
}

/// Whether it is Vestibule, asked straight.
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with("ours-")
}

/// What each adds to bare hyper's latencies; empty where that was not measured.
#[must_use]
pub fn tails(results: &Results) -> String {
    let head = [
        "contender",
        "of its peak",
        "requests/s",
        "p50, more",
        "p99, more",
        "p99.9, more",
        "bare hyper's own p99",
        "not answered as expected",
    ];
    let Some(first) = results.tails.first() else { return String::new() };
    let rows = results.tails.iter().map(|tail| {
        let excess = |of: fn(&Latency) -> f64| written(tail.excess(of), micros);
        vec![
            titled(&tail.name, &tail.title),
            format!("{} %", tail.percent),
            thousands(tail.rate),
            excess(|latency| latency.p50),
            excess(|latency| latency.p99),
            excess(|latency| latency.p999),
            written(Spread::of(tail.samples.iter().map(|one| one.hyper.p99)), micros),
            lost(tail).to_string(),
        ]
    });
    format!(
        "{} rounds of {} s for each line.\n\n{}",
        first.samples.len(),
        figure(first.window_seconds),
        table(&head, &rows.collect::<Vec<_>>())
    )
}

fn lost(tail: &Tail) -> u64 {
    tail.samples.iter().map(|one| one.failed + one.other).sum()
}

/// For the README: a sentence or two, and a chart.
pub(super) fn in_short(results: &Results) -> String {
    let times = |of: &str, to: &str| {
        let spread = results.ratio(of, to, |sample| sample.cpu)?;
        Some(format!("{:.2} times", spread.median))
    };
    let warm = times("ours-warm-redis", HYPER).map(|times| {
        format!(
            "A check whose session is in memory takes {times} the CPU time of a bare HTTP server \
             (hyper) that only says 204.\n"
        )
    });
    let request = times("nginx-file-ours", "apache-openidc").map(|times| {
        format!(
            "An allowed request through nginx and Vestibule takes {times} the CPU time of Apache \
             with mod_auth_openidc.\n"
        )
    });
    let said: String = [warm, request].into_iter().flatten().collect();
    if said.is_empty() {
        return said;
    }
    let chart = super::charts::shown(results, super::charts::CHECKS).replace("](", "](docs/bench/");
    format!("{said}These are medians of `make bench` on one machine.\n\n{chart}")
}

fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() { String::new() } else { markdown(head, rows) }
}

fn written(spread: Option<Spread>, text: fn(&Spread) -> String) -> String {
    spread.map_or_else(|| "not measured".to_owned(), |spread| text(&spread))
}
