//! What whoever manages the cluster writes: providers for many namespaces, and who may use a host.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::provider::{default_access_token_types, default_added_scopes, default_request_timeout};
use super::{BffProviderSpec, SecretKeyRef, rules};
use crate::bounds::list;

/// An OpenID provider (issuer) that policies of many namespaces can log in at.
// Not flattened from `BffProviderSpec`: its Secret is of another namespace, which must be said.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "vestibule.dev",
    version = "v1alpha1",
    kind = "ClusterBffProvider",
    plural = "clusterbffproviders",
    shortname = "cbffprov",
    category = "vestibule",
    derive = "PartialEq",
    doc = "An OpenID provider (issuer) that policies of many namespaces can log in at.",
    printcolumn = r#"{"name":"Issuer","type":"string","jsonPath":".spec.issuer"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterBffProviderSpec {
    /// The issuer identifier, exactly as the provider's discovery document and ID tokens state it
    /// (OpenID Connect Discovery 1.0, section 4.3). `https`; `http` is accepted on loopback only,
    /// or where the installation allows it for tests.
    #[schemars(transform = rules::issuer())]
    pub issuer: String,

    /// A PEM bundle of the certificate authorities that sign the provider's TLS certificate, in a
    /// Secret of Vestibule's own namespace. Default: the system's authorities.
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

    /// The namespaces whose policies may name this provider, by their labels. Default: every
    /// namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::selector())]
    pub namespace_selector: Option<LabelSelector>,
}

impl ClusterBffProviderSpec {
    /// The provider itself, without who may use it. Its `caBundleRef` is a Secret of Vestibule's
    /// namespace.
    #[must_use]
    pub fn provider(&self) -> BffProviderSpec {
        BffProviderSpec {
            issuer: self.issuer.clone(),
            ca_bundle_ref: self.ca_bundle_ref.clone(),
            request_timeout: self.request_timeout.clone(),
            access_token_types: self.access_token_types.clone(),
            added_scopes: self.added_scopes.clone(),
        }
    }
}

/// Gives hosts to namespaces: policies of other namespaces can no longer claim them.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "vestibule.dev",
    version = "v1alpha1",
    kind = "BffHostGrant",
    plural = "bffhostgrants",
    shortname = "bffgrant",
    category = "vestibule",
    derive = "PartialEq",
    doc = "Gives hosts to namespaces: policies of other namespaces can no longer claim them.",
    printcolumn = r#"{"name":"Hosts","type":"string","jsonPath":".spec.hosts"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct BffHostGrantSpec {
    /// The hosts, literal or as `*.example.com`, which stands for every name below `example.com`,
    /// at any depth, and not for `example.com` itself.
    #[schemars(transform = list(64, rules::granted_host()).some().set())]
    pub hosts: Vec<String>,

    /// The namespaces that may claim these hosts, by their labels. An empty selector selects every
    /// namespace.
    #[schemars(transform = rules::selector())]
    pub namespaces: LabelSelector,
}
