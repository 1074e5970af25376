//! The checks of an ID token (OpenID Connect Core 1.0, section 3.1.3.7; RFC 8725).
//!
//! The library verifies signature, issuer, audience, expiry and nonce. What it is lenient about is
//! checked here first: the shape of header and claims. Nothing of a token is used before all of it
//! has passed. Errors never repeat a claim's value.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use openidconnect::core::{CoreIdToken, CoreIdTokenVerifier, CoreJwsSigningAlgorithm};
use openidconnect::{
    AccessToken, AccessTokenHash, ClaimsVerificationError, ClientId, IssuerUrl, Nonce,
    SignatureVerificationError,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::OidcError;
use super::keys::Keys;
use crate::clock::Timestamp;
use crate::session::Claims;
use crate::token::Token;

/// The greatest token that is looked at, in bytes.
pub(crate) const MAX_TOKEN: usize = 64 * 1024;
/// How far clocks may differ, in seconds (FAPI 2.0, section 5.3.2.1, note 4).
const CLOCK_SKEW: u64 = 60;
/// How long after its end a token is still taken, in seconds.
pub(super) const EXPIRY_SKEW: u64 = 10;
/// The greatest age of a token that was just issued, in seconds.
pub(super) const MAX_ISSUED_AGO: u64 = 600;
/// What a provider's clock may add to `max_age`, in seconds.
const AUTH_TIME_SKEW: u64 = 10;
/// The greatest `sub` (Core, section 2).
const MAX_SUBJECT: usize = 255;
/// The `typ` that says nothing of what kind a token is, as [`media_type`] writes it.
pub(super) const PLAIN_JWT: &str = "jwt";
/// What is accepted at all: asymmetric, and supported by the library.
const ALGORITHMS: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// What a token must fulfil.
pub(crate) struct Expected<'a> {
    /// The issuer.
    pub issuer: &'a str,
    /// Our client identifier.
    pub client_id: &'a str,
    /// The nonce of this login.
    pub nonce: ExpectedNonce<'a>,
    /// One of these `acr` values, if any is given.
    pub acr_values: &'a [String],
    /// The greatest age of the authentication, in seconds.
    pub max_age: Option<u64>,
    /// The access token that came along.
    pub access_token: &'a Token,
    /// What the provider says that it signs with.
    pub algorithms: Option<&'a [String]>,
    /// The time.
    pub now: Timestamp,
}

/// Which nonce a token may have.
#[derive(Clone, Copy)]
pub(crate) enum ExpectedNonce<'a> {
    /// This one: the token is the answer to a login.
    Exactly(&'a str),
    /// None, or that of the login if it is known: the token is from a refresh (Core, section 12.2).
    NoneOr(Option<&'a str>),
}

impl ExpectedNonce<'_> {
    fn admits(self, found: Option<&str>) -> bool {
        let same = |expected: &str, found: &str| {
            verify_slices_are_equal(expected.as_bytes(), found.as_bytes()).is_ok()
        };
        match (self, found) {
            (Self::Exactly(expected) | Self::NoneOr(Some(expected)), Some(found)) => {
                same(expected, found)
            }
            (Self::NoneOr(_), None) => true,
            (Self::Exactly(_), None) | (Self::NoneOr(None), Some(_)) => false,
        }
    }
}

/// What a verified token says.
#[derive(Debug)]
pub(crate) struct Verified {
    pub subject: String,
    pub session: Option<String>,
    pub expires_at: Timestamp,
    pub acr: Option<String>,
    pub auth_time: Option<Timestamp>,
    pub claims: Claims,
}

/// Why a token was refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Its key is not among the ones we have; newer ones may have it.
    UnknownKey,
    /// Anything else.
    Error(OidcError),
}

fn refused(reason: impl Into<String>) -> Refusal {
    Refusal::Error(OidcError::Token(reason.into()))
}

/// Verifies an ID token from the token endpoint.
pub(crate) fn verify(token: &str, keys: &Keys, expected: &Expected) -> Result<Verified, Refusal> {
    let header = Header::read(token, expected.algorithms).map_err(refused)?;
    let claims = payload(token).map_err(refused)?;
    let shape = Shape::read(&claims, expected.now).map_err(refused)?;

    let parsed: CoreIdToken = token.parse().map_err(|_| refused("it does not parse"))?;
    let verifier = verifier(keys, &header, expected)?;
    let nonce = |found: Option<&Nonce>| {
        let admitted = expected.nonce.admits(found.map(|nonce| nonce.secret().as_str()));
        if admitted { Ok(()) } else { Err(String::new()) }
    };
    let checked = parsed.claims(&verifier, nonce).map_err(|error| explain(&error, &header))?;

    // Core, section 3.1.3.8: the access token is the one that was issued along.
    if let Some(hash) = checked.access_token_hash() {
        let access_token = AccessToken::new(expected.access_token.expose().to_owned());
        let computed = parsed
            .signing_alg()
            .and_then(|alg| parsed.signing_key(&verifier).map(|key| (alg, key)))
            .ok()
            .and_then(|(alg, key)| AccessTokenHash::from_token(&access_token, alg, key).ok());
        if computed.as_ref() != Some(hash) {
            return Err(refused("at_hash does not fit the access token"));
        }
    }
    Ok(Verified {
        subject: shape.subject,
        session: shape.session,
        expires_at: shape.expires_at,
        acr: checked.auth_context_ref().map(|acr| acr.as_str().to_owned()),
        auth_time: shape.auth_time,
        claims,
    })
}

fn verifier<'a>(
    keys: &Keys,
    header: &Header,
    expected: &'a Expected<'a>,
) -> Result<CoreIdTokenVerifier<'a>, Refusal> {
    let issuer = IssuerUrl::new(expected.issuer.to_owned())
        .map_err(|_| refused("the configured issuer is no URL"))?;
    let now = expected.now;
    let acr_values = expected.acr_values;
    let max_age = expected.max_age;
    Ok(CoreIdTokenVerifier::new_public_client(
        ClientId::new(expected.client_id.to_owned()),
        issuer,
        keys.for_algorithm(header.algorithm),
    )
    .set_allowed_algs([header.signing.clone()])
    .set_other_audience_verifier_fn(|_| false)
    .set_time_fn(move || {
        let seconds = i64::try_from(now.0.saturating_sub(EXPIRY_SKEW)).unwrap_or(i64::MAX);
        DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    })
    .set_auth_context_verifier_fn(move |acr| {
        let fits = acr.is_some_and(|acr| acr_values.iter().any(|wanted| wanted == acr.as_str()));
        if acr_values.is_empty() || fits { Ok(()) } else { Err(String::new()) }
    })
    .set_auth_time_verifier_fn(move |auth_time| {
        let Some(max_age) = max_age else { return Ok(()) };
        let seconds = auth_time.and_then(|time| u64::try_from(time.timestamp()).ok());
        let fresh = seconds.is_some_and(|seconds| {
            now.since(Timestamp(seconds)) <= max_age.saturating_add(AUTH_TIME_SKEW)
        });
        if fresh { Ok(()) } else { Err(String::new()) }
    }))
}

fn explain(error: &ClaimsVerificationError, header: &Header) -> Refusal {
    use SignatureVerificationError as Signature;
    match error {
        ClaimsVerificationError::SignatureVerification(Signature::NoMatchingKey) => {
            Refusal::UnknownKey
        }
        // A provider without key ids rotates by exchanging its one key.
        ClaimsVerificationError::SignatureVerification(Signature::CryptoError(_))
            if !header.has_key_id =>
        {
            Refusal::UnknownKey
        }
        ClaimsVerificationError::SignatureVerification(_) => refused("its signature is not valid"),
        ClaimsVerificationError::Expired(_) => refused("it has expired (exp)"),
        ClaimsVerificationError::InvalidAudience(_) => refused("it is for another client (aud)"),
        ClaimsVerificationError::InvalidIssuer(_) => refused("it is from another issuer (iss)"),
        ClaimsVerificationError::InvalidNonce(_) => refused("it is of another login (nonce)"),
        ClaimsVerificationError::InvalidAuthContext(_) => {
            Refusal::Error(OidcError::StepUp("acr is none of the requested ones"))
        }
        ClaimsVerificationError::InvalidAuthTime(_) => {
            Refusal::Error(OidcError::StepUp("auth_time is missing or too long ago"))
        }
        _ => refused("it is of a kind that is not supported (typ, cty, crit)"),
    }
}

/// What matters of a JOSE header.
pub(crate) struct Header {
    /// One of [`ALGORITHMS`].
    pub algorithm: &'static str,
    /// The key id.
    pub kid: Option<String>,
    /// `typ`, as [`media_type`] writes it.
    pub typ: Option<String>,
    signing: CoreJwsSigningAlgorithm,
    has_key_id: bool,
}

impl Header {
    /// Reads the header of a compact JWS. `jku`, `jwk`, `x5u` and `x5c` are ignored: keys come
    /// from the provider's key set alone.
    pub(crate) fn read(token: &str, announced: Option<&[String]>) -> Result<Self, String> {
        Self::read_typed(token, announced, is_plain_jwt)
    }

    /// As [`Header::read`], for tokens of another `typ`. One without any is what its claims say.
    pub(super) fn read_typed(
        token: &str,
        announced: Option<&[String]>,
        is_type: impl Fn(&str) -> bool,
    ) -> Result<Self, String> {
        if token.len() > MAX_TOKEN {
            return Err("it is larger than 64 KiB".to_owned());
        }
        let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if token.split('.').count() != 3
            || !token.bytes().all(|byte| byte == b'.' || is_base64url(byte))
        {
            return Err("it is no compact JWS".to_owned());
        }
        let header: Map<String, Value> = part(token, 0).ok_or("its header is no JSON object")?;
        // Compressed, encrypted, nested or unencoded payloads are none of ours.
        for member in ["zip", "enc", "cty", "crit", "b64"] {
            if header.contains_key(member) {
                return Err(format!("its header has {member}"));
            }
        }
        let typ = match header.get("typ") {
            None => None,
            Some(typ) => {
                let typ = typ.as_str().map(media_type).filter(|typ| is_type(typ));
                Some(typ.ok_or("its typ is of another kind of token")?)
            }
        };
        let default = ["RS256".to_owned()];
        let announced = announced.filter(|list| !list.is_empty()).unwrap_or(&default);
        let algorithm = header
            .get("alg")
            .and_then(Value::as_str)
            .and_then(|alg| ALGORITHMS.into_iter().find(|known| *known == alg))
            .filter(|alg| announced.iter().any(|one| one == alg))
            .ok_or("its alg is not allowed")?;
        let signing = serde_json::from_value(Value::String(algorithm.to_owned()))
            .map_err(|_| "its alg is not supported")?;
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return Err("its kid is no string".to_owned()),
        };
        Ok(Self { algorithm, has_key_id: kid.is_some(), kid, typ, signing })
    }
}

fn is_plain_jwt(typ: &str) -> bool {
    typ == PLAIN_JWT
}

/// A media type as RFC 7515, section 4.1.9 compares it: in lower case, without `application/`.
pub(super) fn media_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    match typ.strip_prefix("application/") {
        Some(rest) if !rest.contains('/') => rest.to_owned(),
        _ => typ,
    }
}

fn part<T: DeserializeOwned>(token: &str, index: usize) -> Option<T> {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(index)?).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The claims of a compact JWS, as yet unverified.
pub(crate) fn payload(token: &str) -> Result<Claims, String> {
    part(token, 1).ok_or_else(|| "its payload is no JSON object".to_owned())
}

/// The claims that must have exactly one type: a wrong one is refused, never taken as absent.
struct Shape {
    subject: String,
    session: Option<String>,
    expires_at: Timestamp,
    auth_time: Option<Timestamp>,
}

impl Shape {
    fn read(claims: &Claims, now: Timestamp) -> Result<Self, String> {
        if claims.contains_key("events") {
            // A logout token (Back-Channel Logout 1.0, section 2.4) may share type, key and audience,
            // and an ID token of a refresh needs no nonce that would tell them apart.
            return Err("it tells of events, so it is of another kind of token".to_owned());
        }
        let expires_at = time(claims, "exp")?.ok_or("exp is missing")?;
        issued_at(claims, now)?;
        past(claims, "nbf", now)?;
        let auth_time = past(claims, "auth_time", now)?;
        let subject = subject(claims)?;
        let session = string(claims, "sid")?.filter(|sid| !sid.is_empty());
        Ok(Self { subject, session, expires_at, auth_time })
    }
}

/// When a token was issued, which must be just now.
pub(super) fn issued_at(claims: &Claims, now: Timestamp) -> Result<Timestamp, String> {
    let issued_at = past(claims, "iat", now)?.ok_or("iat is missing")?;
    if now.since(issued_at) > MAX_ISSUED_AGO {
        return Err("iat is too long ago".to_owned());
    }
    Ok(issued_at)
}

/// `sub`: whom a token is of.
pub(super) fn subject(claims: &Claims) -> Result<String, String> {
    let subject = string(claims, "sub")?.ok_or("sub is missing")?;
    if subject.trim().is_empty()
        || subject.len() > MAX_SUBJECT
        || subject.chars().any(char::is_control)
    {
        return Err("sub is empty, too long, or has a control character".to_owned());
    }
    Ok(subject)
}

/// A time that has come, but for how clocks differ.
pub(super) fn past(
    claims: &Claims,
    name: &str,
    now: Timestamp,
) -> Result<Option<Timestamp>, String> {
    let time = time(claims, name)?;
    if time.is_some_and(|time| time > now.plus(CLOCK_SKEW)) {
        return Err(format!("{name} is in the future"));
    }
    Ok(time)
}

pub(super) fn time(claims: &Claims, name: &str) -> Result<Option<Timestamp>, String> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_u64()
            .map(|seconds| Some(Timestamp(seconds)))
            .ok_or_else(|| format!("{name} is no whole number")),
    }
}

pub(super) fn string(claims: &Claims, name: &str) -> Result<Option<String>, String> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("{name} is no string")),
    }
}
