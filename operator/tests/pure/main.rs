//! The pure half of the operator: what is decided and what is built, without an API server.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod catalogue;
mod goldens;
mod header_list;
mod hostile;
mod support;
