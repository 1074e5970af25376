//! Instructions of what a check is made of, of whole checks and of one edit of a policy, counted by
//! valgrind: `make gate`. Counts do not depend on what else runs.
//!
//! One count is one call of a function below. What it needs is made and warmed up before, by `world` or
//! `edit`; what it gives back is looked at after. What counts are right is in `limits.tsv`.
//!
//! Valgrind has no AES or SHA instructions of newer processors, so sealing and hashing take the fallback
//! code of aws-lc: their share is larger here than in truth.

#![expect(clippy::unwrap_used, reason = "a measurement whose parts fail ends, with the reason")]
#![expect(clippy::expect_used, reason = "the same")]
#![expect(missing_docs, reason = "the macros of gungraun make public items")]
#![expect(unused_qualifications, reason = "they qualify what is in scope")]

mod edit;
#[path = "../../tests/support/mod.rs"]
#[expect(dead_code, reason = "the tests of the check use more of what is shared")]
mod support;
mod world;

use std::hint::black_box;

use gungraun::prelude::*;
use gungraun::{Callgrind, library_benchmark, library_benchmark_group, main};
use http::StatusCode;
use vestibule_authsvc::check::grant::AppHeaders;
use vestibule_authsvc::policies::Lookup;

use edit::Edit;
use world::{Asked, Cold, Granted, Kind, Named, Warm};

// ---- what a check is made of ---------------------------------------------------------------------

// The live policy of a check's address and the rule of its path, in a table of so many policies.
#[library_benchmark(setup = Named::among)]
#[bench::of_1(1)]
#[bench::of_100(100)]
#[bench::of_10000(10_000)]
fn route_match(named: Named) -> Named {
    let Lookup::Live(policy) = named.policies().find("default", black_box("shop")) else {
        panic!("shop is live");
    };
    let rule = policy.rule_for("GET", black_box(&named.target)).unwrap();
    assert!(!black_box(rule).upstream.headers.is_empty());
    named
}

// From the `Cookie` header to the session, out of its sealed record.
#[library_benchmark(setup = Cold::with_claims)]
#[bench::of_3_claims(3)]
#[bench::of_100_claims(100)]
fn session_open(cold: Cold) -> Cold {
    assert!(cold.session().is_some());
    cold
}

// The headers for the app.
#[library_benchmark(setup = Granted::new)]
#[bench::of_2(())]
fn header_build(granted: Granted) -> (Granted, AppHeaders) {
    let headers = granted.headers();
    (granted, black_box(headers))
}

library_benchmark_group!(name = parts, benchmarks = [route_match, session_open, header_build]);

// ---- whole checks --------------------------------------------------------------------------------

fn is_200((answered, _): (StatusCode, Warm)) {
    assert_eq!(answered, StatusCode::OK);
}

// An allow of a session in memory.
#[library_benchmark(setup = Warm::new, teardown = is_200)]
#[bench::plain(Asked::of(Kind::Plain))]
#[bench::of_10000_policies(Asked { policies: 10_000, ..Asked::of(Kind::Plain) })]
#[bench::of_10000_sessions(Asked { sessions: 10_000, ..Asked::of(Kind::Plain) })]
#[bench::elevated(Asked::of(Kind::Elevated))]
#[bench::anonymous(Asked::of(Kind::Public))]
fn warm_allow(warm: Warm) -> (StatusCode, Warm) {
    warm.ask()
}

fn is_no_allow((answered, _): (StatusCode, Warm)) {
    assert!(
        [StatusCode::UNAUTHORIZED, StatusCode::FOUND, StatusCode::FORBIDDEN].contains(&answered)
    );
}

// A refusal: without a session to a script and to a page, and of a session that may not.
#[library_benchmark(setup = Warm::new, teardown = is_no_allow)]
#[bench::nobody(Asked::of(Kind::Nobody))]
#[bench::redirect(Asked::of(Kind::Redirect))]
#[bench::forbidden(Asked::of(Kind::Forbidden))]
fn denial(warm: Warm) -> (StatusCode, Warm) {
    warm.ask()
}

library_benchmark_group!(name = checks, benchmarks = [warm_allow, denial]);

// ---- one edit ------------------------------------------------------------------------------------

// One policy of so many has changed: it is compiled, and takes the old one's place.
#[library_benchmark(setup = Edit::among)]
#[bench::of_1(1)]
#[bench::of_100(100)]
#[bench::of_10000(10_000)]
fn policy_edit(edit: Edit) -> Edit {
    edit.install();
    edit
}

library_benchmark_group!(name = edits, benchmarks = policy_edit);

main!(
    // Instructions alone: a simulated cache says nothing of a real one.
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = [parts, checks, edits]
);
