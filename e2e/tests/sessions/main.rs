//! The life of a session over several replicas, and through faults of store, provider and replicas.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail as tests do")]

mod failover;
mod keyring;
mod load;
mod logout;
mod races;
mod reach;
mod refresh;
mod refresh_faults;
mod store_contents;
