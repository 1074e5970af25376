//! The harness of the end-to-end tests: starts and stops real gateways, stores, providers and
//! browsers on loopback, and asks them as a browser or an attacker would.
//!
//! It knows Vestibule only from outside (programs, ports, files), so it must not depend on its
//! crates. It panics where a part does not start: a test has nothing better to do then.
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a harness whose parts do not start fails the test, with the reason"
)]

pub mod apiserver;
pub mod app;
pub mod asker;
pub mod authsvc;
pub mod bench;
pub mod browser;
pub mod capacity;
pub mod chromium;
pub mod cluster;
pub mod collector;
pub mod corpus;
pub mod echo;
pub mod fault_relay;
pub mod gateway;
pub mod http;
pub mod installation;
pub mod keycloak;
pub mod load;
pub mod nginx;
pub mod openfga;
pub mod overload;
pub mod process;
pub mod provider;
pub mod redis;
pub mod relay;
pub mod replicas;
pub mod sentinel;
pub mod soak;
pub mod stack;
pub mod tools;
pub mod traefik;
pub mod under_load;
