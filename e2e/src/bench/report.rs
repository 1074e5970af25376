//! `docs/bench` and the section of the README, written from what a run found: the blocks between markers,
//! and the charts. So no figure there is typed by hand, and a test sees that none was. It must not leave
//! out what went badly: every contender of a run has its row, and a limit that is missed is said to be.

use std::path::Path;

use super::results::Results;

mod charts;
mod tables;

pub use tables::tails;

/// What was found, as it is kept, below the repository.
pub const RESULTS: &str = "docs/bench/results.json";
const PAGE: &str = "docs/bench/README.md";
const README: &str = "README.md";

/// A file that is written.
#[derive(Debug, PartialEq, Eq)]
pub struct Written {
    /// Its path below the repository.
    pub path: &'static str,
    /// What it holds.
    pub text: String,
}

/// Keeps what was found, and writes all that shows it.
///
/// # Panics
/// If a file cannot be read or written, or lacks a marker.
pub fn keep(repository: &Path, results: &Results) {
    let json = serde_json::to_string_pretty(results).expect("results are plain data");
    std::fs::write(repository.join(RESULTS), json + "\n").expect("docs/bench can be written");
    write(repository);
}

/// Writes all that shows what was kept.
///
/// # Panics
/// If nothing was kept, a file cannot be read or written, or lacks a marker.
pub fn write(repository: &Path) {
    let results = kept(repository).expect("docs/bench/results.json: run `make bench` first");
    for file in files(repository, &results) {
        let path = repository.join(file.path);
        std::fs::write(path, file.text).expect("docs/bench can be written");
    }
}

/// What was kept; `None` if nothing was.
///
/// # Panics
/// If it cannot be understood.
#[must_use]
pub fn kept(repository: &Path) -> Option<Results> {
    let json = std::fs::read(repository.join(RESULTS)).ok()?;
    Some(serde_json::from_slice(&json).expect("what an earlier `make bench` kept"))
}

/// All that shows these results: pages with their blocks filled, and charts.
fn files(repository: &Path, results: &Results) -> Vec<Written> {
    let read = |path: &str| {
        std::fs::read_to_string(repository.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    };
    let mut page = read(PAGE);
    for (name, block) in blocks(results) {
        page = fill(&page, name, &block);
    }
    let readme = fill(&read(README), "bench", &tables::in_short(results));
    let mut files =
        vec![Written { path: PAGE, text: page }, Written { path: README, text: readme }];
    files.extend(charts::all(results));
    files
}

/// The blocks of the page, by the names of their markers.
fn blocks(results: &Results) -> [(&'static str, String); 7] {
    [
        ("machine", tables::machine(results)),
        ("limits", tables::limits(results)),
        ("checks", charts::shown(results, charts::CHECKS) + &tables::checks(results)),
        ("requests", charts::shown(results, charts::REQUESTS) + &tables::requests(results)),
        ("compared", super::peers::compared(results)),
        ("added", super::summary::added(results)),
        ("tails", charts::shown(results, charts::TAILS) + &tails(results)),
    ]
}

/// Puts a block between its markers, instead of what was there.
fn fill(page: &str, name: &str, block: &str) -> String {
    let (before, _, after) = split(page, name);
    let block = block.trim();
    let block = if block.is_empty() { String::new() } else { format!("\n{block}\n\n") };
    format!("{before}\n{block}{after}")
}

/// A page up to a block's first marker, what is between, and the rest from the second marker on.
fn split<'a>(page: &'a str, name: &str) -> (&'a str, &'a str, &'a str) {
    let [begin, end] = [format!("<!-- make bench: {name} -->"), format!("<!-- end: {name} -->")];
    let place = |marker: &str| {
        let mut places = page.match_indices(marker).map(|(place, _)| place);
        let place = places.next().unwrap_or_else(|| panic!("there is no {marker}"));
        assert!(places.next().is_none(), "{marker} is there twice");
        place
    };
    let (inner, outer) = (place(&begin) + begin.len(), place(&end));
    assert!(inner <= outer, "{end} is before {begin}");
    (&page[..inner], &page[inner..outer], &page[outer..])
}

#[cfg(test)]
mod tests;
