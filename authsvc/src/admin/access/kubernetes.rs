//! Asks the API server who somebody is and what they may do. Thin: it decides nothing itself.
//!
//! A token may be made for us alone: with the audience [`AUDIENCE`] it is worth nothing at the API
//! server. Any other must be one that the API server itself takes.

use std::fmt::Debug;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client, Config, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_crds::v1alpha1::BffPolicy;
use vestibule_policy::model::PolicyId;

use super::{ReviewError, Reviews, User, Verb};
use crate::policy_source::kubernetes::KubernetesError;

/// The audience of tokens that are made for us alone.
pub const AUDIENCE: &str = "vestibule.dev";

/// The API server of the cluster that this runs in.
pub struct ClusterReviews {
    client: Client,
}

impl ClusterReviews {
    /// By the service account; asks nothing yet.
    ///
    /// # Errors
    /// Where no cluster is configured.
    pub async fn connect() -> Result<Self, KubernetesError> {
        Ok(Self::of(Client::try_from(Config::infer().await?)?))
    }

    pub(super) fn of(client: Client) -> Self {
        Self { client }
    }

    async fn review(&self, token: &str) -> Result<Option<User>, ReviewError> {
        let for_us = is_for_us(token);
        let spec = TokenReviewSpec {
            token: token.to_owned(),
            audiences: for_us.then(|| vec![AUDIENCE.to_owned()]),
        };
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer = create(&self.client, &review).await?;
        let status = answer.status.unwrap_or_default();
        // An authenticator that knows no audiences names none: the token is the API server's then.
        let fits = !for_us
            || status.audiences.unwrap_or_default().iter().any(|audience| audience == AUDIENCE);
        if status.authenticated != Some(true) || !fits {
            return Ok(None);
        }
        Ok(status.user.and_then(user))
    }

    async fn access(
        &self,
        user: &User,
        verb: Verb,
        policy: Option<&PolicyId>,
    ) -> Result<bool, ReviewError> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user.name.clone()),
                uid: user.uid.clone(),
                groups: Some(user.groups.clone()),
                extra: Some(user.extra.iter().cloned().collect()),
                resource_attributes: Some(ResourceAttributes {
                    group: Some(BffPolicy::group(&()).into_owned()),
                    resource: Some(BffPolicy::plural(&()).into_owned()),
                    subresource: Some("sessions".to_owned()),
                    verb: Some(verb.name().to_owned()),
                    namespace: policy.map(|id| id.namespace.clone()),
                    name: policy.map(|id| id.name.clone()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let status = create(&self.client, &review).await?.status;
        Ok(status.is_some_and(|status| status.allowed && status.denied != Some(true)))
    }
}

/// Asks: a review is an object that the API server answers and does not keep.
async fn create<K>(client: &Client, review: &K) -> Result<K, ReviewError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    api.create(&PostParams::default(), review).await.map_err(|error| review_error(&error))
}

impl Reviews for ClusterReviews {
    fn identify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<User>, ReviewError>> {
        self.review(token).boxed()
    }

    fn permits<'a>(
        &'a self,
        user: &'a User,
        verb: Verb,
        policy: Option<&'a PolicyId>,
    ) -> BoxFuture<'a, Result<bool, ReviewError>> {
        self.access(user, verb, policy).boxed()
    }
}

/// Whether a token says that it is for us. Only says which audience to ask for: nothing is believed
/// before the API server has checked it.
pub(super) fn is_for_us(token: &str) -> bool {
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let claims: Option<serde_json::Value> =
        URL_SAFE_NO_PAD.decode(payload).ok().and_then(|json| serde_json::from_slice(&json).ok());
    match claims.as_ref().and_then(|claims| claims.get("aud")) {
        Some(serde_json::Value::String(one)) => one == AUDIENCE,
        Some(serde_json::Value::Array(all)) => all.iter().any(|one| one == AUDIENCE),
        _ => false,
    }
}

fn user(info: UserInfo) -> Option<User> {
    Some(User {
        name: info.username.filter(|name| !name.is_empty())?,
        uid: info.uid,
        groups: info.groups.unwrap_or_default(),
        extra: info.extra.unwrap_or_default().into_iter().collect(),
    })
}

fn review_error(error: &kube::Error) -> ReviewError {
    match error {
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => {
            ReviewError::NotAllowed(status.message.clone())
        }
        other => ReviewError::Unavailable(other.to_string()),
    }
}
