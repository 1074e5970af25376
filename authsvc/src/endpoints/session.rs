//! `GET session` (alias `me`): who is logged in, for the app's scripts.
//!
//! Why it exists: a script cannot read the cookie, and never sees a token. It must not answer with
//! anything but the four members of `WhoAmI`, and of the claims only those that the policy lists.

use std::sync::Arc;

use axum::extract::{Extension, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use serde::Serialize;
use vestibule_policy::model::CompiledSession;

use super::{Site, current_session, peek_session};
use crate::app::App;
use crate::clock::Timestamp;
use crate::csrf;
use crate::facts::Facts;
use crate::problem::Problem;
use crate::session::store::StoreError;
use crate::session::{Claims, Session};

/// The whole answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WhoAmI<'a> {
    subject: &'a str,
    claims: Claims,
    /// Seconds until the session ends, used or not.
    expires_in: u64,
    /// Seconds until it ends if it is not used.
    idle_expires_in: u64,
}

impl<'a> WhoAmI<'a> {
    fn of(session: &'a Session, policy: &CompiledSession, now: Timestamp) -> Self {
        let end = session.created_at.plus(policy.absolute_timeout);
        Self {
            subject: &session.subject,
            claims: session.claims.only(&policy.claims),
            expires_in: end.since(now),
            idle_expires_in: idle_end(session, policy).since(now),
        }
    }
}

/// When a session ends if it is not used.
pub(super) fn idle_end(session: &Session, policy: &CompiledSession) -> Timestamp {
    let end = session.created_at.plus(policy.absolute_timeout);
    session.touched_at.plus(policy.idle_timeout).min(end)
}

/// What makes a request a look at the session, instead of a use of it.
const PEEK: &str = "peek=true";

/// Handles `GET session` and `GET me`.
pub async fn session(
    State(app): State<Arc<App>>,
    Extension(site): Extension<Site>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let policy = &site.policy.compiled;
    let facts = Facts::read(method, &headers, &policy.csrf_header);
    if let Err(refusal) = csrf::verify(policy, &facts) {
        return Problem::forged(refusal.reason).into_response();
    }
    let found = if query.as_deref() == Some(PEEK) {
        peek_session(&app, &site.policy, &headers).await
    } else {
        current_session(&app, &site.policy, &headers).await
    };
    match found {
        Ok(Some(loaded)) => json(&WhoAmI::of(&loaded.session, &policy.session, app.clock.now())),
        Ok(None) => Problem::unauthenticated(Some(site.url("login"))).into_response(),
        Err(error) => {
            note_store_error(&app, &site, &error);
            Problem::store_unavailable().into_response()
        }
    }
}

/// Counts and logs a store that did not answer.
pub(super) fn note_store_error(app: &App, site: &Site, error: &StoreError) {
    app.metrics.store_error();
    tracing::warn!(policy = %site.policy.compiled.id, %error, "the session store failed");
}

/// A JSON response that no cache keeps.
pub(super) fn json(body: &impl Serialize) -> Response {
    let Ok(text) = serde_json::to_string(body) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers: [(HeaderName, &str); 3] = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}
