//! Every field of a policy has a test in which it refuses, or withholds, what it should (T-9): a
//! field that is read by nothing would be the worst kind of permissive default.

mod authority_logins;
mod coverage;
mod elevated;

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Answer, Ask, DIALECTS, FETCH, NAVIGATION, TestApp};

const BASE: &str = r#"
origins: ["https://shop.example.com"]
providerRef: {name: corp}
client: {id: shop, secretRef: {name: shop-oidc, key: client-secret}}
"#;

type Headers = &'static [(&'static str, &'static str)];

/// A request, and the session it is made with.
#[derive(Clone, Copy)]
struct Req {
    /// Whether it is asked of the browser port; else of the check port, in both dialects.
    browser: bool,
    method: &'static str,
    host: &'static str,
    target: &'static str,
    headers: Headers,
    logged_in: bool,
    /// Seconds after the login.
    after: u64,
    acr: Option<&'static str>,
    /// What the session's elevated tokens were granted; empty: there are none.
    elevated: &'static [&'static str],
    /// Under which name the session's cookie is sent; `None`: its own.
    cookie: Option<&'static str>,
}

/// A check of a GET by a script of the app, with a session.
const fn get(target: &'static str) -> Req {
    Req {
        browser: false,
        method: "GET",
        host: "shop.example.com",
        target,
        headers: &FETCH,
        logged_in: true,
        after: 0,
        acr: None,
        elevated: &[],
        cookie: None,
    }
}

/// The same of one of our own endpoints.
const fn own(method: &'static str, target: &'static str) -> Req {
    Req { browser: true, method, ..get(target) }
}

impl Req {
    const fn headers(self, headers: Headers) -> Self {
        Self { headers, ..self }
    }

    const fn anonymous(self) -> Self {
        Self { logged_in: false, ..self }
    }

    const fn after(self, after: u64) -> Self {
        Self { after, ..self }
    }

    async fn ask(&self, spec: &str) -> Vec<Answer> {
        let app = TestApp::new(&[("shop", &format!("{BASE}{spec}"))]);
        let cookie = app.session("shop", |session| session.acr = self.acr.map(str::to_owned)).await;
        if !self.elevated.is_empty() {
            elevated::elevate(&app, &cookie, self.elevated, self.acr).await;
        }
        let cookie = match (self.cookie, cookie.split_once('=')) {
            (Some(name), Some((_, value))) => format!("{name}={value}"),
            _ => cookie,
        };
        app.clock.advance(self.after);
        let mut headers = self.headers.to_vec();
        if self.logged_in {
            headers.push(("cookie", &cookie));
        }
        if self.browser {
            return vec![app.browse(self.method, self.host, self.target, &headers).await];
        }
        let ask = Ask::get(self.target).method(self.method).host(self.host).with(&headers);
        let mut answers = Vec::new();
        for dialect in DIALECTS {
            answers.push(ask.ask(&app, dialect).await);
        }
        answers
    }
}

/// What of an answer counts.
enum Seen {
    Status(u16),
    /// A response header; the check allows.
    Header(&'static str, &'static str),
    /// A claim of the identity JWT.
    Jwt(&'static str, Value),
    /// A member of the JSON body, by pointer.
    Json(&'static str, Value),
    /// Whether the answer sends the browser to the login (Traefik's alone can).
    Login(bool),
}

impl Seen {
    fn check(&self, answers: &[Answer], what: &str) {
        if let Self::Login(expected) = self {
            let found = answers.iter().any(|answer| answer.header("location").is_some());
            assert!(answers.iter().all(|answer| answer.status != StatusCode::OK), "{what}");
            assert_eq!(found, *expected, "{what}");
            return;
        }
        for answer in answers {
            match self {
                Self::Status(status) => assert_eq!(answer.status.as_u16(), *status, "{what}"),
                Self::Header(name, value) => {
                    assert_eq!(answer.status, StatusCode::OK, "{what}");
                    assert_eq!(answer.header(name), Some(*value), "{what}");
                }
                Self::Jwt(claim, value) => {
                    let token = answer.header("authorization").unwrap();
                    let token = token.strip_prefix("Bearer ").unwrap();
                    let claims = jsonwebtoken::dangerous::insecure_decode::<Value>(token);
                    assert_eq!(&claims.unwrap().claims[*claim], value, "{what}");
                }
                Self::Json(pointer, value) => {
                    assert_eq!(
                        answer.json().pointer(pointer).unwrap_or(&Value::Null),
                        value,
                        "{what}"
                    );
                }
                Self::Login(_) => unreachable!("handled above"),
            }
        }
    }
}

/// A field, a policy that sets it, a request that it refuses or withholds something from, and a
/// request that it does not: without that one the refusal might have another cause.
struct Row {
    field: &'static str,
    spec: &'static str,
    refused: (Req, Seen),
    allowed: (Req, Seen),
}

const POST: Req = Req { method: "POST", ..get("/") };
const PARTNER: Headers =
    &[("origin", "https://partner.example.com"), ("x-bff", "1"), ("sec-fetch-mode", "cors")];
const STRANGER: Headers =
    &[("origin", "https://stranger.example.com"), ("x-bff", "1"), ("sec-fetch-mode", "cors")];
const FORGED: Headers =
    &[("x-user", "admin"), ("authorization", "Bearer forged"), ("sec-fetch-mode", "navigate")];

const FRONT_CHANNEL: &str = "/bff/frontchannel-logout?iss=https%3A%2F%2Fid.example.com&sid=s";

#[expect(clippy::too_many_lines, reason = "one row per field")]
fn rows() -> Vec<Row> {
    use Seen::{Header, Json, Jwt, Login, Status};
    let bye = json!("https://shop.example.com/bye");
    let row = |field, spec, refused, allowed| Row { field, spec, refused, allowed };
    vec![
        row(
            "spec.basePath",
            "basePath: /auth",
            (get("/auth/login"), Status(403)),
            (get("/bff/login"), Status(200)),
        ),
        row(
            "spec.basePath",
            "basePath: /auth",
            (own("GET", "/bff/session"), Status(404)),
            (own("GET", "/auth/session"), Status(200)),
        ),
        row(
            "spec.cors.allowedOrigins",
            "cors: {allowedOrigins: ['https://partner.example.com']}",
            (get("/").headers(STRANGER), Status(403)),
            (get("/").headers(PARTNER), Status(200)),
        ),
        row(
            "spec.csrf.header",
            "csrf: {header: X-Shop}",
            (POST.headers(&[("x-bff", "1")]), Status(403)),
            (POST.headers(&[("x-shop", "1")]), Status(200)),
        ),
        row(
            "spec.logout.returnTo",
            "logout: {returnTo: /bye}",
            (own("POST", "/bff/logout?rd=/evil&return_to=/evil"), Json("/location", bye.clone())),
            (own("POST", "/bff/logout"), Json("/location", bye)),
        ),
        row(
            "spec.logout.backChannel",
            "logout: {backChannel: false}",
            (own("POST", "/bff/backchannel-logout"), Status(404)),
            (own("POST", "/bff/logout"), Status(200)),
        ),
        row(
            "spec.logout.frontChannel",
            "logout: {frontChannel: false}",
            (own("GET", FRONT_CHANNEL), Status(404)),
            (own("GET", "/bff/signed-out"), Status(200)),
        ),
        row(
            "spec.origins",
            "",
            (Req { host: "www.example.com", ..get("/") }, Status(403)),
            (get("/"), Status(200)),
        ),
        row(
            "spec.origins",
            "",
            (Req { host: "www.example.com", ..own("GET", "/bff/session") }, Status(421)),
            (own("GET", "/bff/session"), Status(200)),
        ),
        row(
            "spec.paths.admit[].prefix",
            "paths: {admit: [{prefix: /files, encodings: [EncodedSlash]}]}",
            (get("/other/a%2Fb"), Status(403)),
            (get("/files/a%2Fb"), Status(200)),
        ),
        row(
            "spec.paths.admit[].encodings",
            "paths: {admit: [{prefix: /files, encodings: [EncodedSlash]}]}",
            (get("/files/a;b"), Status(403)),
            (get("/files/a%2Fb"), Status(200)),
        ),
        row(
            "spec.routes[].access",
            "routes: [{path: /a, access: Deny}]",
            (get("/a"), Status(403)),
            (get("/b"), Status(200)),
        ),
        row(
            "spec.routes[].access",
            "routes: [{path: /a, access: Session}, {path: /b, access: Public}]",
            (get("/a").anonymous(), Status(401)),
            (get("/b").anonymous(), Status(200)),
        ),
        row(
            "spec.routes[].access",
            "routes: [{path: /a, access: Public}, {path: /b, access: Optional, upstream: {headers: [{name: X-User, value: claims.sub}]}}]",
            (get("/a"), Header("x-user", "")),
            (get("/b"), Header("x-user", "u-1")),
        ),
        row(
            "spec.routes[].methods",
            "routes: [{path: /a, methods: [GET], access: Public}]",
            (Req { target: "/a", ..POST }.anonymous(), Status(401)),
            (get("/a").anonymous(), Status(200)),
        ),
        row(
            "spec.routes[].path",
            "routes: [{path: /a, access: Public}]",
            (get("/ab").anonymous(), Status(401)),
            (get("/a/b").anonymous(), Status(200)),
        ),
        row(
            "spec.routes[].pathType",
            "routes: [{path: /a, pathType: Exact, access: Public}]",
            (get("/a/b").anonymous(), Status(401)),
            (get("/a").anonymous(), Status(200)),
        ),
        row(
            "spec.routes[].require.acr",
            "routes: [{path: /a, require: {acr: gold}}]",
            (Req { acr: Some("silver"), ..get("/a") }, Status(401)),
            (Req { acr: Some("gold"), ..get("/a") }, Status(200)),
        ),
        row(
            "spec.routes[].require.maxAge",
            "routes: [{path: /a, require: {maxAge: 1m}}]",
            (get("/a").after(61), Status(401)),
            (get("/a").after(60), Status(200)),
        ),
        row(
            "spec.routes[].require.expression",
            "routes: [{path: /a, require: {expression: '\"admins\" in claims.groups'}}, {path: /b, require: {expression: '\"staff\" in claims.groups'}}]",
            (get("/a"), Status(403)),
            (get("/b"), Status(200)),
        ),
        row(
            "spec.routes[].unauthenticated",
            "routes: [{path: /a, unauthenticated: Unauthorized}]",
            (get("/a").headers(&NAVIGATION).anonymous(), Login(false)),
            (get("/b").headers(&NAVIGATION).anonymous(), Login(true)),
        ),
        row(
            "spec.routes[].upstream.audience",
            "routes: [{path: /a, upstream: {authorization: IdentityJwt, audience: orders}}, {path: /b, upstream: {authorization: IdentityJwt}}]",
            (get("/a"), Jwt("aud", json!("orders"))),
            (get("/b"), Jwt("aud", json!("shop"))),
        ),
        row(
            "spec.routes[].upstream.authorization",
            "routes: [{path: /a, upstream: {authorization: None}}, {path: /b, upstream: {authorization: AccessToken}}]",
            (get("/a").headers(FORGED), Header("authorization", "")),
            (get("/b").headers(FORGED), Header("authorization", "Bearer canary-access-token")),
        ),
        row(
            "spec.routes[].upstream.headers[].name",
            "routes: [{path: /a, upstream: {headers: [{name: X-User, value: claims.sub}]}}]",
            (get("/b").headers(FORGED), Header("x-user", "")),
            (get("/a").headers(FORGED), Header("x-user", "u-1")),
        ),
        row(
            "spec.routes[].upstream.headers[].value",
            "routes: [{path: /a, upstream: {headers: [{name: X-User, value: claims.absent}]}}, {path: /b, upstream: {headers: [{name: X-User, value: claims.name}]}}]",
            (get("/a").headers(FORGED), Header("x-user", "")),
            (get("/b").headers(FORGED), Header("x-user", "Ada")),
        ),
        row(
            "spec.session.absoluteTimeout",
            "session: {idleTimeout: 10m, absoluteTimeout: 10m}",
            (get("/").after(600), Status(401)),
            (get("/").after(599), Status(200)),
        ),
        row(
            "spec.session.claims",
            "session: {claims: [sub]}",
            (own("GET", "/bff/session"), Json("/claims/name", Value::Null)),
            (own("GET", "/bff/session"), Json("/claims/sub", json!("u-1"))),
        ),
        row(
            "spec.session.cookie.name",
            "session: {cookie: {name: __Host-shop}}",
            (Req { cookie: Some("__Host-bff"), ..get("/") }, Status(401)),
            (get("/"), Status(200)),
        ),
        row(
            "spec.session.idleTimeout",
            "session: {idleTimeout: 5m}",
            (get("/").after(300), Status(401)),
            (get("/").after(299), Status(200)),
        ),
    ]
}

#[tokio::test]
async fn t009_every_field_refuses_what_it_should() {
    for row in rows().into_iter().chain(elevated::rows()) {
        let what = format!("{}: {}", row.field, row.spec);
        let (request, seen) = &row.refused;
        seen.check(&request.ask(row.spec).await, &format!("{what}: refused"));
        let (request, seen) = &row.allowed;
        seen.check(&request.ask(row.spec).await, &format!("{what}: allowed"));
    }
}
