//! Tests on the real Kubernetes: one cluster for all of them, each in namespaces of its own. It
//! needs root, and goes with this process (see `vestibule_e2e::cluster`).

mod admin;
mod changes;
mod faults;
mod harness;
mod ingressroute;
mod journeys;
mod lifecycle;
mod mediation;
mod refusals;
mod scoped;
