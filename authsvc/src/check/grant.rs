//! What an allowed request carries to the app.
//!
//! Every header that the policy names is always there, empty where it has no value, so that a
//! client's copy cannot survive at any gateway.

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue};
use vestibule_policy::model::{CompiledRoute, UpstreamAuthorization};

use super::decide::Refusal;
use super::request::CheckRequest;
use crate::clock::Timestamp;
use crate::policies::LivePolicy;
use crate::session::{Claims, Session};
use crate::token::Token;

/// Whose identity goes to the app.
#[derive(Clone, Copy)]
pub enum Identity<'a> {
    /// That of a session, with what the rule forwards of it.
    Session(&'a Session),
    /// That of a caller below the base of an authority, with a token for that.
    Below {
        /// What is known of the caller.
        claims: &'a Claims,
        /// The token.
        token: &'a Token,
    },
}

/// The response headers of an allow; without an identity all of it is empty.
///
/// # Errors
/// [`Refusal::Forbidden`] where a value cannot be a header value: a control character in a claim
/// refuses the request rather than reaching the app in another shape.
pub fn headers(
    policy: &LivePolicy,
    rule: &CompiledRoute,
    request: &CheckRequest,
    identity: Option<Identity<'_>>,
    now: Timestamp,
) -> Result<HeaderMap, Refusal> {
    let names = &policy.compiled.upstream_headers;
    let mut headers = HeaderMap::with_capacity(names.len() + 3);
    for name in names {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Refusal::Forbidden("header_name"))?;
        headers.insert(name, HeaderValue::from_static(""));
    }
    headers.insert(AUTHORIZATION, HeaderValue::from_static(""));
    let rest = request.cookies.without_ours(&policy.compiled.session.cookie_name);
    headers.insert(COOKIE, value(&rest)?);
    if let Some(identity) = identity {
        let (authorization, claims) = match identity {
            Identity::Session(session) => {
                (authorization(policy, rule, request, session, now)?, &session.claims)
            }
            Identity::Below { claims, token } => (bearer(token)?, claims),
        };
        headers.insert(AUTHORIZATION, authorization);
        for header in &rule.upstream.headers {
            let text = header
                .value
                .evaluate_string(claims)
                .map_err(|_| Refusal::Forbidden("header_value"))?;
            let name = HeaderName::from_bytes(header.name.as_bytes())
                .map_err(|_| Refusal::Forbidden("header_name"))?;
            headers.insert(name, value(&text)?);
        }
    }
    Ok(headers)
}

fn authorization(
    policy: &LivePolicy,
    rule: &CompiledRoute,
    request: &CheckRequest,
    session: &Session,
    now: Timestamp,
) -> Result<HeaderValue, Refusal> {
    let signed;
    let token = match rule.upstream.authorization {
        UpstreamAuthorization::None => return Ok(HeaderValue::from_static("")),
        UpstreamAuthorization::AccessToken => &session.access_token,
        UpstreamAuthorization::IdToken => &session.id_token,
        UpstreamAuthorization::IdentityJwt => {
            let audience = rule.upstream.audience.as_deref().unwrap_or(&policy.compiled.client.id);
            let claims = &policy.compiled.session.claims;
            let origin = request.origin.to_string();
            signed = policy.identity.sign(&origin, audience, session, claims, now);
            &signed
        }
    };
    bearer(token)
}

fn bearer(token: &Token) -> Result<HeaderValue, Refusal> {
    let mut value = value(&format!("Bearer {}", token.expose()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Bytes beyond ASCII pass (other apps' cookies have them), control characters do not.
fn value(text: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Refusal::Forbidden("header_value"))
}
