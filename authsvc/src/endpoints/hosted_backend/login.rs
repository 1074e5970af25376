//! `GET login` and `GET register`: to the provider, and back to the app with its `state`.
//!
//! Why it exists: the SDKs name the page to come back to `redirect_uri`, and may give a `state` for it. What
//! else they say, such as `scope`, is the policy's to say and is not looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Extension, Path, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, Method};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use vestibule_policy::model::CompiledLogin;

use super::{Asked, Refused, believes_in_a_session, path_to, tell};
use crate::app::App;
use crate::cookies::Cookies;
use crate::endpoints::login::{Wanted, lead_to};
use crate::endpoints::{Site, current_session_of};
use crate::facts::Facts;
use crate::policies::LivePolicy;

/// What takes a user to the provider's registration (Initiating User Registration via OpenID Connect 1.0).
const PROMPT: (&str, &str) = ("prompt", "create");

/// Handles `GET login`. The router has refused all methods but GET.
pub(super) async fn login(
    State(app): State<Arc<App>>,
    Extension(site): Extension<Site>,
    client: Option<Path<String>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    begin(&app, &site, client.as_ref(), &query.unwrap_or_default(), &headers, None).await
}

/// Handles `GET register`: a login that begins with the provider's registration, where it lists that.
pub(super) async fn register(
    State(app): State<Arc<App>>,
    Extension(site): Extension<Site>,
    client: Option<Path<String>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let creating = creating(&site.policy).await;
    let query = query.unwrap_or_default();
    begin(&app, &site, client.as_ref(), &query, &headers, creating.as_ref()).await
}

async fn begin(
    app: &App,
    site: &Site,
    client: Option<&Path<String>>,
    query: &str,
    headers: &HeaderMap,
    login: Option<&CompiledLogin>,
) -> Response {
    let policy = &site.policy;
    let navigation =
        Facts::read(Method::GET, headers, &policy.compiled.csrf_header).is_navigation();
    let return_to =
        Asked::read(query, client, &policy.compiled).and_then(|asked| return_to(&asked, policy));
    let return_to = match return_to {
        Ok(return_to) => return_to,
        Err(refused) => return refused.into_response(navigation),
    };
    let cookies = Cookies::from_headers(headers);
    let wanted = Wanted { return_to, navigation, login, headers };
    let mut response = lead_to(app, site, cookies, wanted).await;
    // Where the session suffices, this is what the app waits for.
    match current_session_of(app, policy, cookies).await {
        Ok(Some(loaded)) => tell(&mut response, site, Some(&loaded.session)),
        Ok(None) if believes_in_a_session(cookies) => tell(&mut response, site, None),
        Ok(None) | Err(_) => {}
    }
    response
}

/// The policy's login, with a registration first; `None` where the provider does not list that, or does not
/// answer, which the login will tell.
async fn creating(policy: &LivePolicy) -> Option<CompiledLogin> {
    let metadata = policy.provider.metadata().await.ok()?;
    let listed = metadata.prompt_values_supported.iter().flatten().any(|value| value == PROMPT.1);
    listed.then(|| {
        let (name, value) = PROMPT;
        let mut extra_parameters = BTreeMap::clone(&policy.compiled.login.extra_parameters);
        extra_parameters.insert(name.to_owned(), value.to_owned());
        CompiledLogin { extra_parameters, ..CompiledLogin::clone(&policy.compiled.login) }
    })
}

/// The page to come back to: the app's first one where none is named, with the `state` that is given.
fn return_to(asked: &Asked, policy: &LivePolicy) -> Result<String, Refused> {
    let (redirect_uri, state) = (asked.one("redirect_uri")?, asked.one("state")?);
    let path = path_to(redirect_uri.unwrap_or("/"), policy).ok_or(Refused::Malformed)?;
    match state {
        None => Ok(path),
        // Once more: it is longer now.
        Some(state) => path_to(&with_state(&path, state), policy).ok_or(Refused::Malformed),
    }
}

/// Path and query with this one `state`.
fn with_state(path_and_query: &str, state: &str) -> String {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let is_state = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        percent_decode_str(name).decode_utf8_lossy() == "state"
    };
    let state = format!("state={}", utf8_percent_encode(state, NON_ALPHANUMERIC));
    let pairs = query.split('&').filter(|pair| !pair.is_empty() && !is_state(pair));
    let pairs: Vec<&str> = pairs.chain([state.as_str()]).collect();
    format!("{path}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::with_state;

    #[test]
    fn the_state_is_one_parameter_whatever_it_holds() {
        for (before, state, after) in [
            ("/", "x", "/?state=x"),
            ("/a?", "x", "/a?state=x"),
            ("/a?b=1", "x", "/a?b=1&state=x"),
            ("/a?state=old&b=1&st%61te=older", "x", "/a?b=1&state=x"),
            ("/a", "", "/a?state="),
            ("/a", "x&b=2#c/\u{e9}", "/a?state=x%26b%3D2%23c%2F%C3%A9"),
            ("/a", "\r\nSet-Cookie: b", "/a?state=%0D%0ASet%2DCookie%3A%20b"),
        ] {
            assert_eq!(with_state(before, state), after);
        }
    }
}
