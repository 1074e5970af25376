//! In-process tests of the whole service: real routers, memory store, a clock that tests move.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

#[path = "../support/mod.rs"]
mod support;

mod check_access;
mod check_smuggling;
mod claims;
mod corpora;
mod corpora_cookies;
mod csrf_cors;
mod endpoints;
mod every_field;
mod hardening;
mod header_list;
mod logout_pages;
mod store_down;
mod wire;
