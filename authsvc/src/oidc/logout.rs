//! Where the browser goes to end its session at the provider (OpenID Connect RP-initiated logout 1.0).
//!
//! Why it exists: a logout that ends only our session logs the user in again at the next click. It
//! must not decide whether our session ends: that has happened before, whatever is found here.

use url::Url;

use super::Provider;
use crate::token::Token;

/// The provider's logout URL for a session that began there; `None` where the provider has no such
/// endpoint or cannot be asked.
pub async fn logout_url(
    provider: &Provider,
    client_id: &str,
    id_token: &Token,
    post_logout_redirect_uri: &str,
) -> Option<String> {
    let metadata = provider.metadata().await.ok()?;
    let endpoint = metadata.end_session_endpoint.as_deref()?;
    build(endpoint, client_id, id_token, post_logout_redirect_uri)
}

/// Adds the parameters (section 2) to what the endpoint's own query has.
fn build(endpoint: &str, client_id: &str, id_token: &Token, return_to: &str) -> Option<String> {
    let mut url = Url::parse(endpoint).ok()?;
    url.set_fragment(None);
    url.query_pairs_mut()
        .append_pair("id_token_hint", id_token.expose())
        .append_pair("client_id", client_id)
        .append_pair("post_logout_redirect_uri", return_to);
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::{Value, json};
    use vestibule_policy::model::CompiledProvider;
    use wiremock::matchers::path;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::clock::SystemClock;
    use crate::oidc::Providers;
    use crate::random::SeededRandom;

    #[test]
    fn the_parameters_join_what_the_endpoint_has() {
        let token = Token::new("a.b.c");
        let to =
            |endpoint| build(endpoint, "shop & co", &token, "https://shop.example.com/bye?a=b");
        let query = "id_token_hint=a.b.c&client_id=shop+%26+co&\
                     post_logout_redirect_uri=https%3A%2F%2Fshop.example.com%2Fbye%3Fa%3Db";
        assert_eq!(
            to("https://id.example.com/logout"),
            Some(format!("https://id.example.com/logout?{query}"))
        );
        assert_eq!(
            to("https://id.example.com/logout?tenant=1#top"),
            Some(format!("https://id.example.com/logout?tenant=1&{query}"))
        );
        assert_eq!(to("/logout"), None);
    }

    /// The logout URL at a provider whose discovery document has `extra`; `None`: it answers 500.
    async fn at_a_provider(extra: Option<Value>) -> Option<String> {
        let server = MockServer::start().await;
        let issuer = server.uri();
        let answer = match extra {
            None => ResponseTemplate::new(500),
            Some(extra) => {
                let mut document = json!({
                    "issuer": issuer,
                    "authorization_endpoint": format!("{issuer}/auth"),
                    "token_endpoint": format!("{issuer}/token"),
                    "jwks_uri": format!("{issuer}/jwks"),
                });
                document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
                ResponseTemplate::new(200).set_body_json(document)
            }
        };
        Mock::given(path("/.well-known/openid-configuration"))
            .respond_with(answer)
            .mount(&server)
            .await;
        let config = CompiledProvider {
            issuer,
            ca_bundle: None,
            request_timeout: Duration::from_secs(5),
            allow_insecure: true,
        };
        let providers = Providers::new(Arc::new(SystemClock), Arc::new(SeededRandom::default()));
        let provider = providers.get(&config).unwrap();
        logout_url(&provider, "shop", &Token::new("a.b.c"), "https://shop.example.com/bye").await
    }

    #[tokio::test]
    async fn a_provider_with_an_endpoint_ends_its_session_too() {
        let url = at_a_provider(Some(json!({"end_session_endpoint": "http://127.0.0.1:9/out"})));
        let url = url.await.unwrap();
        assert!(url.starts_with("http://127.0.0.1:9/out?id_token_hint=a.b.c&"), "{url}");
    }

    #[tokio::test]
    async fn a_provider_without_one_or_that_is_down_is_left_alone() {
        assert_eq!(at_a_provider(Some(json!({}))).await, None);
        assert_eq!(at_a_provider(None).await, None);
    }
}
