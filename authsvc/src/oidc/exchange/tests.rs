//! What is asked of the token endpoint in an exchange, and what of its answer is taken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use url::form_urlencoded;
use vestibule_policy::model::{CompiledProvider, Credential};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::clock::ManualClock;
use crate::oidc::Providers;
use crate::random::SeededRandom;

const NOW: Timestamp = Timestamp(1_800_000_000);

struct Exchange {
    server: MockServer,
    provider: Arc<Provider>,
    client: CompiledClient,
    subject_token: Token,
}

impl Exchange {
    async fn answering(answer: ResponseTemplate) -> Self {
        let server = MockServer::start().await;
        let issuer = server.uri();
        let metadata = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/auth"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
        });
        Mock::given(path("/.well-known/openid-configuration"))
            .respond_with(ResponseTemplate::new(200).set_body_json(metadata))
            .mount(&server)
            .await;
        Mock::given(method("POST")).and(path("/token")).respond_with(answer).mount(&server).await;
        let config = CompiledProvider {
            issuer,
            ca_bundle: None,
            request_timeout: Duration::from_secs(5),
            allow_insecure: true,
        };
        let clock = Arc::new(ManualClock::new(NOW));
        let providers = Providers::new(clock, Arc::new(SeededRandom::default()));
        let credential =
            Credential::Secret { method: None, value: SecretString::from("client-secret") };
        Self {
            provider: providers.get(&config).unwrap(),
            client: CompiledClient { id: "shop".to_owned(), credential },
            subject_token: Token::new("token-of-the-caller"),
            server,
        }
    }

    async fn run(&self, scopes: &[&str], resources: &[&str]) -> Result<Exchanged, OidcError> {
        let owned = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let (scopes, resources) = (owned(scopes), owned(resources));
        let request = ExchangeRequest {
            subject_token: &self.subject_token,
            scopes: &scopes,
            audience: Some("production-api"),
            resources: &resources,
        };
        self.provider.exchange(&self.client, &request).await
    }

    async fn with(body: Value) -> Result<Exchanged, OidcError> {
        let answer = ResponseTemplate::new(200).set_body_json(body);
        Self::answering(answer).await.run(&["prod:read"], &[]).await
    }
}

fn good() -> Value {
    json!({
        "access_token": "elevated", "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer",
        "expires_in": 60, "scope": "prod:read",
    })
}

#[tokio::test]
async fn r45_an_exchange_asks_for_an_access_token_with_the_scopes_and_names_its_client() {
    let exchange = Exchange::answering(ResponseTemplate::new(200).set_body_json(good())).await;
    let resources = ["https://a.example.com", "https://b.example.com"];
    let exchanged = exchange.run(&["prod:read", "prod:write"], &resources).await.unwrap();
    assert_eq!(exchanged.access_token.expose(), "elevated");
    assert_eq!(exchanged.expires_at, Some(NOW.plus(60)));
    assert_eq!(exchanged.refresh_token, None);
    assert_eq!(exchanged.scopes, Some(vec!["prod:read".to_owned()]));

    let requests = exchange.server.received_requests().await.unwrap();
    let request = requests.iter().find(|request| request.url.path() == "/token").unwrap();
    let authorization = request.headers["authorization"].to_str().unwrap();
    assert!(authorization.starts_with("Basic "), "the client authenticates");
    let mut form: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(&request.body) {
        form.entry(name.into_owned()).or_default().push(value.into_owned());
    }
    let expected: BTreeMap<String, Vec<String>> = [
        ("grant_type", vec![GRANT]),
        ("subject_token", vec!["token-of-the-caller"]),
        ("subject_token_type", vec![ACCESS_TOKEN]),
        ("requested_token_type", vec![ACCESS_TOKEN]),
        ("scope", vec!["prod:read prod:write"]),
        ("audience", vec!["production-api"]),
        ("resource", resources.to_vec()),
        ("client_id", vec!["shop"]),
    ]
    .into_iter()
    .map(|(name, values)| (name.to_owned(), values.into_iter().map(ToOwned::to_owned).collect()))
    .collect();
    assert_eq!(form, expected, "and nothing else: no actor");
}

#[tokio::test]
async fn r45_what_is_issued_must_be_an_access_token_and_a_bearer() {
    for kind in [ACCESS_TOKEN, JWT] {
        let mut body = good();
        body["issued_token_type"] = json!(kind);
        assert!(Exchange::with(body).await.is_ok(), "{kind}");
    }
    for (name, value) in [
        ("issued_token_type", json!(null)),
        ("issued_token_type", json!("")),
        ("issued_token_type", json!("access_token")),
        ("issued_token_type", json!("urn:ietf:params:oauth:token-type:id_token")),
        ("issued_token_type", json!("urn:ietf:params:oauth:token-type:refresh_token")),
        ("issued_token_type", json!("urn:ietf:params:oauth:token-type:saml2")),
        ("issued_token_type", json!(ACCESS_TOKEN.to_uppercase())),
        ("issued_token_type", json!([ACCESS_TOKEN])),
        ("token_type", json!("N_A")),
        ("token_type", json!("DPoP")),
        ("token_type", json!(null)),
        ("access_token", json!("")),
        ("access_token", json!("a b")),
        ("access_token", json!("a\r\nb")),
        ("access_token", json!("x".repeat(64 * 1024 + 1))),
        ("access_token", json!(null)),
        ("scope", json!(7)),
        ("scope", json!("a\tb")),
        ("scope", json!(["a b"])),
    ] {
        let mut body = good();
        body[name] = value.clone();
        let result = Exchange::with(body).await;
        assert!(matches!(result, Err(OidcError::Unusable(_))), "{name} {value}: {result:?}");
    }
    let mut missing = good();
    missing.as_object_mut().unwrap().remove("issued_token_type");
    assert!(matches!(Exchange::with(missing).await, Err(OidcError::Unusable(_))));
}

#[tokio::test]
async fn r45_scopes_and_end_that_the_provider_does_not_say_are_not_made_up() {
    let mut body = good();
    body.as_object_mut().unwrap().remove("scope");
    body.as_object_mut().unwrap().remove("expires_in");
    body["refresh_token"] = json!("renews");
    let exchanged = Exchange::with(body).await.unwrap();
    assert_eq!((exchanged.scopes, exchanged.expires_at), (None, None));
    assert_eq!(exchanged.refresh_token, Some(Token::new("renews")));
}

#[tokio::test]
async fn r45_a_token_that_names_an_actor_is_not_looked_into() {
    let mut body = good();
    // A JWT of nobody, as far as we are concerned.
    body["access_token"] = json!("e30.eyJhY3QiOnsic3ViIjoiYWRtaW4ifX0.x");
    assert!(Exchange::with(body).await.is_ok());
}

#[tokio::test]
async fn r45_a_refusal_is_told_by_its_code_and_never_by_the_providers_words() {
    for (status, body, refusal) in [
        (400, json!({"error": "invalid_grant"}), "invalid_grant"),
        (400, json!({"error": "invalid_target"}), "invalid_target"),
        (400, json!({"error": "invalid_scope"}), "invalid_scope"),
        (400, json!({"error": "unsupported_grant_type"}), "unsupported_grant_type"),
        (401, json!({"error": "invalid_client"}), "invalid_client"),
        (403, json!({"error": "access_denied"}), "access_denied"),
        (400, json!({"error": "<script>", "error_description": "x"}), "an unknown error"),
        (400, json!([]), "an unknown error"),
    ] {
        let answer = ResponseTemplate::new(status).set_body_json(&body);
        let result = Exchange::answering(answer).await.run(&["prod:read"], &[]).await;
        assert_eq!(result, Err(OidcError::Refused(refusal)), "{body}");
    }
}

#[tokio::test]
async fn r45_a_provider_that_fails_refuses_nobody() {
    let down = Exchange::answering(ResponseTemplate::new(503)).await;
    let result = down.run(&["prod:read"], &[]).await;
    assert!(matches!(result, Err(OidcError::Unavailable(_))), "{result:?}");
    for body in ["", "{", "null", "[]", "<html>"] {
        let answer = ResponseTemplate::new(200).set_body_raw(body, "application/json");
        let result = Exchange::answering(answer).await.run(&["prod:read"], &[]).await;
        assert!(matches!(result, Err(OidcError::Unusable(_))), "{body}: {result:?}");
    }
}
