//! Elevated tokens from end to end: Keycloak and oidc-provider, real gateways, Chromium, and the libraries that
//! apps log in by themselves with. One Keycloak serves all tests, each with users of its own.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail as tests do")]

mod bearer;
mod copied;
mod elevation;
mod grants;
mod harness;
mod machine;
mod navigation;
