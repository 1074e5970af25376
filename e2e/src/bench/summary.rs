//! What a run prints: a table of all contenders beside bare hyper, one of what a login adds to the server
//! that has it, who is ahead, and the tails. It must not leave a contender out.

use super::floor::HYPER;
use super::peers::compared;
use super::report::tails;
use super::results::{Measured, Results, Sample};
use super::spread::Spread;
use super::table::{count, figure, markdown, micros, ratio};

/// The tables, as Markdown.
#[must_use]
pub fn tables(results: &Results) -> String {
    let tables = [beside_hyper(results), added(results), compared(results), tails(results)];
    tables.into_iter().filter(|table| !table.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Each contender beside bare hyper.
#[must_use]
pub fn beside_hyper(results: &Results) -> String {
    let head = [
        "contender",
        "answers",
        "CPU per request",
        "× hyper",
        "requests/s",
        "× hyper",
        "CPU beside it",
        "TCP accepts per request",
        "reconnects per request",
        "p50, p99 at full load",
        "memory",
    ];
    let rows: Vec<Vec<String>> = results.contenders.iter().map(|one| row(results, one)).collect();
    markdown(&head, &rows)
}

fn row(results: &Results, one: &Measured) -> Vec<String> {
    let to_hyper = |of: fn(&Sample) -> f64| written(results.ratio(&one.name, HYPER, of), ratio);
    let median = |of: fn(&Sample) -> f64| one.spread(of).map_or(0.0, |spread| spread.median);
    vec![
        format!("`{}`: {}", one.name, one.title),
        one.status.to_string(),
        written(one.spread(|sample| sample.cpu), micros),
        to_hyper(|sample| sample.cpu),
        written(one.spread(|sample| sample.per_second), count),
        to_hyper(|sample| sample.per_second),
        format!("{} µs", figure(median(|sample| sample.beside))),
        format!("{:.3}", median(|sample| sample.accepts)),
        format!("{:.3}", median(|sample| sample.reconnects)),
        format!(
            "{} µs, {} µs",
            figure(median(|sample| sample.p50)),
            figure(median(|sample| sample.p99))
        ),
        format!("{} MiB", one.resident_bytes / (1024 * 1024)),
    ]
}

/// What a login adds to the server that has it; empty where none ran with and without.
#[must_use]
pub fn added(results: &Results) -> String {
    let head = ["with the login", "without", "CPU per request", "requests/s"];
    let rows: Vec<Vec<String>> = results
        .contenders
        .iter()
        .filter_map(|one| {
            let without = one.without.as_deref()?;
            let to = |of| results.ratio(&one.name, without, of).as_ref().map(ratio);
            let cpu = to(|sample| sample.cpu)?;
            let per_second = to(|sample| sample.per_second)?;
            Some(vec![format!("`{}`", one.name), format!("`{without}`"), cpu, per_second])
        })
        .collect();
    if rows.is_empty() { String::new() } else { markdown(&head, &rows) }
}

fn written(spread: Option<Spread>, text: fn(&Spread) -> String) -> String {
    spread.map_or_else(|| "not measured".to_owned(), |spread| text(&spread))
}
