//! What a policy protects on Kubernetes, and what becomes of that.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;
use crate::bounds::{list, text};

/// An object of the policy's namespace that routes traffic to the app.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::target())]
pub struct TargetRef {
    /// The group of the object: `networking.k8s.io` or `traefik.io`.
    #[schemars(transform = text(253))]
    pub group: String,
    /// The kind of the object: `Ingress` or, of Traefik, `IngressRoute`.
    #[schemars(transform = text(63))]
    pub kind: String,
    /// The name of the object.
    #[schemars(transform = rules::name())]
    pub name: String,
}

/// What became of a policy. Written by the operator only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BffPolicyStatus {
    /// What is true of the policy, one entry for each type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = rules::conditions())]
    pub conditions: Vec<Condition>,

    /// The origins that are in force, canonical and sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = list(64, text(300)).set())]
    pub origins: Vec<String>,
}
