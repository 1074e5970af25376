//! With invented figures, which are no one's results, and with the page as it is.

use std::collections::BTreeMap;

use super::*;
use crate::bench::results::{Group, Latency, Machine, Measured, Method, Sample, Tail, TailSample};
use crate::tools::repository;

/// Three rounds, in which the CPU time is as given.
fn measured(name: &str, group: Group, without: Option<&str>, cpu: [f64; 3]) -> Measured {
    let sample = |cpu: f64| Sample {
        per_second: 1e6 / cpu,
        cpu,
        beside: 0.0,
        accepts: 0.0,
        reconnects: 0.0,
        p50: 100.0,
        p99: 200.0,
    };
    Measured {
        name: name.to_owned(),
        title: format!("title of `{name}`"),
        note: if group == Group::Floor { String::new() } else { "a note".to_owned() },
        group,
        without: without.map(str::to_owned),
        status: 200,
        resident_bytes: 7 << 20,
        samples: cpu.map(sample).to_vec(),
    }
}

fn tail(name: &str, percent: u8) -> Tail {
    let sample = |more: f64| TailSample {
        own: Latency { p50: 100.0 + more, p99: 200.0 + 2.0 * more, p999: 900.0 - more },
        hyper: Latency { p50: 90.0, p99: 180.0, p999: 800.0 },
        failed: 1,
        other: 0,
    };
    Tail {
        name: name.to_owned(),
        title: format!("title of `{name}`"),
        percent,
        rate: 12_345.6,
        window_seconds: 2.0,
        samples: [1.0, 5.0, 9.0].map(sample).to_vec(),
    }
}

fn invented() -> Results {
    let versions = [("nginx", "0.0.1"), ("apache", "0.0.2")];
    let versions = versions.map(|(name, version)| (name.to_owned(), version.to_owned()));
    Results {
        machine: Machine {
            cpu: "Invented CPU".to_owned(),
            cores: 2,
            memory_gib: 1,
            kernel: "0.0".to_owned(),
            system: "Invented Linux".to_owned(),
            date: "2000-01-01".to_owned(),
            commit: "0000000".to_owned(),
            versions: BTreeMap::from(versions),
        },
        method: Method { rounds: 3, window_seconds: 2.0, connections: 32, sessions: 64 },
        contenders: vec![
            measured("hyper", Group::Floor, None, [10.0, 20.0, 10.0]),
            measured("nginx-204", Group::Floor, None, [9.0, 18.0, 10.0]),
            measured("ours-warm-redis", Group::Vestibule, None, [14.0, 28.0, 15.0]),
            measured("ours-denial-redis", Group::Vestibule, None, [16.0, 34.0, 16.0]),
            measured("nginx-file", Group::Gateway, None, [12.0, 25.0, 12.0]),
            measured("nginx-file-ours", Group::Gateway, Some("nginx-file"), [50.0, 90.0, 50.0]),
            measured("apache", Group::Peer, None, [40.0, 80.0, 40.0]),
            measured("apache-openidc", Group::Peer, Some("apache"), [100.0, 200.0, 90.0]),
        ],
        tails: vec![
            tail("ours-warm-redis", 30),
            tail("ours-warm-redis", 80),
            tail("nginx-204", 30),
        ],
    }
}

#[test]
fn the_same_results_give_the_same_blocks() {
    let results = invented();
    let blocks = blocks(&results).map(|(name, block)| format!("== {name}\n{block}"));
    insta::assert_snapshot!(format!(
        "{}\n== readme\n{}",
        blocks.join("\n"),
        tables::in_short(&results)
    ));
}

#[test]
fn the_same_results_give_the_same_charts() {
    let charts = charts::all(&invented());
    let drawn: Vec<&str> = charts.iter().map(|chart| chart.path).collect();
    assert_eq!(drawn, [charts::CHECKS, charts::REQUESTS, charts::TAILS]);
    insta::assert_snapshot!(charts[1].text);
}

#[test]
fn a_run_of_a_few_contenders_has_no_empty_tables() {
    let mut results = invented();
    results.contenders.truncate(1);
    results.tails.clear();
    let empty = ["limits", "requests", "compared", "added", "tails"];
    for (name, block) in blocks(&results) {
        assert_eq!(block.is_empty(), empty.contains(&name), "{name}: {block}");
    }
    assert_eq!(tables::in_short(&results), "");
}

#[test]
fn a_limit_that_is_missed_is_said_to_be() {
    let limits = tables::limits(&invented());
    let lines: Vec<&str> = limits.lines().skip(2).collect();
    assert!(lines[0].ends_with("| held |"), "{limits}");
    assert!(lines[1].ends_with("| **missed** |"), "{limits}");
}

#[test]
fn what_was_between_the_markers_is_replaced_and_nothing_else() {
    let page = "a\n<!-- make bench: x -->\nold\n<!-- end: x -->\nb\n";
    let filled = fill(page, "x", "| new |\n");
    assert_eq!(filled, "a\n<!-- make bench: x -->\n\n| new |\n\n<!-- end: x -->\nb\n");
    assert_eq!(fill(&filled, "x", "| new |"), filled);
    assert_eq!(fill(&filled, "x", ""), "a\n<!-- make bench: x -->\n<!-- end: x -->\nb\n");
}

#[test]
fn every_figure_on_the_pages_is_from_the_results_that_were_kept() {
    let root = repository();
    let Some(results) = kept(&root) else {
        let read = |path: &str| std::fs::read_to_string(root.join(path)).expect(path);
        let (page, readme) = (read(PAGE), read(README));
        for (name, _) in blocks(&invented()) {
            assert_eq!(split(&page, name).1.trim(), "", "{name} is filled without results");
        }
        assert_eq!(split(&readme, "bench").1.trim(), "", "filled without results");
        return;
    };
    for file in files(&root, &results) {
        let there = std::fs::read_to_string(root.join(file.path)).unwrap_or_default();
        assert!(there == file.text, "{}: run `make bench-page`", file.path);
    }
}
