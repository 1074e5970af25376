//! Version `v1alpha1` of the API.
//!
//! Unknown fields are not refused here: an API server does that by itself, and a newer CRD must not
//! stop an older reader. The directory source refuses them, with their path.

mod authority;
mod cluster;
mod hosted_backend;
mod permission;
mod policy;
mod provider;
mod route;
mod rules;
mod secrets;
mod target;

pub use authority::{
    Authority, AuthorityScope, Bearer, Obtain, OwnTokens, Permission, TokenStorage,
};
pub use cluster::{BffHostGrant, BffHostGrantSpec, ClusterBffProvider, ClusterBffProviderSpec};
pub use hosted_backend::{HostedBackend, HostedBackendFlavor};
pub use permission::{
    AuthZen, AuthZenCheck, Consistency, DecisionPoint, ObjectTemplate, OpenFga, OpenFgaCheck,
    PermissionCheck,
};
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
