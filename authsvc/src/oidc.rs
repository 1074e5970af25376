//! The OpenID provider, as a relying party sees it: discovery, keys, login, and the user's claims.
//!
//! Why it exists: every check that OpenID Connect asks of a client is in here, with what may be
//! fetched and how often. It must not know cookies, sessions or pages, and no error of it holds a
//! token, a code, or text that a provider sent.

mod access_token;
mod authorize;
mod cached;
mod client_auth;
mod exchange;
mod id_token;
mod keys;
pub mod logout;
mod logout_token;
mod metadata;
mod probe;
mod redeem;
mod refresh;
mod revoke;
mod scopes;
mod signature;
mod tokens;
mod user_info;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use http::{Request, Response, StatusCode};
use tokio::sync::watch;
use vestibule_policy::model::{CompiledProvider, PolicyId};

pub use self::access_token::{BearerError, BearerToken, MAX_BEARER};
pub use self::authorize::{LoginRequest, StartedLogin};
pub use self::exchange::{ExchangeRequest, Exchanged};
pub use self::logout_token::{LogoutToken, MAX_LOGOUT_TOKEN};
pub use self::metadata::Metadata;
pub use self::probe::{Backoff, ProviderState, keep_probing};
pub use self::redeem::Identity;
pub use self::refresh::RefreshError;

use self::access_token::VerifiedTokens;
use self::cached::Cached;
use self::keys::Keys;
use self::revoke::UnderWay;
use crate::clock::{Clock, Timestamp};
use crate::http_client::{HttpClient, UrlRules};
use crate::news::{News, Reader};
use crate::overload::waiting::{Place, Room};
use crate::random::Random;

/// Why something at the provider failed. Safe to log; what a page says is chosen by the variant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// It did not answer, or with a server error: try again later.
    #[error("the provider is not available: {0}")]
    Unavailable(String),
    /// It, or the policy for it, is set up in a way that no safe login is possible with.
    #[error("no login is possible with this provider: {0}")]
    Unusable(String),
    /// It refused a request with this OAuth error code.
    #[error("the provider refused the request: {0}")]
    Refused(&'static str),
    /// Its ID token did not pass.
    #[error("the ID token is refused: {0}")]
    Token(String),
    /// Its `UserInfo` did not pass.
    #[error("UserInfo is refused: {0}")]
    UserInfo(&'static str),
    /// The user's authentication is not as strong or as fresh as was asked for.
    #[error("the authentication is not as requested: {0}")]
    StepUp(&'static str),
}

/// A provider: its HTTP client, its metadata and keys as last fetched.
pub struct Provider {
    config: CompiledProvider,
    rules: UrlRules,
    http: HttpClient,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    metadata: Cached<Metadata>,
    keys: Cached<Keys>,
    bearers: VerifiedTokens,
    state: ArcSwap<ProviderState>,
    revocations: UnderWay,
    /// Requests to it that are under way.
    asking: Room,
    /// Checks that wait until it has given new tokens.
    waiting: Room,
}

/// Requests to one provider at a time. They are answered within a second or so, or it hangs: then those
/// of other policies must find connections and memory left.
const REQUESTS: usize = 128;
/// Checks that wait for one provider at a time.
const WAITING: usize = 512;

impl Provider {
    fn new(
        config: &CompiledProvider,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        revocations: UnderWay,
    ) -> Result<Self, String> {
        let rules = UrlRules::for_server(&config.issuer, config.allow_insecure)
            .map_err(|reason| format!("issuer: {reason}"))?;
        Ok(Self {
            config: config.clone(),
            rules,
            http: HttpClient::new(config.ca_bundle.as_deref(), config.request_timeout, rules)?,
            clock,
            random,
            metadata: Cached::default(),
            keys: Cached::default(),
            bearers: VerifiedTokens::default(),
            state: ArcSwap::default(),
            revocations,
            asking: Room::new(REQUESTS),
            waiting: Room::new(WAITING),
        })
    }

    /// A place to wait until it has given new tokens; `None`: too many wait already.
    pub(crate) fn wait(&self) -> Option<Place<'_>> {
        self.waiting.enter()
    }

    /// The issuer identifier, as configured.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.config.issuer
    }

    /// Whether logins are possible, as far as was tried. The same `Arc` until that changes.
    #[must_use]
    pub fn state(&self) -> Arc<ProviderState> {
        self.state.load_full()
    }

    /// The provider's metadata. Many callers cause one fetch; old metadata serves on while its
    /// refresh fails.
    ///
    /// # Errors
    /// Where there never was any: the provider cannot be reached, or its document is not usable.
    pub async fn metadata(&self) -> Result<Arc<Metadata>, OidcError> {
        let fetch = async {
            let body = self.get("discovery document", &Metadata::url(self.issuer())).await?;
            Metadata::parse(&body, self.issuer(), self.rules).map_err(OidcError::Unusable)
        };
        self.metadata.get(&*self.clock, fetch).await
    }

    /// The keys at hand.
    async fn keys(&self, metadata: &Metadata) -> Result<Arc<Keys>, OidcError> {
        self.keys.get(&*self.clock, self.fetch_keys(metadata)).await
    }

    /// Keys that may have what `seen` lacks; asked for every few seconds at most, however many
    /// tokens name unknown keys.
    async fn newer_keys(
        &self,
        metadata: &Metadata,
        seen: &Arc<Keys>,
    ) -> Result<Arc<Keys>, OidcError> {
        self.keys.newer(seen, &*self.clock, self.fetch_keys(metadata)).await
    }

    async fn fetch_keys(&self, metadata: &Metadata) -> Result<Keys, OidcError> {
        let body = self.get("key set", &metadata.jwks_uri).await?;
        Keys::parse(&body).map_err(OidcError::Unusable)
    }

    async fn get(&self, what: &str, url: &str) -> Result<Vec<u8>, OidcError> {
        let request = Request::get(url)
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|_| OidcError::Unusable(format!("the URL of the {what} is not usable")))?;
        let response = self.call(what, request).await?;
        match response.status() {
            StatusCode::OK => Ok(response.into_body()),
            status => Err(OidcError::Unavailable(format!("{what}: status {}", status.as_u16()))),
        }
    }

    /// One request; a server error counts as no answer.
    async fn call(
        &self,
        what: &str,
        request: Request<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>, OidcError> {
        let Some(_place) = self.asking.enter() else {
            return Err(OidcError::Unavailable(format!("{what}: too many requests wait for it")));
        };
        let response = self
            .http
            .call(request)
            .await
            .map_err(|error| OidcError::Unavailable(format!("{what}: {error}")))?;
        if response.status().is_server_error() {
            let status = response.status().as_u16();
            return Err(OidcError::Unavailable(format!("{what}: status {status}")));
        }
        Ok(response)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn random(&self) -> &dyn Random {
        &*self.random
    }
}

/// The OAuth error code of a response, if it is one that is known: a provider's own words are
/// never repeated.
fn error_code(body: &[u8]) -> &'static str {
    let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let code = body.as_ref().and_then(|body| body.get("error")).and_then(|code| code.as_str());
    code.map_or("an unknown error", known_error)
}

/// The error codes of RFC 6749, OpenID Connect and their extensions; `an unknown error` for the
/// rest.
#[must_use]
pub fn known_error(code: &str) -> &'static str {
    const KNOWN: [&str; 25] = [
        "access_denied",
        "account_selection_required",
        "consent_required",
        "interaction_required",
        "invalid_client",
        "invalid_client_metadata",
        "invalid_grant",
        "invalid_request",
        "invalid_request_object",
        "invalid_request_uri",
        "invalid_scope",
        "invalid_target",
        "login_required",
        "registration_not_supported",
        "request_not_supported",
        "request_uri_not_supported",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unmet_authentication_requirements",
        "unsupported_grant_type",
        "unsupported_response_type",
        "unsupported_token_type",
        "use_dpop_nonce",
        "invalid_dpop_proof",
    ];
    KNOWN.into_iter().find(|known| *known == code).unwrap_or("an unknown error")
}

/// A provider, and the policies that it is kept for.
struct Known {
    provider: Arc<Provider>,
    users: HashSet<Arc<PolicyId>>,
}

/// All providers by their configuration, so that policies share what was fetched.
pub struct Providers {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    known: Mutex<HashMap<CompiledProvider, Known>>,
    /// Tells that another set of providers is known.
    set: watch::Sender<u64>,
    /// Tells of policies that the state of their provider changed.
    states: News<Arc<PolicyId>>,
    /// Shared with every provider, also with those that are forgotten.
    revocations: UnderWay,
}

impl Providers {
    /// None yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let (set, states) = (watch::Sender::new(0), News::default());
        let (known, revocations) = (Mutex::default(), UnderWay::default());
        Self { clock, random, known, set, states, revocations }
    }

    /// The provider of a policy; the same one for the same configuration. Fetches nothing yet.
    ///
    /// # Errors
    /// Where the issuer's URL may not be used, or the certificate bundle does not parse.
    pub fn get(&self, config: &CompiledProvider) -> Result<Arc<Provider>, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = known.get(config) {
            return Ok(Arc::clone(&one.provider));
        }
        let (clock, random) = (Arc::clone(&self.clock), Arc::clone(&self.random));
        let provider = Arc::new(Provider::new(config, clock, random, self.revocations.clone())?);
        let one = Known { provider: Arc::clone(&provider), users: HashSet::new() };
        known.insert(config.clone(), one);
        bump(&self.set);
        Ok(provider)
    }

    /// From now on a policy uses this provider.
    pub fn used(&self, by: &Arc<PolicyId>, provider: &Provider) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = known.get_mut(&provider.config) {
            one.users.insert(Arc::clone(by));
        }
    }

    /// A policy does not use this provider any more.
    pub fn left(&self, by: &PolicyId, provider: &Provider) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(one) = known.get_mut(&provider.config) else { return };
        one.users.remove(by);
        if one.users.is_empty() {
            known.remove(&provider.config);
            bump(&self.set);
        }
    }

    /// Those that are known.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Provider>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().map(|one| Arc::clone(&one.provider)).collect()
    }

    /// Tells of the policies whose provider's state changed.
    #[must_use]
    pub fn state_changes(&self) -> Reader<Arc<PolicyId>> {
        self.states.reader()
    }

    fn state_changed(&self, provider: &Provider) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let one = known.get(&provider.config);
        let users: Vec<_> = one.into_iter().flat_map(|one| one.users.iter().cloned()).collect();
        drop(known);
        self.states.tell(&users);
    }
}

fn bump(sender: &watch::Sender<u64>) {
    sender.send_modify(|count| *count = count.wrapping_add(1));
}
