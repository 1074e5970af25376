//! The fields of Route Authorities and of permissions, as far as checks and an authority's endpoint show
//! them without a provider and a decision point.

use serde_json::{Value, json};
use vestibule_authsvc::session::{Grant, SecretId, Session};
use vestibule_authsvc::token::Token;

use super::Seen::{Header, Json, Status};
use super::{Req, Row, Seen, get, own};
use crate::support::TestApp;

/// What every elevated token here is.
const ELEVATED: &str = "Bearer canary-elevated-token";

/// Keeps an elevated token for each authority beside a session, that these scopes were granted to.
pub async fn elevate(app: &TestApp, cookie: &str, granted: &[&str], acr: Option<&str>) {
    let policy = app.policy("shop");
    let id = cookie.split_once('=').and_then(|(_, value)| SecretId::parse(value)).unwrap();
    let session = app.app.sessions.load(&policy, &id).await.unwrap().unwrap();
    for authority in policy.authorities() {
        let asked = authority.compiled.scopes.iter().map(|scope| scope.name.clone()).collect();
        let granted = granted.iter().map(|scope| (*scope).to_owned()).collect();
        let elevated = Session {
            access_token: Token::new("canary-elevated-token"),
            acr: acr.map(str::to_owned),
            grant: Some(Box::new(Grant { asked, granted })),
            ..(*session.session).clone()
        };
        let kept = app.app.sessions.elevate(&policy, authority, &session, elevated).await.unwrap();
        assert!(kept.is_some(), "the session lives");
    }
}

const READ: &[&str] = &["read"];

const fn elevated(request: Req) -> Req {
    Req { elevated: READ, ..request }
}

const fn asked(target: &'static str) -> Req {
    elevated(own("GET", target))
}

pub fn rows() -> Vec<Row> {
    let row = |field, spec, refused, allowed| Row { field, spec, refused, allowed };
    let granted = |pointer, granted: bool| Json(pointer, Value::Bool(granted));
    let no: fn(&'static str) -> Seen = |pointer| Json(pointer, Value::Null);
    vec![
        row(
            "spec.authorities[].base",
            "authorities: [{base: /api, scopes: [{name: read}]}]",
            (get("/api/lines"), Status(401)),
            (get("/apis"), Status(200)),
        ),
        row(
            "spec.authorities[].base",
            "authorities: [{base: /api, scopes: [{name: read}]}]\nroutes: [{path: /, upstream: {authorization: AccessToken}}]",
            (elevated(get("/apis")), Header("authorization", "Bearer canary-access-token")),
            (elevated(get("/api/lines")), Header("authorization", ELEVATED)),
        ),
        row(
            "spec.authorities[].scopes[].name",
            "authorities: [{base: /api, scopes: [{name: read}]}]",
            (asked("/api/authorize?scope=write"), Status(400)),
            (asked("/api/authorize?scope=read"), Status(200)),
        ),
        row(
            "spec.authorities[].scopes[].description",
            "authorities: [{base: /api, scopes: [{name: read, description: See the lines}, {name: write}]}]",
            (asked("/api/authorize"), no("/permissions/1/description")),
            (asked("/api/authorize"), Json("/permissions/0/description", json!("See the lines"))),
        ),
        row(
            "spec.authorities[].acr",
            "authorities: [{base: /api, scopes: [{name: read}], acr: gold}]",
            (Req { acr: Some("silver"), ..elevated(get("/api/lines")) }, Status(401)),
            (Req { acr: Some("gold"), ..elevated(get("/api/lines")) }, Status(200)),
        ),
        row(
            "spec.authorities[].maxAge",
            "authorities: [{base: /api, scopes: [{name: read}], maxAge: 1m}]",
            (elevated(get("/api/lines")).after(61), Status(401)),
            (elevated(get("/api/lines")).after(60), Status(200)),
        ),
        row(
            "spec.authorities[].storage",
            "authorities: [{base: /api, scopes: [{name: read}], storage: Cookie}, {base: /api/lines, scopes: [{name: read}]}]",
            // What is in the store is then nothing.
            (elevated(get("/api/plants")), Status(401)),
            (elevated(get("/api/lines")), Status(200)),
        ),
        row(
            "spec.authorities[].permissions[].name",
            "authorities: [{base: /api, scopes: [{name: read}], permissions: [{name: view, scopes: [read]}]}]",
            (asked("/api/authorize"), no("/permissions/1")),
            (asked("/api/authorize"), Json("/permissions/0/name", json!("view"))),
        ),
        row(
            "spec.authorities[].permissions[].description",
            "authorities: [{base: /api, scopes: [{name: read}], permissions: [{name: view, scopes: [read]}, {name: see, description: See all, scopes: [read]}]}]",
            (asked("/api/authorize"), no("/permissions/0/description")),
            (asked("/api/authorize"), Json("/permissions/1/description", json!("See all"))),
        ),
        row(
            "spec.authorities[].permissions[].scopes",
            "authorities: [{base: /api, scopes: [{name: read}, {name: write}], permissions: [{name: view, scopes: [read]}, {name: change, scopes: [read, write]}]}]",
            (asked("/api/authorize"), granted("/permissions/1/granted", false)),
            (asked("/api/authorize"), granted("/permissions/0/granted", true)),
        ),
        row(
            "spec.authorities[].permissions[].check.expression",
            "authorities: [{base: /api, scopes: [{name: read}], permissions: [{name: staff, check: {expression: '\"staff\" in claims.groups'}}, {name: admin, check: {expression: '\"admins\" in claims.groups'}}]}]",
            (asked("/api/authorize"), granted("/permissions/1/granted", false)),
            (asked("/api/authorize"), granted("/permissions/0/granted", true)),
        ),
        row(
            "spec.routes[].require.scopes",
            "authorities: [{base: /api, scopes: [{name: read}, {name: write}]}]\nroutes: [{path: /api/a, require: {scopes: [write]}}, {path: /api/b, require: {scopes: [read]}}]",
            (elevated(get("/api/a")), Status(401)),
            (elevated(get("/api/b")), Status(200)),
        ),
        row(
            "spec.routes[].require.permission.expression",
            "routes: [{path: /a, require: {permission: {expression: '\"admins\" in claims.groups'}}}, {path: /b, require: {permission: {expression: '\"staff\" in claims.groups'}}}]",
            (get("/a"), Status(403)),
            (get("/b"), Status(200)),
        ),
        row(
            "spec.routes[].require.permission.expression",
            "authorities: [{base: /api, scopes: [{name: read}]}]\nroutes: [{path: /api/a, require: {permission: {expression: '\"admins\" in claims.groups'}}}, {path: /api/b, require: {permission: {expression: '\"staff\" in claims.groups'}}}]",
            (elevated(get("/api/a")), Status(403)),
            (elevated(get("/api/b")), Status(200)),
        ),
    ]
}
