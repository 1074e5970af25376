//! Route Authorities: what an API route hierarchy may need beyond the login, and who may mediate for it.
//!
//! Why it exists: a session's own token should say little. Each hierarchy gets a token of its own, with
//! its scopes alone, when a user needs it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Client, PermissionCheck, rules};
use crate::bounds::text;

/// One Route Authority: the API routes below `base`, and the elevated token that they get.
///
/// Vestibule answers `{base}/authorize`: a script asks there what its user may do, and a navigation
/// obtains the token. Of nested authorities the innermost one counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::authority())]
pub struct Authority {
    /// The path that the API's routes begin with, canonical and without a slash at its end, such as
    /// `/api/production`.
    #[schemars(transform = rules::authority_base())]
    pub base: String,
    /// The scopes that the API can need; no others are ever asked for.
    #[schemars(transform = rules::authority_scopes())]
    pub scopes: Vec<AuthorityScope>,
    /// How the token is obtained.
    #[serde(default)]
    pub obtain: Obtain,
    /// The `audience` of the token, for providers that take one: in a token exchange (RFC 8693,
    /// section 2.1), and in authorization requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = text(1024).not_empty())]
    pub audience: Option<String>,
    /// The resources that the token is for (RFC 8707): absolute URIs without a fragment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = rules::resources())]
    pub resources: Vec<String>,
    /// The authentication context class that the user must have authenticated with for this token
    /// (RFC 9470). With `obtain: AuthorizationCode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::acr())]
    pub acr: Option<String>,
    /// The greatest age of the user's authentication for this token, as a duration (RFC 9470). With
    /// `obtain: AuthorizationCode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::route_max_age())]
    pub max_age: Option<String>,
    /// Where the token is kept.
    #[serde(default)]
    pub storage: TokenStorage,
    /// A registration at the provider of its own. Default: the policy's. It needs the same redirect
    /// URIs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Client>,
    /// What users may be permitted to do here. Default: one permission for each scope, of its name,
    /// held by whoever was granted the scope.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = rules::permissions())]
    pub permissions: Vec<Permission>,
}

/// A scope of a Route Authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityScope {
    /// The scope, as the provider knows it.
    #[schemars(transform = rules::scope())]
    pub name: String,
    /// What it is for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = text(256))]
    pub description: Option<String>,
}

/// How the elevated token of an authority is obtained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Obtain {
    /// By a login of its own at the provider, without a page where the provider needs none.
    #[default]
    AuthorizationCode,
    /// By exchanging the caller's token (RFC 8693), without the browser.
    TokenExchange,
}

/// Where the elevated token of an authority is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TokenStorage {
    /// In the session store, beside the session.
    #[default]
    Session,
    /// Sealed, in two cookies of the base. Always so for callers without a session.
    Cookie,
}

/// Something that a user may be permitted to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::permission())]
pub struct Permission {
    /// The name that scripts know it by.
    #[schemars(transform = rules::scope())]
    pub name: String,
    /// What it is, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = text(256))]
    pub description: Option<String>,
    /// The authority's scopes that it needs, all of them.
    #[serde(default)]
    #[schemars(transform = rules::permission_scopes())]
    pub scopes: Vec<String>,
    /// Who is asked besides. Default: nobody, the granted scopes decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<PermissionCheck>,
}

/// Callers that bring an access token of the provider instead of a session: apps with a library of
/// their own, machines and agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bearer {
    /// The `aud` values of which a token must have one: those of the APIs. Where the provider's access
    /// tokens have the `typ` `JWT`, as ID tokens do, none may be the id of a client.
    #[schemars(transform = rules::audiences())]
    pub audiences: Vec<String>,
    /// The scope by which a token may ask for elevated ones. It needs no other.
    #[serde(default = "default_mediation_scope")]
    #[schemars(transform = rules::scope())]
    pub mediation_scope: String,
    /// Whether a token that has an authority's scopes itself passes to its API as it is.
    #[serde(default)]
    pub own_tokens: OwnTokens,
}

fn default_mediation_scope() -> String {
    "endpoint:mediate".to_owned()
}

/// What becomes of a caller's token that has an authority's scopes itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OwnTokens {
    /// It passes to the API as it is.
    #[default]
    Pass,
    /// It does not count: only elevated tokens reach the API.
    Refuse,
}
