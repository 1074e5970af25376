//! Endpoints in the shape that another product's SDKs expect.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// Endpoints in the shape of another product's hosted backend, so that its SDKs run unchanged. They are
/// beside those below `basePath`, and use the same sessions; tokens stay on the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostedBackend {
    /// Whose SDKs are to be served.
    pub flavor: HostedBackendFlavor,
    /// The path below which these endpoints are: `login`, `register`, `logout`, `me` and `refresh`.
    /// All of it is Vestibule's own, as all below `basePath` is.
    #[serde(default = "default_path")]
    #[schemars(transform = rules::base_path())]
    pub path: String,
}

fn default_path() -> String {
    "/app".to_owned()
}

/// Whose SDKs are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HostedBackendFlavor {
    /// Those for the web, such as `@fusionauth/react-sdk`.
    FusionAuth,
}
