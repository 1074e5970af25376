//! Reads an authorization request (`OpenID` Connect Core 1.0, section 3.1.2.1) and says what is
//! wrong with it. Pure: no state, no clock.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::{Url, form_urlencoded};

use super::Registration;
use super::scopes::{self, Scope};

/// The parameters of a query or form, each given once.
pub type Params = BTreeMap<String, String>;

/// Reads parameters; `None` where one is given twice (RFC 6749, section 3.1).
pub fn params(encoded: &[u8]) -> Option<Params> {
    let mut params = Params::new();
    for (name, value) in form_urlencoded::parse(encoded) {
        if params.insert(name.into_owned(), value.into_owned()).is_some() {
            return None;
        }
    }
    params.retain(|_, value| !value.is_empty());
    Some(params)
}

/// A valid authorization request.
#[derive(Clone, Debug)]
pub struct AuthRequest {
    /// Where the answer goes; registered.
    pub redirect_uri: Url,
    /// The client's `state`.
    pub state: String,
    /// The client's `nonce`.
    pub nonce: String,
    /// The PKCE challenge, of the method S256.
    pub code_challenge: String,
    /// The scopes that were asked for and that the client is registered for.
    pub scopes: Vec<&'static Scope>,
    /// Whether the authentication context class `gold` was asked for.
    pub gold: bool,
    /// The greatest age of the authentication, in seconds.
    pub max_age: Option<u64>,
    /// `none`, `login` or `select_account`.
    pub prompt: Option<String>,
    /// The user name to fill in.
    pub login_hint: Option<String>,
}

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing may be sent to the redirect URI, which is not known to be the client's.
    Page(&'static str),
    /// The client is told (RFC 6749, section 4.1.2.1).
    Redirect {
        /// The registered redirect URI.
        redirect_uri: Box<Url>,
        /// The client's `state`, where it gave one.
        state: Option<String>,
        /// The error code.
        error: &'static str,
        /// What is wrong, for developers.
        description: &'static str,
    },
}

/// Judges the request for the one registered client.
pub fn parse(query: &str, client: &Registration) -> Result<AuthRequest, Refusal> {
    let mut params =
        params(query.as_bytes()).ok_or(Refusal::Page("A parameter is given more than once."))?;
    if params.get("client_id") != Some(&client.id) {
        return Err(Refusal::Page("The client_id is not registered."));
    }
    let redirect_uri = params
        .get("redirect_uri")
        .filter(|uri| **uri == client.redirect_uri)
        .and_then(|uri| Url::parse(uri).ok())
        .ok_or(Refusal::Page("The redirect_uri is not one that is registered for the client."))?;
    let state = params.remove("state");
    let refuse = |error, description| {
        Err(Refusal::Redirect {
            redirect_uri: Box::new(redirect_uri.clone()),
            state: state.clone(),
            error,
            description,
        })
    };

    if params.get("response_type").map(String::as_str) != Some("code") {
        return refuse("unsupported_response_type", "response_type must be code");
    }
    if params.contains_key("request") {
        return refuse("request_not_supported", "request objects are not supported");
    }
    if params.get("code_challenge_method").map(String::as_str) != Some("S256") {
        return refuse("invalid_request", "code_challenge_method must be S256");
    }
    let Some(code_challenge) = params.remove("code_challenge").filter(|it| is_sha256(it)) else {
        return refuse("invalid_request", "code_challenge must be a SHA-256 in base64url");
    };
    let scope = params.get("scope").map_or("", String::as_str);
    let scopes = scopes::asked(scope, client.scopes);
    if !scopes.iter().any(|scope| scope.name == "openid") {
        return refuse("invalid_scope", "scope must contain openid");
    }
    let Some(nonce) = params.remove("nonce") else {
        return refuse("invalid_request", "nonce is required here");
    };
    let max_age = match params.get("max_age").map(|age| age.parse()) {
        Some(Err(_)) => return refuse("invalid_request", "max_age must be a number of seconds"),
        Some(Ok(age)) => Some(age),
        None => None,
    };
    let Some(state) = state.clone() else {
        return refuse("invalid_request", "state is required here");
    };
    Ok(AuthRequest {
        state,
        nonce,
        code_challenge,
        scopes,
        gold: params.get("acr_values").is_some_and(|acr| acr.split(' ').any(|it| it == "gold")),
        max_age,
        prompt: params.remove("prompt"),
        login_hint: params.remove("login_hint"),
        redirect_uri,
    })
}

fn is_sha256(challenge: &str) -> bool {
    URL_SAFE_NO_PAD.decode(challenge).is_ok_and(|digest| digest.len() == 32)
}
