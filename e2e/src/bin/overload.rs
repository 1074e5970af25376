//! `make overload`: three times what an authsvc can answer is asked of it. It prints what is answered all
//! the same, how fast the rest is refused, what both cost, and how soon all is as before.
//!
//! The server may use only a part of core 0, so that the load, from core 1, can exceed it threefold.
#![expect(clippy::expect_used, reason = "a measurement whose parts fail ends, with the reason")]

use std::time::Duration;

use vestibule_e2e::bench::lab::{Lab, as_navigation, as_script};
use vestibule_e2e::bench::ours::{API, Ours};
use vestibule_e2e::bench::table::{in_micros, markdown, thousands};
use vestibule_e2e::load::{Ask, Load, open};
use vestibule_e2e::overload::{Figures, PATIENCE, Plan, Quota};

const USAGE: &str = "usage: overload [--quota PER_CENT] [--connections N] [--seconds N]";

/// Connections of the checks beside a flood of logins.
const BESIDE: usize = 192;

/// From the command line.
struct Arguments {
    quota: u32,
    connections: usize,
    seconds: u64,
}

fn main() {
    let arguments = arguments();
    let lab = Lab::start();
    let [warm, cold] = lab.on_redis();
    let mut rows = Vec::new();
    for (name, ours, path) in
        [("warm: session in memory", warm, API), ("cold: session read from Redis", cold, API)]
    {
        let ask =
            |cookie: &String| as_script(ours.nginx(path), &ours.origin).header("Cookie", cookie);
        let asks = warm.cookies.iter().map(ask).collect();
        let figures = measure(&arguments, ours, ours.authsvc.check, asks, 200);
        rows.push(row(name, 200, &figures));
    }
    // No limit on the number of logins: this is about processor time.
    let unlimited = ["--logins-per-policy", "1000000"];
    let (origin, redis) = (lab.origin(), lab.redis().url());
    let mut third = Ours::start(&lab, &lab.dir("ours-logins"), &origin, &redis, &unlimited);
    third.log_in_all();
    let host = origin.strip_prefix("http://").expect("an origin of the lab");
    let login = as_navigation(Ask::get("/bff/login?rd=%2F", host));
    let browser = third.authsvc.browser;
    let figures = measure(&arguments, &third, browser, vec![login.clone()], 303);
    rows.push(row("logins that begin", 303, &figures));
    println!("{}", markdown(&HEAD, &rows));
    println!("{}", beside_logins(&arguments, &third, login, figures.offered));
}

fn arguments() -> Arguments {
    let mut arguments = Arguments { quota: 40, connections: 512, seconds: 10 };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let number: u32 = words.next().and_then(|text| text.parse().ok()).expect(USAGE);
        match word.as_str() {
            "--quota" => arguments.quota = number,
            "--connections" => arguments.connections = number.try_into().expect(USAGE),
            "--seconds" => arguments.seconds = number.into(),
            _ => panic!("{USAGE}"),
        }
    }
    arguments
}

fn measure(
    arguments: &Arguments,
    ours: &Ours,
    addr: std::net::SocketAddr,
    asks: Vec<Ask>,
    expected: u16,
) -> Figures {
    let quota = held(arguments, ours);
    let plan = Plan {
        addr,
        admin: ours.authsvc.admin,
        asks,
        expected,
        pid: ours.authsvc.id(),
        peak_for: Duration::from_secs(4),
        factor: 3.0,
        connections: arguments.connections,
        lasts: Duration::from_secs(arguments.seconds),
        looks: 12,
        quick: Duration::from_millis(50),
    };
    let figures = plan.run();
    drop(quota);
    figures
}

/// The server has its part of a processor until this is dropped.
fn held(arguments: &Arguments, ours: &Ours) -> Quota {
    let mut quota = Quota::new(arguments.quota).expect("control groups, which take root");
    quota.hold(ours.authsvc.id());
    quota
}

const HEAD: [&str; 13] = [
    "asked",
    "peak /s",
    "offered /s",
    "answered, of the peak",
    "possible where all others are refused",
    "answered within: p50, p99",
    "refused /s",
    "refused within: p50, p99",
    "given up /s",
    "other, none",
    "CPU per answer, refusal",
    "health: p99, not 200",
    "as before after",
];

fn row(name: &str, expected: u16, figures: &Figures) -> Vec<String> {
    let overload = &figures.overload;
    let times = |status| {
        let took = figures.latency(status);
        format!(
            "{}, {} ms",
            milliseconds(took.percentile(50.0)),
            milliseconds(took.percentile(99.0))
        )
    };
    let known = [expected, 503];
    let others: u64 =
        overload.statuses.iter().filter(|(code, _)| !known.contains(code)).map(|(_, n)| n).sum();
    vec![
        name.to_owned(),
        thousands(figures.peak),
        thousands(figures.offered),
        format!("{:.0} %", figures.goodput() * 100.0),
        format!("{:.0} %", figures.possible() * 100.0),
        times(expected),
        thousands(overload.per_second_with(503)),
        times(503),
        thousands(overload.given_up_per_second()),
        format!("{others}, {}", overload.failed),
        format!("{:.1}, {:.1} µs", in_micros(figures.per_answer), in_micros(figures.per_refusal)),
        format!("{} ms, {}", milliseconds(figures.health.percentile(99.0)), figures.unhealthy),
        figures
            .recovery
            .map_or_else(|| "not".to_owned(), |after| format!("{:.2} s", after.as_secs_f64())),
    ]
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1}", in_micros(time) / 1000.0)
}

/// Checks of those who are logged in, while that many want to be.
fn beside_logins(arguments: &Arguments, ours: &Ours, login: Ask, logins: f64) -> String {
    let _quota = held(arguments, ours);
    let lasts = Duration::from_secs(arguments.seconds);
    let flood = Load {
        addr: ours.authsvc.browser,
        asks: vec![login],
        connections: arguments.connections,
        awake: false,
        patience: Some(PATIENCE),
    };
    let ask = |cookie: &String| as_script(ours.nginx(API), &ours.origin).header("Cookie", cookie);
    let asks = ours.cookies.iter().map(ask).collect();
    let checks =
        Load { addr: ours.authsvc.check, asks, connections: BESIDE, awake: false, patience: None };
    let per_second = logins / 3.0;
    let (flooded, checked) = std::thread::scope(|scope| {
        let flooding = scope.spawn(|| open(&flood, logins, lasts));
        let checked = open(&checks, per_second, lasts);
        (flooding.join().expect("a load does not panic"), checked)
    });
    format!(
        "Beside {} logins per second ({:?}): {} checks per second ({:?}, none: {}), p50 {} ms, p99 {} ms",
        thousands(logins),
        flooded.statuses,
        thousands(per_second),
        checked.statuses,
        checked.failed,
        milliseconds(checked.latency.percentile(50.0)),
        milliseconds(checked.latency.percentile(99.0)),
    )
}
