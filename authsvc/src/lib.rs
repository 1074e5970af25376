//! The external-auth service of Vestibule.
//!
//! **The journey of a check**: a gateway asks `/check/{dialect}/{namespace}/{policy}` ([`router`]) →
//! [`check`] parses it in the gateway's dialect → [`policies`] gives the live policy → [`session`]
//! loads what the cookie names → `check::decide` decides, purely → the dialect renders the answer.
//! **The journey of a login**: `GET /bff/login` ([`endpoints::login`]) stores a transaction and sends
//! the browser to the provider ([`oidc`]) → `GET /bff/callback` redeems the code, checks the ID token,
//! creates the session and sends the browser back.
//!
//! Nothing here may fail open, take a scheme or host from a request, or show a token.

pub mod admin;
pub mod app;
pub mod audit;
pub mod caller;
pub mod challenge;
pub mod check;
pub mod check_policies;
pub mod clock;
pub mod cookies;
pub mod csrf;
pub mod endpoints;
pub mod facts;
mod http_client;
pub mod identity_jwt;
pub mod metrics;
pub mod news;
pub mod oidc;
pub mod overload;
pub mod permissions;
pub mod policies;
pub mod policy_source;
pub mod problem;
pub mod random;
pub mod return_to;
pub mod router;
pub mod server;
pub mod session;
pub mod settings;
pub mod telemetry;
pub mod token;

pub use check_policies::check_policies;
