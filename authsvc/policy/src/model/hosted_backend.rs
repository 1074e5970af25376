//! Endpoints in the shape of another product's, as authsvc serves them.

use serde::{Deserialize, Serialize};
pub use vestibule_crds::v1alpha1::HostedBackendFlavor;

/// Endpoints for the SDKs of another product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledHostedBackend {
    /// Whose SDKs are served.
    pub flavor: HostedBackendFlavor,
    /// Prefix of these endpoints, such as `/app`. It meets neither the base path nor a rule nor an
    /// authority.
    pub path: String,
}

impl CompiledHostedBackend {
    /// Whether a path is this prefix or below it.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        path.strip_prefix(&self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}
