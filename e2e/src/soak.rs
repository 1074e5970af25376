//! An hour of what an authsvc lives through, and whether it is larger afterwards: `make soak`.
//!
//! Sessions begin by logins, are used, refreshed, ended and forgotten; logins are given up half-way;
//! policies are edited, added and deleted. It must leave room on the machine for other work, so it is no
//! load test, and must not take what grows towards a known bound for steady.

mod churn;
mod place;
mod samples;

pub use churn::{Churn, Done};
pub use place::{Place, Service};
pub use samples::{Sample, Verdict};
