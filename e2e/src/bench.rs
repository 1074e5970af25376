//! `make bench`: contenders side by side in one run. A figure of one contender alone says little on a
//! machine that others use; its ratio to another's in the same round does.

pub mod contender;
pub mod floor;
pub mod gateways;
pub mod lab;
pub mod machine;
pub mod open_loop;
pub mod ours;
pub mod peers;
pub mod plan;
pub mod plot;
pub mod report;
pub mod results;
pub mod rounds;
pub mod spread;
pub mod summary;
pub mod table;

use contender::Contender;

/// All contenders, in the order of the tables.
#[must_use]
pub fn contenders() -> Vec<Contender> {
    [floor::CONTENDERS, ours::CONTENDERS, gateways::CONTENDERS, peers::CONTENDERS].concat()
}
