//! A small `OpenID` provider for the demo: authorization code with PKCE, RS256 ID tokens, scopes that
//! users allow, silent requests, step-up by `acr_values` and `max_age`, refresh tokens, logout started by
//! the client.
//!
//! It lives in the command alone. No server binary may contain it: its passwords are printed on
//! its login page.

mod authorize;
mod keys;
mod logout;
mod pages;
mod request;
mod scopes;
mod state;
#[cfg(test)]
mod tests;
mod token;
mod users;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::Router;
use axum::extract::State as Extract;
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::authsvc::{Clock, Random};
pub use keys::KeyError;
use state::State;
pub use users::USERS;

/// The audience of access tokens: the demo API, all of it.
pub const API_AUDIENCE: &str = "demo-api";

/// The scopes of the demo app: those of its login, and those of the areas of its API.
pub const SHOP_SCOPES: [&str; 7] =
    ["openid", "profile", "email", "groups", "stock:read", "orders:read", "orders:release"];

/// The one client.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The client identifier.
    pub id: String,
    /// The client secret, new at every start.
    pub secret: String,
    /// The only redirect URI.
    pub redirect_uri: String,
    /// The only post-logout redirect URI.
    pub post_logout_redirect_uri: String,
    /// The scopes that it may ask for.
    pub scopes: &'static [&'static str],
}

/// The provider.
pub struct Provider {
    issuer: String,
    client: Registration,
    keys: keys::Keys,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    state: Mutex<State>,
}

impl Provider {
    /// A provider under that issuer, which is also the base of its URLs, without a trailing slash.
    pub fn new(
        issuer: String,
        client: Registration,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, KeyError> {
        let keys = keys::Keys::generate()?;
        Ok(Self { issuer, client, keys, clock, random, state: Mutex::default() })
    }

    /// The HTTP surface.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/authorize", get(authorize::authorize))
            .route("/login", post(authorize::login))
            .route("/confirm", post(authorize::confirm))
            .route("/consent", post(authorize::consent))
            .route("/token", post(token::token))
            .route("/userinfo", get(token::userinfo).post(token::userinfo))
            .route("/logout", get(logout::logout_get).post(logout::logout_post))
            .route("/style.css", get(pages::style))
            .route("/icon.svg", get(pages::icon))
            .fallback(pages::not_found)
            .with_state(self)
    }

    /// The claims of a live access token for the demo API, or `None`.
    pub fn verify_access_token(&self, token: &str) -> Option<Value> {
        let claims = self.keys.verify(token, &self.issuer, API_AUDIENCE)?;
        (claims["exp"].as_u64()? > self.now()).then_some(claims)
    }

    fn now(&self) -> u64 {
        self.clock.now().0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// 256 random bits, for ids and codes.
    fn id(&self) -> String {
        random_id(&*self.random)
    }
}

/// 256 random bits in base64url.
pub fn random_id(random: &dyn Random) -> String {
    let mut bytes = [0; 32];
    random.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `OpenID` Connect Discovery 1.0, section 3.
async fn discovery(Extract(provider): Extract<Arc<Provider>>) -> Json<Value> {
    let issuer = &provider.issuer;
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "jwks_uri": format!("{issuer}/jwks"),
        "end_session_endpoint": format!("{issuer}/logout"),
        "scopes_supported": provider.client.scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "prompt_values_supported": ["none", "login", "select_account"],
        "acr_values_supported": [authorize::SILVER, authorize::GOLD],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "claims_supported": [
            "sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "sid",
            "name", "preferred_username", "email", "email_verified", "groups",
        ],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
    }))
}

async fn jwks(Extract(provider): Extract<Arc<Provider>>) -> Json<Value> {
    Json(provider.keys.jwks())
}
