//! The authorization endpoint and the pages behind it: password, the second step that
//! `acr_values=gold` asks for, and the question whether an app may have a scope.
//!
//! With `prompt=none` there is no page: the error says which one it would have been.

use std::sync::Arc;

use axum::extract::{RawQuery, State as Extract};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use url::Url;

use super::pages;
use super::request::{self, AuthRequest, Params, Refusal};
use super::scopes::{self, Scope};
use super::state::{CODE_TTL, Grant, LOGIN_TTL, Login, PENDING_TTL};
use super::users::User;
use super::{Provider, random_id};

/// The authentication context class of a password.
pub const SILVER: &str = "silver";
/// The authentication context class of a password and the second step.
pub const GOLD: &str = "gold";
/// What the second step asks for; it is shown on the page.
pub const SECOND_STEP_CODE: &str = "123456";
/// The provider's cookie. It has the `demo_idp` prefix since cookies know no ports.
const COOKIE_NAME: &str = "demo_idp_login";

/// `GET /authorize`.
pub async fn authorize(
    Extract(provider): Extract<Arc<Provider>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let request = match request::parse(&query.unwrap_or_default(), &provider.client) {
        Ok(request) => request,
        Err(Refusal::Page(message)) => return pages::error(StatusCode::BAD_REQUEST, message),
        Err(Refusal::Redirect { redirect_uri, state, error, description }) => {
            let state = state.as_deref();
            let pairs = [("error", error), ("error_description", description)];
            return answer(&provider, &redirect_uri, state, &pairs);
        }
    };
    let login = login_of(&provider, &headers);
    let step = first_step(&provider, &request, login.as_ref());
    if request.prompt.as_deref() == Some("none")
        && let Some(error) = step.silent_error()
    {
        return refuse(&provider, &request, error);
    }
    match login {
        Some(login) if step != Step::Password => {
            let id = suspend(&provider, &request);
            proceed(&provider, &id, &request, &login)
        }
        _ => {
            let hint = request.login_hint.as_deref().unwrap_or("demo");
            pages::login(&suspend(&provider, &request), &request.redirect_uri, hint, false)
        }
    }
}

/// `POST /login`: the password.
pub async fn login(Extract(provider): Extract<Arc<Provider>>, body: String) -> Response {
    let Some((id, request, form)) = resume(&provider, &body) else { return gone() };
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let Some(user) = User::authenticate(field("username"), field("password")) else {
        return pages::login(&id, &request.redirect_uri, field("username"), true);
    };
    let now = provider.now();
    let login = Login { user, sid: provider.id(), auth_time: now, acr: SILVER };
    // A new id at every login: the one before may be known to somebody else.
    let cookie_id = provider.id();
    provider.state().logins.insert(cookie_id.clone(), login.clone(), now, LOGIN_TTL);
    with_cookie(proceed(&provider, &id, &request, &login), &cookie_id)
}

/// `POST /confirm`: the second step.
pub async fn confirm(
    Extract(provider): Extract<Arc<Provider>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let Some((id, request, form)) = resume(&provider, &body) else { return gone() };
    let Some(mut login) = login_of(&provider, &headers) else { return gone() };
    if form.get("code").map(|code| code.trim()) != Some(SECOND_STEP_CODE) {
        return pages::confirm(&login, &id, &request.redirect_uri, true);
    }
    let now = provider.now();
    login.acr = GOLD;
    login.auth_time = now;
    if let Some(cookie_id) = cookie(&headers)
        && let Some(kept) = provider.state().logins.get_mut(&cookie_id, now)
    {
        *kept = login.clone();
    }
    proceed(&provider, &id, &request, &login)
}

/// `POST /consent`: whether the app may have what it asks for.
pub async fn consent(
    Extract(provider): Extract<Arc<Provider>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let Some((id, request, form)) = resume(&provider, &body) else { return gone() };
    let Some(login) = login_of(&provider, &headers) else { return gone() };
    if form.get("decision").map(String::as_str) != Some("allow") {
        provider.state().pending.remove(&id, provider.now());
        return refuse(&provider, &request, "access_denied");
    }
    let asked = unanswered(&provider, &request, &login);
    let answered = asked.iter().map(|scope| (login.user.sub, scope.name));
    provider.state().consents.extend(answered);
    proceed(&provider, &id, &request, &login)
}

/// What has to happen before a code.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Password,
    Confirm,
    Consent,
    Answer,
}

impl Step {
    /// What a client hears that wanted no page (`OpenID` Connect Core 1.0, section 3.1.2.6).
    const fn silent_error(&self) -> Option<&'static str> {
        match self {
            Self::Password => Some("login_required"),
            Self::Confirm => Some("interaction_required"),
            Self::Consent => Some("consent_required"),
            Self::Answer => None,
        }
    }
}

fn first_step(provider: &Provider, request: &AuthRequest, login: Option<&Login>) -> Step {
    let Some(login) = login else { return Step::Password };
    let age = provider.now().saturating_sub(login.auth_time);
    let too_old = request.max_age.is_some_and(|max| age > max);
    let asked = matches!(request.prompt.as_deref(), Some("login" | "select_account"));
    if too_old || asked { Step::Password } else { step_after_login(provider, request, login) }
}

fn step_after_login(provider: &Provider, request: &AuthRequest, login: &Login) -> Step {
    if request.gold && login.acr != GOLD {
        Step::Confirm
    } else if unanswered(provider, request, login).is_empty() {
        Step::Answer
    } else {
        Step::Consent
    }
}

/// The scopes that the user may give the app but was not asked about yet.
fn unanswered(provider: &Provider, request: &AuthRequest, login: &Login) -> Vec<&'static Scope> {
    let mut scopes = scopes::allowed(&request.scopes, login.user);
    let state = provider.state();
    scopes.retain(|scope| scope.asks && !state.consents.contains(&(login.user.sub, scope.name)));
    scopes
}

/// The next page of a request that waits under that id, or the answer to it.
fn proceed(provider: &Provider, id: &str, request: &AuthRequest, login: &Login) -> Response {
    match step_after_login(provider, request, login) {
        Step::Confirm => pages::confirm(login, id, &request.redirect_uri, false),
        Step::Consent => {
            let scopes = unanswered(provider, request, login);
            pages::consent(login, &scopes, id, &request.redirect_uri)
        }
        Step::Password | Step::Answer => {
            provider.state().pending.remove(id, provider.now());
            grant(provider, request, login)
        }
    }
}

/// Keeps a request until the user has logged in; the id goes into the page's form.
fn suspend(provider: &Provider, request: &AuthRequest) -> String {
    let id = provider.id();
    provider.state().pending.insert(id.clone(), request.clone(), provider.now(), PENDING_TTL);
    id
}

/// The request that a form belongs to. It stays until the login is complete, for a second try.
fn resume(provider: &Provider, body: &str) -> Option<(String, AuthRequest, Params)> {
    let mut form = request::params(body.as_bytes())?;
    let id = form.remove("request")?;
    let request = provider.state().pending.get_mut(&id, provider.now())?.clone();
    Some((id, request, form))
}

/// Sends a code to the client.
fn grant(provider: &Provider, request: &AuthRequest, login: &Login) -> Response {
    let code = random_id(&*provider.random);
    let grant = Grant {
        scopes: scopes::allowed(&request.scopes, login.user),
        request: request.clone(),
        login: login.clone(),
        redeemed: None,
    };
    provider.state().codes.insert(code.clone(), grant, provider.now(), CODE_TTL);
    answer(provider, &request.redirect_uri, Some(&request.state), &[("code", &code)])
}

fn refuse(provider: &Provider, request: &AuthRequest, error: &str) -> Response {
    answer(provider, &request.redirect_uri, Some(&request.state), &[("error", error)])
}

/// Answers the client with the `iss` parameter of RFC 9207. 303 turns the form's POST into a GET.
fn answer(
    provider: &Provider,
    redirect_uri: &Url,
    state: Option<&str>,
    pairs: &[(&str, &str)],
) -> Response {
    let mut url = redirect_uri.clone();
    url.query_pairs_mut()
        .extend_pairs(pairs)
        .extend_pairs(state.map(|state| ("state", state)))
        .append_pair("iss", &provider.issuer);
    pages::see_other(url.as_str())
}

fn gone() -> Response {
    pages::error(
        StatusCode::BAD_REQUEST,
        "This login page is no longer valid. Go back to the app and log in again.",
    )
}

/// The login of this browser.
fn login_of(provider: &Provider, headers: &HeaderMap) -> Option<Login> {
    let id = cookie(headers)?;
    provider.state().logins.get_mut(&id, provider.now()).cloned()
}

/// The id in the provider's cookie.
pub fn cookie(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE_NAME)
        .map(|(_, value)| value.to_owned())
}

fn with_cookie(response: Response, id: &str) -> Response {
    // Plain HTTP on loopback by an IP address: `Secure` would keep the cookie away.
    let value = format!("{COOKIE_NAME}={id}; Path=/; HttpOnly; SameSite=Lax");
    set_cookie(response, &value)
}

/// Takes the provider's cookie away.
pub fn without_cookie(response: Response) -> Response {
    set_cookie(response, &format!("{COOKIE_NAME}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"))
}

fn set_cookie(response: Response, value: &str) -> Response {
    let mut response = response.into_response();
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}
