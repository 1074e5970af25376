//! `UserInfo` (OpenID Connect Core 1.0, section 5.3): claims that complete the ID token's.

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, StatusCode};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use vestibule_policy::model::CompiledClient;

use super::id_token::Header;
use super::keys::Keys;
use super::metadata::Metadata;
use super::{OidcError, Provider};
use crate::session::Claims;
use crate::token::Token;

impl Provider {
    /// The claims of the user that an access token stands for; `subject` must be that user.
    pub(super) async fn user_info(
        &self,
        metadata: &Metadata,
        client: &CompiledClient,
        access_token: &Token,
        subject: &str,
    ) -> Result<Claims, OidcError> {
        let Some(endpoint) = metadata.userinfo_endpoint.as_deref() else {
            return Err(OidcError::Unusable(
                "login.userInfo is set, and the provider has no userinfo_endpoint".to_owned(),
            ));
        };
        let unusable = || OidcError::Unusable("UserInfo cannot be requested".to_owned());
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", access_token.expose()))
            .map_err(|_| unusable())?;
        bearer.set_sensitive(true);
        let request = Request::get(endpoint)
            .header(ACCEPT, "application/json, application/jwt")
            .header(AUTHORIZATION, bearer)
            .body(Vec::new())
            .map_err(|_| unusable())?;
        let response = self.call("userinfo endpoint", request).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(OidcError::UserInfo("it is not for this access token"));
            }
            status => {
                let status = status.as_u16();
                return Err(OidcError::Unusable(format!("UserInfo answered {status}")));
            }
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
        let claims: Claims = if essence.eq_ignore_ascii_case("application/jwt") {
            self.signed_claims(response.body(), metadata, client).await?
        } else {
            serde_json::from_slice(response.body())
                .map_err(|_| OidcError::Unusable("UserInfo is no JSON object".to_owned()))?
        };
        // Section 5.3.2: otherwise it is somebody else's, by mistake or by substitution.
        if claims.get("sub").and_then(|sub| sub.as_str()) == Some(subject) {
            Ok(claims)
        } else {
            Err(OidcError::UserInfo("its sub is not the ID token's"))
        }
    }

    async fn signed_claims(
        &self,
        body: &[u8],
        metadata: &Metadata,
        client: &CompiledClient,
    ) -> Result<Claims, OidcError> {
        let token = std::str::from_utf8(body).map_err(|_| OidcError::UserInfo("it is no JWT"))?;
        let token = token.trim();
        let header = Header::read(token, metadata.id_token_signing_alg_values_supported.as_deref())
            .map_err(|_| OidcError::UserInfo("its header is not acceptable"))?;
        let keys = self.keys(metadata).await?;
        let checked = |keys: &Keys| verified_claims(token, &header, keys, metadata, client);
        if let Some(claims) = checked(&keys) {
            return Ok(claims);
        }
        let keys = self.newer_keys(metadata, &keys).await?;
        checked(&keys).ok_or(OidcError::UserInfo("its signature, issuer or audience is not valid"))
    }
}

fn verified_claims(
    token: &str,
    header: &Header,
    keys: &Keys,
    metadata: &Metadata,
    client: &CompiledClient,
) -> Option<Claims> {
    let jwk = keys.one(header.kid.as_deref(), header.algorithm)?;
    let jwk: Jwk = serde_json::from_value(jwk).ok()?;
    let algorithm: Algorithm = header.algorithm.parse().ok()?;
    let mut validation = Validation::new(algorithm);
    // A statement about now has no lifetime of its own, and the library's clock is not ours.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.set_required_spec_claims(&["iss", "aud"]);
    validation.set_issuer(&[&metadata.issuer]);
    validation.set_audience(&[&client.id]);
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    jsonwebtoken::decode::<Claims>(token, &key, &validation).ok().map(|data| data.claims)
}
