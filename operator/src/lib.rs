//! The operator: it watches policies and what they name, compiles each into a Secret for authsvc,
//! and wires the gateways.
//!
//! `world` knows the cluster and wakes policies; `queue` says which is next; `reconcile` works on
//! one; `leader` says who may. It is never on the way of a request.

pub mod admin;
pub mod api;
pub mod claims;
pub mod context;
pub mod events;
pub mod keys;
mod lead;
pub mod leader;
pub mod metrics;
pub mod queue;
pub mod random;
pub mod reconcile;
pub mod replicas;
pub mod run;
pub mod settings;
pub mod telemetry;
pub mod verify;
pub mod world;
