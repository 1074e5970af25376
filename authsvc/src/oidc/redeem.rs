//! Redeeming a code (OpenID Connect Core 1.0, section 3.1.3): what the user's tokens say, verified.

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use vestibule_policy::model::{CompiledClient, CompiledLogin};

use super::id_token::{self, Expected, MAX_TOKEN, Refusal, Verified};
use super::metadata::Metadata;
use super::{OidcError, Provider, client_auth, error_code};
use crate::clock::Timestamp;
use crate::session::{Claims, LoginTransaction};
use crate::token::Token;

/// Who logged in, all of it verified.
#[derive(Debug)]
pub struct Identity {
    /// `sub`.
    pub subject: String,
    /// `iss`.
    pub issuer: String,
    /// `sid`.
    pub provider_session: Option<String>,
    /// The ID token.
    pub id_token: Token,
    /// Its `exp`.
    pub id_token_expires_at: Timestamp,
    /// The access token.
    pub access_token: Token,
    /// When it ends, if the provider said so.
    pub access_token_expires_at: Option<Timestamp>,
    /// Gets new tokens, where the provider gave one.
    pub refresh_token: Option<Token>,
    /// The ID token's claims, completed by `UserInfo` where the policy asks for it.
    pub claims: Claims,
    /// `acr`.
    pub acr: Option<String>,
    /// `auth_time`; the epoch where the provider does not say.
    pub auth_time: Timestamp,
}

#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
    token_type: String,
    #[serde(default)]
    id_token: Option<String>,
    #[serde(default)]
    refresh_token: Option<String>,
    #[serde(default)]
    expires_in: Option<Value>,
}

impl Provider {
    /// Redeems a code of a login transaction.
    ///
    /// # Errors
    /// Where the provider cannot be reached or refuses the code, and where any check of its answer
    /// fails.
    pub async fn redeem(
        &self,
        client: &CompiledClient,
        login: &CompiledLogin,
        transaction: &LoginTransaction,
        code: &str,
    ) -> Result<Identity, OidcError> {
        let metadata = self.metadata().await?;
        let response = self.request_tokens(client, login, transaction, code, &metadata).await?;
        if !response.token_type.eq_ignore_ascii_case("Bearer") {
            return Err(OidcError::Unusable("token_type is not Bearer".to_owned()));
        }
        let access_token = Token::new(header_safe(response.access_token)?);
        let id_token = response.id_token.ok_or_else(|| {
            OidcError::Token("there is none in the token response; is openid a scope?".to_owned())
        })?;

        let now = self.now();
        let expected = Expected {
            issuer: self.issuer(),
            client_id: &client.id,
            nonce: transaction.nonce.expose(),
            acr_values: &transaction.acr_values,
            max_age: transaction.max_age,
            access_token: &access_token,
            algorithms: metadata.id_token_signing_alg_values_supported.as_deref(),
            now,
        };
        let verified = self.verify(&id_token, &metadata, &expected).await?;
        let mut claims = verified.claims;
        if login.user_info {
            let more = self.user_info(&metadata, client, &access_token, &verified.subject).await?;
            for (name, value) in more {
                // The ID token is the stronger statement (Core, section 5.3.2).
                claims.entry(name).or_insert(value);
            }
        }
        Ok(Identity {
            subject: verified.subject,
            issuer: self.issuer().to_owned(),
            provider_session: verified.session,
            id_token: Token::new(id_token),
            id_token_expires_at: verified.expires_at,
            access_token,
            access_token_expires_at: response
                .expires_in
                .as_ref()
                .and_then(seconds)
                .map(|lifetime| now.plus(lifetime)),
            refresh_token: response.refresh_token.filter(|text| !text.is_empty()).map(Token::new),
            claims,
            acr: verified.acr,
            // Unknown counts as too old for every limit: the step-up login then insists on it.
            auth_time: verified.auth_time.unwrap_or_default(),
        })
    }

    async fn request_tokens(
        &self,
        client: &CompiledClient,
        login: &CompiledLogin,
        transaction: &LoginTransaction,
        code: &str,
        metadata: &Metadata,
    ) -> Result<TokenResponse, OidcError> {
        let mut form = vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", transaction.redirect_uri.clone()),
            ("code_verifier", transaction.code_verifier.expose().to_owned()),
        ];
        form.extend(login.resources.iter().map(|resource| ("resource", resource.clone())));
        let (now, random) = (self.now(), self.random());
        let request =
            client_auth::post(&metadata.token_endpoint, &form, client, metadata, now, random)?;
        let response = self.call("token endpoint", request).await?;
        if response.status() != StatusCode::OK {
            return Err(OidcError::Refused(error_code(response.body())));
        }
        serde_json::from_slice(response.body())
            .map_err(|_| OidcError::Unusable("the token response is not usable".to_owned()))
    }

    /// Verifies with the keys at hand, and once more with fresh ones if the key is not among them.
    async fn verify(
        &self,
        id_token: &str,
        metadata: &Metadata,
        expected: &Expected<'_>,
    ) -> Result<Verified, OidcError> {
        let keys = self.keys(metadata).await?;
        match id_token::verify(id_token, &keys, expected) {
            Ok(verified) => return Ok(verified),
            Err(Refusal::Error(error)) => return Err(error),
            Err(Refusal::UnknownKey) => {}
        }
        let keys = self.newer_keys(metadata, &keys).await?;
        id_token::verify(id_token, &keys, expected).map_err(|refusal| match refusal {
            Refusal::Error(error) => error,
            Refusal::UnknownKey => {
                OidcError::Token("it is signed by none of the provider's keys".to_owned())
            }
        })
    }
}

/// A token goes into a header as it is: anything else than visible ASCII would not stay one value.
fn header_safe(token: String) -> Result<String, OidcError> {
    let safe = !token.is_empty()
        && token.len() <= MAX_TOKEN
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    if safe {
        Ok(token)
    } else {
        Err(OidcError::Unusable("the access token cannot be sent in a header".to_owned()))
    }
}

/// A lifetime; some providers write it as a string. What is no number is as if not said.
fn seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
