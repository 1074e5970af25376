//! Login, in process: the login and callback endpoints against a provider that a test makes say
//! anything. What a real provider and a real gateway add is tested end to end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access_tokens;
mod audit;
#[path = "../support/audit_lines.rs"]
mod audit_lines;
mod client;
mod conformance;
#[path = "../support/cuttable.rs"]
mod cuttable;
mod drafts;
mod elevation;
mod floods;
mod flows;
mod granted_scopes;
mod hosted_backend;
mod idp;
mod jose;
mod logout;
mod probe;
mod provider;
mod refresh;
mod site;
mod steps;
mod tokens;
mod trust;
