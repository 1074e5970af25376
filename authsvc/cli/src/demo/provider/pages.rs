//! The demo provider's pages: plain forms that work without scripts, under a policy that allows
//! none.

use askama::Template;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use url::Url;

use super::authorize::SECOND_STEP_CODE;
use super::scopes::Scope;
use super::state::Login;
use super::users::{USERS, User};

#[derive(Template)]
#[template(path = "provider/login.html")]
struct LoginPage<'a> {
    request: &'a str,
    app: &'a str,
    username: &'a str,
    password: &'a str,
    wrong: bool,
    users: &'a [User],
}

#[derive(Template)]
#[template(path = "provider/confirm.html")]
struct ConfirmPage<'a> {
    request: &'a str,
    app: &'a str,
    user: &'a User,
    code: &'a str,
    wrong: bool,
}

#[derive(Template)]
#[template(path = "provider/consent.html")]
struct ConsentPage<'a> {
    request: &'a str,
    app: &'a str,
    user: &'a User,
    scopes: &'a [&'static Scope],
}

#[derive(Template)]
#[template(path = "provider/message.html")]
struct MessagePage<'a> {
    title: &'a str,
    message: &'a str,
    ask_logout: bool,
}

/// The login page, with the user name filled in and, for a demo user, the password too.
pub fn login(request: &str, redirect_uri: &Url, username: &str, wrong: bool) -> Response {
    let known = USERS.iter().find(|user| user.username == username);
    let page = LoginPage {
        request,
        app: &app(redirect_uri),
        username,
        password: known.filter(|_| !wrong).map_or("", |user| user.password),
        wrong,
        users: &USERS,
    };
    let status = if wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    render(status, &page, Some(redirect_uri))
}

/// The second step.
pub fn confirm(login: &Login, request: &str, redirect_uri: &Url, wrong: bool) -> Response {
    let page = ConfirmPage {
        request,
        app: &app(redirect_uri),
        user: login.user,
        code: SECOND_STEP_CODE,
        wrong,
    };
    let status = if wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    render(status, &page, Some(redirect_uri))
}

/// The question whether the app may have these scopes.
pub fn consent(
    login: &Login,
    scopes: &[&'static Scope],
    request: &str,
    redirect_uri: &Url,
) -> Response {
    let page = ConsentPage { request, app: &app(redirect_uri), user: login.user, scopes };
    render(StatusCode::OK, &page, Some(redirect_uri))
}

/// A request that cannot be answered.
pub fn error(status: StatusCode, message: &str) -> Response {
    let page = MessagePage { title: "That did not work", message, ask_logout: false };
    render(status, &page, None)
}

/// After a logout that no app waits for.
pub fn signed_out() -> Response {
    let message = "You are logged out of the demo provider.";
    render(StatusCode::OK, &MessagePage { title: "Logged out", message, ask_logout: false }, None)
}

/// Before a logout that nobody proved to want.
pub fn ask_logout() -> Response {
    let message = "Do you want to log out of the demo provider?";
    render(StatusCode::OK, &MessagePage { title: "Log out?", message, ask_logout: true }, None)
}

/// Any other path.
pub async fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "There is nothing here. Start at the app.")
}

/// The style of all pages.
pub async fn style() -> Response {
    let headers = [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
    (headers, include_str!("../assets/provider.css")).into_response()
}

/// The icon of all pages.
pub async fn icon() -> Response {
    let headers = [(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, "no-cache")];
    (headers, include_str!("../assets/provider.svg")).into_response()
}

/// 303 to that URL.
pub fn see_other(url: &str) -> Response {
    match HeaderValue::from_str(url) {
        Ok(location) => {
            let headers =
                [(LOCATION, location), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
            (StatusCode::SEE_OTHER, headers).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// How the app is called: by its host, as no other name can be trusted.
fn app(redirect_uri: &Url) -> String {
    redirect_uri.origin().ascii_serialization().trim_start_matches("http://").to_owned()
}

/// Browsers hold `form-action` against the redirects that follow a form too, so the app's origin
/// has to be named.
fn render(status: StatusCode, page: &impl Template, app: Option<&Url>) -> Response {
    let Ok(html) = page.render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let app = app.map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' {app}; \
         base-uri 'none'; frame-ancestors 'none'"
    );
    let Ok(policy) = HeaderValue::from_str(&policy) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [
        (CONTENT_SECURITY_POLICY, policy),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    ];
    (status, headers, Html(html)).into_response()
}
