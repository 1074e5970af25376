//! The app of these tests: its authorities, and what reached it and the browser.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use vestibule_e2e::browser::Browser;
use vestibule_e2e::echo::{Echo, Echoed as _};
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::http::Response;
use vestibule_e2e::keycloak::Keycloak;
use vestibule_e2e::stack::{Plan, Stack};

/// The seconds that Keycloak's tokens for `/warehouse` live (`mediation.json`).
pub(crate) const LIFESPAN: u64 = 6;

/// The `aud` of bearer tokens that oidc-provider gives.
pub(crate) const AUDIENCE: &str = "https://shop.example.test/mediation";

const ROUTES: &str = r#"
    - {path: /public, access: Public}
    - {path: /production, require: {scopes: ["production:read"]}}
    - {path: /production/orders, require: {scopes: ["production:write"]}}
    - {path: /warehouse, require: {scopes: ["warehouse:read"]}}
    - {path: /vault, require: {scopes: ["vault:open"]}}
    - {path: /exchange, require: {scopes: ["exchange:read"]}}
    - path: /
      upstream:
        authorization: AccessToken
        headers: [{name: X-User, value: claims.sub}, {name: X-Groups, value: claims.groups}]
"#;

/// Where the tokens of `/production` and of `/warehouse` are kept.
pub(crate) type Storages = [&'static str; 2];

/// An app whose users are Keycloak's. What it is told it keeps to itself.
pub(crate) fn with_keycloak(kind: Kind, storages: Storages) -> Plan {
    let client = "{id: shop-short, secretRef: {name: shop-oidc, key: client-secret}}";
    // Without PAR the tests see what is asked for; with it, that it works.
    let par = if kind.is_traefik() { "Never" } else { "Required" };
    let authorities = authorities(storages, client, "vestibule", "");
    Plan {
        issuer: Some(Keycloak::shared().issuer.clone()),
        provider: "  accessTokenTypes: [JWT]\n  addedScopes: [openid, profile, email]".to_owned(),
        spec: format!("  login: {{par: {par}}}\n{authorities}"),
        ..plan(kind)
    }
}

/// An app whose users are those of oidc-provider, which gives refresh tokens that rotate.
pub(crate) fn with_oidc_provider(kind: Kind, storages: Storages) -> Plan {
    let client = "{id: shop-post, authMethod: ClientSecretPost, \
                  secretRef: {name: shop-oidc, key: client-secret}}";
    let resources = "\n      resources: [\"https://api.example.test\"]";
    Plan { spec: authorities(storages, client, AUDIENCE, resources), ..plan(kind) }
}

fn plan(kind: Kind) -> Plan {
    Plan {
        bases: vec!["production", "warehouse", "vault", "exchange"],
        routes: ROUTES.to_owned(),
        discreet: Some(Vec::new()),
        ..Plan::new(kind)
    }
}

/// `client` is that of `/warehouse`, `more` is said of every authority.
fn authorities(storages: Storages, client: &str, audience: &str, more: &str) -> String {
    let [production, warehouse] = storages;
    format!(
        r#"  bearer: {{audiences: ["{audience}"]}}
  authorities:
    - base: /production
      scopes: [{{name: "production:read", description: See orders}}, {{name: "production:write"}}]
      storage: {production}{more}
    - base: /warehouse
      scopes: [{{name: "warehouse:read"}}]
      storage: {warehouse}
      client: {client}{more}
    - base: /vault
      scopes: [{{name: "vault:open"}}]
      acr: gold{more}
    - base: /exchange
      scopes: [{{name: "exchange:read"}}]
      obtain: TokenExchange{more}"#
    )
}

/// The bearer tokens that reached the app at this path, oldest first.
pub(crate) fn tokens_at(app: &Echo, path: &str) -> Vec<String> {
    let seen = app.seen();
    let there = seen.iter().filter(|seen| seen["target"] == path);
    there
        .flat_map(|seen| seen.values("authorization"))
        .map(|value| value.strip_prefix("Bearer ").expect("a bearer token").to_owned())
        .collect()
}

/// The newest of them.
pub(crate) fn token_at(app: &Echo, path: &str) -> String {
    tokens_at(app, path).pop().unwrap_or_else(|| panic!("no token reached {path}"))
}

/// What a JWT says.
pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap_or_else(|| panic!("not a JWT: {token}"));
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// The scopes of a token that are an API's.
pub(crate) fn api_scopes(token: &str) -> BTreeSet<String> {
    let claims = claims(token);
    let scopes = claims["scope"].as_str().unwrap_or_default().split(' ');
    scopes.filter(|scope| scope.contains(':')).map(str::to_owned).collect()
}

/// The same, as a set to compare with.
pub(crate) fn scopes<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// Whether an answer says that a navigation would help.
pub(crate) fn is_advised(answer: &Response) -> bool {
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    answer.status == 401 && challenge.contains("error_description=\"Mediation Advised\"")
}

/// The navigation that obtains a scope of a base, and returns to `/page/back`.
pub(crate) fn authorize(stack: &Stack, base: &str, scope: &str) -> String {
    stack.url(&format!("{base}/authorize?scope={scope}&redirectUri=%2Fpage%2Fback"))
}

/// Obtains it where the provider needs no page.
pub(crate) fn elevate(browser: &mut Browser, stack: &Stack, base: &str, scope: &str) {
    let page = browser.open(&authorize(stack, base, scope));
    assert_eq!(page.url.as_str(), stack.url("/page/back"), "{page}\n{}", stack.authsvc.log());
}

/// Fails if an answer or a cookie of the journey shows a token of the provider: one that the app got, one
/// of `known`, or anything that looks like a JWT.
///
/// The answer to a logout names the provider's logout page, with the ID token as its `id_token_hint`.
pub(crate) fn assert_no_token_is_shown(stack: &Stack, found: &Value, known: &[String]) {
    let mut tokens = known.to_vec();
    for seen in stack.app.seen() {
        let values = seen.values("authorization");
        // Empty where a rule forwards none.
        let bearers = values.iter().filter_map(|value| value.strip_prefix("Bearer "));
        tokens.extend(bearers.map(str::to_owned));
    }
    let answers = found["answers"].as_array().expect("a list of answers");
    assert!(answers.len() > 10, "{} answers are no journey", answers.len());
    let read = answers.iter().filter(|answer| answer["body"] != "").count();
    assert!(read > 5, "{read} bodies are no journey");
    for answer in answers {
        let text = answer.to_string();
        let shown = tokens.iter().find(|token| text.contains(token.as_str()));
        assert_eq!(shown, None, "shown by {answer}");
        let logout = answer["url"].as_str().is_some_and(|url| url.ends_with("/bff/logout"));
        assert!(logout || jwt_in(&text).is_none(), "{:?} shown by {answer}", jwt_in(&text));
    }
    // The provider keeps what it likes in cookies of its own.
    let cookies = ["cookies", "cookiesBefore"].map(|key| found[key].as_array());
    let ours = |cookie: &&Value| cookie["domain"] == "localhost";
    for cookie in cookies.into_iter().flatten().flatten().filter(ours) {
        let value = cookie["value"].as_str().expect("a text");
        // Sealed: nothing is to be read, neither as it is nor decoded.
        let opened = URL_SAFE_NO_PAD.decode(value).unwrap_or_default();
        let opened = String::from_utf8_lossy(&opened).into_owned();
        for text in [value, &opened] {
            assert_eq!(jwt_in(text), None, "{cookie}");
            assert!(!tokens.iter().any(|token| text.contains(token.as_str())), "{cookie}");
        }
    }
}

/// Something in a text that looks like a JWT.
fn jwt_in(text: &str) -> Option<&str> {
    let in_jwt = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.match_indices("eyJ").find_map(|(at, _)| {
        let rest = &text[at..];
        let found = &rest[..rest.find(|c| !in_jwt(c)).unwrap_or(rest.len())];
        (found.matches('.').count() >= 2).then_some(found)
    })
}

/// The cookies of bases among those of a browser.
pub(crate) fn base_cookies(cookies: &Value) -> Vec<&Value> {
    let of_a_base = |cookie: &&Value| {
        let name = cookie["name"].as_str().unwrap_or_default();
        name.starts_with("__Secure-bff-at-") || name.starts_with("__Secure-bff-rt-")
    };
    cookies.as_array().expect("a list of cookies").iter().filter(of_a_base).collect()
}

#[test]
fn what_looks_like_a_token_is_found() {
    let header = "eyJhbGciOiJSUzI1NiJ9";
    let token = format!("{header}.eyJzdWIiOiJhIn0.c2ln-_");
    assert_eq!(jwt_in(&format!("Location: /x#id_token={token}&state=1")), Some(token.as_str()));
    assert_eq!(jwt_in(&format!("{header} {header}.part")), None);
    assert_eq!(jwt_in("no token here"), None);
}
