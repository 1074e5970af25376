//! What a call to the API server can end in, and what that means for a retry.
//!
//! Errors are reduced to text here, and for Secrets without the server's message, which may quote
//! what was sent. It must not decide what a failed call means for a policy: an error changes nothing.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;

/// A call that is not a watch must be answered within this time.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// How soon something is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Somebody else was faster: at once.
    Conflict,
    /// The server is busy, broken or gone; it may say for how long.
    Busy(Option<Duration>),
    /// A right is missing; an administrator must act.
    Forbidden,
    /// The server does not accept it.
    Other,
}

impl Category {
    /// The label in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Busy(_) => "busy",
            Self::Forbidden => "forbidden",
            Self::Other => "other",
        }
    }
}

/// A call that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{action}: {message}")]
pub struct ApiError {
    /// What was tried, such as `get Secret shop/oidc`.
    pub action: String,
    /// What the server said.
    pub message: String,
    /// How soon it is tried again.
    pub category: Category,
    /// Whether the object, or its kind, is not there.
    pub not_found: bool,
    /// Whether the object was there already.
    pub already_exists: bool,
}

impl ApiError {
    /// From the client's error.
    #[must_use]
    pub fn new(action: String, error: &kube::Error) -> Self {
        let (category, message) = match error {
            kube::Error::Api(status) => {
                let after =
                    status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
                let after = (after > 0).then(|| Duration::from_secs(u64::from(after)));
                let text = format!("{} ({} {})", status.message, status.code, status.reason);
                (category(status.code, &status.reason, after), text)
            }
            kube::Error::SerdeError(_) => {
                (Category::Other, "the answer could not be read".to_owned())
            }
            other => (Category::Busy(None), other.to_string()),
        };
        let status = match error {
            kube::Error::Api(status) => Some(status),
            _ => None,
        };
        Self {
            action,
            message,
            category,
            not_found: status.is_some_and(|status| status.is_not_found()),
            already_exists: status.is_some_and(|status| status.is_already_exists()),
        }
    }

    /// Without the server's message: for calls that sent a secret.
    #[must_use]
    pub fn without_message(mut self) -> Self {
        self.message = format!("failed ({})", self.category.label());
        self
    }
}

fn category(code: u16, reason: &str, after: Option<Duration>) -> Category {
    match code {
        409 if reason == "AlreadyExists" => Category::Other,
        409 => Category::Conflict,
        401 | 403 => Category::Forbidden,
        408 | 410 | 429 | 500..=599 => Category::Busy(after),
        _ => Category::Other,
    }
}

/// Awaits a call, but not for ever.
///
/// # Errors
/// Where the server refuses, fails or does not answer.
pub async fn call<T>(
    action: impl FnOnce() -> String,
    work: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ApiError> {
    match timeout(ANSWERED_WITHIN, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(ApiError::new(action(), &error)),
        Err(_) => Err(ApiError {
            action: action(),
            message: format!("no answer within {ANSWERED_WITHIN:?}"),
            category: Category::Busy(None),
            not_found: false,
            already_exists: false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn failed(code: u16, reason: &str) -> ApiError {
        let status = Status::failure("said so", reason).with_code(code);
        ApiError::new("get Secret a/b".to_owned(), &kube::Error::Api(status.boxed()))
    }

    #[test]
    fn the_category_follows_the_status() {
        for (code, reason, expected) in [
            (409, "Conflict", Category::Conflict),
            (409, "AlreadyExists", Category::Other),
            (403, "Forbidden", Category::Forbidden),
            (401, "Unauthorized", Category::Forbidden),
            (429, "TooManyRequests", Category::Busy(None)),
            (410, "Expired", Category::Busy(None)),
            (500, "InternalError", Category::Busy(None)),
            (504, "Timeout", Category::Busy(None)),
            (422, "Invalid", Category::Other),
            (404, "NotFound", Category::Other),
        ] {
            assert_eq!(failed(code, reason).category, expected, "{code} {reason}");
        }
        assert!(failed(404, "NotFound").not_found);
        assert!(failed(409, "AlreadyExists").already_exists);
    }

    #[test]
    fn a_call_with_a_secret_is_told_without_the_servers_words() {
        let error = failed(422, "Invalid");
        assert!(error.to_string().contains("said so"));
        assert!(!error.without_message().to_string().contains("said so"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_an_answer_ends() {
        let error = call(|| "get".to_owned(), std::future::pending::<Result<(), _>>()).await;
        assert_eq!(error.unwrap_err().category, Category::Busy(None));
    }
}
