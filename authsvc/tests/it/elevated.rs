//! Checks below the bases of Route Authorities: whose token goes upstream, and what is said where none does.

mod bearers;
mod cookies;
mod permissions;
mod property;
mod refreshing;
mod refusals;
mod rules;
mod tokens;
mod world;
