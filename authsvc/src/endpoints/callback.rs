//! `GET callback`: the provider sends the browser back here, with a code or an error.
//!
//! Why it exists: this is where a browser becomes a user, so everything is checked before anything
//! is believed: the transaction (once, by this browser), the issuer, the code, the ID token. What
//! fails ends on a page with a link, never in a redirect: a loop is worse than an error.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::authorize::complete::{self, Returned};
use super::hosted_backend::tell_new_session;
use super::login::{Lacking, Place, lacking, start_again};
use super::transaction::{expired_cookie, is_suffix};
use super::{Site, append_cookie, current_session_of, go_on, pages, parameters, session_cookie};
use crate::app::App;
use crate::audit::{self, EndReason, Ending};
use crate::cookies::{Cookies, LOGIN_COOKIE_PREFIX};
use crate::oidc::{Metadata, OidcError, known_error};
use crate::session::service::Loaded;
use crate::session::store::StoreError;
use crate::session::{LoginTransaction, Purpose, SecretId};

/// The greatest query, in bytes.
const MAX_QUERY: usize = 16 * 1024;
/// The greatest code, in bytes.
const MAX_CODE: usize = 8 * 1024;
/// The greatest other parameter, in bytes.
const MAX_PARAMETER: usize = 1024;

/// Why a callback did not become a session.
enum Failure {
    /// No answer of a provider to a login of this browser.
    Malformed,
    /// The transaction is over, was used, or belongs to another browser.
    Expired,
    /// The answer is from another issuer, or does not say from which (RFC 9207).
    Issuer,
    /// The provider's answer is an error.
    Error(&'static str),
    /// What was obtained does not suffice for the page to return to.
    Insufficient,
    /// The store did not answer.
    Store,
    /// Redeeming the code failed.
    Provider(OidcError),
}

impl From<StoreError> for Failure {
    fn from(_: StoreError) -> Self {
        Self::Store
    }
}

impl From<OidcError> for Failure {
    fn from(error: OidcError) -> Self {
        Self::Provider(error)
    }
}

/// What a provider's answer says.
struct Answer {
    suffix: String,
    state: String,
    issuer: Option<String>,
    outcome: Result<String, &'static str>,
}

/// Handles the request. The router has refused all methods but GET.
pub async fn callback(
    State(app): State<Arc<App>>,
    Extension(site): Extension<Site>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let cookies = Cookies::from_headers(&headers);
    let Some(answer) = Answer::read(&query.unwrap_or_default()) else {
        return Failure::Malformed.into_response(&app, &site);
    };
    let result = match take(&app, &site, cookies, &answer).await {
        // Nothing was taken: the browser may come back with the same answer, and its cookie.
        Err(failure @ (Failure::Store | Failure::Provider(_))) => {
            return failure.into_response(&app, &site);
        }
        Err(failure) => Err(failure),
        Ok(taken) => finish(&app, &site, cookies, &answer, taken).await,
    };
    let mut response = result.unwrap_or_else(|failure| failure.into_response(&app, &site));
    append_cookie(&mut response, &expired_cookie(&answer.suffix));
    response
}

/// A transaction of this browser, taken from the store, which is once.
struct Taken {
    transaction: LoginTransaction,
    metadata: Arc<Metadata>,
    /// The session that the browser has so far.
    previous: Option<Loaded>,
}

impl Answer {
    /// Reads the parameters that matter; each at most once, none of them empty or oversized.
    fn read(query: &str) -> Option<Self> {
        if query.len() > MAX_QUERY {
            return None;
        }
        let pairs = parameters::pairs(query, true)?;
        let one = |name: &str, limit: usize| match parameters::one(&pairs, name).ok()? {
            Some(value) if value.is_empty() || value.len() > limit => None,
            value => Some(value.map(str::to_owned)),
        };
        let state = one("state", MAX_PARAMETER)??;
        let issuer = one("iss", MAX_PARAMETER)?;
        let outcome = match (one("code", MAX_CODE)?, one("error", MAX_PARAMETER)?) {
            (Some(code), None) => Ok(code),
            (None, Some(error)) => Err(known_error(&error)),
            _ => return None,
        };
        let suffix = state.split_once('.')?.0.to_owned();
        is_suffix(&suffix).then_some(Self { suffix, state, issuer, outcome })
    }
}

/// Whatever may be down for a while is asked before the transaction is taken.
async fn take(
    app: &App,
    site: &Site,
    cookies: Cookies<'_>,
    answer: &Answer,
) -> Result<Taken, Failure> {
    let policy = &site.policy;
    let cookie = format!("{LOGIN_COOKIE_PREFIX}{}", answer.suffix);
    let id = cookies.one(&cookie).and_then(SecretId::parse).ok_or(Failure::Expired)?;
    let metadata = policy.provider.metadata().await?;
    let previous = current_session_of(app, policy, cookies).await?;
    let transaction = app.sessions.take_login(policy, &id).await?.ok_or(Failure::Expired)?;
    Ok(Taken { transaction, metadata, previous })
}

/// What the transaction is for: a login, or the elevated token of an authority.
async fn finish(
    app: &App,
    site: &Site,
    cookies: Cookies<'_>,
    answer: &Answer,
    taken: Taken,
) -> Result<Response, Failure> {
    let Taken { transaction, metadata, previous } = taken;
    check_transaction(site, &transaction, answer)?;
    check_issuer(&metadata, &transaction, answer)?;
    let outcome = answer.outcome.as_deref().map_err(|error| *error);
    if let Some(request) = &transaction.elevation {
        let (transaction, current) = (&transaction, previous);
        let returned = Returned { app, site, cookies, transaction, request, outcome, current };
        return Ok(complete::complete(returned).await);
    }
    let code = outcome.map_err(Failure::Error)?;
    let id = log_in(app, site, &transaction, code, previous).await?;
    app.metrics.login("completed");
    let mut response = go_on(site, &transaction.return_to);
    append_cookie(&mut response, &session_cookie(&site.policy, &id));
    if let Some(cookie) = tell_new_session(&site.policy, app.clock.now()) {
        append_cookie(&mut response, &cookie);
    }
    Ok(response)
}

/// From a code to a session; gives its id.
async fn log_in(
    app: &App,
    site: &Site,
    transaction: &LoginTransaction,
    code: &str,
    previous: Option<Loaded>,
) -> Result<SecretId, Failure> {
    let policy = &site.policy;
    let compiled = &policy.compiled;
    let identity =
        policy.provider.redeem(&compiled.client, &compiled.login, transaction, code).await?;
    let session = identity.into_session(Some(transaction.nonce.clone()), app.clock.now());
    let place = Place::of(policy, &transaction.return_to);
    if !matches!(lacking(&place, Some(&session), app.clock.now()), Lacking::Nothing) {
        // The next check would send the browser here again.
        return Err(Failure::Insufficient);
    }
    let id = app.sessions.create(policy, &session).await?;
    let key = id.store_key(Purpose::Session, &compiled.uid);
    let ending = Ending { reason: EndReason::NewLogin, by: "user" };
    if let Some(previous) = &previous
        && let Err(error) = app.sessions.end(policy, previous, ending).await
    {
        // Of two sessions of one browser the new one goes: the old one is still in its cookie.
        let _ = app.sessions.end(policy, &Loaded { key, session: Arc::new(session) }, ending).await;
        return Err(error.into());
    }
    let elevated = previous.is_some_and(|previous| {
        previous.session.subject == session.subject
            && matches!(
                lacking(&place, Some(&previous.session), app.clock.now()),
                Lacking::StepUp(_)
            )
    });
    audit::login(&compiled.id, &key, &session, elevated);
    Ok(id)
}

fn check_transaction(
    site: &Site,
    transaction: &LoginTransaction,
    answer: &Answer,
) -> Result<(), Failure> {
    let same_state =
        verify_slices_are_equal(transaction.state.expose().as_bytes(), answer.state.as_bytes());
    let same_place = transaction.redirect_uri == site.url("callback")
        && transaction.issuer == site.policy.provider.issuer();
    if same_state.is_ok() && same_place { Ok(()) } else { Err(Failure::Expired) }
}

/// RFC 9207, section 2.4: simple string comparison, also on errors; a provider that announces the
/// parameter always sends it.
fn check_issuer(
    metadata: &Metadata,
    transaction: &LoginTransaction,
    answer: &Answer,
) -> Result<(), Failure> {
    match &answer.issuer {
        Some(issuer) if *issuer == transaction.issuer => Ok(()),
        None if !metadata.authorization_response_iss_parameter_supported => Ok(()),
        _ => Err(Failure::Issuer),
    }
}

impl Failure {
    /// Why a login was refused. `None` for what is no login of this browser, which anyone can send,
    /// and where nothing could be judged.
    fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::Malformed
            | Self::Expired
            | Self::Store
            | Self::Provider(OidcError::Unavailable(_) | OidcError::Unusable(_)) => None,
            Self::Issuer => Some("issuer"),
            Self::Error(code) | Self::Provider(OidcError::Refused(code)) => Some(code),
            Self::Insufficient => Some("insufficient"),
            Self::Provider(OidcError::Token(_) | OidcError::UserInfo(_)) => Some("token"),
            Self::Provider(OidcError::StepUp(_)) => Some("step_up"),
        }
    }

    fn into_response(self, app: &App, site: &Site) -> Response {
        let policy = &site.policy.compiled.id;
        if let Some(reason) = self.refusal() {
            audit::login_refused(policy, reason);
        }
        let again = start_again(site);
        let page =
            |status, title, message: &str| pages::login_error(status, title, message, Some(&again));
        match self {
            Self::Malformed => {
                app.metrics.login("malformed");
                page(
                    StatusCode::BAD_REQUEST,
                    "This login cannot be completed",
                    "The address is not one that a login comes back with.",
                )
            }
            Self::Expired => {
                app.metrics.login("expired");
                page(
                    StatusCode::BAD_REQUEST,
                    "This login has expired",
                    "It took too long, was already completed, or began in another browser.",
                )
            }
            Self::Issuer => {
                app.metrics.login("issuer");
                tracing::warn!(%policy, "login refused: the answer is from another issuer (iss)");
                page(
                    StatusCode::BAD_REQUEST,
                    "This login cannot be completed",
                    "The answer did not come from the login service that was asked.",
                )
            }
            Self::Error(code) => {
                app.metrics.login("provider_error");
                tracing::info!(%policy, code, "login refused by the provider");
                page(
                    StatusCode::BAD_REQUEST,
                    "You are not logged in",
                    &format!("The login service answered: {code}."),
                )
            }
            Self::Insufficient => {
                app.metrics.login("insufficient");
                tracing::warn!(%policy, "login refused: its tokens or its strength do not suffice");
                page(
                    StatusCode::FORBIDDEN,
                    "This login does not suffice",
                    "What the login service gave is over already, or too weak for this page.",
                )
            }
            Self::Store => {
                app.metrics.login("store_unavailable");
                unavailable(site)
            }
            Self::Provider(error) => {
                tracing::warn!(%policy, %error, "login failed");
                provider_page(app, site, &error)
            }
        }
    }
}

/// The page for a store or provider that does not answer: nobody is logged out by that.
pub(super) fn unavailable(site: &Site) -> Response {
    let mut response = pages::login_error(
        StatusCode::SERVICE_UNAVAILABLE,
        "Logging in is not possible right now",
        "A service that is needed for it does not answer. Please try again in a moment.",
        Some(&start_again(site)),
    );
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The page for what went wrong at the provider. The details are for the log alone.
pub(super) fn provider_page(app: &App, site: &Site, error: &OidcError) -> Response {
    let (label, status, title, message) = match error {
        OidcError::Unavailable(_) => {
            app.metrics.login("unavailable");
            return unavailable(site);
        }
        OidcError::StepUp(_) => (
            "step_up",
            StatusCode::FORBIDDEN,
            "A stronger login is needed",
            "The login service did not ask for what this page requires.",
        ),
        OidcError::Refused(_) => (
            "provider_error",
            StatusCode::BAD_REQUEST,
            "You are not logged in",
            "The login service did not accept this login.",
        ),
        OidcError::Token(_) | OidcError::UserInfo(_) => (
            "token",
            StatusCode::BAD_REQUEST,
            "You are not logged in",
            "What the login service said about you could not be verified.",
        ),
        OidcError::Unusable(_) => (
            "unusable",
            StatusCode::BAD_GATEWAY,
            "Logging in is not possible",
            "The login service is not set up for this. Its administrator finds the reason in the log.",
        ),
    };
    app.metrics.login(label);
    pages::login_error(status, title, message, Some(&start_again(site)))
}
