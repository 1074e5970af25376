//! Logging out: the confirmation page, the logout itself, and the page after it.
//!
//! Why it exists: `POST logout` ends the session here first, then sends the browser to the provider
//! to end it there. It must not end anything on a `GET` (any site can cause one; `hosted_backend`
//! knows those that the app caused), must not expire the cookie while the store has not confirmed
//! that the session is gone, and redirects nowhere but to the provider and to the app's own origin.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::body::Bytes;
use axum::extract::{Extension, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Serialize;
use vestibule_policy::model::TokenStorage;

use super::ending::{Tokens, Which, end, end_all, sharing};
use super::hosted_backend::tell_no_session;
use super::session::{json, note_store_error};
use super::{
    Site, append_cookie, current_session, expired_session_cookie, pages, parameters, session_id,
};
use crate::app::App;
use crate::audit::{EndReason, Ending};
use crate::cookies::Cookies;
use crate::csrf;
use crate::facts::Facts;
use crate::oidc::logout::{LogoutRequest, logout_url};
use crate::policies::LivePolicy;
use crate::problem::Problem;
use crate::random;
use crate::session::service::Loaded;
use crate::session::store::StoreError;
use crate::session::{Session, elevation_cookies};
use crate::token::Token;

/// Holds the `state` of a logout at the provider. Within the prefix of login cookies, so that no
/// policy can take the name and no app sees it.
const STATE_COOKIE: &str = "__Host-bff-login-out";
/// How long the provider may take with a logout, in seconds.
const STATE_SECONDS: u64 = 600;

/// A logout that the store has confirmed.
struct LoggedOut {
    /// Where the browser goes on to.
    location: String,
    /// What the provider is to send back.
    state: Option<Token>,
}

/// Handles `GET logout`: asks, so that a link on another site logs nobody out.
pub async fn confirm(
    State(app): State<Arc<App>>,
    Extension(site): Extension<Site>,
    headers: HeaderMap,
) -> Response {
    ask(&app, &site, &headers).await
}

/// The page that asks, for whoever is logged in.
pub(super) async fn ask(app: &App, site: &Site, headers: &HeaderMap) -> Response {
    match current_session(app, &site.policy, headers).await {
        Ok(Some(loaded)) => {
            let insecure = !site.policy.compiled.provider.issuer.starts_with("https:");
            pages::confirm_logout(&site.url("logout"), display_name(&loaded.session), "/", insecure)
        }
        Ok(None) => pages::signed_out("/"),
        Err(error) => {
            note_store_error(app, site, &error);
            store_down_page()
        }
    }
}

/// Handles `POST logout`: ends the session, and says where the provider ends its own.
pub async fn logout(
    State(app): State<Arc<App>>,
    Extension(site): Extension<Site>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let policy = &site.policy.compiled;
    let facts = Facts::read(method, &headers, &policy.csrf_header);
    let by_form = is_form(&facts);
    if let Err(refusal) = csrf::verify(policy, &facts) {
        return refuse(by_form, refusal);
    }
    let Some(everywhere) = is_everywhere(&query.unwrap_or_default(), &headers, &body) else {
        return not_understood(by_form);
    };
    let how = How { by_form, everywhere, path: policy.logout_return_to.clone() };
    log_out(&app, &site, headers, how).await
}

/// Logs a browser out that goes on to a path of the app. The caller knows that no other site caused it.
pub(super) async fn log_out_to(
    app: &Arc<App>,
    site: &Site,
    headers: HeaderMap,
    path: &str,
) -> Response {
    let how = How { by_form: true, everywhere: false, path: path.to_owned() };
    log_out(app, site, headers, how).await
}

/// How to log out.
struct How {
    by_form: bool,
    everywhere: bool,
    /// Path and query on the app's origin that the browser goes to afterwards.
    path: String,
}

async fn log_out(app: &Arc<App>, site: &Site, headers: HeaderMap, how: How) -> Response {
    let by_form = how.by_form;
    // Once begun it is completed, also for a browser that goes away.
    let ending = tokio::spawn(end_session(Arc::clone(app), site.clone(), headers, how));
    match ending.await.unwrap_or_else(|_| Err(StoreError("a defect".to_owned()))) {
        Ok(done) => logged_out(site, by_form, &done),
        Err(error) => {
            note_store_error(app, site, &error);
            if by_form { store_down_page() } else { Problem::store_unavailable().into_response() }
        }
    }
}

/// Handles `GET signed-out`: the end of a logout here, and of one at the provider that sends the
/// browser back. What comes back without the `state` that was sent is not the answer to it.
pub async fn signed_out(RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let cookies = Cookies::from_headers(&headers);
    let Some(expected) = cookies.one(STATE_COOKIE) else { return pages::signed_out("/") };
    let pairs = parameters::pairs(&query.unwrap_or_default(), true).unwrap_or_default();
    let Ok(Some(state)) = parameters::one(&pairs, "state") else { return unconfirmed() };
    if verify_slices_are_equal(state.as_bytes(), expected.as_bytes()).is_err() {
        return unconfirmed();
    }
    let mut page = pages::signed_out("/");
    append_cookie(&mut page, &state_cookie("", 0));
    page
}

/// Whether all of the user's sessions are meant: `everywhere=true`, in the query or in a form. `None`
/// for anything else that it is set to: who asks for more than one logout must not get just one.
fn is_everywhere(query: &str, headers: &HeaderMap, body: &[u8]) -> Option<bool> {
    let form = if parameters::is_form(headers) { std::str::from_utf8(body).ok()? } else { "" };
    let mut pairs = parameters::pairs(query, true)?;
    pairs.extend(parameters::pairs(form, true)?);
    match parameters::one(&pairs, "everywhere").ok()? {
        None => Some(false),
        Some("true") => Some(true),
        Some(_) => None,
    }
}

/// Ends the session in the store, with all others of the user if wanted, and gives the URL to go on
/// to.
async fn end_session(
    app: Arc<App>,
    site: Site,
    headers: HeaderMap,
    how: How,
) -> Result<LoggedOut, StoreError> {
    let policy = &site.policy;
    let How { everywhere, path, .. } = how;
    let here = format!("{}{path}", site.origin);
    let Some(own) = current_session(&app, policy, &headers).await? else {
        // What is no session now may become one again: under the provider that the policy had, or
        // with a key that is off the keyring.
        if let Some(id) = session_id(policy, Cookies::from_headers(&headers)) {
            app.sessions.drop_record(policy, &id).await?;
        }
        return Ok(LoggedOut { location: here, state: None });
    };
    let reason = if everywhere { EndReason::LogoutEverywhere } else { EndReason::Logout };
    let ending = Ending { reason, by: "user" };
    if everywhere {
        // Its own session last: with it the user can ask again if this fails.
        let which = Which {
            subject: Some(&own.session.subject),
            except: Some(own.key),
            ..Which::default()
        };
        end_all(&app, &sharing(&app, policy), which, ending, Tokens::Revoked).await?;
    }
    end(&app, policy, &own, ending, Tokens::Revoked).await?;
    app.metrics.logout();
    Ok(at_the_provider(&app, &site, &own, here).await)
}

/// Where the provider ends its session; `here` if it does not offer that.
async fn at_the_provider(app: &App, site: &Site, own: &Loaded, here: String) -> LoggedOut {
    let policy = &site.policy;
    // Only our own page knows what to do with it.
    let is_our_page = here == site.url("signed-out");
    let state = is_our_page.then(|| Token::new(random::token::<32>(&*app.random)));
    let request = LogoutRequest {
        client_id: &policy.compiled.client.id,
        id_token: &own.session.id_token,
        return_to: &here,
        state: state.as_ref(),
    };
    match logout_url(&policy.provider, &request).await {
        Some(location) => LoggedOut { location, state },
        None => LoggedOut { location: here, state: None },
    }
}

fn logged_out(site: &Site, by_form: bool, done: &LoggedOut) -> Response {
    #[derive(Serialize)]
    struct Next<'a> {
        location: &'a str,
    }
    let location = done.location.as_str();
    let mut response = if by_form {
        let headers: [(HeaderName, &str); 2] = [(LOCATION, location), (CACHE_CONTROL, "no-store")];
        (StatusCode::SEE_OTHER, headers).into_response()
    } else {
        json(&Next { location })
    };
    append_cookie(&mut response, &expired_session_cookie(&site.policy));
    for cookie in expired_elevations(&site.policy).into_iter().chain(tell_no_session(&site.policy))
    {
        append_cookie(&mut response, &cookie);
    }
    if let Some(state) = &done.state {
        append_cookie(&mut response, &state_cookie(state.expose(), STATE_SECONDS));
    }
    response
}

fn state_cookie(value: &str, seconds: u64) -> String {
    format!("{STATE_COOKIE}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax")
}

/// What removes the cookies of elevated tokens. They are of the authorities' paths, so that none of them
/// comes along to be looked at.
fn expired_elevations(policy: &LivePolicy) -> Vec<String> {
    let takes_tokens = policy.compiled.bearer.is_some();
    policy
        .authorities()
        .iter()
        .filter(|one| takes_tokens || one.compiled.storage == TokenStorage::Cookie)
        .flat_map(|authority| elevation_cookies::expire(policy, authority))
        .collect()
}

/// The page for a browser that is back from the provider, but not with what it was sent off with.
fn unconfirmed() -> Response {
    pages::login_error(
        StatusCode::BAD_REQUEST,
        "You are logged out here",
        "Whether the login service has logged you out too is not known: what came back from there is \
         not the answer to this logout. On a shared computer, log out there as well.",
        None,
    )
}

/// Whether a form was sent, and a person looks at the answer. A client without Fetch Metadata is
/// taken for a form if it accepts HTML and lacks the header that scripts send.
fn is_form(facts: &Facts) -> bool {
    match facts.fetch_mode {
        Some(mode) => mode == "navigate",
        None => facts.accepts_html && !facts.custom_header,
    }
}

fn refuse(by_form: bool, refusal: csrf::Forged) -> Response {
    if !by_form {
        return Problem::forged(refusal.reason).into_response();
    }
    let message = "The request may come from another site, so you are still logged in.";
    pages::login_error(StatusCode::FORBIDDEN, "Not logged out", message, None)
}

fn not_understood(by_form: bool) -> Response {
    if !by_form {
        return Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid-request",
            "The request is not understood",
            "Give everywhere=true once, or not at all.",
        )
        .into_response();
    }
    let message = "The request is not understood, so you are still logged in.";
    pages::login_error(StatusCode::BAD_REQUEST, "Not logged out", message, None)
}

fn store_down_page() -> Response {
    let mut page = pages::login_error(
        StatusCode::SERVICE_UNAVAILABLE,
        "Please try again",
        "Sessions cannot be read right now. You are still logged in.",
        None,
    );
    page.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    page
}

/// What the user is called on the page: the first of the usual claims that is there.
fn display_name(session: &Session) -> Option<&str> {
    ["name", "preferred_username", "email"]
        .into_iter()
        .filter_map(|claim| session.claims.get(claim)?.as_str())
        .find(|name| !name.trim().is_empty())
}
