//! Version `v1alpha1` of the API.
//!
//! Unknown fields are not refused here: an API server does that by itself, and a newer CRD must not
//! stop an older reader. The directory source refuses them, with their path.

mod cluster;
mod policy;
mod provider;
mod route;
mod rules;
mod target;

pub use cluster::{BffHostGrant, BffHostGrantSpec, ClusterBffProvider, ClusterBffProviderSpec};
pub use policy::{
    BffPolicy, BffPolicySpec, Client, ClientAuthMethod, Cookie, Cors, Csrf, Login, Logout, Par,
    PrivateKeyJwt, ProviderKind, ProviderRef, SameSite, SecretKeyRef, Session,
};
pub use provider::{BffProvider, BffProviderSpec};
pub use route::{
    Access, AdmittedEncoding, EncodingException, PathType, Paths, Require, Route, Unauthenticated,
    Upstream, UpstreamAuthorization, UpstreamHeader,
};
pub use target::{BffPolicyStatus, TargetRef};
