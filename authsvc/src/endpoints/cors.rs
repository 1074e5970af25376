//! Cross-origin calls to our own endpoints, by scripts of the origins that the policy allows.
//!
//! Why it exists: the app answers preflights for its own routes, and we answer them for ours. It
//! must not grant anything to an origin that is not listed literally, and it authorises nothing:
//! `csrf` and the session do.

use crate::policies::LivePolicy;
use crate::problem::Problem;
use axum::response::{IntoResponse as _, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};

/// Lets a script of an allowed origin read `response`. The response to any other is the same to the
/// byte, and the browser keeps it from the script.
#[must_use]
pub fn apply(policy: &LivePolicy, headers: &HeaderMap, mut response: Response) -> Response {
    if policy.compiled.cors_origins.is_empty() {
        return response;
    }
    let answer = response.headers_mut();
    answer.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = allowed_origin(policy, headers) {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    response
}

/// Answers a preflight (Fetch, section 3.3.2) for one of our endpoints; it needs no cookie.
#[must_use]
pub fn preflight(policy: &LivePolicy, headers: &HeaderMap) -> Response {
    if allowed_origin(policy, headers).is_none() {
        let refused = Problem::new(
            StatusCode::FORBIDDEN,
            "origin-not-allowed",
            "This origin may not call the app",
            "List the origin in the policy's cors.allowedOrigins.",
        );
        return apply(policy, headers, refused.into_response());
    }
    let mut response = apply(policy, headers, StatusCode::NO_CONTENT.into_response());
    let answer = response.headers_mut();
    answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    // `Authorization` counts where callers may bring a token, and nowhere else.
    let tokens = if policy.compiled.bearer.is_some() { ", authorization" } else { "" };
    let names = format!("content-type, {}{tokens}", policy.compiled.csrf_header);
    if let Ok(names) = HeaderValue::from_str(&names) {
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    response
}

/// The request's `Origin`, if it is exactly one and the policy lists it.
fn allowed_origin<'a>(policy: &LivePolicy, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
    let mut found = headers.get_all(ORIGIN).iter();
    let (Some(origin), None) = (found.next(), found.next()) else { return None };
    let text = origin.to_str().ok()?;
    policy.compiled.cors_origins.iter().any(|allowed| allowed.to_string() == text).then_some(origin)
}
