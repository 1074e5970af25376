//! The authorization request (OpenID Connect Core 1.0, section 3.1.2.1; RFC 7636; RFC 9126).

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use url::Url;
use vestibule_policy::model::{CompiledClient, CompiledLogin, Par};

use super::client_auth::{self, Form};
use super::metadata::Metadata;
use super::{OidcError, Provider, error_code};
use crate::random;
use crate::token::Token;

/// The greatest `request_uri` that is passed on, in bytes.
const MAX_REQUEST_URI: usize = 2048;

/// What a login asks the provider for.
pub struct LoginRequest<'a> {
    /// Who asks.
    pub client: &'a CompiledClient,
    /// What the policy says of logins.
    pub login: &'a CompiledLogin,
    /// Where the provider sends the browser back to.
    pub redirect_uri: &'a str,
    /// The `state`, which the caller binds to the browser.
    pub state: Token,
    /// `acr_values`; empty: none.
    pub acr_values: &'a [String],
    /// `max_age`, in seconds.
    pub max_age: Option<u64>,
}

/// A login that the browser can be sent off to.
pub struct StartedLogin {
    /// Where to.
    pub url: String,
    /// As given.
    pub state: Token,
    /// To be found in the ID token.
    pub nonce: Token,
    /// To be sent with the code.
    pub code_verifier: Token,
}

impl Provider {
    /// Makes an authorization request, pushed to the provider where the policy and it agree on
    /// that.
    ///
    /// # Errors
    /// Where the provider cannot be reached, or does not offer what a safe login needs.
    pub async fn start_login(&self, request: LoginRequest<'_>) -> Result<StartedLogin, OidcError> {
        let metadata = self.metadata().await?;
        require_pkce(&metadata)?;
        let par = par_endpoint(&metadata, request.login.par)?;

        let nonce = Token::new(random::token::<32>(self.random()));
        let code_verifier = Token::new(random::token::<48>(self.random()));
        let parameters = parameters(&request, &nonce, &code_verifier);

        let mut url = Url::parse(&metadata.authorization_endpoint)
            .map_err(|_| OidcError::Unusable("authorization_endpoint is not a URL".to_owned()))?;
        if let Some(endpoint) = par {
            let request_uri = self.push(endpoint, &parameters, request.client, &metadata).await?;
            url.query_pairs_mut()
                .append_pair("client_id", &request.client.id)
                .append_pair("request_uri", &request_uri);
        } else {
            url.query_pairs_mut().extend_pairs(&parameters);
        }
        Ok(StartedLogin { url: url.into(), state: request.state, nonce, code_verifier })
    }

    async fn push(
        &self,
        endpoint: &str,
        parameters: &Form<'_>,
        client: &CompiledClient,
        metadata: &Metadata,
    ) -> Result<String, OidcError> {
        #[derive(Deserialize)]
        struct Pushed {
            request_uri: String,
        }
        let now = self.now();
        let request =
            client_auth::post(endpoint, parameters, client, metadata, now, self.random())?;
        let response = self.call("pushed authorization request endpoint", request).await?;
        if !response.status().is_success() {
            return Err(OidcError::Refused(error_code(response.body())));
        }
        let pushed = serde_json::from_slice::<Pushed>(response.body()).ok();
        pushed
            .map(|pushed| pushed.request_uri)
            .filter(|uri| !uri.is_empty() && uri.len() <= MAX_REQUEST_URI)
            .ok_or_else(|| OidcError::Unusable("PAR answered without a request_uri".to_owned()))
    }
}

/// Without PKCE the provider cannot tell whose code it redeems (RFC 9700, section 2.1.1).
fn require_pkce(metadata: &Metadata) -> Result<(), OidcError> {
    match &metadata.code_challenge_methods_supported {
        Some(methods) if !methods.iter().any(|method| method == "S256") => {
            Err(OidcError::Unusable(
                "code_challenge_methods_supported lists no S256; allow PKCE at the provider"
                    .to_owned(),
            ))
        }
        _ => Ok(()),
    }
}

fn par_endpoint(metadata: &Metadata, par: Par) -> Result<Option<&str>, OidcError> {
    let offered = metadata.pushed_authorization_request_endpoint.as_deref();
    match par {
        Par::Never if metadata.require_pushed_authorization_requests => Err(OidcError::Unusable(
            "the provider requires pushed requests, and login.par is Never; set WhenSupported"
                .to_owned(),
        )),
        Par::Never => Ok(None),
        Par::WhenSupported => Ok(offered),
        Par::Required => offered.map(Some).ok_or_else(|| {
            OidcError::Unusable(
                "login.par is Required, and the provider has no \
                 pushed_authorization_request_endpoint"
                    .to_owned(),
            )
        }),
    }
}

fn parameters<'a>(request: &LoginRequest<'a>, nonce: &Token, verifier: &Token) -> Form<'a> {
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.expose().as_bytes()));
    let mut form: Form = vec![
        ("response_type", "code".to_owned()),
        ("client_id", request.client.id.clone()),
        ("redirect_uri", request.redirect_uri.to_owned()),
        ("scope", request.login.scopes.join(" ")),
        ("state", request.state.expose().to_owned()),
        ("nonce", nonce.expose().to_owned()),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256".to_owned()),
    ];
    if !request.acr_values.is_empty() {
        form.push(("acr_values", request.acr_values.join(" ")));
    }
    if let Some(max_age) = request.max_age {
        form.push(("max_age", max_age.to_string()));
    }
    for resource in &request.login.resources {
        form.push(("resource", resource.clone()));
    }
    for (name, value) in &request.login.extra_parameters {
        // What this service says itself is never said twice.
        if !form.iter().any(|(ours, _)| ours == name) {
            form.push((name, value.clone()));
        }
    }
    form
}
