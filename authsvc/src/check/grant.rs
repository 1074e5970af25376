//! What an allowed request carries to the app.
//!
//! Every header that the policy names is always there, empty where it has no value, so that a
//! client's copy cannot survive at any gateway.

use http::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue};
use vestibule_policy::model::{CompiledRoute, UpstreamAuthorization};

use super::decide::Refusal;
use super::request::CheckRequest;
use crate::clock::Timestamp;
use crate::policies::{LivePolicy, LiveRule};
use crate::session::{Claims, Session};
use crate::token::Token;

const EMPTY: HeaderValue = HeaderValue::from_static("");

/// The headers of an allow. Of several with one name the last counts.
pub type AppHeaders = Vec<(HeaderName, HeaderValue)>;

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
    rule: LiveRule<'_>,
    request: &CheckRequest<'_>,
    identity: Option<Identity<'_>>,
    now: Timestamp,
) -> Result<AppHeaders, Refusal> {
    let (authorization, claims) = match identity {
        None => (EMPTY, None),
        Some(Identity::Session(session)) => {
            (authorization(policy, &rule, request, session, now)?, Some(&session.claims))
        }
        Some(Identity::Below { claims, token }) => (bearer(token)?, Some(claims)),
    };
    let rest = request.cookies.without_ours(&policy.compiled.session.cookie_name);
    let names = policy.upstream_header_names();
    let mut headers = AppHeaders::with_capacity(names.len() + 2);
    for name in names {
        let set = rule.header_names.iter().position(|own| own == name);
        let header = set.and_then(|at| rule.upstream.headers.get(at));
        let value = match header.zip(claims) {
            Some((header, claims)) => {
                let text = header.value.evaluate_string(claims);
                value(text.map_err(|_| Refusal::Forbidden("header_value"))?.into_owned())?
            }
            None => EMPTY,
        };
        headers.push((name.clone(), value));
    }
    headers.push((AUTHORIZATION, authorization));
    headers.push((COOKIE, value(rest)?));
    Ok(headers)
}

fn authorization(
    policy: &LivePolicy,
    rule: &CompiledRoute,
    request: &CheckRequest<'_>,
    session: &Session,
    now: Timestamp,
) -> Result<HeaderValue, Refusal> {
    let signed;
    let token = match rule.upstream.authorization {
        UpstreamAuthorization::None => return Ok(EMPTY),
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
    let mut value = value(["Bearer ", token.expose()].concat())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Bytes beyond ASCII pass (other apps' cookies have them), control characters do not.
fn value(text: String) -> Result<HeaderValue, Refusal> {
    if text.is_empty() {
        return Ok(EMPTY);
    }
    // Taken over as it is, not copied.
    HeaderValue::try_from(text).map_err(|_| Refusal::Forbidden("header_value"))
}
