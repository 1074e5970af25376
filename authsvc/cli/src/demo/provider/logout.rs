//! Logout started by the client (`OpenID` Connect RP-Initiated Logout 1.0).

use std::sync::Arc;

use axum::extract::{RawQuery, State as Extract};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use url::Url;

use super::authorize::{cookie, without_cookie};
use super::request::{self, Params};
use super::{Provider, pages};

/// `GET /logout`.
pub async fn logout_get(
    Extract(provider): Extract<Arc<Provider>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    logout(&provider, request::params(query.unwrap_or_default().as_bytes()), &headers, false)
}

/// `POST /logout`: from the client, or from our own page that asks.
pub async fn logout_post(
    Extract(provider): Extract<Arc<Provider>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    logout(&provider, request::params(body.as_bytes()), &headers, true)
}

fn logout(
    provider: &Provider,
    params: Option<Params>,
    headers: &HeaderMap,
    posted: bool,
) -> Response {
    let Some(params) = params else {
        return pages::error(StatusCode::BAD_REQUEST, "A parameter is given more than once.");
    };
    let Some(hint) = params.get("id_token_hint") else {
        // Without a hint anybody's link could log the user out: ask.
        if posted && params.contains_key("confirmed") {
            return end(provider, headers, None);
        }
        return pages::ask_logout();
    };
    let claims = provider.keys.verify(hint, &provider.issuer, &provider.client.id);
    let Some(sid) = claims.as_ref().and_then(|claims| claims["sid"].as_str()) else {
        return pages::error(StatusCode::BAD_REQUEST, "The id_token_hint is not one of ours.");
    };
    let done = end(provider, headers, Some(sid));
    let Some(target) = params.get("post_logout_redirect_uri") else { return done };
    let registered = *target == provider.client.post_logout_redirect_uri;
    let Some(mut url) = Url::parse(target).ok().filter(|_| registered) else {
        return pages::error(
            StatusCode::BAD_REQUEST,
            "You are logged out. The post_logout_redirect_uri is not one that is registered.",
        );
    };
    if let Some(state) = params.get("state") {
        url.query_pairs_mut().append_pair("state", state);
    }
    without_cookie(pages::see_other(url.as_str()))
}

/// Ends the login of the browser's cookie and the one that the hint names.
fn end(provider: &Provider, headers: &HeaderMap, sid: Option<&str>) -> Response {
    let mut state = provider.state();
    if let Some(id) = cookie(headers) {
        state.logins.remove(&id, provider.now());
    }
    state.logins.remove_where(|login| sid == Some(login.sid.as_str()));
    state.refresh.remove_where(|refresh| sid == Some(refresh.login.sid.as_str()));
    drop(state);
    without_cookie(pages::signed_out())
}
