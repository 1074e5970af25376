//! nginx `auth_request`: the subrequest's status is all that counts, and only 2xx, 401 and 403 pass.
//!
//! The original request is in `X-Original-URL` and `X-Original-Method`, as ingress-nginx sets them.
//! `X-Forwarded-*` are the client's own here and are ignored.

use axum::response::Response;
use http::{HeaderMap, HeaderName, StatusCode};

use super::super::decide::Refusal;
use super::{Dialect, Stated, bare, stated, unavailable};

/// The headers that state the original request.
pub(super) static HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("x-original-method"), HeaderName::from_static("x-original-url")];

/// Splits `scheme://host/uri`; the scheme is the hop's and means nothing.
pub(super) fn read(headers: &HeaderMap) -> Result<Stated<'_>, Refusal> {
    let [method, url] = &HEADERS;
    let url = stated(headers, url)?;
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
        .ok_or(Refusal::Forbidden("header"))?;
    let slash = rest.bytes().position(|byte| byte == b'/').ok_or(Refusal::Forbidden("path"))?;
    let (host, target) = rest.split_at(slash);
    Ok(Stated { method: stated(headers, method)?, host, target })
}

/// Never a body: nginx drops the upstream connection after any.
pub(super) fn render(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::Unauthenticated(_)
        | Refusal::StepUp(..)
        | Refusal::MediationAdvised(..)
        | Refusal::InsufficientScope { .. }
        | Refusal::InvalidToken => bare(StatusCode::UNAUTHORIZED),
        Refusal::Forbidden(_) => bare(StatusCode::FORBIDDEN),
        Refusal::Unavailable => unavailable(Dialect::Nginx, "store-unavailable"),
        Refusal::Undecided => unavailable(Dialect::Nginx, "authority-unavailable"),
    }
}
