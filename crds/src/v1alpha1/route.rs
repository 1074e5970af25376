//! The rules of a policy: which requests they match, and what they ask for and pass on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PermissionCheck, rules};
use crate::bounds::{block, list, text};

/// One rule: the requests it matches, what they need, and what the app gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::route())]
pub struct Route {
    /// The path to match, canonical and beginning with `/`. Case counts: an app that ignores it needs
    /// its rules where case cannot matter, at the root.
    #[schemars(transform = rules::path(1024))]
    pub path: String,
    /// How the path is matched.
    #[serde(default)]
    pub path_type: PathType,
    /// The methods to match, such as `GET`, which covers `HEAD` too. Default: all. Of two rules for
    /// one path the one that names the method wins. A request whose method no rule of the path
    /// names falls to the next less specific rule, so give a path that must not be open to other
    /// methods a rule for all of them as well.
    #[serde(default)]
    #[schemars(transform = rules::methods())]
    pub methods: Vec<String>,
    /// Who may pass.
    #[serde(default)]
    pub access: Access,
    /// What a request without a session gets.
    #[serde(default)]
    pub unauthenticated: Unauthenticated,
    /// What the session must fulfil; only with `access: Session`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require: Option<Require>,
    /// What the app gets of the session.
    #[serde(default)]
    pub upstream: Upstream,
}

/// How a route's path is matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PathType {
    /// The path itself and all below it, on segment borders: `/api` matches `/api` and `/api/x`,
    /// not `/apis`.
    #[default]
    Prefix,
    /// The path alone: `/a` does not match `/a/`. For rules that open something; one that closes
    /// something had better be a prefix.
    Exact,
}

/// Who may pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Access {
    /// Everyone; no session is read and no identity passed on.
    Public,
    /// Everyone; the identity is passed on where there is a session.
    Optional,
    /// Those with a session.
    #[default]
    Session,
    /// Nobody.
    Deny,
}

/// What a request without a session gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Unauthenticated {
    /// A navigation is sent to the login; anything else gets 401.
    #[default]
    Auto,
    /// 401, also for a navigation.
    Unauthorized,
}

/// What the session must fulfil.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::require())]
pub struct Require {
    /// The authentication context class that the user must have logged in with. Another one leads
    /// to a step-up (RFC 9470).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::acr())]
    pub acr: Option<String>,
    /// The greatest age of the user's authentication, as a duration. An older one leads to a
    /// step-up (RFC 9470).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::route_max_age())]
    pub max_age: Option<String>,
    /// A CEL expression over `claims` that must be true; anything else, an error too, is 403.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = text(1024))]
    pub expression: Option<String>,
    /// Scopes that the elevated token must have been granted, all of them; below the base of an
    /// authority that lists them. Those not asked for yet lead to its mediation (401 Mediation
    /// Advised), those not granted to 401.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = rules::required_scopes())]
    pub scopes: Vec<String>,
    /// What the user must be permitted to do; a refusal is 403, no answer 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<PermissionCheck>,
}

/// What the app gets of the session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::upstream())]
pub struct Upstream {
    /// What goes into the `Authorization` header. What the client sent there never passes.
    #[serde(default)]
    pub authorization: UpstreamAuthorization,
    /// The audience of an identity JWT. Default: the client id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = text(1024))]
    pub audience: Option<String>,
    /// Further headers made from claims.
    #[serde(default)]
    #[schemars(transform = rules::upstream_headers())]
    pub headers: Vec<UpstreamHeader>,
}

/// What goes into the `Authorization` header towards the app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum UpstreamAuthorization {
    /// `Bearer` and the user's access token.
    AccessToken,
    /// `Bearer` and the user's ID token.
    IdToken,
    /// `Bearer` and a short-lived JWT signed by Vestibule; its keys are at `/bff/jwks.json`.
    IdentityJwt,
    /// Nothing.
    #[default]
    None,
}

/// One header made from claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamHeader {
    /// The header's name.
    #[schemars(transform = rules::upstream_header())]
    pub name: String,
    /// A CEL expression over `claims`, such as `claims.sub`. Lists are joined with commas; an absent
    /// claim gives an empty header. A value that is not visible ASCII, or a list element with a
    /// comma, refuses the request: `percentEncode(claims.name)` makes ASCII of any text.
    #[schemars(transform = text(1024))]
    pub value: String,
}

/// Exceptions to canonical paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Paths {
    /// Which encodings an app needs, under which prefix.
    #[schemars(transform = list(64, block()))]
    pub admit: Vec<EncodingException>,
}

/// Encodings that are admitted under a prefix. A path that uses them is allowed only what its
/// decoded form is allowed too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EncodingException {
    /// The prefix, on a segment border.
    #[schemars(transform = rules::path(1024))]
    pub prefix: String,
    /// The encodings.
    #[schemars(transform = list(8, block()))]
    pub encodings: Vec<AdmittedEncoding>,
}

/// An encoding that canonical paths do not have.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum AdmittedEncoding {
    /// `%2F`: a slash within a segment, as in object names.
    EncodedSlash,
    /// `;`: path parameters, as in `/a;v=1`; never next to a dot segment.
    Semicolon,
    /// `%25`: an encoded percent sign.
    EncodedPercent,
}
