//! The gateways' dialects: how each asks, and how each can be answered.
//!
//! Every dialect reads exactly its own headers and ignores all others, or they could be smuggled
//! (reference: wire-protocols §2.1). The dialect comes from the URL, never from a header's presence.

mod nginx;
mod traefik;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, RETRY_AFTER, UPGRADE};
use http::{HeaderMap, Method, StatusCode};
use vestibule_policy::path::parse_target;

use super::decide::Refusal;
use super::grant::AppHeaders;
use super::request::CheckRequest;
use crate::caller::Authorization;
use crate::challenge::{Challenge, metadata_url};
use crate::cookies::Cookies;
use crate::facts::Facts;
use crate::policies::LivePolicy;
use crate::problem::Problem;

/// The headers that every dialect reads besides its own.
const COMMON: [&str; 15] = [
    "accept",
    "access-control-request-method",
    "authorization",
    "cookie",
    "host",
    "origin",
    "purpose",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-purpose",
    "sec-websocket-key",
    "sec-websocket-version",
    "upgrade",
    "x-moz",
];

/// The bytes that may be folded into `-`. A table, as every name of every check is looked at.
const ODD: [bool; 256] = {
    let mut odd = [true; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        odd[byte as usize] = !byte.is_ascii_alphanumeric() && byte != b'-';
        byte += 1;
    }
    odd
};

static HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A gateway's way of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// nginx `auth_request`, as ingress-nginx renders it and as the docs show it for plain nginx.
    Nginx,
    /// Traefik `ForwardAuth`.
    Traefik,
}

/// The original request as a dialect states it, still unchecked.
struct Stated<'a> {
    method: &'a str,
    host: &'a str,
    target: &'a str,
}

impl Dialect {
    /// The dialect of a check URL.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "nginx" => Some(Self::Nginx),
            "traefik" => Some(Self::Traefik),
            _ => None,
        }
    }

    /// The name in a check URL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Traefik => "traefik",
        }
    }

    fn own_headers(self) -> &'static [HeaderName] {
        match self {
            Self::Nginx => &nginx::HEADERS,
            Self::Traefik => &traefik::HEADERS,
        }
    }

    /// Reads a check.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`] where a header is missing, repeated, aliased or does not parse, where
    /// the host is not the policy's, or where the path is not canonical.
    pub fn parse<'a>(
        self,
        headers: &'a HeaderMap,
        policy: &'a LivePolicy,
    ) -> Result<CheckRequest<'a>, Refusal> {
        self.refuse_aliases(headers, policy)?;
        refuse_tunnels(headers)?;
        let stated = match self {
            Self::Nginx => nginx::read(headers)?,
            Self::Traefik => traefik::read(headers)?,
        };
        let method = method(stated.method)?;
        let origin = policy.origin_for(stated.host).ok_or(Refusal::Forbidden("host"))?;
        let target = parse_target(stated.target, &policy.compiled.paths)
            .map_err(|_| Refusal::Forbidden("path"))?;
        Ok(CheckRequest {
            origin,
            target,
            cookies: Cookies::from_headers(headers),
            authorization: Authorization::read(policy, headers),
            facts: Facts::read(method, headers, &policy.compiled.csrf_header),
        })
    }

    /// Refuses a request with another spelling of a header that we read or emit: CGI-like servers
    /// fold `X_User` and `X.User` into `X-User`.
    fn refuse_aliases(self, headers: &HeaderMap, policy: &LivePolicy) -> Result<(), Refusal> {
        let ours = |folded: &str| {
            COMMON.contains(&folded)
                || self.own_headers().iter().any(|own| own == folded)
                || folded == policy.compiled.csrf_header
                || policy.compiled.upstream_headers.iter().any(|name| name == folded)
        };
        for name in headers.keys() {
            let name = name.as_str();
            if name.bytes().any(|byte| ODD[usize::from(byte)]) {
                let folded: String =
                    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
                if ours(&folded) {
                    return Err(Refusal::Forbidden("alias"));
                }
            }
        }
        Ok(())
    }

    /// Answers a refusal; `request` is `None` where it could not be read.
    #[must_use]
    pub fn render_refusal(
        self,
        policy: &LivePolicy,
        request: Option<&CheckRequest<'_>>,
        refusal: Refusal,
    ) -> Response {
        let challenge = challenge(policy, request, &refusal);
        let mut response = match self {
            Self::Nginx => nginx::render(&refusal),
            Self::Traefik => traefik::render(policy, request, refusal),
        };
        // A redirect is an answer by itself.
        if let Some(challenge) = challenge.filter(|_| !response.status().is_redirection()) {
            challenge.put(&mut response);
        }
        response
    }
}

/// Refuses an upgrade to anything but a WebSocket: a gateway that passes `h2c` on tunnels whatever
/// comes after it past the check.
fn refuse_tunnels(headers: &HeaderMap) -> Result<(), Refusal> {
    let other = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"websocket");
    if headers.contains_key(&HTTP2_SETTINGS) || headers.get_all(UPGRADE).iter().any(other) {
        return Err(Refusal::Forbidden("upgrade"));
    }
    Ok(())
}

/// Methods are case-sensitive (RFC 9110, section 9.1): `get` would slip past a rule for `GET`, and an
/// app might still take it for one.
fn method(text: &str) -> Result<Method, Refusal> {
    if !text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
        return Err(Refusal::Forbidden("method"));
    }
    Method::from_bytes(text.as_bytes()).map_err(|_| Refusal::Forbidden("method"))
}

/// 200 with an empty body: anything else, 204 too, is no allow somewhere, and a body makes nginx
/// close the connection. The headers are put into the map `of_request`, as [`in_map`] says.
#[must_use]
pub fn allow(headers: AppHeaders, of_request: HeaderMap) -> Response {
    let mut map = of_request;
    map.clear();
    for (name, value) in headers {
        map.insert(name, value);
    }
    map.insert(CACHE_CONTROL, NO_STORE);
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = map;
    response
}

/// The response with its headers in the map that those of the request came in, which are forgotten. The
/// connection's next request is read into the map that its last answer had: so it need not grow.
#[must_use]
pub fn in_map(of_request: HeaderMap, mut response: Response) -> Response {
    let mut map = of_request;
    map.clear();
    map.extend(std::mem::take(response.headers_mut()));
    *response.headers_mut() = map;
    response
}

/// A status and nothing else.
#[must_use]
pub fn bare(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// 503 for a policy that cannot be enforced, or a part that did not answer.
#[must_use]
pub fn unavailable(dialect: Dialect, kind: &'static str) -> Response {
    let mut response = match dialect {
        Dialect::Nginx => bare(StatusCode::SERVICE_UNAVAILABLE),
        Dialect::Traefik => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            kind,
            "Temporarily unavailable",
            "Try again in a moment.",
        )
        .into_response(),
    };
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// What a refused client is told that it lacks.
fn challenge(
    policy: &LivePolicy,
    request: Option<&CheckRequest<'_>>,
    refusal: &Refusal,
) -> Option<Challenge> {
    match refusal {
        Refusal::StepUp(step_up, _) => Some(Challenge::step_up(step_up)),
        Refusal::MediationAdvised(advice, _) => Some(Challenge::mediation_advised(&advice.scopes)),
        Refusal::InsufficientScope { scopes } => {
            let challenge = Challenge::insufficient_scope(scopes);
            Some(match metadata(policy, request) {
                Some(metadata) => challenge.described_at(&metadata),
                None => challenge,
            })
        }
        Refusal::InvalidToken => {
            metadata(policy, request).map(|metadata| Challenge::invalid_token(&metadata))
        }
        Refusal::Unauthenticated(false) => {
            metadata(policy, request).map(|metadata| Challenge::unauthenticated(&metadata))
        }
        Refusal::Unauthenticated(true)
        | Refusal::Forbidden(_)
        | Refusal::Unavailable
        | Refusal::Undecided => None,
    }
}

/// Where the authority of a request describes itself to those who bring tokens.
fn metadata(policy: &LivePolicy, request: Option<&CheckRequest<'_>>) -> Option<String> {
    policy.compiled.bearer.as_ref()?;
    let request = request?;
    let authority = policy.authority_for(&request.target).ok()??;
    Some(metadata_url(request.origin, &authority.compiled.base))
}

/// The one value of a header that the gateway always sets.
fn stated<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| Refusal::Forbidden("header")),
        _ => Err(Refusal::Forbidden("header")),
    }
}

fn see_other(location: &str) -> Response {
    match HeaderValue::from_str(location) {
        Ok(value) => {
            (StatusCode::FOUND, [(http::header::LOCATION, value), (CACHE_CONTROL, NO_STORE)])
                .into_response()
        }
        Err(_) => bare(StatusCode::FORBIDDEN),
    }
}

#[cfg(test)]
mod tests {
    use http::header::{AUTHORIZATION, COOKIE, SET_COOKIE, WWW_AUTHENTICATE};

    use super::*;

    /// What a request brought, one name twice.
    fn brought() -> HeaderMap {
        let names = [AUTHORIZATION, COOKIE, COOKIE, WWW_AUTHENTICATE, SET_COOKIE];
        let mut map = HeaderMap::new();
        for name in names {
            map.append(name, HeaderValue::from_static("canary"));
        }
        map
    }

    #[test]
    fn an_answer_in_the_map_of_its_request_has_nothing_of_that() {
        let mut refusal = bare(StatusCode::UNAUTHORIZED);
        for value in ["Bearer a", "Bearer b"] {
            let value = HeaderValue::from_static(value);
            refusal.headers_mut().append(WWW_AUTHENTICATE, value);
        }
        let expected = refusal.headers().clone();
        let answer = in_map(brought(), refusal);
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(*answer.headers(), expected);

        let value = HeaderValue::from_static("alice");
        let answer = allow(vec![(HeaderName::from_static("x-user"), value)], brought());
        assert_eq!(answer.headers()["x-user"], "alice");
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(answer.headers().len(), 2);
    }
}
