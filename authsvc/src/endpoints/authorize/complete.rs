//! The way back from the provider, for a transaction that obtains an elevated token.
//!
//! Why it exists: what comes is believed only if it is for the session that it was asked for, of its user,
//! with the scopes and the authentication that were asked for. Anything else goes back to the app as a
//! code. It must not create or change a session, and an attempt that may show pages never begins another.

use std::slice;

use axum::response::Response;
use vestibule_policy::model::SameSite;

use super::address::{with_error, without_error};
use super::held::{NotKept, keep};
use super::obtain::{Way, send};
use super::{UNAVAILABLE, code_of, known, not_possible, unavailable};
use crate::app::App;
use crate::audit;
use crate::cookies::Cookies;
use crate::endpoints::session::note_store_error;
use crate::endpoints::transaction::NotBegun;
use crate::endpoints::{Site, append_cookie, go_on, is_of_its_provider};
use crate::oidc::OidcError;
use crate::policies::LiveAuthority;
use crate::session::elevation::{ScopeRefused, lacks_authentication, record};
use crate::session::service::Loaded;
use crate::session::store::StoreError;
use crate::session::{ElevationRequest, LoginTransaction, Purpose, Session, StoreKey};

/// What came back. State, issuer and redirect URI are those of the transaction; no more is known yet.
pub(in crate::endpoints) struct Returned<'a> {
    pub app: &'a App,
    pub site: &'a Site,
    pub cookies: Cookies<'a>,
    pub transaction: &'a LoginTransaction,
    pub request: &'a ElevationRequest,
    /// The code, or the code of an error.
    pub outcome: Result<&'a str, &'static str>,
    /// The session that the browser has now.
    pub current: Option<Loaded>,
}

/// Why there is no elevated token.
enum Failure {
    Store(StoreError),
    /// The user would have to take part.
    AskUser,
    /// The code for the app.
    Refused(&'static str),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What is kept now.
struct Kept {
    set_cookies: Vec<String>,
    /// Whether all scopes were granted.
    whole: bool,
}

/// Completes the transaction: back to the app, or to the provider once more.
pub(in crate::endpoints) async fn complete(returned: Returned<'_>) -> Response {
    let Returned { app, site, transaction, request, .. } = returned;
    let return_to = &transaction.return_to;
    let again = || match site.policy.authority(&request.base) {
        Some(authority) => {
            let redirect = without_error(return_to);
            authority.authorize_url(&site.origin, &request.scopes, Some(&redirect))
        }
        None => "/".to_owned(),
    };
    match obtain(&returned).await {
        Ok(Kept { set_cookies, whole }) => {
            app.metrics.elevation("completed");
            let path = if whole { without_error(return_to) } else { return_to.clone() };
            let mut response = go_on(site, &path);
            for cookie in set_cookies {
                append_cookie(&mut response, &cookie);
            }
            response
        }
        Err(Failure::AskUser) => ask_user(&returned, &again()).await,
        Err(Failure::Refused(code)) => refuse(&returned, code),
        Err(Failure::Store(error)) => {
            note_store_error(app, site, &error);
            app.metrics.elevation("store_unavailable");
            unavailable(&again())
        }
    }
}

async fn obtain(returned: &Returned<'_>) -> Result<Kept, Failure> {
    let Returned { app, site, request, .. } = *returned;
    let policy = &site.policy;
    // The policy may be another one by now.
    let authority = policy.authority(&request.base);
    let authority = authority.filter(|one| one.unlisted(&request.scopes).is_none());
    let authority = authority.ok_or(Failure::Refused("expired"))?;
    let session = session_of(returned).await?;
    let code = returned.outcome.map_err(|code| match code {
        "login_required"
        | "interaction_required"
        | "consent_required"
        | "account_selection_required"
            if request.silent =>
        {
            Failure::AskUser
        }
        code => Failure::Refused(known(code)),
    })?;
    let elevated = redeem(returned, authority, session.as_ref(), code).await?;
    let before = match &session {
        Some(session) => app.sessions.elevation(policy, authority, session).await?,
        None => None,
    };
    let before = before.as_ref().and_then(|before| before.session.grant.as_deref());
    let kept = keep(app, policy, authority, session.as_ref(), before, elevated.clone()).await;
    let set_cookies = kept.map_err(|not_kept| match not_kept {
        NotKept::Store(error) => Failure::Store(error),
        NotKept::TooLarge => Failure::Refused("token_too_large"),
        NotKept::SessionEnded => Failure::Refused("expired"),
    })?;
    let granted = elevated.grant.as_ref().map_or(&[][..], |grant| &grant.granted);
    let (key, id) = (session.as_ref().map(|session| &session.key), &policy.compiled.id);
    audit::elevated(id, key, &elevated.subject, &elevated.issuer, &request.base, granted);
    let whole = request.scopes.iter().all(|scope| granted.contains(scope));
    Ok(Kept { set_cookies, whole })
}

/// The session that the transaction is for: the one that the browser still has. `Ok(None)`: it is for a
/// caller without one.
async fn session_of(returned: &Returned<'_>) -> Result<Option<Loaded>, Failure> {
    let Returned { app, site, request, current, .. } = returned;
    let policy = &site.policy;
    let Some(name) = &request.session else { return Ok(None) };
    let is_it = |loaded: &&Loaded| loaded.key.name() == *name;
    if let Some(session) = current.as_ref().filter(is_it) {
        return Ok(Some(session.clone()));
    }
    if current.is_some() || policy.compiled.session.same_site != SameSite::Strict {
        return Err(Failure::Refused("expired"));
    }
    // A Strict cookie does not come along on the provider's redirect. The transaction is this browser's
    // all the same, and began in the session: what comes is kept for that session, and for no other.
    let key = StoreKey::from_name(Purpose::Session, name).ok_or(Failure::Refused("expired"))?;
    let found = app.sessions.find_named(slice::from_ref(policy), &key).await?;
    let found = found.map(|(_, loaded)| loaded);
    let found = found.filter(|loaded| is_of_its_provider(policy, loaded));
    found.map(Some).ok_or(Failure::Refused("expired"))
}

/// The elevated token that a code gives, and that is all that it should be.
async fn redeem(
    returned: &Returned<'_>,
    authority: &LiveAuthority,
    session: Option<&Loaded>,
    code: &str,
) -> Result<Session, Failure> {
    let Returned { app, site, transaction, request, .. } = *returned;
    let policy = &site.policy;
    let login = authority.login(&request.scopes, request.silent);
    let redeemed = policy.provider.redeem(&authority.client, &login, transaction, code).await;
    let too_weak =
        || if request.silent { Failure::AskUser } else { Failure::Refused("step_up_failed") };
    let identity = redeemed.map_err(|error| {
        let base = &request.base;
        tracing::warn!(policy = %policy.compiled.id, base, %error, "an elevation failed");
        match error {
            OidcError::StepUp(_) => too_weak(),
            error => Failure::Refused(code_of(&error)),
        }
    })?;
    let other_user = session.is_some_and(|loaded| {
        let session = &loaded.session;
        session.subject != identity.subject || session.issuer != identity.issuer
    });
    let (nonce, now) = (Some(transaction.nonce.clone()), app.clock.now());
    let elevated = match record(identity, nonce, request.scopes.clone(), authority, now) {
        Ok(elevated) if !other_user => elevated,
        Ok(elevated) => {
            policy.discard(&authority.client, &elevated);
            return Err(Failure::Refused("other_user"));
        }
        Err(ScopeRefused { tokens }) => {
            policy.discard(&authority.client, &tokens);
            return Err(Failure::Refused(if other_user { "other_user" } else { "scope_refused" }));
        }
    };
    // Also where the authority asks for more than it did when this began.
    if lacks_authentication(&authority.compiled, &elevated, now) {
        return Err(too_weak());
    }
    if elevated.access_token_expires_at.is_some_and(|end| end <= now) {
        // The next check would send the browser here again.
        return Err(Failure::Refused("expired"));
    }
    Ok(elevated)
}

/// The second and last attempt: the provider may show pages.
async fn ask_user(returned: &Returned<'_>, again: &str) -> Response {
    let Returned { app, site, cookies, transaction, request, .. } = *returned;
    let policy = &site.policy;
    let Some(authority) = policy.authority(&request.base) else {
        return refuse(returned, "expired");
    };
    let request = ElevationRequest { silent: false, ..request.clone() };
    let way = Way { request, return_to: transaction.return_to.clone() };
    match send(app, site, cookies, authority, way).await {
        Ok(response) => response,
        Err(NotBegun::Provider(error @ OidcError::Refused(_))) => refuse(returned, code_of(&error)),
        Err(NotBegun::Provider(error)) => {
            tracing::warn!(policy = %policy.compiled.id, %error, "an elevation was not begun");
            app.metrics.elevation(code_of(&error));
            match error {
                OidcError::Unavailable(_) => unavailable(again),
                _ => not_possible(again),
            }
        }
        Err(NotBegun::Store(error)) => {
            note_store_error(app, site, &error);
            app.metrics.elevation("store_unavailable");
            unavailable(again)
        }
    }
}

/// Back to the app, with the code.
fn refuse(returned: &Returned<'_>, code: &'static str) -> Response {
    let Returned { app, site, transaction, request, .. } = *returned;
    if code != "token_too_large" {
        app.metrics.elevation(code);
    }
    if code != UNAVAILABLE {
        audit::elevation_refused(&site.policy.compiled.id, &request.base, code);
    }
    go_on(site, &with_error(&transaction.return_to, code))
}
