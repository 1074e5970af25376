//! Logging out: the confirmation page, the logout itself, and the page after it.
//!
//! Why it exists: `POST logout` ends the session here first, then sends the browser to the provider
//! to end it there. It must not end anything on a `GET` (any site can cause one), and must not expire
//! the cookie while the store has not confirmed that the session is gone.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, LOCATION, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Serialize;

use super::session::{json, note_store_error};
use super::{Site, current_session, expired_session_cookie, pages};
use crate::app::App;
use crate::audit::{EndReason, Ending};
use crate::csrf;
use crate::facts::Facts;
use crate::oidc::logout::logout_url;
use crate::problem::Problem;
use crate::session::Session;
use crate::session::store::StoreError;

/// Handles `GET logout`: asks, so that a link on another site logs nobody out.
pub async fn confirm(
    State(app): State<Arc<App>>,
    Extension(site): Extension<Site>,
    headers: HeaderMap,
) -> Response {
    match current_session(&app, &site.policy, &headers).await {
        Ok(Some(loaded)) => {
            let insecure = !site.policy.compiled.provider.issuer.starts_with("https:");
            pages::confirm_logout(&site.url("logout"), display_name(&loaded.session), "/", insecure)
        }
        Ok(None) => pages::signed_out("/"),
        Err(error) => {
            note_store_error(&app, &site, &error);
            store_down_page()
        }
    }
}

/// Handles `POST logout`: ends the session, and says where the provider ends its own.
pub async fn logout(
    State(app): State<Arc<App>>,
    Extension(site): Extension<Site>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let policy = &site.policy.compiled;
    let facts = Facts::read(method, &headers, &policy.csrf_header);
    let by_form = is_form(&facts);
    if let Err(refusal) = csrf::verify(policy, &facts) {
        return refuse(by_form, refusal);
    }
    match end_session(&app, &site, &headers).await {
        Ok(location) => logged_out(&site, by_form, &location),
        Err(error) => {
            note_store_error(&app, &site, &error);
            if by_form { store_down_page() } else { Problem::store_unavailable().into_response() }
        }
    }
}

/// Handles `GET signed-out`.
pub async fn signed_out() -> Response {
    pages::signed_out("/")
}

/// Ends the session in the store and gives the URL to go on to.
async fn end_session(app: &App, site: &Site, headers: &HeaderMap) -> Result<String, StoreError> {
    let policy = &site.policy;
    let here = format!("{}{}", site.origin, policy.compiled.logout_return_to);
    let Some(loaded) = current_session(app, policy, headers).await? else {
        return Ok(here);
    };
    let ending = Ending { reason: EndReason::Logout, by: "user" };
    app.sessions.end(policy, &loaded, ending).await?;
    app.metrics.logout();
    let client_id = &policy.compiled.client.id;
    let there = logout_url(&policy.provider, client_id, &loaded.session.id_token, &here).await;
    Ok(there.unwrap_or(here))
}

fn logged_out(site: &Site, by_form: bool, location: &str) -> Response {
    #[derive(Serialize)]
    struct LoggedOut<'a> {
        location: &'a str,
    }
    let mut response = if by_form {
        let headers: [(HeaderName, &str); 2] = [(LOCATION, location), (CACHE_CONTROL, "no-store")];
        (StatusCode::SEE_OTHER, headers).into_response()
    } else {
        json(&LoggedOut { location })
    };
    if let Ok(cookie) = HeaderValue::from_str(&expired_session_cookie(&site.policy)) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// Whether a form was sent, and a person looks at the answer. A client without Fetch Metadata is
/// taken for a form if it accepts HTML and lacks the header that scripts send.
fn is_form(facts: &Facts) -> bool {
    match facts.fetch_mode.as_deref() {
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
