//! `make gate`: judges the instruction counts that gungraun gives, one benchmark a line in JSON, by those
//! checked in. It must not count anything itself.
//!
//! Usage: `gate [--renew] LIMITS`, with the counts on standard input.
#![expect(clippy::expect_used, reason = "a measurement whose parts fail ends, with the reason")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead as _};
use std::process::ExitCode;

use serde_json::Value;

/// By how much a count may grow until the limits are renewed, in percent. Counts differ a little from run
/// to run, since tables hash by random keys; and from build to build by some 3,000 where the C library
/// happens to tidy up its heap within a count.
const HEADROOM: u64 = 20;

/// What one count may be of another, in percent, however the limits were renewed. Finding one row among
/// ten thousand, hashed by random keys, looks at another one first now and then, which is 5 % of so little.
const RATIOS: [(&str, &str, [u64; 2]); 5] = [
    ("warm_allow.of_10000_policies", "warm_allow.plain", [95, 105]),
    ("warm_allow.of_10000_sessions", "warm_allow.plain", [95, 105]),
    ("route_match.of_100", "route_match.of_1", [75, 125]),
    ("route_match.of_10000", "route_match.of_1", [75, 125]),
    ("warm_allow.elevated", "warm_allow.plain", [0, 120]),
];

/// The head of the file of limits.
const HEAD: &str = "\
# Instructions of each count of main.rs when `make gate-renew` was run last. `make gate` fails above the
# headroom that e2e/src/bin/gate.rs gives.
";

/// Instructions by `function.id`.
type Counts = BTreeMap<String, u64>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (renew, limits) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [limits] => (false, limits),
        ["--renew", limits] => (true, limits),
        _ => panic!("usage: gate [--renew] LIMITS"),
    };
    let lines = io::stdin().lock().lines().map(|line| line.expect("the counts are text"));
    let now: Counts = lines.map(|line| count(&line)).collect();
    assert!(!now.is_empty(), "there are no counts: the benches have failed");
    let before = parse(&fs::read_to_string(limits).unwrap_or_default());
    println!("{}", table(&before, &now));
    let mut problems = wrong_ratios(&now);
    if renew {
        fs::write(limits, render(&now)).expect("the limits are written");
    } else {
        problems.extend(over_limits(&before, &now));
    }
    for problem in &problems {
        eprintln!("gate: {problem}");
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One benchmark's name and instructions, out of its summary.
fn count(line: &str) -> (String, u64) {
    let summary: Value = serde_json::from_str(line).expect("a summary is JSON");
    let text = |name: &str| summary[name].as_str().expect("a benchmark has a function and an id");
    let name = format!("{}.{}", text("function_name"), text("id"));
    let instructions = &summary["profiles"][0]["data"]["total"]["metrics"]["Ir"]["values"]["new"];
    (name, instructions.as_u64().expect("a benchmark has instructions"))
}

fn limit(before: u64) -> u64 {
    before + before * HEADROOM / 100
}

/// All counts, before and now.
fn table(before: &Counts, now: &Counts) -> String {
    let mut table =
        "| instructions | before | now | change | limit |\n|---|---|---|---|---|".to_owned();
    for (name, now) in now {
        let line = match before.get(name) {
            Some(before) => {
                format!("{before} | {now} | {} | {}", change(*before, *now), limit(*before))
            }
            None => format!("| {now} | | "),
        };
        write!(table, "\n| {name} | {line} |").expect("text takes text");
    }
    table
}

fn change(before: u64, now: u64) -> String {
    let tenths = i128::from(now) * 1000 / i128::from(before.max(1)) - 1000;
    let sign = if tenths < 0 { '-' } else { '+' };
    format!("{sign}{}.{} %", tenths.abs() / 10, tenths.abs() % 10)
}

/// What has grown beyond its limit, what has none, and limits of what is not counted any more.
fn over_limits(before: &Counts, now: &Counts) -> Vec<String> {
    let new = now.keys().filter(|name| !before.contains_key(*name));
    let new = new.map(|name| format!("{name} has no limit: make gate-renew"));
    let judged = before.iter().filter_map(|(name, before)| match now.get(name) {
        None => Some(format!("{name} was not counted")),
        Some(now) if *now > limit(*before) => Some(format!(
            "{name} has grown: {before} before, {now} now ({}), at most {}",
            change(*before, *now),
            limit(*before)
        )),
        Some(_) => None,
    });
    judged.chain(new).collect()
}

fn wrong_ratios(now: &Counts) -> Vec<String> {
    let judged = RATIOS.iter().filter_map(|(of, to, [from, until])| {
        let (Some(above), Some(below)) = (now.get(*of), now.get(*to)) else {
            return Some(format!("{of} or {to} was not counted"));
        };
        let percent = above * 100 / (*below).max(1);
        (percent < *from || above * 100 > below * until).then(|| {
            format!("{of} is {percent} % of {to} ({above} and {below}): {from} to {until} may be")
        })
    });
    judged.collect()
}

fn parse(text: &str) -> Counts {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let limit = |line: &str| {
        let (name, count) = line.split_once('\t')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    lines.map(|line| limit(line).expect("a limit is a name, a tab and a number")).collect()
}

fn render(counts: &Counts) -> String {
    let lines = counts.iter().map(|(name, count)| format!("{name}\t{count}\n"));
    std::iter::once(HEAD.to_owned()).chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, u64)]) -> Counts {
        of.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn what_has_grown_beyond_the_headroom_is_told_with_before_and_after() {
        let before = counts(&[("a.one", 1000), ("a.two", 1000)]);
        assert_eq!(over_limits(&before, &counts(&[("a.one", 1200), ("a.two", 10)])), [""; 0]);
        let problems = over_limits(&before, &counts(&[("a.one", 1201), ("a.two", 1000)]));
        assert_eq!(problems, ["a.one has grown: 1000 before, 1201 now (+20.1 %), at most 1200"]);
    }

    #[test]
    fn a_count_without_a_limit_and_a_limit_without_a_count_are_problems() {
        let problems = over_limits(&counts(&[("a.gone", 1)]), &counts(&[("a.new", 1)]));
        assert_eq!(problems, ["a.gone was not counted", "a.new has no limit: make gate-renew"]);
    }

    #[test]
    fn ratios_hold_whatever_the_limits_are() {
        let mut now: Counts = RATIOS
            .iter()
            .flat_map(|(of, to, _)| [((*of).to_owned(), 1000), ((*to).to_owned(), 1000)])
            .collect();
        assert_eq!(wrong_ratios(&now), [""; 0]);
        now.insert("warm_allow.of_10000_policies".to_owned(), 1051);
        now.insert("warm_allow.elevated".to_owned(), 1200);
        assert_eq!(wrong_ratios(&now).len(), 1);
        now.insert("warm_allow.elevated".to_owned(), 1201);
        assert_eq!(wrong_ratios(&now).len(), 2);
        now.insert("warm_allow.of_10000_policies".to_owned(), 949);
        assert_eq!(wrong_ratios(&now).len(), 2);
    }

    #[test]
    fn limits_are_read_as_they_are_written() {
        let some = counts(&[("a.one", 17), ("b.two", 4)]);
        assert_eq!(parse(&render(&some)), some);
    }
}
