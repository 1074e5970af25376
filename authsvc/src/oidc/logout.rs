//! Where the browser goes to end its session at the provider (OpenID Connect RP-initiated logout 1.0).
//!
//! Why it exists: a logout that ends only our session logs the user in again at the next click. It
//! must not decide whether our session ends: that has happened before, whatever is found here.

use url::Url;

use super::Provider;
use crate::token::Token;

/// What is sent along to the provider (section 2).
pub struct LogoutRequest<'a> {
    /// Our client identifier.
    pub client_id: &'a str,
    /// The session's ID token.
    pub id_token: &'a Token,
    /// Where the provider sends the browser back to; it must be registered there.
    pub return_to: &'a str,
    /// Comes back with the browser, where whoever is at `return_to` checks it.
    pub state: Option<&'a Token>,
}

/// The provider's logout URL for a session that began there; `None` where the provider has no such
/// endpoint or cannot be asked.
pub async fn logout_url(provider: &Provider, request: &LogoutRequest<'_>) -> Option<String> {
    let metadata = provider.metadata().await.ok()?;
    build(metadata.end_session_endpoint.as_deref()?, request)
}

/// Adds the parameters to what the endpoint's own query has.
fn build(endpoint: &str, request: &LogoutRequest<'_>) -> Option<String> {
    let mut url = Url::parse(endpoint).ok()?;
    url.set_fragment(None);
    url.query_pairs_mut()
        .append_pair("id_token_hint", request.id_token.expose())
        .append_pair("client_id", request.client_id)
        .append_pair("post_logout_redirect_uri", request.return_to);
    if let Some(state) = request.state {
        url.query_pairs_mut().append_pair("state", state.expose());
    }
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
    fn r51_the_parameters_join_what_the_endpoint_has() {
        let (token, state) = (Token::new("a.b.c"), Token::new("s&t"));
        let with = |endpoint, state| {
            let return_to = "https://shop.example.com/bye?a=b";
            let request =
                LogoutRequest { client_id: "shop & co", id_token: &token, return_to, state };
            build(endpoint, &request)
        };
        let to = |endpoint| with(endpoint, None);
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
        assert_eq!(
            with("https://id.example.com/logout", Some(&state)),
            Some(format!("https://id.example.com/logout?{query}&state=s%26t"))
        );
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
        let id_token = Token::new("a.b.c");
        let return_to = "https://shop.example.com/bye";
        let request =
            LogoutRequest { client_id: "shop", id_token: &id_token, return_to, state: None };
        logout_url(&provider, &request).await
    }

    #[tokio::test]
    async fn r51_a_provider_with_an_endpoint_ends_its_session_too() {
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
