//! `GET /.well-known/oauth-protected-resource{base}`: how an authority describes itself (RFC 9728).
//!
//! Why it exists: machines and agents that know nothing but an API's address find the authorization
//! server by it. It must not say anything that depends on who asks, and nothing that is not for
//! everybody.

use axum::response::{IntoResponse as _, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;
use vestibule_policy::model::{CompiledBearer, OwnTokens};
use vestibule_policy::origin::Origin;

use crate::policies::{LiveAuthority, LivePolicy};
use crate::problem::Problem;

/// Agents ask before each of their first calls, from anywhere, and the answer is the same for all of
/// them; an edit of the policy is to be seen within minutes.
const CACHE: &str = "public, max-age=300";

/// The whole answer. `resource_name` and what else the RFC offers are not known here.
#[derive(Serialize)]
struct Metadata<'a> {
    resource: String,
    authorization_servers: [&'a str; 1],
    scopes_supported: Vec<&'a str>,
    bearer_methods_supported: [&'static str; 1],
}

impl<'a> Metadata<'a> {
    fn of(
        policy: &'a LivePolicy,
        origin: &Origin,
        authority: &'a LiveAuthority,
        bearer: &'a CompiledBearer,
    ) -> Self {
        let mut scopes = vec![bearer.mediation_scope.as_str()];
        if bearer.own_tokens == OwnTokens::Pass {
            // Elsewhere a token that has them counts no more than one that has not.
            let listed = authority.compiled.scopes.iter().map(|scope| scope.name.as_str());
            scopes.extend(listed.filter(|scope| *scope != bearer.mediation_scope));
        }
        Self {
            // Section 3.3: exactly what a client inserted the well-known path into.
            resource: format!("{origin}{}", authority.compiled.base),
            authorization_servers: [&policy.compiled.provider.issuer],
            scopes_supported: scopes,
            bearer_methods_supported: ["header"],
        }
    }
}

/// Answers a request for an authority's metadata, with its own rules for scripts: any page may read
/// it, none with cookies. What `cors` grants to some origins has no place here.
#[must_use]
pub fn answer(
    method: &Method,
    policy: &LivePolicy,
    origin: &Origin,
    authority: &LiveAuthority,
) -> Response {
    let Some(bearer) = &policy.compiled.bearer else { return Problem::not_found().into_response() };
    let mut response = match *method {
        Method::GET | Method::HEAD => metadata(&Metadata::of(policy, origin, authority, bearer)),
        Method::OPTIONS => preflight(),
        _ => (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD, OPTIONS")]).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn metadata(metadata: &Metadata<'_>) -> Response {
    let Ok(body) = serde_json::to_string(metadata) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, CACHE),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, body).into_response()
}

/// MCP clients in browsers send a header of their own, so that they ask first.
fn preflight() -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "*"),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use vestibule_policy::model::{
        CompiledAuthority, CompiledPolicy, CompiledScope, Obtain, TokenStorage,
    };

    use super::*;
    use crate::clock::SystemClock;
    use crate::oidc::Providers;
    use crate::policies::tests::compiled;
    use crate::random::SeededRandom;
    use crate::session::keyring::Keyring;

    const BASE: &str = "/api/production";

    fn policy(change: impl FnOnce(&mut CompiledPolicy)) -> LivePolicy {
        let scope = |name: &str| CompiledScope { name: name.to_owned(), description: None };
        let mut policy = compiled("shop", &["https://shop.example.com", "http://localhost:8000"]);
        policy.authorities = vec![CompiledAuthority {
            base: BASE.to_owned(),
            scopes: vec![scope("prod:read"), scope("prod:write")],
            added_scopes: Vec::new(),
            obtain: Obtain::AuthorizationCode,
            audience: None,
            resources: Vec::new(),
            acr: None,
            max_age: None,
            storage: TokenStorage::Session,
            client: None,
            permissions: Vec::new(),
        }];
        policy.bearer = Some(Box::new(CompiledBearer {
            audiences: vec!["shop-api".to_owned()],
            token_types: vec!["at+jwt".to_owned()],
            mediation_scope: "endpoint:mediate".to_owned(),
            own_tokens: OwnTokens::Pass,
        }));
        change(&mut policy);
        let random = Arc::new(SeededRandom::default());
        let keyring = Keyring::ephemeral(&*random);
        let providers = Providers::new(Arc::new(SystemClock), random);
        let provider = providers.get(&policy.provider).unwrap();
        LivePolicy::new(policy, &keyring, provider).unwrap()
    }

    fn ask(policy: &LivePolicy, method: &Method, origin: usize) -> Response {
        let authority = policy.authority(BASE).unwrap();
        answer(method, policy, &policy.compiled.origins[origin], authority)
    }

    async fn body(response: Response) -> Value {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn an_authority_describes_itself_to_anybody() {
        let policy = policy(|_| {});
        let response = ask(&policy, &Method::GET, 0);
        assert_eq!(response.status(), StatusCode::OK);
        for (name, value) in [
            ("content-type", "application/json"),
            ("cache-control", "public, max-age=300"),
            ("access-control-allow-origin", "*"),
        ] {
            assert_eq!(response.headers()[name], value);
        }
        assert!(!response.headers().contains_key("access-control-allow-credentials"));
        assert_eq!(
            body(response).await,
            json!({
                "resource": "https://shop.example.com/api/production",
                "authorization_servers": ["https://id.example.com"],
                "scopes_supported": ["endpoint:mediate", "prod:read", "prod:write"],
                "bearer_methods_supported": ["header"],
            })
        );
        // Each origin has its own resource: a client compares it with what it asked.
        let there = body(ask(&policy, &Method::GET, 1)).await;
        assert_eq!(there["resource"], "http://localhost:8000/api/production");
    }

    #[tokio::test]
    async fn scopes_that_a_token_may_not_bring_itself_are_not_asked_for() {
        let refusing =
            policy(|policy| policy.bearer.as_mut().unwrap().own_tokens = OwnTokens::Refuse);
        let answer = body(ask(&refusing, &Method::GET, 0)).await;
        assert_eq!(answer["scopes_supported"], json!(["endpoint:mediate"]));
        let same = policy(|policy| {
            policy.bearer.as_mut().unwrap().mediation_scope = "prod:read".to_owned();
        });
        let answer = body(ask(&same, &Method::GET, 0)).await;
        assert_eq!(answer["scopes_supported"], json!(["prod:read", "prod:write"]));
    }

    #[test]
    fn a_policy_that_takes_no_tokens_describes_nothing() {
        let closed = policy(|policy| policy.bearer = None);
        for method in [Method::GET, Method::OPTIONS] {
            let response = ask(&closed, &method, 0);
            assert_eq!(response.status(), StatusCode::NOT_FOUND);
            assert!(!response.headers().contains_key("access-control-allow-origin"));
        }
    }

    #[test]
    fn a_preflight_is_answered_without_credentials_and_other_methods_are_refused() {
        let policy = policy(|_| {});
        let response = ask(&policy, &Method::OPTIONS, 0);
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(response.headers()["access-control-allow-headers"], "*");
        assert_eq!(response.headers()["access-control-allow-methods"], "GET");
        assert!(!response.headers().contains_key("access-control-allow-credentials"));
        let response = ask(&policy, &Method::POST, 0);
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()["allow"], "GET, HEAD, OPTIONS");
    }
}
