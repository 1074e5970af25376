//! In-process tests of the whole service: real routers, memory store, a clock that tests move.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

#[path = "../support/audit_lines.rs"]
mod audit_lines;
#[path = "../support/cuttable.rs"]
mod cuttable;
#[path = "../login/idp.rs"]
#[expect(dead_code, reason = "what only the tests of logins need")]
mod idp;
#[path = "../login/jose.rs"]
#[expect(dead_code, reason = "what only the tests of logins need")]
mod jose;
#[path = "../support/mod.rs"]
mod support;

mod audit;
mod check_access;
mod check_smuggling;
mod claims;
mod corpora;
mod corpora_cookies;
mod csrf_cors;
mod elevated;
mod endpoints;
mod every_field;
mod hardening;
mod header_list;
mod logout_pages;
mod store_down;
mod timeouts;
mod warm;
mod wire;
