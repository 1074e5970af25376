//! The HTTP clients of all decision points, by how they are set up.
//!
//! Why it exists: a client holds a hundred certificate authorities and its open connections, and many
//! policies ask one server. It must not let two share a client whose URLs, authorities or time differ in
//! what they may be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use vestibule_policy::model::CompiledDecisionPoint;

use crate::http_client::{HttpClient, UrlRules};

/// What makes a client.
#[derive(PartialEq, Eq, Hash)]
struct Setup {
    ca_bundle: Option<String>,
    timeout: Duration,
    rules: UrlRules,
}

/// Clients that are in use.
#[derive(Default)]
pub struct Connections(Mutex<HashMap<Setup, Weak<HttpClient>>>);

impl Connections {
    /// The client for a decision point; the error names the field.
    pub(super) fn to(&self, server: &CompiledDecisionPoint) -> Result<Arc<HttpClient>, String> {
        let rules = UrlRules::for_server(&server.url, server.allow_insecure)
            .map_err(|reason| format!("url: {reason}"))?;
        let (ca_bundle, timeout) = (server.ca_bundle.clone(), server.timeout);
        let setup = Setup { ca_bundle, timeout, rules };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = known.get(&setup).and_then(Weak::upgrade) {
            return Ok(client);
        }
        let client = HttpClient::new(setup.ca_bundle.as_deref(), setup.timeout, setup.rules)?;
        let client = Arc::new(client);
        known.retain(|_, other| other.strong_count() > 0);
        known.insert(setup, Arc::downgrade(&client));
        Ok(client)
    }
}
