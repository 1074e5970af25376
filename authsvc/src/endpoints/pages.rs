//! The HTML pages: plain, accessible, and complete without a script.
//!
//! Why it exists: a person in the middle of a login or a logout sees these, and nothing else of us.
//! It must not decide anything, must not run scripts or load anything, and must escape every value
//! (askama does, for `.html` templates; `style` is the one constant that is not).

use std::sync::LazyLock;

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderName, StatusCode};

/// The style sheet, inlined in every page. The policy of each page names its hash.
const STYLE: &str = include_str!("../../templates/page.css");

static STYLE_HASH: LazyLock<String> =
    LazyLock::new(|| STANDARD.encode(digest(&SHA256, STYLE.as_bytes())));

#[derive(Template)]
#[template(path = "login_error.html")]
struct LoginError<'a> {
    style: &'static str,
    title: &'a str,
    message: &'a str,
    start_again: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "go_on.html")]
struct GoOn<'a> {
    style: &'static str,
    url: &'a str,
}

#[derive(Template)]
#[template(path = "signed_out.html")]
struct SignedOut<'a> {
    style: &'static str,
    home: &'a str,
}

#[derive(Template)]
#[template(path = "confirm_logout.html")]
struct ConfirmLogout<'a> {
    style: &'static str,
    action: &'a str,
    user: Option<&'a str>,
    back: &'a str,
}

/// A page that says what went wrong; `start_again` is the URL of a link that tries once more.
#[must_use]
pub fn login_error(
    status: StatusCode,
    title: &str,
    message: &str,
    start_again: Option<&str>,
) -> Response {
    let page = LoginError { style: STYLE, title, message, start_again };
    respond(status, &page, &Policy::default())
}

/// A page that goes on to `url` by itself. It stands where a redirect would come too early: the
/// browser sends a `SameSite=Strict` cookie only on a navigation that began on our own site.
#[must_use]
pub fn go_on(url: &str) -> Response {
    respond(StatusCode::OK, &GoOn { style: STYLE, url }, &Policy::default())
}

/// The page after a logout; `home` is a path on the app's origin.
#[must_use]
pub fn signed_out(home: &str) -> Response {
    respond(StatusCode::OK, &SignedOut { style: STYLE, home }, &Policy::default())
}

/// A page that asks before it logs out, by a form that posts to `action`. `back` is where "stay
/// logged in" leads. `insecure_provider`: the provider is reached by `http`.
#[must_use]
pub fn confirm_logout(
    action: &str,
    user: Option<&str>,
    back: &str,
    insecure_provider: bool,
) -> Response {
    // Some browsers apply `form-action` to the redirects that follow a post too. Those lead to the
    // provider and wherever it sends the browser next (another provider it brokers), so no list of
    // hosts is complete; the scheme is as narrow as it gets.
    let form_action = if insecure_provider { "'self' https: http:" } else { "'self' https:" };
    // Under `no-referrer` a form posts `Origin: null`, and a browser without Fetch Metadata would
    // fail the forgery check on our own page.
    let policy = Policy { form_action, referrer: "same-origin" };
    respond(StatusCode::OK, &ConfirmLogout { style: STYLE, action, user, back }, &policy)
}

/// What differs between the pages' response headers.
struct Policy {
    form_action: &'static str,
    referrer: &'static str,
}

impl Default for Policy {
    fn default() -> Self {
        Self { form_action: "'none'", referrer: "no-referrer" }
    }
}

fn respond(status: StatusCode, page: &impl Template, policy: &Policy) -> Response {
    let Ok(html) = page.render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let security = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action {}; base-uri 'none'; \
         frame-ancestors 'none'",
        *STYLE_HASH, policy.form_action
    );
    let headers: [(HeaderName, &str); 6] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, &security),
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, policy.referrer),
    ];
    (status, headers, html).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn html(response: Response) -> String {
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    fn every_page(text: &str) -> Vec<Response> {
        vec![
            login_error(StatusCode::BAD_REQUEST, text, text, Some(text)),
            go_on(text),
            signed_out(text),
            confirm_logout(text, Some(text), text, false),
        ]
    }

    #[tokio::test]
    async fn t023_every_value_on_a_page_is_escaped() {
        let attack = r#"'"></title></style><script>alert(1)</script><img src=x onerror=alert(1)>"#;
        for page in every_page(attack) {
            let html = html(page).await;
            assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
            assert!(!html.contains(r#"'">"#), "an attribute can be left: {html}");
            assert_eq!(html.matches("</style>").count(), 1, "{html}");
        }
    }

    #[tokio::test]
    async fn every_page_is_complete_without_a_script_and_has_one_heading() {
        for page in every_page("/somewhere") {
            let html = html(page).await;
            assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"), "{html}");
            assert_eq!(html.matches("<h1>").count(), 1, "{html}");
            assert_eq!(html.matches("<main>").count(), 1, "{html}");
            assert_eq!(html.matches("<title>").count(), 1, "{html}");
            assert!(!html.contains("<script") && !html.contains(" style="), "{html}");
            assert!(!html.contains("http://") && !html.contains("https://"), "{html}");
        }
    }

    #[tokio::test]
    async fn every_page_forbids_framing_caching_sniffing_and_all_but_its_own_style() {
        for page in every_page("/somewhere") {
            let header = |name| page.headers().get(&name).unwrap().to_str().unwrap().to_owned();
            let policy = header(CONTENT_SECURITY_POLICY);
            assert_eq!(header(CACHE_CONTROL), "no-store");
            assert_eq!(header(X_FRAME_OPTIONS), "DENY");
            assert_eq!(header(X_CONTENT_TYPE_OPTIONS), "nosniff");
            assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
            assert!(policy.ends_with("; base-uri 'none'; frame-ancestors 'none'"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");

            // The hash in the policy is that of what stands between the tags.
            let html = html(page).await;
            let style = html.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
            let hash = STANDARD.encode(digest(&SHA256, style.as_bytes()));
            assert!(policy.contains(&format!("'sha256-{hash}'")), "{policy}");
        }
    }

    #[test]
    fn the_logout_form_may_lead_to_the_provider() {
        let policy = |insecure| {
            let page = confirm_logout("/bff/logout", None, "/", insecure);
            page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned()
        };
        assert!(policy(false).contains("form-action 'self' https:;"));
        assert!(policy(true).contains("form-action 'self' https: http:;"));
        let page = signed_out("/");
        let elsewhere = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(elsewhere.contains("form-action 'none';"));
    }

    #[test]
    fn the_logout_form_posts_with_its_origin() {
        let page = confirm_logout("/bff/logout", None, "/", false);
        assert_eq!(page.headers()[REFERRER_POLICY], "same-origin");
        assert_eq!(signed_out("/").headers()[REFERRER_POLICY], "no-referrer");
    }
}
