//! Login, in process: the login and callback endpoints against a provider that a test makes say
//! anything. What a real provider and a real gateway add is tested end to end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod drafts;
mod flows;
mod idp;
mod jose;
mod probe;
mod provider;
mod site;
mod steps;
mod tokens;
mod trust;
