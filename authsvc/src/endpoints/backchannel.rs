//! `POST backchannel-logout`: the provider says that a user's session there has ended (OpenID Connect
//! Back-Channel Logout 1.0).
//!
//! Why it exists: a user who logs out at the provider, or is blocked there, must not stay logged in
//! here. The caller is a server: there is no cookie and no forgery check, the signed token is the
//! only authority. It must not answer 200 while a session that the token means may still live.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::json;

use super::Site;
use super::ending::{Tokens, Which, end_all, sharing};
use super::parameters::{self, Repeated};
use crate::app::App;
use crate::audit::{EndReason, Ending};
use crate::oidc::{LogoutToken, MAX_LOGOUT_TOKEN, OidcError};
use crate::policies::LivePolicy;
use crate::problem::Problem;
use crate::session::store::StoreError;

/// The greatest form: a token and little else.
const MAX_FORM: usize = MAX_LOGOUT_TOKEN + 1024;
/// What a logout token's `jti` is noted as.
const TOKEN_KIND: &str = "logout_token";

/// Why nothing is confirmed.
enum Refusal {
    /// The request or its token does not pass.
    Invalid(String),
    /// The provider's keys cannot be had, or the store did not answer.
    Unavailable(String),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<OidcError> for Refusal {
    fn from(error: OidcError) -> Self {
        match error {
            OidcError::Token(reason) => Self::Invalid(format!("logout_token: {reason}")),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

/// Handles the request. The router has refused all methods but POST.
pub async fn logout(
    State(app): State<Arc<App>>,
    Extension(site): Extension<Site>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let policy = Arc::clone(&site.policy);
    if !policy.compiled.logout.back_channel {
        return Problem::not_found().into_response();
    }
    let id = &policy.compiled.id;
    let result = match logout_token(&headers, &body) {
        // A provider that hangs up does not keep a session alive.
        Ok(token) => tokio::spawn(end(Arc::clone(&app), Arc::clone(&policy), token))
            .await
            .unwrap_or_else(|_| Err(Refusal::Unavailable("a defect".to_owned()))),
        Err(reason) => Err(Refusal::Invalid(reason.to_owned())),
    };
    match result {
        Ok(sessions) => {
            tracing::info!(policy = %id, sessions, "back-channel logout");
            answer(StatusCode::OK)
        }
        Err(Refusal::Invalid(reason)) => {
            tracing::info!(policy = %id, reason, "back-channel logout refused");
            invalid(&reason)
        }
        Err(Refusal::Unavailable(error)) => {
            app.metrics.store_error();
            tracing::warn!(policy = %id, error, "back-channel logout not possible");
            let mut response = answer(StatusCode::SERVICE_UNAVAILABLE);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
    }
}

/// The form's one `logout_token` (section 2.5).
fn logout_token(headers: &HeaderMap, body: &[u8]) -> Result<String, &'static str> {
    if body.len() > MAX_FORM {
        return Err("the form is too large");
    }
    if !parameters::is_form(headers) {
        return Err("send application/x-www-form-urlencoded");
    }
    let form = std::str::from_utf8(body).ok().and_then(|form| parameters::pairs(form, true));
    let form = form.ok_or("the form is not readable")?;
    let token = parameters::one(&form, "logout_token");
    let token = token.map_err(|Repeated| "logout_token is there more than once")?;
    let token = token.filter(|token| !token.is_empty()).ok_or("logout_token is missing")?;
    Ok(token.to_owned())
}

/// Verifies the token and ends what it means; gives the number of sessions. None is no error.
async fn end(app: Arc<App>, policy: Arc<LivePolicy>, token: String) -> Result<usize, Refusal> {
    let token = policy.provider.verify_logout_token(&policy.compiled.client, &token).await?;
    let policies = sharing(&app, &policy);
    let first = is_first_use(&app, &policies, &token).await?;
    let which = Which {
        subject: token.subject.as_deref(),
        session: token.session.as_deref(),
        // A repetition completes what a failing store left undone. What began since is not meant.
        began_by: (!first).then_some(token.issued_at),
        except: None,
    };
    let ending = Ending { reason: EndReason::BackChannelLogout, by: "provider" };
    let ended = end_all(&app, &policies, which, ending, Tokens::LeftToProvider).await?;
    if ended == 0 && !first {
        return Err(Refusal::Invalid("logout_token: it was used before (jti)".to_owned()));
    }
    Ok(ended)
}

/// Notes the token's `jti`, for all replicas and for all policies that take the token.
async fn is_first_use(
    app: &App,
    policies: &[Arc<LivePolicy>],
    token: &LogoutToken,
) -> Result<bool, StoreError> {
    let Some(keeper) = policies.iter().min_by_key(|policy| &policy.compiled.id) else {
        return Ok(true);
    };
    let seconds = token.ends_at.since(app.clock.now()).max(1);
    app.sessions.first_use(keeper, TOKEN_KIND, &token.id, Duration::from_secs(seconds)).await
}

/// Section 2.8: 400, and why as an OAuth error. The reason is ours and repeats nothing.
fn invalid(reason: &str) -> Response {
    let body = json!({"error": "invalid_request", "error_description": reason}).to_string();
    let mut response = answer(StatusCode::BAD_REQUEST);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *response.body_mut() = body.into();
    response
}

fn answer(status: StatusCode) -> Response {
    let headers: [(HeaderName, &str); 2] =
        [(CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers).into_response()
}
