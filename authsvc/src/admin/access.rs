//! Who may see and end sessions on the admin port.
//!
//! On Kubernetes the cluster says it: `TokenReview` who somebody is, `SubjectAccessReview` what they may
//! do, so that sessions have the cluster's own roles. Elsewhere whoever holds the admin token may do
//! everything. Nothing here keeps a token: answers are remembered for a few seconds under its hash.

mod answers;
mod kubernetes;

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use futures_util::future::BoxFuture;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::Semaphore;
use vestibule_policy::model::PolicyId;

use super::AdminToken;
use super::token::bearer;
use crate::problem::Problem;
use answers::Answers;
pub use kubernetes::{AUDIENCE, ClusterReviews};

/// What the admin token's holder is called in audit lines.
const TOKEN_HOLDER: &str = "the admin token";
/// How many questions to the cluster may be under way: who has no rights must not keep it busy.
const MAX_QUESTIONS: usize = 16;
/// How long the cluster may take for all that one request needs.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What somebody wants to do with sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// See them.
    List,
    /// End them.
    Delete,
}

impl Verb {
    /// As roles of the cluster name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Delete => "delete",
        }
    }
}

/// Who somebody is, as `TokenReview` says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name, such as `alice@example.com` or `system:serviceaccount:NAMESPACE:NAME`.
    pub name: String,
    /// The uid.
    pub uid: Option<String>,
    /// The groups.
    pub groups: Vec<String>,
    /// What else the authenticator said.
    pub extra: Vec<(String, Vec<String>)>,
}

/// Why the cluster gave no answer. Nobody is let in then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// We have no right to ask.
    #[error("this service may not ask the cluster: {0}")]
    NotAllowed(String),
    /// Anything else.
    #[error("the cluster did not answer: {0}")]
    Unavailable(String),
}

/// Asks the cluster.
pub trait Reviews: Send + Sync + 'static {
    /// Whose token this is; `None`: nobody's.
    fn identify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<User>, ReviewError>>;

    /// Whether a user may do this with the sessions of a policy, or of all.
    fn permits<'a>(
        &'a self,
        user: &'a User,
        verb: Verb,
        policy: Option<&'a PolicyId>,
    ) -> BoxFuture<'a, Result<bool, ReviewError>>;
}

/// Who is let in.
#[derive(Clone)]
pub enum Access {
    /// Nobody: no admin token is set up.
    Nobody,
    /// Whoever has the token.
    Token(AdminToken),
    /// Whom the cluster lets.
    Cluster(Arc<Cluster>),
}

/// The cluster's answers, for a few seconds.
pub struct Cluster {
    reviews: Box<dyn Reviews>,
    answers: Answers,
    questions: Semaphore,
}

/// What became of one question.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// Yes; who it is.
    Admitted(Arc<str>),
    /// It is nobody's token.
    Unknown,
    /// The user lacks the right.
    Forbidden,
}

impl Access {
    /// Asks the cluster.
    #[must_use]
    pub fn cluster(reviews: Box<dyn Reviews>) -> Self {
        let questions = Semaphore::new(MAX_QUESTIONS);
        Self::Cluster(Arc::new(Cluster { reviews, answers: Answers::default(), questions }))
    }

    /// Who asks, if they may do this.
    ///
    /// # Errors
    /// The response to who may not, or could not be asked about.
    pub(super) async fn admit(
        &self,
        headers: &HeaderMap,
        verb: Verb,
        policy: Option<&PolicyId>,
    ) -> Result<Arc<str>, Response> {
        let answer = match self {
            Self::Nobody => {
                return Err(unavailable(
                    "Nobody can be let in: start the service with --admin-token-file.",
                ));
            }
            Self::Token(token) => match token.admits(headers) {
                Ok(true) => Answer::Admitted(Arc::from(TOKEN_HOLDER)),
                Ok(false) => Answer::Unknown,
                Err(error) => {
                    tracing::error!(%error, "--admin-token-file: nobody can manage sessions");
                    return Err(unavailable("The file of --admin-token-file holds no token."));
                }
            },
            Self::Cluster(cluster) => match bearer(headers) {
                None => Answer::Unknown,
                Some(token) => cluster.answer(token, verb, policy).await?,
            },
        };
        match answer {
            Answer::Admitted(name) => Ok(name),
            Answer::Unknown => Err(unknown()),
            Answer::Forbidden => Err(forbidden(verb, policy)),
        }
    }
}

impl Cluster {
    async fn answer(
        &self,
        token: &str,
        verb: Verb,
        policy: Option<&PolicyId>,
    ) -> Result<Answer, Response> {
        let question = Answers::question(token, verb, policy);
        if let Some(answer) = self.answers.get(&question) {
            return Ok(answer);
        }
        let Ok(_permit) = self.questions.try_acquire() else {
            return Err(unavailable("Too many requests wait for the cluster; try again."));
        };
        let asked = tokio::time::timeout(ANSWER_WITHIN, self.ask(token, verb, policy)).await;
        let timed_out = |_| ReviewError::Unavailable("no answer in time".to_owned());
        match asked.map_err(timed_out).and_then(|answer| answer) {
            Ok(answer) => {
                self.answers.put(question, answer.clone());
                Ok(answer)
            }
            Err(error) => {
                tracing::warn!(%error, "nobody can manage sessions");
                Err(unavailable(match error {
                    ReviewError::NotAllowed(_) => {
                        "This service may not ask the cluster who you are: set the chart's value \
                         admin.sessions.enabled."
                    }
                    ReviewError::Unavailable(_) => {
                        "The cluster did not say who you are and what you may do; try again."
                    }
                }))
            }
        }
    }

    async fn ask(
        &self,
        token: &str,
        verb: Verb,
        policy: Option<&PolicyId>,
    ) -> Result<Answer, ReviewError> {
        let Some(user) = self.reviews.identify(token).await? else { return Ok(Answer::Unknown) };
        Ok(if self.reviews.permits(&user, verb, policy).await? {
            Answer::Admitted(user.name.into())
        } else {
            Answer::Forbidden
        })
    }
}

fn unknown() -> Response {
    let problem = Problem::new(
        StatusCode::UNAUTHORIZED,
        "admin-unauthenticated",
        "An admin's token is needed",
        "Send Authorization: Bearer with the admin token, or on Kubernetes with a token of a user \
         of the cluster.",
    );
    let mut response = problem.into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn forbidden(verb: Verb, policy: Option<&PolicyId>) -> Response {
    let (verb, place) = (
        verb.name(),
        match policy {
            Some(id) => format!("in the namespace {}", id.namespace),
            None => "in all namespaces; with a policy named, in its namespace is enough".to_owned(),
        },
    );
    let detail = format!(
        "You lack the right to {verb} bffpolicies/sessions of the group vestibule.dev {place}."
    );
    Problem::new(StatusCode::FORBIDDEN, "admin-forbidden", "Your role does not allow it", detail)
        .into_response()
}

fn unavailable(detail: &'static str) -> Response {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "admin-unavailable",
        "Nobody can be let in right now",
        detail,
    )
    .into_response()
}

#[cfg(test)]
pub(super) mod tests;
