//! Browsers that visit the app, and what they see.

use std::collections::{BTreeMap, HashMap};

use axum::Router;
use axum::body::{Body, to_bytes};
use http::header::{COOKIE, HOST, LOCATION, SET_COOKIE};
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use url::Url;

use super::{Area, FETCH, NAVIGATION};
use crate::site::ORIGIN;

/// An answer, read whole.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        self.headers[LOCATION].to_str().unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}", self.body))
    }

    /// The last part of the problem's type.
    pub fn problem(&self) -> String {
        self.json()["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }

    pub fn is_page(&self) -> bool {
        !self.headers.contains_key(LOCATION) && self.body.contains("<html")
    }

    pub fn set_cookies(&self) -> Vec<&str> {
        self.headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect()
    }

    /// Which permissions are granted, and why the others are not.
    pub fn permissions(&self) -> Vec<(String, Option<String>)> {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        let json = self.json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let one = |permission: &Value| {
            let reason = permission.get("reason").map(text);
            assert_eq!(permission["granted"], json!(reason.is_none()));
            (text(&permission["name"]), reason)
        };
        json["permissions"].as_array().unwrap().iter().map(one).collect()
    }
}

/// The browser is at the provider.
pub struct Sent {
    pub parameters: HashMap<String, String>,
}

impl Sent {
    pub fn of(area: &Area, answer: &Answer) -> Self {
        let url = Url::parse(answer.location()).unwrap();
        assert!(url.as_str().starts_with(&format!("{}/authorize?", area.idp.issuer)), "{url}");
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        let parameters: HashMap<String, String> = pairs.iter().cloned().collect();
        assert_eq!(parameters.len(), pairs.len(), "every parameter once: {url}");
        Self { parameters }
    }

    pub fn one(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    pub fn is_silent(&self) -> bool {
        self.one("prompt") == Some("none")
    }

    pub fn state(&self) -> &str {
        &self.parameters["state"]
    }
}

/// A browser with its cookies, each of a path.
#[derive(Clone, Default)]
pub struct Browser {
    pub jar: BTreeMap<(String, String), String>,
}

impl Browser {
    pub async fn ask(
        &mut self,
        area: &Area,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request =
            Request::builder().method(method).uri(target).header(HOST, "shop.example.com");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(cookies) = self.cookies(target) {
            request = request.header(COOKIE, cookies);
        }
        let answer = area.send(&area.browser, request.body(Body::empty()).unwrap()).await;
        for cookie in answer.set_cookies() {
            self.keep(cookie);
        }
        answer
    }

    pub async fn fetch(&mut self, area: &Area, target: &str) -> Answer {
        self.ask(area, "GET", target, &FETCH).await
    }

    pub async fn navigate(&mut self, area: &Area, target: &str) -> Answer {
        self.ask(area, "GET", target, &NAVIGATION).await
    }

    /// Follows a URL of the app.
    pub async fn follow(&mut self, area: &Area, url: &str) -> Answer {
        let target = url.strip_prefix(ORIGIN).unwrap_or_else(|| panic!("{url} is elsewhere"));
        self.navigate(area, target).await
    }

    /// Goes to the provider for an elevated token.
    pub async fn leave(&mut self, area: &Area, target: &str) -> Sent {
        let answer = self.navigate(area, target).await;
        Sent::of(area, &answer)
    }

    /// Comes back with a code, or an error.
    pub async fn come_back(&mut self, area: &Area, sent: &Sent, outcome: &str) -> Answer {
        let target = format!("/bff/callback?{outcome}&state={}", sent.state());
        let from_the_provider = [NAVIGATION[0], NAVIGATION[1], ("sec-fetch-site", "cross-site")];
        self.ask(area, "GET", &target, &from_the_provider).await
    }

    /// A check of nginx for this browser.
    pub async fn check(&self, area: &Area, target: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get("/check/nginx/default/shop")
            .header(HOST, "authsvc")
            .header("x-original-url", format!("https://shop.example.com{target}"))
            .header("x-original-method", "GET");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(cookies) = self.cookies(target) {
            request = request.header(COOKIE, cookies);
        }
        // The token goes upstream in an allow, so this is not looked through.
        read(area.check.clone(), request.body(Body::empty()).unwrap()).await
    }

    /// What a browser sends along for a path (RFC 6265, section 5.1.4).
    pub fn cookies(&self, target: &str) -> Option<String> {
        let path = target.split('?').next().unwrap();
        let fits = |of: &str| {
            of == "/"
                || path
                    .strip_prefix(of)
                    .is_some_and(|rest| matches!(rest.chars().next(), None | Some('/')))
        };
        let sent = self.jar.iter().filter(|((_, of), _)| fits(of));
        let pairs: Vec<_> = sent.map(|((name, _), value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    fn keep(&mut self, cookie: &str) {
        assert!(
            cookie.contains("; Secure; HttpOnly") || cookie.contains("; HttpOnly; Secure"),
            "{cookie}"
        );
        assert!(cookie.contains("SameSite="), "{cookie}");
        let (name, rest) = cookie.split_once('=').unwrap();
        let mut parts = rest.split(';').map(str::trim);
        let value = parts.next().unwrap().to_owned();
        let path = parts.find_map(|part| part.strip_prefix("Path=")).unwrap().to_owned();
        assert!(name.starts_with("__Secure-bff-") || path == "/", "{cookie}");
        let key = (name.to_owned(), path);
        if cookie.contains("Max-Age=0") {
            self.jar.remove(&key);
        } else {
            self.jar.insert(key, value);
        }
    }

    pub fn names(&self) -> Vec<&str> {
        self.jar.keys().map(|(name, _)| name.as_str()).collect()
    }
}

pub async fn read(router: Router, request: Request<Body>) -> Answer {
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    Answer { status: parts.status, headers: parts.headers, body }
}
