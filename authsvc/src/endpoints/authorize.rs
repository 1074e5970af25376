//! `GET {base}/authorize`: what the caller may do below an authority's base, and the way to an elevated
//! token for it (design §7).
//!
//! Why it exists: a script asks here what its user may do, and a navigation obtains the token that it
//! takes. The token itself never reaches the browser, but sealed in cookies. It must not ask the provider
//! for anything that the authority does not list, must not create or change a session, and redirects
//! nowhere but to the provider and to the app's own origin.

pub mod address;
pub(in crate::endpoints) mod advice;
pub(in crate::endpoints) mod complete;
mod fetch;
mod held;
mod navigate;
mod obtain;
mod query;

use std::sync::Arc;

use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::{Site, append_cookie, pages};
use crate::app::App;
use crate::caller::Authorization;
use crate::cookies::Cookies;
use crate::facts::Facts;
use crate::oidc::OidcError;
use crate::policies::LiveAuthority;
use query::Asked;

/// One request to an authority's endpoint.
#[derive(Clone, Copy)]
struct Call<'a> {
    app: &'a App,
    site: &'a Site,
    authority: &'a Arc<LiveAuthority>,
    cookies: Cookies<'a>,
    asked: &'a Asked,
}

/// Handles the request. The router has found the authority, and refused all methods but GET.
pub async fn authorize(
    State(app): State<Arc<App>>,
    Extension(site): Extension<Site>,
    Extension(authority): Extension<Arc<LiveAuthority>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let policy = &site.policy;
    let facts = Facts::read(Method::GET, &headers, &policy.compiled.csrf_header);
    let authorization = Authorization::read(policy, &headers);
    // No browser sends a token along with a navigation.
    let navigation = facts.is_navigation() && authorization == Authorization::Absent;
    let asked = match Asked::read(&query.unwrap_or_default(), policy, &authority) {
        Ok(asked) => asked,
        Err(invalid) => {
            app.metrics.elevation("malformed");
            return invalid.into_response(navigation);
        }
    };
    let cookies = Cookies::from_headers(&headers);
    let call = Call { app: &app, site: &site, authority: &authority, cookies, asked: &asked };
    // Whatever the answer is: cookies that were renewed on the way are to be kept.
    let mut set_cookies = Vec::new();
    let mut response = if navigation {
        navigate::answer(call, &mut set_cookies).await
    } else {
        fetch::answer(call, &facts, &authorization, &mut set_cookies).await
    };
    for cookie in set_cookies {
        append_cookie(&mut response, &cookie);
    }
    response
}

/// What an app is told of an error at the provider; the details are for the log alone.
fn code_of(error: &OidcError) -> &'static str {
    match error {
        OidcError::Unavailable(_) => UNAVAILABLE,
        OidcError::Refused(code) => known(code),
        OidcError::StepUp(_) => "step_up_failed",
        OidcError::Unusable(_) | OidcError::Token(_) | OidcError::UserInfo(_) => "server_error",
    }
}

/// The code of what did not answer: nothing was judged.
const UNAVAILABLE: &str = "temporarily_unavailable";

/// A code of the provider. What is in no standard has none.
fn known(code: &'static str) -> &'static str {
    if code.contains(' ') { "unknown_error" } else { code }
}

/// The page for a store or a provider that does not answer; `again`: where to try once more.
fn unavailable(again: &str) -> Response {
    let mut page = pages::login_error(
        StatusCode::SERVICE_UNAVAILABLE,
        "This is not possible right now",
        "A service that is needed to give you these rights does not answer. Please try again in a \
         moment.",
        Some(again),
    );
    page.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    page
}

/// The page for a provider that is not set up for this.
fn not_possible(again: &str) -> Response {
    pages::login_error(
        StatusCode::BAD_GATEWAY,
        "This is not possible",
        "The login service is not set up for this. Its administrator finds the reason in the log.",
        Some(again),
    )
}
