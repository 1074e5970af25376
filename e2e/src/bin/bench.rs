//! `make bench`: what a check costs, beside servers that do nothing and what a user could pick instead.
//! See `docs/bench`.
//!
//! `bench` runs all contenders, `bench NAME…` these and bare hyper, `bench --list` names them; the other
//! options are those of `bench/plan.rs`. For programs of a release build, which `VESTIBULE_BIN_DIR` must
//! lead to.
#![expect(clippy::expect_used, reason = "a measurement whose parts fail ends, with the reason")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use vestibule_e2e::bench::contender::{Contender, Running};
use vestibule_e2e::bench::lab::Lab;
use vestibule_e2e::bench::plan::{Plan, Task, USAGE};
use vestibule_e2e::bench::results::Results;
use vestibule_e2e::bench::{contenders, machine, open_loop, report, rounds, summary};
use vestibule_e2e::tools::repository;

fn main() -> ExitCode {
    let plan = match Plan::of(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(wrong) => {
            eprintln!("{wrong}\n{USAGE}");
            return ExitCode::from(64);
        }
    };
    match plan.task {
        Task::List => {
            for contender in contenders() {
                println!("{:20} {}", contender.name, contender.title);
            }
        }
        Task::Docs => report::write(&repository()),
        Task::Measure => show(&plan, &measure(&plan)),
    }
    ExitCode::SUCCESS
}

fn measure(plan: &Plan) -> Results {
    let lab = Lab::start();
    let running: Vec<(Contender, Running)> = plan
        .contenders()
        .into_iter()
        .map(|contender| {
            eprintln!("starting {}", contender.name);
            (contender, (contender.start)(&lab))
        })
        .collect();
    let machine = machine::describe(versions(&running));
    let contenders = rounds::measure(&running, &plan.method, |round| {
        eprintln!("round {round} of {}", plan.method.rounds);
    });
    let tails = open_loop::Plan {
        rounds: plan.tail_rounds,
        window: Duration::from_secs_f64(plan.method.window_seconds),
        connections: plan.method.connections,
    };
    let tails = if tails.rounds == 0 {
        Vec::new()
    } else {
        open_loop::tails(&running, &contenders, &tails, |round| {
            eprintln!("tails: round {round} of {}", tails.rounds);
        })
    };
    Results { machine, method: plan.method, contenders, tails }
}

fn versions(running: &[(Contender, Running)]) -> BTreeMap<String, String> {
    let all = running.iter().flat_map(|(_, running)| running.versions.iter().cloned());
    all.map(|(program, version)| (program.to_owned(), version)).collect()
}

fn show(plan: &Plan, results: &Results) {
    println!("{}", summary::tables(results));
    if let Some(file) = &plan.json {
        let json = serde_json::to_string_pretty(results).expect("results are plain data");
        std::fs::write(file, json + "\n").expect("the file of --json can be written");
    }
    if plan.write_docs {
        report::keep(&repository(), results);
    }
}
