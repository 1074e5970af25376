//! How this client proves who it is to the provider (RFC 6749, section 2.3.1; OpenID Connect Core
//! 1.0, section 9).
//!
//! Secrets pass through here on their way to the wire, and into nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use jsonwebtoken::{Algorithm, EncodingKey};
use secrecy::ExposeSecret;
use serde_json::json;
use url::form_urlencoded;
use vestibule_policy::model::{ClientAuthMethod, CompiledClient, Credential};

use super::OidcError;
use super::metadata::Metadata;
use crate::clock::Timestamp;
use crate::random::{self, Random};

/// How long a client assertion is valid, in seconds.
const ASSERTION_LIFETIME: u64 = 60;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A form that is posted to one of the provider's endpoints.
pub(crate) type Form<'a> = Vec<(&'a str, String)>;

/// An authenticated POST of a form.
pub(crate) fn post(
    url: &str,
    form: &Form,
    client: &CompiledClient,
    metadata: &Metadata,
    now: Timestamp,
    random: &dyn Random,
) -> Result<Request<Vec<u8>>, OidcError> {
    let mut body = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form.iter().filter(|(name, _)| *name != "client_id") {
        body.append_pair(name, value);
    }
    let mut authorization = None;
    match &client.credential {
        Credential::Secret { method, value } => {
            match method.unwrap_or_else(|| preferred(metadata)) {
                ClientAuthMethod::ClientSecretBasic => {
                    authorization = Some(basic(&client.id, value.expose_secret())?);
                    // RFC 9126, section 2.1: a pushed request names its client in the form.
                    body.append_pair("client_id", &client.id);
                }
                ClientAuthMethod::ClientSecretPost => {
                    body.append_pair("client_id", &client.id);
                    body.append_pair("client_secret", value.expose_secret());
                }
            }
        }
        Credential::PrivateKey { algorithm, key_id, pem } => {
            let assertion = Assertion {
                client_id: &client.id,
                issuer: &metadata.issuer,
                algorithm,
                key_id: key_id.as_deref(),
                pem: pem.expose_secret(),
            };
            body.append_pair("client_id", &client.id);
            body.append_pair("client_assertion_type", ASSERTION_TYPE);
            body.append_pair("client_assertion", &assertion.sign(now, random)?);
        }
    }
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(url)
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body.finish().into_bytes())
        .map_err(|_| OidcError::Unusable("an endpoint's URL cannot be requested".to_owned()))?;
    if let Some(value) = authorization {
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(request)
}

/// `client_secret_basic` unless the provider lists methods without it (Discovery 1.0, section 3).
fn preferred(metadata: &Metadata) -> ClientAuthMethod {
    let listed = metadata.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
    let lists = |name: &str| listed.iter().any(|method| method == name);
    if !lists("client_secret_basic") && lists("client_secret_post") {
        ClientAuthMethod::ClientSecretPost
    } else {
        ClientAuthMethod::ClientSecretBasic
    }
}

fn basic(id: &str, secret: &str) -> Result<HeaderValue, OidcError> {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let credentials = STANDARD.encode(format!("{}:{}", encode(id), encode(secret)));
    let mut value = HeaderValue::try_from(format!("Basic {credentials}"))
        .map_err(|_| OidcError::Unusable("the client secret cannot be sent".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A `private_key_jwt` assertion (RFC 7523, section 2.2).
struct Assertion<'a> {
    client_id: &'a str,
    issuer: &'a str,
    algorithm: &'a str,
    key_id: Option<&'a str>,
    pem: &'a str,
}

impl Assertion<'_> {
    fn sign(&self, now: Timestamp, random: &dyn Random) -> Result<String, OidcError> {
        let unusable = |what: &str| OidcError::Unusable(format!("client.privateKeyJwt: {what}"));
        let pem = self.pem.as_bytes();
        let (algorithm, key) = match self.algorithm {
            "ES256" => (Algorithm::ES256, EncodingKey::from_ec_pem(pem)),
            "PS256" => (Algorithm::PS256, EncodingKey::from_rsa_pem(pem)),
            "RS256" => (Algorithm::RS256, EncodingKey::from_rsa_pem(pem)),
            _ => return Err(unusable("the algorithm is not supported")),
        };
        let key = key.map_err(|_| unusable("the key does not fit the algorithm"))?;
        let mut header = jsonwebtoken::Header::new(algorithm);
        header.kid = self.key_id.map(ToOwned::to_owned);
        // The audience is the issuer, as a string: one provider's assertion is no other's.
        let claims = json!({
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.issuer,
            "jti": random::token::<16>(random),
            "iat": now.0,
            "exp": now.plus(ASSERTION_LIFETIME).0,
        });
        jsonwebtoken::encode(&header, &claims, &key).map_err(|_| unusable("the key cannot sign"))
    }
}
