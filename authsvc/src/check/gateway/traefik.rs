//! Traefik `ForwardAuth`: a refusal goes to the browser whole, status, headers and body.
//!
//! The original request is in `X-Forwarded-Method`, `-Host` and `-Uri`. `X-Forwarded-Proto` is the
//! connection's and wrong behind a TLS-terminating load balancer, so it is not read.

use axum::response::Response;
use http::{HeaderMap, HeaderName, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::decide::{Advice, Refusal};
use super::super::request::CheckRequest;
use super::{Stated, see_other, stated};
use crate::endpoints::authorize::address::has_error;
use crate::policies::LivePolicy;
use crate::problem::Problem;

/// The headers that state the original request.
pub(super) static HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-method"),
    HeaderName::from_static("x-forwarded-uri"),
];

/// What need not be encoded in a query's value; `/` and the unreserved stay readable.
const QUERY_VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(super) fn read(headers: &HeaderMap) -> Result<Stated<'_>, Refusal> {
    let [host, method, target] = &HEADERS;
    Ok(Stated {
        method: stated(headers, method)?,
        host: stated(headers, host)?,
        target: stated(headers, target)?,
    })
}

pub(super) fn render(
    policy: &LivePolicy,
    request: Option<&CheckRequest<'_>>,
    refusal: Refusal,
) -> Response {
    match (refusal, request) {
        (Refusal::Unauthenticated(true) | Refusal::StepUp(_, true), Some(request)) => {
            see_other(&login_url(policy, request))
        }
        (Refusal::Unauthenticated(_), request) => unauthenticated(policy, request),
        (Refusal::StepUp(..), request) => {
            let login_url = request.map(|request| login_url(policy, request));
            Problem::insufficient_authentication(login_url).into_response()
        }
        (Refusal::MediationAdvised(advice, navigates), request) => {
            mediation(policy, request, &advice, navigates)
        }
        (Refusal::InsufficientScope { scopes }, _) => {
            Problem::insufficient_scope(&scopes).into_response()
        }
        (Refusal::InvalidToken, _) => Problem::invalid_token().into_response(),
        (Refusal::Forbidden("forged"), _) => forged(policy),
        (Refusal::Forbidden(_), _) => Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "Forbidden",
            "This request is not allowed here.",
        )
        .into_response(),
        (Refusal::Unavailable, _) => Problem::store_unavailable().into_response(),
        (Refusal::Undecided, _) => Problem::authority_unavailable().into_response(),
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

fn unauthenticated(policy: &LivePolicy, request: Option<&CheckRequest<'_>>) -> Response {
    let login_url = request.map(|request| policy.endpoint(request.origin, "login"));
    Problem::unauthenticated(login_url).into_response()
}

/// A navigation comes back to where it was going; a script says itself where its page is.
fn mediation(
    policy: &LivePolicy,
    request: Option<&CheckRequest<'_>>,
    advice: &Advice,
    navigates: bool,
) -> Response {
    // One that comes back from there with an error would be sent round for ever.
    let navigates = navigates && !request.is_some_and(|request| has_error(request.target.raw));
    let url = request.zip(policy.authority(&advice.base)).map(|(request, authority)| {
        let back = navigates.then_some(request.target.raw);
        authority.authorize_url(request.origin, &advice.scopes, back)
    });
    match url {
        Some(url) if navigates => see_other(&url),
        url => Problem::mediation_advised(&advice.base, &advice.scopes, url).into_response(),
    }
}

/// The login endpoint with the way back, absolute: Traefik resolves a relative `Location` against
/// our own address.
fn login_url(policy: &LivePolicy, request: &CheckRequest<'_>) -> String {
    let login = policy.endpoint(request.origin, "login");
    format!("{login}?rd={}", utf8_percent_encode(request.target.raw, QUERY_VALUE))
}
