//! The endpoints that `FusionAuth`'s SDKs ask, as these SDKs ask them, behind the real router. No answer of
//! any of these tests may hold a token: each is looked through.

mod forgery;
mod journey;
mod redirects;
mod refresh;

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::Value;
use url::Url;
use vestibule_policy::model::{CompiledHostedBackend, CompiledPolicy, HostedBackendFlavor};

use crate::idp::ACCESS_TOKEN;
use crate::logout::{Answer, Apps, FETCH};

/// A navigation that a page of the app began, as the SDKs do.
pub const NAVIGATION: [(&str, &str); 3] = [
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-site", "same-origin"),
];
/// What the SDK asks for a login at the shop's own page.
pub const LOGIN: &str = "/app/login/?client_id=shop&redirect_uri=https%3A%2F%2Fshop.example.com%2Fhome%3Fx%3D1\
    &scope=openid+offline_access+admin&idp_hint=corp&state=the+state%26x%3D1";
/// And for a logout.
pub const LOGOUT: &str =
    "/app/logout/?client_id=shop&post_logout_redirect_uri=https%3A%2F%2Fshop.example.com";
pub const REFRESH: &str = "/app/refresh/?client_id=shop";
/// What removes the cookie that says when the session ends.
pub const NO_END: &str = "app.at_exp=; Path=/; Secure; SameSite=Lax; Max-Age=0";

/// Lets a policy serve the SDKs.
pub fn serve(policy: &mut CompiledPolicy) {
    let (flavor, path) = (HostedBackendFlavor::FusionAuth, "/app".to_owned());
    policy.hosted_backend = Some(CompiledHostedBackend { flavor, path });
}

pub async fn apps() -> Apps {
    Apps::with(serve).await
}

/// A browser at the shop, with its cookies.
#[derive(Clone, Default)]
pub struct Browser {
    pub jar: BTreeMap<String, String>,
}

impl Browser {
    /// One with a session of `alice`.
    pub async fn logged_in(apps: &Apps) -> Self {
        let cookie = apps.session("shop", |_| {}).await;
        let (name, value) = cookie.split_once('=').unwrap();
        Self { jar: [(name.to_owned(), value.to_owned())].into() }
    }

    pub async fn ask(
        &mut self,
        apps: &Apps,
        (method, target): (&str, &str),
        headers: &[(&str, &str)],
    ) -> Answer {
        let cookies: Vec<_> =
            self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut headers = headers.to_vec();
        if !cookies.is_empty() {
            headers.push(("cookie", &cookies));
        }
        let answer = apps.ask("shop", (method, target), &headers, "").await;
        for cookie in answer.set_cookies() {
            self.keep(cookie);
        }
        shows_no_token(apps, &answer);
        answer
    }

    pub async fn navigate(&mut self, apps: &Apps, target: &str) -> Answer {
        self.ask(apps, ("GET", target), &NAVIGATION).await
    }

    pub async fn fetch(&mut self, apps: &Apps, target: &str) -> Answer {
        self.ask(apps, ("GET", target), &FETCH).await
    }

    /// As the SDK's `refreshToken`.
    pub async fn refresh(&mut self, apps: &Apps) -> Answer {
        let headers = [&FETCH[..], &[("content-type", "text/plain")]].concat();
        self.ask(apps, ("POST", REFRESH), &headers).await
    }

    /// When the session ends, as the SDK reads it.
    pub fn end(&self) -> Option<u64> {
        self.jar.get("app.at_exp").map(|end| end.parse().unwrap())
    }

    pub async fn is_logged_in(&self, apps: &Apps) -> bool {
        match self.jar.get("__Host-bff") {
            Some(id) => apps.is_alive("shop", &format!("__Host-bff={id}")).await,
            None => false,
        }
    }

    fn keep(&mut self, cookie: &str) {
        let (name, rest) = cookie.split_once('=').unwrap();
        let mut parts = rest.split("; ");
        let value = parts.next().unwrap();
        let attributes: Vec<_> = parts.collect();
        assert!(attributes.contains(&"Path=/") && attributes.contains(&"Secure"), "{cookie}");
        let readable = name == "app.at_exp";
        assert_eq!(attributes.contains(&"HttpOnly"), !readable, "{cookie}");
        assert!(readable || name.starts_with("__Host-bff"), "no cookie of FusionAuth's: {cookie}");
        assert!(!readable || value.bytes().all(|byte| byte.is_ascii_digit()), "{cookie}");
        if attributes.contains(&"Max-Age=0") {
            self.jar.remove(name);
        } else {
            self.jar.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// The ID token goes to the provider's own logout, as its hint; nothing else is anywhere.
fn shows_no_token(apps: &Apps, answer: &Answer) {
    let end = format!("{}/end?", apps.idp.issuer);
    let shown = answer.headers.iter().filter_map(|(_, value)| value.to_str().ok());
    let shown = shown.filter(|value| !value.starts_with(&end)).chain([answer.body.as_str()]);
    for text in shown {
        for token in [ACCESS_TOKEN, "refresh-token", "eyJ"] {
            assert!(!text.contains(token), "{token} in {text}");
        }
    }
}

/// The browser is at the provider: what it is asked.
pub fn sent(apps: &Apps, answer: &Answer) -> BTreeMap<String, String> {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let url = Url::parse(answer.header("location").unwrap()).unwrap();
    assert!(url.as_str().starts_with(&format!("{}/authorize?", apps.idp.issuer)), "{url}");
    url.query_pairs().into_owned().collect()
}

/// The last part of a problem's type.
pub fn problem(answer: &Answer) -> String {
    let problem: Value = answer.json();
    problem["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
}
