//! Load on a server, and what it cost the server: requests on kept connections at the pace of the
//! answers (`closed`) or at a pace of their own (`open`), latencies, the kernel's account of processor
//! time, and which core runs what.
//!
//! For measuring programs and tests under load. It must not be kind: every answer is counted by its
//! status, and a request without an answer is a failure. It reads statuses only; what an answer says is
//! for `http` and `asker`.

mod ask;
mod chunks;
mod client;
mod closed;
mod cpu;
mod histogram;
mod open;
mod pin;
mod random;
mod run;

pub use ask::Ask;
pub use closed::closed;
pub use cpu::{Meter, cpu_of, resident, resident_with_children, tcp_accepts};
pub use histogram::Latencies;
pub use open::open;
pub use pin::{on_core, pin_to};
pub use random::Repeatable;
pub use run::{Load, Outcome};

#[cfg(test)]
mod tests;
