//! Who is asked whether a user may do something: claims, OpenFGA, or any decision point that speaks
//! OpenID AuthZEN.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretKeyRef, rules};
use crate::bounds::text;

/// One question. Exactly one of `expression`, `openFga` and `authZen` is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules::permission_check())]
pub struct PermissionCheck {
    /// A CEL expression over `claims` that must be true.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = text(1024))]
    pub expression: Option<String>,
    /// A relation that the user must have in the policy's OpenFGA store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_fga: Option<OpenFgaCheck>,
    /// An action that the policy's AuthZEN decision point must allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_zen: Option<AuthZenCheck>,
}

/// A relation between the user and an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenFgaCheck {
    /// The relation, such as `viewer`.
    #[schemars(transform = rules::relation())]
    pub relation: String,
    /// The object.
    pub object: ObjectTemplate,
}

/// An action on a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthZenCheck {
    /// The action's name, such as `can_read`.
    #[schemars(transform = rules::relation())]
    pub action: String,
    /// The resource.
    pub resource: ObjectTemplate,
}

/// An object whose id may come from the request's path and the user's claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectTemplate {
    /// The object's type, such as `document`.
    #[serde(rename = "type")]
    #[schemars(transform = rules::relation())]
    pub object_type: String,
    /// The id: text, with `{name}` for a capture of `path` and `{claims.name}` for a claim, and a `/`
    /// or `|` between any two of them. What is put in must be 1 to 128 letters, digits, `-`, `_`, `.`,
    /// `~`, `@` or `+`, and `type:id` at most 256 in all; anything else refuses the request.
    #[schemars(transform = text(512).not_empty())]
    pub id: String,
    /// What `{name}`s of the id are: a path such as `/api/documents/{name}`, of which the request's is
    /// the same or below. On routes only: `{base}/authorize` has no such path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::path(1024))]
    pub path: Option<String>,
}

/// The OpenFGA server that a policy asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenFga {
    /// Its HTTP API.
    pub server: DecisionPoint,
    /// The store.
    #[schemars(transform = rules::ulid())]
    pub store_id: String,
    /// The authorization model. Default: the store's latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::ulid())]
    pub model_id: Option<String>,
    /// The type of users; their id is `sub`.
    #[serde(default = "default_user_type")]
    #[schemars(transform = rules::relation())]
    pub user_type: String,
    /// What the server prefers: quick answers, or answers that know every write.
    #[serde(default)]
    pub consistency: Consistency,
}

/// The OpenID AuthZEN decision point that a policy asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthZen {
    /// Its address, before `/access/v1/evaluation` (Authorization API 1.0).
    pub server: DecisionPoint,
    /// The type of subjects; their id is `sub`.
    #[serde(default = "default_user_type")]
    #[schemars(transform = rules::relation())]
    pub subject_type: String,
}

fn default_user_type() -> String {
    "user".to_owned()
}

/// A server that decides: how it is reached, and for how long its answers count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionPoint {
    /// Its URL. `https`; `http` is accepted on loopback only, or where the installation allows it for
    /// tests.
    #[schemars(transform = rules::endpoint())]
    pub url: String,
    /// A bearer token that it wants, in a Secret of the policy's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_ref: Option<SecretKeyRef>,
    /// A PEM bundle of the certificate authorities that sign its TLS certificate, in a Secret of the
    /// policy's namespace. Default: the system's authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<SecretKeyRef>,
    /// The time within which it must answer, as a duration. Between `100ms` and `10s`.
    #[serde(default = "default_decision_timeout")]
    #[schemars(transform = rules::decision_timeout())]
    pub timeout: String,
    /// For how long an answer counts without asking again, as a duration. At most `5m`; `0s`: never.
    #[serde(default = "default_cache_for")]
    #[schemars(transform = rules::cache_for())]
    pub cache_for: String,
}

fn default_decision_timeout() -> String {
    "2s".to_owned()
}

fn default_cache_for() -> String {
    "10s".to_owned()
}

/// What an OpenFGA server prefers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Consistency {
    /// Quick answers: its own cache may serve them.
    #[default]
    MinimizeLatency,
    /// Answers that know every write.
    HigherConsistency,
}
