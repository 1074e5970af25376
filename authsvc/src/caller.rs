//! Who calls an API below an authority's base: the user of a session, or whoever brings a token.
//!
//! Why it exists: checks and `{base}/authorize` must never disagree about that. A token that is
//! brought counts alone: the session cookie beside it is not looked at, and a token that is no good
//! is never "no token". It must not decide what the caller may do.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use vestibule_policy::model::CompiledBearer;

use crate::app::App;
use crate::cookies::Cookies;
use crate::endpoints::current_session_of;
use crate::oidc::{BearerError, BearerToken, MAX_BEARER};
use crate::policies::LivePolicy;
use crate::session::service::Loaded;
use crate::session::store::StoreError;
use crate::session::{Claims, StoreKey};
use crate::token::Token;

/// What a request's `Authorization` brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authorization {
    /// No bearer token: nothing at all, or credentials of another scheme, which count for nothing.
    #[default]
    Absent,
    /// Something that was meant as a bearer token, and cannot be one.
    Malformed,
    /// A bearer token, as yet unverified.
    Bearer(Token),
}

impl Authorization {
    /// Reads the header (RFC 6750, section 2.1). Nothing is read where the policy takes no tokens.
    #[must_use]
    pub fn read(policy: &LivePolicy, headers: &HeaderMap) -> Self {
        if policy.compiled.bearer.is_some() { Self::of(headers) } else { Self::Absent }
    }

    fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        let Some(first) = values.next() else { return Self::Absent };
        let mut rest = values.peekable();
        if rest.peek().is_some() {
            // Which of several counts is for nobody to guess.
            let any = credentials(first).is_some() || rest.any(|one| credentials(one).is_some());
            return if any { Self::Malformed } else { Self::Absent };
        }
        match credentials(first) {
            None => Self::Absent,
            Some(credentials) => token(credentials).map_or(Self::Malformed, Self::Bearer),
        }
    }
}

/// What follows the scheme `Bearer`; `None`: it is another scheme, or none.
fn credentials(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let (scheme, rest) = value.split_at_checked("Bearer".len())?;
    // `Bearers` is another scheme; `Bearer=` and `Bearer,` are this one, gone wrong.
    let ends = rest.first().is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-');
    (scheme.eq_ignore_ascii_case(b"Bearer") && ends).then_some(rest)
}

/// One `b64token`, behind at least one space.
fn token(credentials: &[u8]) -> Option<Token> {
    let text = std::str::from_utf8(credentials).ok()?;
    let token = text.strip_prefix(' ')?.trim_start_matches(' ');
    let body = token.trim_end_matches('=');
    let of_its_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    let is_token =
        !body.is_empty() && token.len() <= MAX_BEARER && body.bytes().all(of_its_alphabet);
    is_token.then(|| Token::new(token))
}

/// Who calls.
#[derive(Clone, Debug)]
pub enum Caller {
    /// The user of a session.
    Session(Loaded),
    /// Whoever brings a token.
    Bearer(Arc<BearerToken>),
}

/// Why it is not known who calls. Never the same as "nobody".
#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    /// The session store did not answer.
    #[error("{0}")]
    Store(StoreError),
    /// The token is no good.
    #[error("the bearer token is refused")]
    Invalid,
    /// The provider's keys cannot be had, so that nothing can be said of the token.
    #[error("the bearer token cannot be verified")]
    Unavailable,
}

impl Caller {
    /// What the caller's elevated tokens are kept under.
    #[must_use]
    pub fn key(&self, policy: &LivePolicy) -> StoreKey {
        match self {
            Self::Session(loaded) => loaded.key,
            Self::Bearer(token) => {
                StoreKey::of_bearer(&policy.compiled.uid, &token.issuer, &token.subject)
            }
        }
    }

    /// `sub`.
    #[must_use]
    pub fn subject(&self) -> &str {
        match self {
            Self::Session(loaded) => &loaded.session.subject,
            Self::Bearer(token) => &token.subject,
        }
    }

    /// `iss`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        match self {
            Self::Session(loaded) => &loaded.session.issuer,
            Self::Bearer(token) => &token.issuer,
        }
    }

    /// What `expression`s and header values see.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        match self {
            Self::Session(loaded) => &loaded.session.claims,
            Self::Bearer(token) => &token.claims,
        }
    }

    /// The session's token, or the one that was brought: what a token exchange begins with.
    #[must_use]
    pub fn access_token(&self) -> &Token {
        match self {
            Self::Session(loaded) => &loaded.session.access_token,
            Self::Bearer(token) => &token.token,
        }
    }
}

/// Finds out who calls; `Ok(None)`: nobody. Finding a session is a use of it.
///
/// # Errors
/// As [`CallerError`] says.
pub async fn of(
    app: &App,
    policy: &LivePolicy,
    cookies: Cookies<'_>,
    authorization: &Authorization,
) -> Result<Option<Caller>, CallerError> {
    match (&policy.compiled.bearer, authorization) {
        (Some(_), Authorization::Malformed) => Err(CallerError::Invalid),
        (Some(bearer), Authorization::Bearer(token)) => {
            by_token(policy, bearer, token).await.map(Some)
        }
        (None, _) | (Some(_), Authorization::Absent) => {
            let found = current_session_of(app, policy, cookies).await;
            found.map(|found| found.map(Caller::Session)).map_err(CallerError::Store)
        }
    }
}

async fn by_token(
    policy: &LivePolicy,
    bearer: &CompiledBearer,
    token: &Token,
) -> Result<Caller, CallerError> {
    match policy.provider.verify_access_token(token.expose(), bearer).await {
        Ok(token) => Ok(Caller::Bearer(token)),
        Err(BearerError::Invalid(reason)) => {
            tracing::debug!(policy = %policy.compiled.id, reason, "a bearer token is refused");
            Err(CallerError::Invalid)
        }
        Err(BearerError::Unavailable(error)) => {
            tracing::warn!(policy = %policy.compiled.id, %error, "a bearer token is not verified");
            Err(CallerError::Unavailable)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(values: &[&[u8]]) -> Authorization {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        Authorization::of(&headers)
    }

    fn bearer(text: &str) -> Authorization {
        Authorization::Bearer(Token::new(text))
    }

    #[test]
    fn a_bearer_token_is_read_in_any_case_of_its_scheme() {
        for value in ["Bearer a.b-c_d", "bearer a.b-c_d", "BEARER a.b-c_d", "Bearer   a.b-c_d "] {
            assert_eq!(read(&[value.as_bytes()]), bearer("a.b-c_d"), "{value:?}");
        }
        assert_eq!(read(&[b"Bearer aZ09-._~+/=="]), bearer("aZ09-._~+/=="));
    }

    #[test]
    fn other_schemes_and_no_header_bring_no_token() {
        assert_eq!(read(&[]), Authorization::Absent);
        for value in
            ["", "Basic YTpi", "DPoP a.b.c", "Bearers a.b.c", "Bearer-x a", "a.b.c", "Bear"]
        {
            assert_eq!(read(&[value.as_bytes()]), Authorization::Absent, "{value:?}");
        }
        assert_eq!(read(&[b"Basic YTpi", b"Negotiate x"]), Authorization::Absent);
    }

    #[test]
    fn what_was_meant_as_a_bearer_token_is_never_taken_as_no_token() {
        let long = [b"Bearer ".as_slice(), &vec![b'a'; MAX_BEARER + 1]].concat();
        for value in [
            b"Bearer".as_slice(),
            b"Bearer ",
            b"Bearer =",
            b"Bearer\ta.b.c",
            b"Bearer=a.b.c",
            b"Bearer,a",
            b"Bearer a b",
            b"Bearer a,Bearer b",
            b"Bearer a, Basic YTpi",
            b"Bearer \"a.b.c\"",
            b"Bearer a=b",
            b"Bearer a\xc3\xa9",
            b"Bearer \xff",
            b"Bearer a.b.c;",
            b"Bearer {a}",
            &long,
        ] {
            assert_eq!(read(&[value]), Authorization::Malformed, "{value:?}");
        }
        assert_eq!(read(&[&long[..long.len() - 1]]), bearer(&"a".repeat(MAX_BEARER)));
    }

    #[test]
    fn of_two_headers_none_is_chosen() {
        for two in [
            [b"Bearer a".as_slice(), b"Bearer a"],
            [b"Bearer a", b"Basic YTpi"],
            [b"Basic YTpi", b"bearer a"],
            [b"", b"Bearer a"],
        ] {
            assert_eq!(read(&two), Authorization::Malformed, "{two:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_as_a_token_is_one_value_of_a_header(
            value in proptest::collection::vec(any::<u8>(), 0..64),
            scheme in any::<bool>(),
        ) {
            let value = if scheme { [b"Bearer ".as_slice(), &value].concat() } else { value };
            let Ok(header) = HeaderValue::from_bytes(&value) else { return Ok(()) };
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, header);
            if let Authorization::Bearer(token) = Authorization::of(&headers) {
                prop_assert!(token.expose().bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(!token.expose().contains([',', ';', '"']));
            }
        }
    }
}
