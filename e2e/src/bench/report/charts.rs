//! The charts of the page: which bars they have.

use super::Written;
use super::tables::{is_ours, titled};
use crate::bench::floor::HYPER;
use crate::bench::plot::{Bar, Chart, Group as Bars, Tone, svg};
use crate::bench::results::{Group, Measured, Results};
use crate::bench::spread::Spread;
use crate::bench::table::figure;

/// What a gateway asks, answered.
pub(super) const CHECKS: &str = "docs/bench/checks.svg";
/// Whole requests.
pub(super) const REQUESTS: &str = "docs/bench/requests.svg";
/// What is added to bare hyper's tail.
pub(super) const TAILS: &str = "docs/bench/tails.svg";

/// Those that have bars.
pub(super) fn all(results: &Results) -> Vec<Written> {
    let charts = [CHECKS, REQUESTS, TAILS].map(|path| (path, chart(results, path)));
    let drawn = charts.into_iter().filter(|(_, chart)| !chart.groups.is_empty());
    drawn.map(|(path, chart)| Written { path, text: svg(&chart) }).collect()
}

/// The line that shows a chart on its page, with what it says; empty where it has no bars.
pub(super) fn shown(results: &Results, path: &str) -> String {
    let chart = chart(results, path);
    if chart.groups.is_empty() {
        return String::new();
    }
    let file = path.rsplit('/').next().unwrap_or(path);
    format!("![{}: {}]({file})\n\n", chart.title, chart.subtitle)
}

fn chart(results: &Results, path: &str) -> Chart {
    let spread = "Bar: median of the rounds. Whisker: p10 to p90. Less is better.";
    match path {
        TAILS => Chart {
            title: "What is added to bare hyper's p99".to_owned(),
            subtitle: format!("Open loop at rates of the contender's own peak. {spread}"),
            mark: None,
            unit: " µs",
            figure,
            groups: tails(results),
        },
        REQUESTS => Chart {
            title: "CPU time of an allowed request, beside bare hyper".to_owned(),
            subtitle: format!("All processes of gateway and login. {spread}"),
            groups: groups(
                results,
                &[
                    (Group::Gateway, "Gateways, with Vestibule and without"),
                    (Group::Peer, "Proxies with a login of their own"),
                ],
            ),
            ..times()
        },
        _ => Chart {
            title: "CPU time of a check, beside bare hyper".to_owned(),
            subtitle: format!("Kernel's account of the server, per answer. {spread}"),
            groups: groups(
                results,
                &[(Group::Floor, "Servers that do nothing"), (Group::Vestibule, "Vestibule")],
            ),
            ..times()
        },
    }
}

/// A chart of ratios to bare hyper.
fn times() -> Chart {
    Chart {
        title: String::new(),
        subtitle: String::new(),
        mark: Some(1.0),
        unit: "×",
        figure: |value| format!("{value:.2}"),
        groups: Vec::new(),
    }
}

fn groups(results: &Results, of: &[(Group, &str)]) -> Vec<Bars> {
    let all = of.iter().map(|(group, heading)| {
        let members = results.contenders.iter().filter(|one| one.group == *group);
        let bars = members.filter_map(|one| {
            let spread = results.ratio(&one.name, HYPER, |sample| sample.cpu)?;
            Some(Bar { label: plain(&one.title), tone: tone(one), spread })
        });
        Bars { heading: (*heading).to_owned(), bars: bars.collect() }
    });
    all.filter(|group| !group.bars.is_empty()).collect()
}

fn tails(results: &Results) -> Vec<Bars> {
    let mut groups: Vec<Bars> = Vec::new();
    for tail in &results.tails {
        let (heading, ours) = (plain(&titled(&tail.name, &tail.title)), is_ours(&tail.name));
        if groups.last().is_none_or(|group| group.heading != heading) {
            groups.push(Bars { heading, bars: Vec::new() });
        }
        let unknown = Spread { median: f64::NAN, p10: f64::NAN, p90: f64::NAN };
        let bar = Bar {
            label: format!("at {} %", tail.percent),
            tone: if ours { Tone::Ours } else { Tone::Floor },
            spread: tail.excess(|latency| latency.p99).unwrap_or(unknown),
        };
        groups.iter_mut().last().into_iter().for_each(|group| group.bars.push(bar.clone()));
    }
    groups
}

/// What logs nobody in is a floor for what does.
fn tone(one: &Measured) -> Tone {
    match one.group {
        Group::Vestibule => Tone::Ours,
        Group::Gateway if one.without.is_some() => Tone::Ours,
        Group::Peer if one.without.is_some() => Tone::Other,
        _ => Tone::Floor,
    }
}

/// A title without the marks of code, which a chart cannot show.
fn plain(title: &str) -> String {
    title.replace('`', "")
}
