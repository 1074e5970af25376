//! The token endpoint (RFC 6749, sections 4.1.3 and 6) and `UserInfo` (`OpenID` Connect Core 1.0,
//! section 5.3). Every grant has a refresh token of its own, which is another one after each use.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::Json;
use axum::extract::State as Extract;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::request::{self, Params};
use super::scopes;
use super::state::{LOGIN_TTL, Login, Refresh};
use super::users::User;
use super::{API_AUDIENCE, KeyError, Provider, Registration};

/// How long an ID token is valid, in seconds.
const ID_TOKEN_TTL: u64 = 300;
/// How long an access token is valid, in seconds.
const ACCESS_TOKEN_TTL: u64 = 600;

/// Why there are no tokens.
enum Refused {
    /// An error code and its description (RFC 6749, section 5.2).
    Because(&'static str, &'static str),
    /// The key does not sign.
    Key,
}

impl From<KeyError> for Refused {
    fn from(_: KeyError) -> Self {
        Self::Key
    }
}

/// `POST /token`.
pub async fn token(
    Extract(provider): Extract<Arc<Provider>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    if !client_is_authentic(&headers, &provider.client) {
        let challenge = [(WWW_AUTHENTICATE, "Basic realm=\"token\"")];
        return (challenge, refuse(StatusCode::UNAUTHORIZED, "invalid_client", "wrong client"))
            .into_response();
    }
    let Some(form) = request::params(body.as_bytes()) else {
        return bad("invalid_request", "a parameter is given more than once");
    };
    let tokens = match field(&form, "grant_type") {
        "authorization_code" => redeem(&provider, &form),
        "refresh_token" => refresh(&provider, &form),
        _ => return bad("unsupported_grant_type", "grant_type is neither a code nor a refresh"),
    };
    match tokens {
        Ok(tokens) => ([(CACHE_CONTROL, "no-store")], Json(tokens)).into_response(),
        Err(Refused::Because(error, description)) => bad(error, description),
        Err(Refused::Key) => {
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "cannot sign")
        }
    }
}

fn redeem(provider: &Provider, form: &Params) -> Result<Value, Refused> {
    let invalid = |description| Err(Refused::Because("invalid_grant", description));
    let now = provider.now();
    let jti = provider.id();
    let grant = {
        let mut state = provider.state();
        let Some(grant) = state.codes.get_mut(field(form, "code"), now) else {
            return invalid("the code is unknown or has expired");
        };
        if let Some(redeemed) = grant.redeemed.clone() {
            state.access.remove(&redeemed, now);
            state.refresh.remove_where(|refresh| refresh.first == redeemed);
            return invalid("the code has been used before");
        }
        // Whatever follows, a code is good for one try.
        grant.redeemed = Some(jti.clone());
        grant.clone()
    };
    if field(form, "redirect_uri") != provider.client.redirect_uri {
        return invalid("redirect_uri is not that of the authorization request");
    }
    if !verifier_fits(field(form, "code_verifier"), &grant.request.code_challenge) {
        return invalid("code_verifier does not fit the code_challenge");
    }
    let refresh = Refresh { scopes: grant.scopes, login: grant.login, first: jti.clone() };
    issue(provider, refresh, &jti, Some(&grant.request.nonce))
}

fn refresh(provider: &Provider, form: &Params) -> Result<Value, Refused> {
    let token = field(form, "refresh_token");
    let Some(refresh) = provider.state().refresh.remove(token, provider.now()) else {
        return Err(Refused::Because("invalid_grant", "the refresh token is unknown or used"));
    };
    issue(provider, refresh, &provider.id(), None)
}

/// A new set of tokens; the access token is that `jti`.
fn issue(
    provider: &Provider,
    refresh: Refresh,
    jti: &str,
    nonce: Option<&str>,
) -> Result<Value, Refused> {
    let now = provider.now();
    let scope = scopes::names(&refresh.scopes);
    let access_token = access_token(provider, &refresh.login, &scope, jti, now)?;
    let id_token = id_token(provider, &refresh, &access_token, nonce, now)?;
    let refresh_token = provider.id();
    let mut state = provider.state();
    state.access.insert(jti.to_owned(), (), now, ACCESS_TOKEN_TTL);
    state.refresh.insert(refresh_token.clone(), refresh, now, LOGIN_TTL);
    Ok(json!({
        "token_type": "Bearer",
        "access_token": access_token,
        "expires_in": ACCESS_TOKEN_TTL,
        "refresh_token": refresh_token,
        "id_token": id_token,
        "scope": scope,
    }))
}

fn access_token(
    provider: &Provider,
    login: &Login,
    scope: &str,
    jti: &str,
    now: u64,
) -> Result<String, KeyError> {
    provider.keys.sign(
        "at+jwt",
        &json!({
            "iss": provider.issuer,
            "sub": login.user.sub,
            "aud": [API_AUDIENCE],
            "client_id": provider.client.id,
            "jti": jti,
            "iat": now,
            "exp": now + ACCESS_TOKEN_TTL,
            "auth_time": login.auth_time,
            "acr": login.acr,
            "scope": scope,
        }),
    )
}

fn id_token(
    provider: &Provider,
    refresh: &Refresh,
    access_token: &str,
    nonce: Option<&str>,
    now: u64,
) -> Result<String, KeyError> {
    let login = &refresh.login;
    let hash = digest(&SHA256, access_token.as_bytes());
    let mut claims = login.user.claims(&refresh.scopes);
    for (name, value) in [
        ("iss", json!(provider.issuer)),
        ("sub", json!(login.user.sub)),
        ("aud", json!(provider.client.id)),
        ("iat", json!(now)),
        ("exp", json!(now + ID_TOKEN_TTL)),
        ("auth_time", json!(login.auth_time)),
        ("acr", json!(login.acr)),
        ("sid", json!(login.sid)),
        ("at_hash", json!(URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]))),
    ] {
        claims.insert(name.to_owned(), value);
    }
    if let Some(nonce) = nonce {
        claims.insert("nonce".to_owned(), json!(nonce));
    }
    provider.keys.sign("JWT", &Value::Object(claims))
}

/// `GET` or `POST /userinfo` with an access token in the `Authorization` header.
pub async fn userinfo(Extract(provider): Extract<Arc<Provider>>, headers: HeaderMap) -> Response {
    let claims = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .and_then(|token| provider.verify_access_token(token));
    let user = claims.as_ref().and_then(|claims| {
        let jti = claims["jti"].as_str()?;
        provider.state().access.get_mut(jti, provider.now())?;
        User::by_sub(claims["sub"].as_str()?)
    });
    let (Some(claims), Some(user)) = (claims, user) else {
        let challenge = [(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")];
        return (StatusCode::UNAUTHORIZED, challenge).into_response();
    };
    let scope = claims["scope"].as_str().unwrap_or_default();
    let mut answer = user.claims(&scopes::asked(scope, provider.client.scopes));
    answer.insert("sub".to_owned(), json!(user.sub));
    ([(CACHE_CONTROL, "no-store")], Json(Value::Object(answer))).into_response()
}

/// `client_secret_basic`: both halves are form-encoded (RFC 6749, section 2.3.1).
fn client_is_authentic(headers: &HeaderMap, client: &Registration) -> bool {
    let decoded = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Basic "))
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let Some((id, secret)) = decoded.as_deref().and_then(|pair| pair.split_once(':')) else {
        return false;
    };
    form_decoded(id) == client.id
        && verify_slices_are_equal(form_decoded(secret).as_bytes(), client.secret.as_bytes())
            .is_ok()
}

fn form_decoded(encoded: &str) -> String {
    // A lone name with an empty value: the parser splits at `&` and `=`, which form-encoding
    // never leaves bare.
    form_urlencoded::parse(encoded.as_bytes())
        .next()
        .map(|(name, _)| name.into_owned())
        .unwrap_or_default()
}

fn field<'a>(form: &'a Params, name: &str) -> &'a str {
    form.get(name).map_or("", String::as_str)
}

/// PKCE with S256 (RFC 7636, section 4.6).
fn verifier_fits(verifier: &str, challenge: &str) -> bool {
    (43..=128).contains(&verifier.len())
        && URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes())) == challenge
}

fn bad(error: &str, description: &str) -> Response {
    refuse(StatusCode::BAD_REQUEST, error, description)
}

fn refuse(status: StatusCode, error: &str, description: &str) -> Response {
    let body = Json(json!({"error": error, "error_description": description}));
    (status, [(CACHE_CONTROL, "no-store")], body).into_response()
}
