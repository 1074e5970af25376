//! Traefik `ForwardAuth`: a refusal goes to the browser whole, status, headers and body.
//!
//! The original request is in `X-Forwarded-Method`, `-Host` and `-Uri`. `X-Forwarded-Proto` is the
//! connection's and wrong behind a TLS-terminating load balancer, so it is not read.

use axum::response::Response;
use http::{HeaderMap, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::decide::{Refusal, StepUp};
use super::super::request::CheckRequest;
use super::{Stated, challenge, see_other, stated, step_up_challenge};
use crate::policies::LivePolicy;
use crate::problem::Problem;

/// The headers that state the original request.
pub(super) const HEADERS: [&str; 3] = ["x-forwarded-host", "x-forwarded-method", "x-forwarded-uri"];

/// What need not be encoded in a query's value; `/` and the unreserved stay readable.
const QUERY_VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(super) fn read(headers: &HeaderMap) -> Result<Stated, Refusal> {
    Ok(Stated {
        method: stated(headers, "x-forwarded-method")?.to_owned(),
        host: stated(headers, "x-forwarded-host")?.to_owned(),
        target: stated(headers, "x-forwarded-uri")?.to_owned(),
    })
}

pub(super) fn render(
    policy: &LivePolicy,
    request: Option<&CheckRequest>,
    refusal: Refusal,
) -> Response {
    match (refusal, request) {
        (Refusal::Unauthenticated(true) | Refusal::StepUp(_, true), Some(request)) => {
            see_other(&login_url(policy, request))
        }
        (Refusal::Unauthenticated(_), request) => unauthenticated(policy, request),
        (Refusal::StepUp(step_up, _), request) => insufficient(policy, request, &step_up),
        (Refusal::Forbidden("forged"), _) => forged(policy),
        (Refusal::Forbidden(_), _) => Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "Forbidden",
            "This request is not allowed here.",
        )
        .into_response(),
        (Refusal::Unavailable, _) => Problem::store_unavailable().into_response(),
    }
}

/// The first 403 that an app's author meets explains itself.
fn forged(policy: &LivePolicy) -> Response {
    Problem::forged(format!(
        "Send it from the app's own origin, or with the header {} from an allowed one.",
        policy.compiled.csrf_header
    ))
    .into_response()
}

fn unauthenticated(policy: &LivePolicy, request: Option<&CheckRequest>) -> Response {
    let login_url = request.map(|request| policy.endpoint(&request.origin, "login"));
    Problem::unauthenticated(login_url).into_response()
}

fn insufficient(policy: &LivePolicy, request: Option<&CheckRequest>, step_up: &StepUp) -> Response {
    let login_url = request.map(|request| login_url(policy, request));
    let mut response = Problem::insufficient_authentication(login_url).into_response();
    challenge(&mut response, &step_up_challenge(step_up));
    response
}

/// The login endpoint with the way back, absolute: Traefik resolves a relative `Location` against
/// our own address.
fn login_url(policy: &LivePolicy, request: &CheckRequest) -> String {
    let login = policy.endpoint(&request.origin, "login");
    format!("{login}?rd={}", utf8_percent_encode(&request.target.raw, QUERY_VALUE))
}
