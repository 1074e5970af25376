//! What a provider says about itself (OpenID Connect Discovery 1.0, RFC 8414).
//!
//! Only the fields that are used are read, so that a provider's mistakes elsewhere in its document
//! do not matter; those that are read are checked here, once.

use serde::Deserialize;

use crate::http_client::UrlRules;

/// A provider's metadata. Every endpoint has been checked.
#[derive(Clone, Debug, Deserialize)]
pub struct Metadata {
    /// Equal to the configured issuer, character by character.
    pub issuer: String,
    /// Where the browser is sent.
    pub authorization_endpoint: String,
    /// Where codes are redeemed.
    pub token_endpoint: String,
    /// Where the signing keys are.
    pub jwks_uri: String,
    /// `UserInfo`, if offered.
    #[serde(default)]
    pub userinfo_endpoint: Option<String>,
    /// RFC 9126, if offered.
    #[serde(default)]
    pub pushed_authorization_request_endpoint: Option<String>,
    /// RP-initiated logout, if offered.
    #[serde(default)]
    pub end_session_endpoint: Option<String>,
    /// Token revocation (RFC 7009), if offered.
    #[serde(default)]
    pub revocation_endpoint: Option<String>,
    /// RFC 9126, section 5.
    #[serde(default)]
    pub require_pushed_authorization_requests: bool,
    /// RFC 9207, section 3.
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
    /// `None`: not said.
    #[serde(default)]
    pub code_challenge_methods_supported: Option<Vec<String>>,
    /// Initiating User Registration via OpenID Connect 1.0, section 4; `None`: not said.
    #[serde(default)]
    pub prompt_values_supported: Option<Vec<String>>,
    /// `None`: not said, which means `client_secret_basic`.
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// `None`: not said, which means `RS256`.
    #[serde(default)]
    pub id_token_signing_alg_values_supported: Option<Vec<String>>,
}

impl Metadata {
    /// Reads and checks a discovery document; the error names the field.
    pub(crate) fn parse(body: &[u8], issuer: &str, rules: UrlRules) -> Result<Self, String> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let metadata: Self = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            // Its own words for what is wrong quote the document.
            format!("the discovery document is not usable: see its field {}", error.path())
        })?;
        // Discovery 1.0, section 4.3: exactly the same, or the document is somebody else's.
        if metadata.issuer != issuer {
            return Err(format!(
                "the discovery document is for another issuer than the configured {issuer:?}; they \
                 must be the same character by character"
            ));
        }
        let endpoints = [
            ("authorization_endpoint", Some(&metadata.authorization_endpoint)),
            ("token_endpoint", Some(&metadata.token_endpoint)),
            ("jwks_uri", Some(&metadata.jwks_uri)),
            ("userinfo_endpoint", metadata.userinfo_endpoint.as_ref()),
            (
                "pushed_authorization_request_endpoint",
                metadata.pushed_authorization_request_endpoint.as_ref(),
            ),
            ("end_session_endpoint", metadata.end_session_endpoint.as_ref()),
            ("revocation_endpoint", metadata.revocation_endpoint.as_ref()),
        ];
        for (field, endpoint) in endpoints {
            if let Some(endpoint) = endpoint {
                rules
                    .check(endpoint)
                    .map_err(|reason| format!("the discovery document's {field} {reason}"))?;
            }
        }
        Ok(metadata)
    }

    /// Where the discovery document of an issuer is (section 4.1).
    pub(crate) fn url(issuer: &str) -> String {
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        format!("{base}/.well-known/openid-configuration")
    }
}
