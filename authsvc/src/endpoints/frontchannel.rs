//! `GET frontchannel-logout`: the provider's logout page shows this in a frame, so that the browser
//! ends its session here (OpenID Connect Front-Channel Logout 1.0).
//!
//! Why it exists: it is all that some providers offer. Any page can cause the request, so it ends a
//! session only if the browser's own cookie names one of that very issuer and `sid`. It must not be
//! framed by anyone but the issuer. Browsers that keep cookies from frames of other sites make it
//! do nothing: back-channel logout is the one to rely on.

use std::sync::Arc;

use axum::extract::{Extension, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use url::Url;

use super::ending::{Tokens, Which, end_all, sharing};
use super::session::note_store_error;
use super::{Site, current_session, expired_session_cookie, parameters};
use crate::app::App;
use crate::audit::{EndReason, Ending};
use crate::problem::Problem;
use crate::session::store::StoreError;

/// The greatest query, in bytes.
const MAX_QUERY: usize = 4 * 1024;

/// Handles the request. The router has refused all methods but GET.
pub async fn logout(
    State(app): State<Arc<App>>,
    Extension(site): Extension<Site>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if !site.policy.compiled.logout.front_channel {
        return Problem::not_found().into_response();
    }
    let issuer = site.policy.provider.issuer();
    let Some(sid) = provider_session(&query.unwrap_or_default(), issuer) else {
        return answer(StatusCode::BAD_REQUEST, issuer);
    };
    match end(&app, &site, &headers, &sid).await {
        Ok(ended) => {
            let mut response = answer(StatusCode::OK, issuer);
            if ended
                && let Ok(cookie) = HeaderValue::from_str(&expired_session_cookie(&site.policy))
            {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
            response
        }
        Err(error) => {
            note_store_error(&app, &site, &error);
            answer(StatusCode::SERVICE_UNAVAILABLE, issuer)
        }
    }
}

/// The `sid` of a query whose `iss` is our provider (section 2): both, once each.
fn provider_session(query: &str, issuer: &str) -> Option<String> {
    let pairs = (query.len() <= MAX_QUERY).then(|| parameters::pairs(query, true))??;
    let one = |wanted: &str| {
        let found = parameters::one(&pairs, wanted).ok().flatten();
        found.filter(|value| !value.is_empty())
    };
    let sid = one("sid")?;
    (one("iss")? == issuer).then(|| sid.to_owned())
}

/// Ends the browser's session if it is of this `sid`, and with it those of the other apps of the
/// same client. `false`: it has none, or of another.
async fn end(
    app: &Arc<App>,
    site: &Site,
    headers: &HeaderMap,
    sid: &str,
) -> Result<bool, StoreError> {
    let current = current_session(app, &site.policy, headers).await?;
    let fits = current.is_some_and(|own| own.session.provider_session.as_deref() == Some(sid));
    if !fits {
        return Ok(false);
    }
    let (app, policy, sid) = (Arc::clone(app), Arc::clone(&site.policy), sid.to_owned());
    // The page with the frame may be gone before the answer is there.
    let ending = tokio::spawn(async move {
        let which = Which { session: Some(&sid), ..Which::default() };
        let ending = Ending { reason: EndReason::FrontChannelLogout, by: "provider" };
        end_all(&app, &sharing(&app, &policy), which, ending, Tokens::LeftToProvider).await
    });
    let ended = ending.await.unwrap_or_else(|_| Err(StoreError("a defect".to_owned())));
    ended.map(|_| true)
}

/// Nothing to see; a frame of the issuer, and of nobody else.
fn answer(status: StatusCode, issuer: &str) -> Response {
    let ancestors = match Url::parse(issuer).map(|url| url.origin()) {
        Ok(origin) if origin.is_tuple() => origin.ascii_serialization(),
        _ => "'none'".to_owned(),
    };
    let policy = format!("default-src 'none'; base-uri 'none'; frame-ancestors {ancestors}");
    let headers: [(HeaderName, &str); 4] = [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, &policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (status, headers).into_response()
}
