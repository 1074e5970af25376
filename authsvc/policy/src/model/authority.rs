//! Route Authorities as authsvc runs on them, and the questions that permissions ask.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
pub use vestibule_crds::v1alpha1::{Consistency, Obtain, OwnTokens, TokenStorage};

use super::{CompiledClient, as_seconds, from_seconds};
use crate::expression::Expression;
use crate::template::Template;

/// One Route Authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledAuthority {
    /// Canonical, without a slash at its end, not `/`.
    pub base: String,
    /// The scopes that may be asked for, in the author's order.
    pub scopes: Vec<CompiledScope>,
    /// Scopes that the provider grants without being asked, `openid` among them.
    pub added_scopes: Vec<String>,
    /// How the token is obtained.
    pub obtain: Obtain,
    /// The `audience` parameter.
    pub audience: Option<String>,
    /// RFC 8707 resources.
    pub resources: Vec<String>,
    /// The `acr` that the user must have authenticated with.
    pub acr: Option<String>,
    /// The greatest age of the authentication, in seconds.
    pub max_age: Option<u64>,
    /// Where the token is kept.
    pub storage: TokenStorage,
    /// The authority's own registration; `None`: the policy's.
    pub client: Option<CompiledClient>,
    /// What users may be permitted to do; never empty.
    pub permissions: Vec<CompiledPermission>,
}

/// A scope of an authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledScope {
    /// As the provider knows it.
    pub name: String,
    /// In words.
    pub description: Option<String>,
}

/// Something that a user may be permitted to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledPermission {
    /// As scripts know it.
    pub name: String,
    /// In words.
    pub description: Option<String>,
    /// The scopes that it needs, all of them the authority's.
    pub scopes: Vec<String>,
    /// Who is asked besides.
    pub check: Option<CompiledCheck>,
}

/// One question about a user.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum CompiledCheck {
    /// Must be true over the claims.
    Expression(Expression),
    /// A relation that the user must have to an object.
    OpenFga {
        /// The relation.
        relation: String,
        /// The object.
        object: Template,
    },
    /// An action that the user must be allowed.
    AuthZen {
        /// The action's name.
        action: String,
        /// The resource.
        resource: Template,
    },
}

/// Callers that bring a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledBearer {
    /// A token has one of these as `aud`; never empty.
    pub audiences: Vec<String>,
    /// The `typ`s of the provider's access tokens, in lower case.
    pub token_types: Vec<String>,
    /// The scope that mediates.
    pub mediation_scope: String,
    /// What becomes of tokens that have an authority's scopes themselves.
    pub own_tokens: OwnTokens,
}

/// The OpenFGA server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledOpenFga {
    /// How it is reached.
    pub server: CompiledDecisionPoint,
    /// The store.
    pub store_id: String,
    /// The authorization model; `None`: the latest.
    pub model_id: Option<String>,
    /// The type of users.
    pub user_type: String,
    /// What the server prefers.
    pub consistency: Consistency,
}

/// The AuthZEN decision point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledAuthZen {
    /// How it is reached.
    pub server: CompiledDecisionPoint,
    /// The type of subjects.
    pub subject_type: String,
}

/// How a server that decides is reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledDecisionPoint {
    /// Its URL, without a slash at its end.
    pub url: String,
    /// The bearer token that it wants. JSON says only whether there is one.
    #[serde(serialize_with = "as_presence", deserialize_with = "from_presence")]
    pub token: Option<SecretString>,
    /// PEM bundle of certificate authorities; `None`: the system's.
    pub ca_bundle: Option<String>,
    /// The bound on each request.
    #[serde(serialize_with = "as_seconds", deserialize_with = "from_seconds")]
    pub timeout: Duration,
    /// For how long an answer counts; zero: never.
    #[serde(serialize_with = "as_seconds", deserialize_with = "from_seconds")]
    pub cache_for: Duration,
    /// Whether `http` on other hosts than loopback is accepted (tests only).
    pub allow_insecure: bool,
}

/// The token too: a policy whose secret changed is another policy.
impl PartialEq for CompiledDecisionPoint {
    fn eq(&self, other: &Self) -> bool {
        let token = |one: &Self| one.token.as_ref().map(|token| token.expose_secret().to_owned());
        (&self.url, &self.ca_bundle, self.timeout, self.cache_for, self.allow_insecure)
            == (&other.url, &other.ca_bundle, other.timeout, other.cache_for, other.allow_insecure)
            && token(self) == token(other)
    }
}

impl Eq for CompiledDecisionPoint {}

#[expect(clippy::ref_option, reason = "the signature that serde calls")]
fn as_presence<S: Serializer>(
    token: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(token.is_some())
}

/// An empty one where there is one, for the hand-off to fill.
fn from_presence<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SecretString>, D::Error> {
    Ok(bool::deserialize(deserializer)?.then(SecretString::default))
}
