//! The endpoints on the app's own origin, below the policy's base path.
//!
//! The policy of a request comes from its `Host`, and scheme and host of every URL built here come
//! from the policy. `crate::router` shows which endpoint is where.

pub mod authorize;
pub mod backchannel;
pub mod callback;
pub mod cors;
mod ending;
pub mod frontchannel;
pub mod hosted_backend;
pub mod login;
pub mod logout;
pub mod pages;
mod parameters;
pub mod protected_resource;
pub mod scripts;
pub mod session;
mod transaction;

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use vestibule_policy::model::SameSite;
use vestibule_policy::origin::Origin;

use crate::app::App;
use crate::cookies::Cookies;
use crate::policies::LivePolicy;
use crate::session::SecretId;
use crate::session::service::Loaded;
use crate::session::store::StoreError;

/// The policy and origin that a request belongs to; found before any handler runs, and taken by
/// handlers as `Extension<Site>`.
#[derive(Clone)]
pub struct Site {
    /// The policy.
    pub policy: Arc<LivePolicy>,
    /// The origin that was asked.
    pub origin: Origin,
}

impl Site {
    /// The absolute URL of one of our endpoints.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        self.policy.endpoint(&self.origin, name)
    }
}

/// The session that a request's cookie names; `Ok(None)` without a valid one.
///
/// # Errors
/// Where the store did not answer: that is not "no session".
pub async fn current_session(
    app: &App,
    policy: &LivePolicy,
    headers: &HeaderMap,
) -> Result<Option<Loaded>, StoreError> {
    current_session_of(app, policy, Cookies::from_headers(headers)).await
}

/// As [`current_session`], for cookies already read.
///
/// # Errors
/// Where the store did not answer: that is not "no session".
pub async fn current_session_of(
    app: &App,
    policy: &LivePolicy,
    cookies: Cookies<'_>,
) -> Result<Option<Loaded>, StoreError> {
    let Some(id) = session_id(policy, cookies) else { return Ok(None) };
    Ok(app.sessions.load(policy, &id).await?.filter(|loaded| is_of_its_provider(policy, loaded)))
}

/// As [`current_session`], but looking is no use of the session.
///
/// # Errors
/// Where the store did not answer: that is not "no session".
pub async fn peek_session(
    app: &App,
    policy: &LivePolicy,
    headers: &HeaderMap,
) -> Result<Option<Loaded>, StoreError> {
    let Some(id) = session_id(policy, Cookies::from_headers(headers)) else { return Ok(None) };
    Ok(app.sessions.peek(policy, &id).await?.filter(|loaded| is_of_its_provider(policy, loaded)))
}

fn session_id(policy: &LivePolicy, cookies: Cookies<'_>) -> Option<SecretId> {
    cookies.one(&policy.compiled.session.cookie_name).and_then(SecretId::parse)
}

/// A session of the provider that the policy had before says nothing under this one.
fn is_of_its_provider(policy: &LivePolicy, loaded: &Loaded) -> bool {
    loaded.session.issuer == policy.compiled.provider.issuer
}

/// The `Set-Cookie` value of a session. It lives as long as the browser; the server says when the
/// session ends.
#[must_use]
pub fn session_cookie(policy: &LivePolicy, id: &SecretId) -> String {
    let session = &policy.compiled.session;
    let same_site = match session.same_site {
        SameSite::Lax => "Lax",
        SameSite::Strict => "Strict",
    };
    format!(
        "{}={}; Path=/; Secure; HttpOnly; SameSite={same_site}",
        session.cookie_name,
        id.encode()
    )
}

/// The `Set-Cookie` value that removes the session cookie. Repeats `Secure` and `Path=/`: browsers
/// keep a `__Host-` cookie otherwise.
#[must_use]
pub fn expired_session_cookie(policy: &LivePolicy) -> String {
    let name = &policy.compiled.session.cookie_name;
    format!("{name}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax")
}

/// 303, so that no method or body goes along (RFC 9700, section 4.12).
fn see_other(url: &str) -> Response {
    let headers: [(HeaderName, &str); 3] =
        [(LOCATION, url), (CACHE_CONTROL, "no-store"), (REFERRER_POLICY, "no-referrer")];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// Sends a browser that the provider sent here on to a path of the app. A Strict cookie would not come
/// along on a redirect that another site began, so a page goes on there.
fn go_on(site: &Site, path: &str) -> Response {
    let url = format!("{}{path}", site.origin);
    match site.policy.compiled.session.same_site {
        SameSite::Strict => pages::go_on(&url),
        SameSite::Lax => see_other(&url),
    }
}

fn append_cookie(response: &mut Response, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}
