//! `GET login`: sends the browser to the provider, or back where the session already suffices.
//!
//! Why it exists: gateways and scripts send users here with nothing but a return URL, so what the
//! login must fulfil is read from the rule of that URL. Only a navigation starts a login: a fetch,
//! a frame or a prefetch never reaches the provider. It must not redirect anywhere but to the
//! provider and to the app's own origin.

use std::sync::Arc;

use axum::extract::{Extension, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use vestibule_policy::model::{Access, CompiledRoute};
use vestibule_policy::path::parse_target;

use super::callback::query_pairs;
use super::{Site, current_session_of, pages};
use crate::app::App;
use crate::check::decide::{StepUp, lacks_access_token, step_up};
use crate::check::gateway::step_up_challenge;
use crate::clock::Timestamp;
use crate::cookies::{Cookies, LOGIN_COOKIE_PREFIX};
use crate::facts::Facts;
use crate::oidc::{LoginRequest, OidcError};
use crate::policies::LivePolicy;
use crate::problem::Problem;
use crate::random;
use crate::return_to;
use crate::session::service::LOGIN_SECONDS;
use crate::session::{LoginTransaction, SecretId, Session};
use crate::token::Token;

/// How many logins of one browser may be under way: each has a cookie, and cookies have room.
const MAX_LOGINS: usize = 16;
/// The greatest suffix of a login cookie's name.
const MAX_SUFFIX: usize = 64;

/// What keeps a browser from where it wants to go.
pub(super) enum Lacking {
    Nothing,
    Session,
    StepUp(StepUp),
}

/// Why no login was started.
enum Failure {
    BadReturnTo,
    Store,
    Provider(OidcError),
}

/// Handles the request. The router has refused all methods but GET.
pub async fn login(
    State(app): State<Arc<App>>,
    Extension(site): Extension<Site>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let facts = Facts::read(Method::GET, &headers, &site.policy.compiled.csrf_header);
    let cookies = Cookies::from_headers(&headers);
    let query = query.unwrap_or_default();
    let result = answer(&app, &site, &query, &cookies, facts.is_navigation()).await;
    result.unwrap_or_else(|failure| failure.into_response(&app, &site, facts.is_navigation()))
}

async fn answer(
    app: &App,
    site: &Site,
    query: &str,
    cookies: &Cookies,
    navigation: bool,
) -> Result<Response, Failure> {
    let policy = &site.policy;
    let return_to = return_path(query, policy).ok_or(Failure::BadReturnTo)?;
    let session = current_session_of(app, policy, cookies).await.map_err(|_| Failure::Store)?;
    let session = session.map(|loaded| loaded.session);
    let rule = rule_of(policy, &return_to);
    let lacking = lacking(rule, session.as_deref(), app.clock.now());
    if !navigation {
        return Ok(unauthenticated(site, &return_to, &lacking));
    }
    if matches!(lacking, Lacking::Nothing) {
        return Ok(see_other(&format!("{}{return_to}", site.origin)));
    }
    start(app, site, cookies, rule, return_to).await
}

/// The return path of a query: `rd` or `return_to`, one of them, once; `/` without any. In a query
/// that a gateway wrote a `+` is a plus: it escaped a URL, not a form.
fn return_path(query: &str, policy: &LivePolicy) -> Option<String> {
    let pairs = query_pairs(query, false)?;
    let mut found = pairs.iter().filter(|(name, _)| name == "rd" || name == "return_to");
    match (found.next(), found.next()) {
        (None, _) => Some("/".to_owned()),
        (Some((_, value)), None) => return_to::parse(value, &policy.compiled),
        _ => None,
    }
}

/// The rule that a return path falls under; `None` for one that no check will let pass anyway.
pub(super) fn rule_of<'a>(policy: &'a LivePolicy, return_to: &str) -> Option<&'a CompiledRoute> {
    let target = parse_target(return_to, &policy.compiled.paths).ok()?;
    policy.rule_for("GET", &target).ok()
}

pub(super) fn lacking(
    rule: Option<&CompiledRoute>,
    session: Option<&Session>,
    now: Timestamp,
) -> Lacking {
    let Some(session) = session else { return Lacking::Session };
    let Some(rule) = rule else { return Lacking::Nothing };
    // What needs no session asks nothing of one.
    if matches!(rule.access, Access::Public | Access::Deny) {
        return Lacking::Nothing;
    }
    if lacks_access_token(rule, session, now) {
        return Lacking::Session;
    }
    step_up(&rule.require, session, now).map_or(Lacking::Nothing, Lacking::StepUp)
}

/// What a script gets, also one whose request a gateway turned into a redirect to here.
fn unauthenticated(site: &Site, return_to: &str, lacking: &Lacking) -> Response {
    let rd = utf8_percent_encode(return_to, NON_ALPHANUMERIC);
    let login_url = format!("{}?rd={rd}", site.url("login"));
    let Lacking::StepUp(wanted) = lacking else {
        return Problem::unauthenticated(Some(login_url)).into_response();
    };
    let mut response = Problem::insufficient_authentication(Some(login_url)).into_response();
    if let Ok(value) = HeaderValue::try_from(step_up_challenge(wanted)) {
        response.headers_mut().insert(WWW_AUTHENTICATE, value);
    }
    response
}

async fn start(
    app: &App,
    site: &Site,
    cookies: &Cookies,
    rule: Option<&CompiledRoute>,
    return_to: String,
) -> Result<Response, Failure> {
    let policy = &site.policy;
    let now = app.clock.now();
    let spec = &policy.compiled.login;
    let require = rule.map(|rule| &rule.require);
    let acr_values = match require.and_then(|require| require.acr.clone()) {
        Some(acr) => vec![acr],
        None => spec.acr_values.clone(),
    };
    let max_age =
        [spec.max_age, require.and_then(|require| require.max_age)].into_iter().flatten().min();
    let redirect_uri = site.url("callback");
    let suffix = new_suffix(app, now);
    let request = LoginRequest {
        client: &policy.compiled.client,
        login: spec,
        redirect_uri: &redirect_uri,
        state: Token::new(format!("{suffix}.{}", random::token::<32>(&*app.random))),
        acr_values: &acr_values,
        max_age,
    };
    let started = policy.provider.start_login(request).await.map_err(Failure::Provider)?;
    let transaction = LoginTransaction {
        state: started.state,
        nonce: started.nonce,
        code_verifier: started.code_verifier,
        issuer: policy.provider.issuer().to_owned(),
        redirect_uri,
        return_to,
        acr_values,
        max_age,
        created_at: now,
    };
    let id = app.sessions.begin_login(policy, &transaction).await.map_err(|_| Failure::Store)?;
    let mut response = see_other(&started.url);
    set_cookies(&mut response, cookies, &suffix, &id);
    app.metrics.login("started");
    Ok(response)
}

/// Begins with the time, so that the names of a browser's login cookies sort by age.
fn new_suffix(app: &App, now: Timestamp) -> String {
    format!("{:010x}{}", now.0, random::token::<9>(&*app.random))
}

/// Whether text can be the suffix of a login cookie's name.
pub(super) fn is_suffix(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_SUFFIX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn set_cookies(response: &mut Response, cookies: &Cookies, suffix: &str, id: &SecretId) {
    let mut known: Vec<&str> = cookies
        .names_with_prefix(LOGIN_COOKIE_PREFIX)
        .filter_map(|name| name.strip_prefix(LOGIN_COOKIE_PREFIX))
        .filter(|suffix| is_suffix(suffix))
        .collect();
    known.sort_unstable();
    let over = (known.len() + 1).saturating_sub(MAX_LOGINS);
    let mut values: Vec<String> = known.into_iter().take(over).map(expired_cookie).collect();
    values.push(format!(
        "{LOGIN_COOKIE_PREFIX}{suffix}={}; Path=/; Secure; HttpOnly; SameSite=Lax; \
         Max-Age={LOGIN_SECONDS}",
        id.encode()
    ));
    for value in values {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().append(SET_COOKIE, value);
        }
    }
}

/// The `Set-Cookie` value that removes a login cookie.
pub(super) fn expired_cookie(suffix: &str) -> String {
    format!("{LOGIN_COOKIE_PREFIX}{suffix}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}

/// 303, so that no method or body goes along (RFC 9700, section 4.12).
pub(super) fn see_other(url: &str) -> Response {
    let headers: [(HeaderName, &str); 3] =
        [(LOCATION, url), (CACHE_CONTROL, "no-store"), (REFERRER_POLICY, "no-referrer")];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// Where a page offers to start again, without what may have gone wrong.
pub(super) fn start_again(site: &Site) -> String {
    format!("{}?rd=%2F", site.url("login"))
}

impl Failure {
    fn into_response(self, app: &App, site: &Site, navigation: bool) -> Response {
        match self {
            Self::BadReturnTo => {
                app.metrics.login("bad_return_to");
                bad_return_to(site, navigation)
            }
            Self::Store => {
                app.metrics.login("store_unavailable");
                if navigation {
                    super::callback::unavailable(site)
                } else {
                    Problem::store_unavailable().into_response()
                }
            }
            Self::Provider(error) => {
                let policy = &site.policy.compiled.id;
                tracing::warn!(%policy, %error, "login not started");
                super::callback::provider_page(app, site, &error)
            }
        }
    }
}

fn bad_return_to(site: &Site, navigation: bool) -> Response {
    if !navigation {
        return Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid-return-url",
            "The return URL is not acceptable",
            "Give rd or return_to once: a path on this origin.",
        )
        .into_response();
    }
    pages::login_error(
        StatusCode::BAD_REQUEST,
        "This link cannot be followed",
        "It does not lead back to this site.",
        Some(&start_again(site)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_of_a_login_cookie_is_short_and_of_plain_characters() {
        for good in ["a", "0123456789abcdefAZ-_", &"x".repeat(MAX_SUFFIX)] {
            assert!(is_suffix(good), "{good}");
        }
        for bad in ["", "a.b", "a b", "a;b", "a=b", "\u{e9}", &"x".repeat(MAX_SUFFIX + 1)] {
            assert!(!is_suffix(bad), "{bad}");
        }
    }
}
