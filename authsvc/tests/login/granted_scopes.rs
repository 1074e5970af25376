//! The scopes that a token response says were granted (RFC 6749, sections 5.1 and 6): they decide for
//! elevated tokens, and for nothing else.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tokio::time::Instant;
use vestibule_authsvc::clock::{ManualClock, Timestamp};
use vestibule_authsvc::oidc::{Identity, OidcError, Provider, RefreshError};
use vestibule_authsvc::session::{ElevationRequest, Grant, LoginTransaction};
use vestibule_authsvc::token::Token;

use crate::idp::{FakeIdp, Reply};
use crate::site::{START, client, login_spec, provider};
use crate::tokens::NONCE;

/// What is made of what a response says.
enum Made {
    /// It says nothing.
    Nothing,
    /// These scopes.
    Scopes(Vec<&'static str>),
    /// It is refused.
    Refusal,
}

fn cases() -> Vec<(Value, Made)> {
    vec![
        (json!(null), Made::Nothing),
        (json!("openid prod:read"), Made::Scopes(vec!["openid", "prod:read"])),
        (json!(["openid", "prod:read"]), Made::Scopes(vec!["openid", "prod:read"])),
        (json!(""), Made::Scopes(vec![])),
        (json!(7), Made::Refusal),
        (json!({"prod:read": true}), Made::Refusal),
        (json!("prod:read\nprod:write"), Made::Refusal),
        (json!("x".repeat(8 * 1024 + 1)), Made::Refusal),
    ]
}

struct Provided {
    idp: FakeIdp,
    provider: Arc<Provider>,
}

impl Provided {
    async fn new() -> Self {
        let idp = FakeIdp::start().await;
        let clock = Arc::new(ManualClock::new(Timestamp(START)));
        let provider = provider(&idp.issuer, &clock);
        Self { idp, provider }
    }

    fn response(&self, scope: &Value) -> Reply {
        let id_token = self.idp.id_token(NONCE, START, |_| {});
        let mut response = json!({
            "access_token": "a", "refresh_token": "r", "token_type": "Bearer", "expires_in": 300,
            "id_token": id_token,
        });
        if !scope.is_null() {
            response["scope"] = scope.clone();
        }
        Reply::json(&response)
    }

    async fn redeem(&self, scope: &Value, elevates: bool) -> Result<Identity, OidcError> {
        self.idp.code("c", self.response(scope));
        let transaction = LoginTransaction {
            state: Token::new("s"),
            nonce: Token::new(NONCE),
            code_verifier: Token::new("v"),
            issuer: self.idp.issuer.clone(),
            redirect_uri: "https://shop.example.com/bff/callback".to_owned(),
            return_to: "/".to_owned(),
            acr_values: Vec::new(),
            max_age: None,
            created_at: Timestamp(START),
            elevation: elevates.then(|| ElevationRequest {
                base: "/api/production".to_owned(),
                scopes: vec!["prod:read".to_owned()],
                silent: true,
                session: None,
            }),
        };
        self.provider.redeem(&client(), &login_spec(), &transaction, "c").await
    }

    async fn refresh(&self, scope: &Value, elevated: bool) -> Result<Identity, RefreshError> {
        let identity = self.redeem(&json!(null), false).await.unwrap();
        let mut session = identity.into_session(Some(Token::new(NONCE)), Timestamp(START));
        assert_eq!(session.grant, None);
        session.grant = elevated.then(|| {
            Box::new(Grant {
                asked: vec!["prod:read".to_owned()],
                granted: vec!["prod:read".to_owned()],
            })
        });
        let reply = self.response(scope);
        self.idp.on_refresh(Arc::new(move |_| {
            let reply = reply.clone();
            async move { reply }.boxed()
        }));
        let deadline = Instant::now() + Duration::from_secs(30);
        self.provider.refresh(&client(), &login_spec(), &session, deadline).await
    }
}

#[tokio::test]
async fn an_elevated_token_has_the_scopes_that_the_response_says() {
    let provided = Provided::new().await;
    for (scope, expected) in cases() {
        let redeemed = provided.redeem(&scope, true).await;
        let refreshed = provided.refresh(&scope, true).await;
        let scopes: Option<Vec<String>> = match expected {
            Made::Nothing => None,
            Made::Scopes(scopes) => Some(scopes.into_iter().map(ToOwned::to_owned).collect()),
            Made::Refusal => {
                assert!(matches!(redeemed, Err(OidcError::Unusable(_))), "{redeemed:?}");
                let unusable =
                    matches!(refreshed, Err(RefreshError::Failed(OidcError::Unusable(_))));
                assert!(unusable, "{refreshed:?}");
                continue;
            }
        };
        assert_eq!(redeemed.unwrap().scopes, scopes, "{scope}");
        assert_eq!(refreshed.unwrap().scopes, scopes, "{scope}");
    }
}

#[tokio::test]
async fn no_login_and_no_refresh_of_a_session_looks_at_scopes() {
    let provided = Provided::new().await;
    for (scope, _) in cases() {
        assert_eq!(provided.redeem(&scope, false).await.unwrap().scopes, None, "{scope}");
        assert_eq!(provided.refresh(&scope, false).await.unwrap().scopes, None, "{scope}");
    }
}
