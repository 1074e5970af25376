//! `BffProvider`: an OpenID provider that policies of the same namespace log in at.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretKeyRef, rules};

/// An OpenID provider (issuer) that policies of the same namespace log in at.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "vestibule.dev",
    version = "v1alpha1",
    kind = "BffProvider",
    plural = "bffproviders",
    shortname = "bffprov",
    category = "vestibule",
    namespaced,
    derive = "PartialEq",
    doc = "An OpenID provider (issuer) that policies of the same namespace log in at.",
    printcolumn = r#"{"name":"Issuer","type":"string","jsonPath":".spec.issuer"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct BffProviderSpec {
    /// The issuer identifier, exactly as the provider's discovery document and ID tokens state it
    /// (OpenID Connect Discovery 1.0, section 4.3). `https`; `http` is accepted on loopback only,
    /// or where the installation allows it for tests.
    #[schemars(transform = rules::issuer())]
    pub issuer: String,

    /// A PEM bundle of the certificate authorities that sign the provider's TLS certificate, in a
    /// Secret of the same namespace. Default: the system's authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<SecretKeyRef>,

    /// The time within which each request to the provider must be answered, as a duration such as
    /// `10s`. Between `1s` and `60s`.
    #[serde(default = "default_request_timeout")]
    #[schemars(transform = rules::request_timeout())]
    pub request_timeout: String,

    /// The `typ` of the provider's access tokens where they are JWTs (RFC 9068, section 2.1), for
    /// policies with `bearer`. Keycloak and others write `JWT`, as in ID tokens; these are then told
    /// apart by what they say.
    #[serde(default = "default_access_token_types")]
    #[schemars(transform = rules::access_token_types())]
    pub access_token_types: Vec<String>,

    /// The scopes that the provider grants without being asked, such as Keycloak's default client
    /// scopes. An elevated token with any other that was not asked for is refused.
    #[serde(default = "default_added_scopes")]
    #[schemars(transform = rules::added_scopes())]
    pub added_scopes: Vec<String>,
}

pub(super) fn default_access_token_types() -> Vec<String> {
    vec!["at+jwt".to_owned()]
}

pub(super) fn default_added_scopes() -> Vec<String> {
    vec!["openid".to_owned()]
}

pub(super) fn default_request_timeout() -> String {
    "10s".to_owned()
}
