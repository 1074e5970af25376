//! The compiled policy: validated and resolved, ready to be enforced.
//!
//! Why it exists: it is the contract between whoever compiles (operator, directory source) and
//! authsvc, which runs on it and on nothing else. It must not hold anything unresolved: no
//! reference, no default still to be applied, no text still to be parsed.

mod authority;
mod common;
mod hosted_backend;
mod shared;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub use self::authority::{
    CompiledAuthZen, CompiledAuthority, CompiledBearer, CompiledCheck, CompiledDecisionPoint,
    CompiledOpenFga, CompiledPermission, CompiledScope, Consistency, Obtain, OwnTokens,
    TokenStorage,
};
pub use self::hosted_backend::{CompiledHostedBackend, HostedBackendFlavor};
pub use self::shared::{Common, InUse, Shared};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
pub use vestibule_crds::v1alpha1::{
    Access, ClientAuthMethod, Par, SameSite, Unauthenticated, UpstreamAuthorization,
};

use crate::expression::Expression;
use crate::origin::Origin;
use crate::path::Exceptions;

/// Namespace and name of a policy. Both are DNS labels or subdomains, so that `namespace/name` is
/// unambiguous.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyId {
    /// The namespace of the `BffPolicy`.
    pub namespace: String,
    /// The name of the `BffPolicy`.
    pub name: String,
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One policy as authsvc enforces it. Serialised without its secrets: [`crate::handoff`] carries
/// them beside it, and is the only way to a whole one from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledPolicy {
    /// Which policy this is.
    pub id: PolicyId,
    /// The object's uid; keys are derived from it. Standalone: `namespace/name`.
    pub uid: String,
    /// The app's public origins, the first being the one for links without a request.
    pub origins: Vec<Origin>,
    /// Where users log in.
    pub provider: Shared<CompiledProvider>,
    /// How Vestibule is registered there.
    pub client: CompiledClient,
    /// What a login asks for.
    pub login: Shared<CompiledLogin>,
    /// Lifetimes and cookie.
    pub session: Shared<CompiledSession>,
    /// The rules, in the author's order; `matching::RouteTable` indexes them.
    pub routes: Shared<Vec<CompiledRoute>>,
    /// The Route Authorities; no two have the same base.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorities: Vec<CompiledAuthority>,
    /// Whether callers may bring a token instead of a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<Box<CompiledBearer>>,
    /// Who answers `OpenFga` checks; there where any asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_fga: Option<Box<CompiledOpenFga>>,
    /// Who answers `AuthZen` checks; there where any asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_zen: Option<Box<CompiledAuthZen>>,
    /// Encodings admitted under prefixes.
    pub paths: Exceptions,
    /// Lower-case name of the custom header that counters cross-site forgery.
    pub csrf_header: String,
    /// Other origins whose scripts may call the app.
    pub cors_origins: Vec<Origin>,
    /// Path on the origin that the browser goes to after a logout.
    pub logout_return_to: String,
    /// What else belongs to a logout.
    #[serde(default)]
    pub logout: CompiledLogout,
    /// Prefix of our own endpoints, such as `/bff`.
    pub base_path: String,
    /// Further endpoints of ours, for the SDKs of another product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosted_backend: Option<CompiledHostedBackend>,
    /// Lower-case names of every header that any route sets, without `authorization` and `cookie`.
    /// Each is sent on every allow, empty where it has no value.
    pub upstream_headers: Vec<String>,
}

impl CompiledPolicy {
    /// Gives back memory that it was read with and has no use for.
    pub(crate) fn shrink(&mut self) {
        self.origins.shrink_to_fit();
        self.authorities.shrink_to_fit();
        self.cors_origins.shrink_to_fit();
        self.upstream_headers.shrink_to_fit();
    }
}

/// The provider of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledProvider {
    /// The issuer identifier, as written; compared by simple string comparison (RFC 9207, 2.4).
    pub issuer: String,
    /// PEM bundle of certificate authorities; `None`: the system's.
    pub ca_bundle: Option<String>,
    /// The bound on each request.
    #[serde(serialize_with = "as_seconds", deserialize_with = "from_seconds")]
    pub request_timeout: Duration,
    /// Whether `http` endpoints on other hosts than loopback are accepted (tests only).
    pub allow_insecure: bool,
}

/// How Vestibule is registered at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledClient {
    /// The client identifier.
    pub id: String,
    /// How it authenticates.
    pub credential: Credential,
}

/// How the client authenticates at the token endpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Credential {
    /// A shared secret; `method: None` follows the provider's metadata.
    Secret {
        /// How the secret is sent.
        method: Option<ClientAuthMethod>,
        /// The secret.
        #[serde(skip)]
        value: SecretString,
    },
    /// A signed assertion (`private_key_jwt`).
    PrivateKey {
        /// `ES256`, `PS256` or `RS256`.
        algorithm: String,
        /// The `kid` to send.
        key_id: Option<String>,
        /// The key as PKCS#8 PEM.
        #[serde(skip)]
        pem: SecretString,
    },
}

/// The secrets too: a policy whose secret changed is another policy.
impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Secret { method, value }, Self::Secret { method: m, value: v }) => {
                method == m && value.expose_secret() == v.expose_secret()
            }
            (
                Self::PrivateKey { algorithm, key_id, pem },
                Self::PrivateKey { algorithm: a, key_id: k, pem: p },
            ) => algorithm == a && key_id == k && pem.expose_secret() == p.expose_secret(),
            _ => false,
        }
    }
}

impl Eq for Credential {}

/// What a login asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledLogin {
    /// The scopes, `openid` among them.
    pub scopes: Vec<String>,
    /// Whether requests are pushed (RFC 9126).
    pub par: Par,
    /// Requested `acr_values`; the ID token must carry one of them if any is given.
    pub acr_values: Vec<String>,
    /// The greatest age of the authentication, in seconds.
    pub max_age: Option<u64>,
    /// RFC 8707 resources.
    pub resources: Vec<String>,
    /// Further authorization request parameters.
    pub extra_parameters: BTreeMap<String, String>,
    /// Whether UserInfo completes the claims.
    pub user_info: bool,
}

/// Lifetimes and cookie of a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledSession {
    /// In seconds.
    pub idle_timeout: u64,
    /// In seconds; at least the idle timeout.
    pub absolute_timeout: u64,
    /// Begins with `__Host-`.
    pub cookie_name: String,
    /// The `SameSite` attribute.
    pub same_site: SameSite,
    /// Claims shown by `GET /bff/session`.
    pub claims: Vec<String>,
}

/// What belongs to a logout, beyond ending the session here. All of it where nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledLogout {
    /// Whether tokens are revoked at the provider.
    pub revoke_tokens: bool,
    /// Whether the provider may end sessions by calling us.
    pub back_channel: bool,
    /// Whether the provider may end sessions by a frame in the browser.
    pub front_channel: bool,
}

impl Default for CompiledLogout {
    fn default() -> Self {
        Self { revoke_tokens: true, back_channel: true, front_channel: true }
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledRoute {
    /// The canonical path.
    pub path: String,
    /// Whether the path alone matches, or all below it too.
    pub exact: bool,
    /// Upper-case methods; empty: all.
    pub methods: Vec<String>,
    /// Who may pass.
    pub access: Access,
    /// What a request without a session gets.
    pub unauthenticated: Unauthenticated,
    /// What the session must fulfil.
    pub require: CompiledRequire,
    /// What the app gets.
    pub upstream: CompiledUpstream,
}

impl CompiledRoute {
    /// The rule for a request that no rule of the policy matches: a session is required, nothing
    /// is passed on.
    #[must_use]
    pub fn unmatched() -> Self {
        Self {
            path: "/".to_owned(),
            exact: false,
            methods: Vec::new(),
            access: Access::Session,
            unauthenticated: Unauthenticated::Auto,
            require: CompiledRequire::default(),
            upstream: CompiledUpstream::default(),
        }
    }
}

/// What the session must fulfil.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledRequire {
    /// The `acr` the ID token must carry.
    pub acr: Option<String>,
    /// The greatest age of the authentication, in seconds.
    pub max_age: Option<u64>,
    /// Must be true over the claims.
    pub expression: Option<Expression>,
    /// Scopes that the elevated token must have been granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// What the user must be permitted to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<Box<CompiledCheck>>,
}

/// What the app gets of the session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledUpstream {
    /// The `Authorization` header.
    pub authorization: UpstreamAuthorization,
    /// Audience of an identity JWT; `None`: the client id.
    pub audience: Option<String>,
    /// Lower-case header name and its value over the claims.
    pub headers: Vec<CompiledHeader>,
}

/// One header made from claims.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledHeader {
    /// Lower-case.
    pub name: String,
    /// Over the claims.
    pub value: Expression,
}

fn as_seconds<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(value.as_secs_f64())
}

fn from_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map_err(D::Error::custom)
}
