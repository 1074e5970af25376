//! `GET me` and `POST refresh`: who is logged in, and that the app is still in use.
//!
//! Why it exists: the SDKs show the user by the one, and by the other keep the session from ending unused.
//! Of the claims only those are shown that the policy shows to scripts, and the subject.

use std::sync::Arc;

use axum::extract::{Extension, Path, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;
use vestibule_policy::model::UpstreamAuthorization;

use super::{Asked, tell};
use crate::app::App;
use crate::check::decide::is_refresh_due;
use crate::csrf::{self, Forged};
use crate::endpoints::session::{json as json_response, note_store_error};
use crate::endpoints::{Site, current_session};
use crate::facts::Facts;
use crate::problem::Problem;
use crate::session::refresh::Refreshed;
use crate::session::store::StoreError;
use crate::session::{Claims, Session};

/// Handles `GET me`.
pub(super) async fn me(
    State(app): State<Arc<App>>,
    Extension(site): Extension<Site>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    if let Err(forged) = not_forged(&site, method, &headers) {
        return Problem::forged(forged.reason).into_response();
    }
    match current_session(&app, &site.policy, &headers).await {
        Ok(Some(loaded)) => {
            let mut response = json_response(&user_info(&site, &loaded.session));
            tell(&mut response, &site, Some(&loaded.session));
            response
        }
        Ok(None) => over(&site, StatusCode::UNAUTHORIZED),
        Err(error) => store_down(&app, &site, &error),
    }
}

/// Handles `POST refresh`: a use of the session, whose tokens are refreshed where that is due.
pub(super) async fn refresh(
    State(app): State<Arc<App>>,
    Extension(site): Extension<Site>,
    client: Option<Path<String>>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Response {
    if let Err(forged) = not_forged(&site, method, &headers) {
        return Problem::forged(forged.reason).into_response();
    }
    let query = query.unwrap_or_default();
    if let Err(refused) = Asked::read(&query, client.as_ref(), &site.policy.compiled) {
        return refused.into_response(false);
    }
    match refreshed(&app, &site, &headers).await {
        Ok(Refreshed::Fresh(loaded)) => {
            let mut response = json_response(&json!({}));
            tell(&mut response, &site, Some(&loaded.session));
            response
        }
        Ok(Refreshed::Ended) => over(&site, StatusCode::BAD_REQUEST),
        Ok(Refreshed::Failed) => Problem::store_unavailable().into_response(),
        Err(error) => store_down(&app, &site, &error),
    }
}

/// The session, with tokens that are not over. Only a provider that refuses new ones has ended it.
async fn refreshed(app: &App, site: &Site, headers: &HeaderMap) -> Result<Refreshed, StoreError> {
    let Some(loaded) = current_session(app, &site.policy, headers).await? else {
        return Ok(Refreshed::Ended);
    };
    let none = UpstreamAuthorization::None;
    if !is_refresh_due(none, &loaded.session, app.clock.now(), u8::MAX) {
        return Ok(Refreshed::Fresh(loaded));
    }
    let refreshed = app.sessions.refresh(&site.policy, &loaded).await?;
    let is_over = loaded.session.access_token_expires_at.is_none_or(|end| end <= app.clock.now());
    match refreshed {
        Refreshed::Failed if !is_over => Ok(Refreshed::Fresh(loaded)),
        refreshed => Ok(refreshed),
    }
}

/// The subject, and the claims that the policy shows to scripts.
fn user_info(site: &Site, session: &Session) -> Claims {
    let mut claims = session.claims.only(&site.policy.compiled.session.claims);
    claims.insert("sub", session.subject.clone().into());
    claims
}

fn not_forged(site: &Site, method: Method, headers: &HeaderMap) -> Result<(), Forged> {
    let policy = &site.policy.compiled;
    csrf::verify(policy, &Facts::read(method, headers, &policy.csrf_header))
}

/// There is no session; the status is the one that the SDKs know.
fn over(site: &Site, status: StatusCode) -> Response {
    let problem = Problem { status, ..Problem::unauthenticated(Some(site.url("login"))) };
    let mut response = problem.into_response();
    tell(&mut response, site, None);
    response
}

fn store_down(app: &App, site: &Site, error: &StoreError) -> Response {
    note_store_error(app, site, error);
    Problem::store_unavailable().into_response()
}
