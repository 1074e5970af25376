//! Problem details (RFC 9457): the one shape of every error that a script sees.
//!
//! Why it exists: the check endpoints and our own endpoints refuse in the same words. It must not
//! hold a token, a code, a cookie, or anything that came from the request unescaped: members are
//! JSON values, and the type and title are constants. docs/problems.md lists every kind.

use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value};

/// The base of every type URI; the kind follows.
pub const TYPE_BASE: &str = "https://vestibule.dev/problems/";

/// Every kind, as docs/problems.md explains them; clients may rely on these.
pub const KINDS: [&str; 19] = [
    "unauthenticated",
    "insufficient-user-authentication",
    "mediation-advised",
    "insufficient-scope",
    "invalid-token",
    "forbidden",
    "forged",
    "origin-not-allowed",
    "invalid-return-url",
    "invalid-request",
    "store-unavailable",
    "authority-unavailable",
    "policy-refused",
    "policy-unknown",
    "unknown-host",
    "not-found",
    "admin-unauthenticated",
    "admin-forbidden",
    "admin-unavailable",
];

/// One problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The status of the response, repeated in the body (RFC 9457, 3.1.2).
    pub status: StatusCode,
    /// The last segment of the type URI, such as `unauthenticated`.
    pub kind: &'static str,
    /// The kind in words; the same for every problem of the kind (RFC 9457, 3.1.3).
    pub title: &'static str,
    /// What happened here and what to do (RFC 9457, 3.1.4).
    pub detail: String,
    /// Further members (RFC 9457, 3.2).
    pub extra: Map<String, Value>,
}

impl Problem {
    /// A problem without further members; `kind` is one of [`KINDS`].
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        debug_assert!(KINDS.contains(&kind), "list `{kind}` in KINDS and in docs/problems.md");
        Self { status, kind, title, detail: detail.into(), extra: Map::new() }
    }

    /// Adds a member. The five that RFC 9457 defines cannot be replaced.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(key.to_owned(), value.into());
        self
    }

    /// There is no session: 401, with the URL to navigate to where the origin is known.
    #[must_use]
    pub fn unauthenticated(login_url: Option<String>) -> Self {
        let problem = Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "Not logged in",
            "Navigate to loginUrl to log in.",
        );
        problem.with_login_url(login_url)
    }

    /// The session's authentication is too weak or too old (RFC 9470): 401; the caller adds the
    /// challenge.
    #[must_use]
    pub fn insufficient_authentication(login_url: Option<String>) -> Self {
        let problem = Self::new(
            StatusCode::UNAUTHORIZED,
            "insufficient-user-authentication",
            "A stronger or fresher login is needed",
            "Navigate to loginUrl to log in again.",
        );
        problem.with_login_url(login_url)
    }

    /// Another site may have caused the request: 403.
    #[must_use]
    pub fn forged(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forged", "The request may come from another site", detail)
    }

    /// The caller's elevated token for a Route Authority is missing, or says too little: 401, with the
    /// URL to navigate to where the origin is known. The caller adds the challenge.
    #[must_use]
    pub fn mediation_advised(base: &str, scopes: &[String], authorize_url: Option<String>) -> Self {
        let problem = Self::new(
            StatusCode::UNAUTHORIZED,
            "mediation-advised",
            "Mediation Advised",
            "Navigate to authorizeUrl to obtain a token with these scopes.",
        );
        let problem = problem.with("base", base).with("scope", scopes.join(" "));
        match authorize_url {
            Some(url) => problem.with("authorizeUrl", url),
            None => problem,
        }
    }

    /// The caller was not granted these scopes, and asking again does not help: 401. The caller adds
    /// the challenge.
    #[must_use]
    pub fn insufficient_scope(scopes: &[String]) -> Self {
        let problem = Self::new(
            StatusCode::UNAUTHORIZED,
            "insufficient-scope",
            "The scopes do not suffice",
            "What was granted does not cover scope, and asking again would not change that.",
        );
        problem.with("scope", scopes.join(" "))
    }

    /// The bearer token of the request is refused (RFC 6750, section 3.1): 401. The caller adds the
    /// challenge.
    #[must_use]
    pub fn invalid_token() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "invalid-token",
            "The bearer token is refused",
            "Get a new access token for this resource and try again.",
        )
    }

    /// The provider or a decision point did not answer, or not as it should: 503.
    #[must_use]
    pub fn authority_unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "authority-unavailable",
            "Permissions cannot be decided right now",
            "The provider or a decision point did not answer as it should. Try again.",
        )
    }

    fn with_login_url(self, login_url: Option<String>) -> Self {
        match login_url {
            Some(url) => self.with("loginUrl", url),
            None => self,
        }
    }

    /// The session store did not answer: 503, and the caller leaves the cookie as it is.
    #[must_use]
    pub fn store_unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store-unavailable",
            "Sessions cannot be read right now",
            "The session store did not answer. You are still logged in; try again.",
        )
    }

    /// There is no such endpoint, or the policy does not have it: 404.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Refused", "There is nothing here.")
    }

    /// The response: `application/problem+json`, never cached; a 503 asks for a retry in a second.
    #[must_use]
    pub fn into_response(self) -> Response {
        let mut body = self.extra;
        body.insert("type".to_owned(), format!("{TYPE_BASE}{}", self.kind).into());
        body.insert("title".to_owned(), self.title.into());
        body.insert("status".to_owned(), self.status.as_u16().into());
        body.insert("detail".to_owned(), self.detail.into());
        let headers: [(HeaderName, &str); 3] = [
            (CONTENT_TYPE, "application/problem+json"),
            (CACHE_CONTROL, "no-store"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        let mut response = (self.status, headers, Value::Object(body).to_string()).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    async fn body(response: Response) -> Value {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn a_problem_has_the_members_of_rfc_9457_and_its_own() {
        let response = Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "T", "D")
            .with("loginUrl", "https://shop.example.com/bff/login")
            .with("status", 200)
            .into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert!(!response.headers().contains_key(RETRY_AFTER));
        assert_eq!(
            body(response).await,
            serde_json::json!({
                "type": "https://vestibule.dev/problems/unauthenticated",
                "title": "T",
                "status": 401,
                "detail": "D",
                "loginUrl": "https://shop.example.com/bff/login",
            })
        );
    }

    #[test]
    fn a_store_that_is_down_asks_for_a_retry() {
        let response = Problem::store_unavailable().into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert!(!response.headers().contains_key(http::header::SET_COOKIE));
    }

    #[test]
    fn every_kind_is_documented_and_every_documented_kind_exists() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/problems.md");
        let page = std::fs::read_to_string(page).unwrap();
        let documented: Vec<&str> =
            page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(documented, KINDS);
    }
}
