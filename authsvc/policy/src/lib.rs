//! The compiled policy: what authsvc runs on, how requests match it, and the pure function that
//! makes it from what users write.
//!
//! Why it exists: operator and authsvc must agree, and both must be testable without a cluster, a
//! store or a network. Nothing here does IO, reads a clock or draws random numbers, and it must not
//! know kube, axum, redis or tokio.

pub mod claims;
pub mod compile;
pub mod duration;
pub mod error;
pub mod expression;
pub mod handoff;
pub mod header_list;
pub mod matching;
pub mod model;
pub mod origin;
pub mod path;
pub mod template;
