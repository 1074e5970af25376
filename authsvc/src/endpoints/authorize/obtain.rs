//! Obtaining an elevated token: by exchanging the caller's (RFC 8693), right here, or by sending the browser
//! to the provider.
//!
//! It must not ask for a scope that the authority does not list.

use axum::response::Response;

use super::held::{Held, NotKept, keep};
use super::{Call, code_of};
use crate::app::App;
use crate::audit;
use crate::caller::Caller;
use crate::clock::Timestamp;
use crate::cookies::Cookies;
use crate::endpoints::Site;
use crate::endpoints::transaction::{Beginning, NotBegun, begin};
use crate::oidc::{ExchangeRequest, OidcError};
use crate::policies::LiveAuthority;
use crate::session::elevation::{Of, ScopeRefused, record_exchanged};
use crate::session::refresh::Refreshed;
use crate::session::store::StoreError;
use crate::session::{ElevationRequest, Session, StoreKey};

/// Why an exchange gave nothing.
pub(super) enum NotObtained {
    Store(StoreError),
    /// Nothing was judged.
    Unavailable,
    /// The session's own token is over, and there is no other.
    SessionOver,
    /// The code for the app; `for_good`: it is about the caller, and asking again does not help.
    Refused {
        code: &'static str,
        for_good: bool,
    },
}

impl From<StoreError> for NotObtained {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Exchanges the caller's token for one with these scopes, and keeps it; `held` is in its place then.
pub(super) async fn exchange(
    call: Call<'_>,
    caller: &Caller,
    scopes: Vec<String>,
    held: &mut Held,
) -> Result<(), NotObtained> {
    let result = try_exchange(call, caller, scopes, held).await;
    let outcome = match &result {
        Ok(()) => "exchanged",
        Err(NotObtained::Store(_)) => "store_unavailable",
        Err(NotObtained::Unavailable) => "temporarily_unavailable",
        Err(NotObtained::SessionOver) => "session_over",
        Err(NotObtained::Refused { code, .. }) => {
            let policy = &call.site.policy.compiled.id;
            audit::elevation_refused(policy, &call.authority.compiled.base, code);
            code
        }
    };
    if outcome != "token_too_large" {
        call.app.metrics.elevation(outcome);
    }
    result
}

async fn try_exchange(
    call: Call<'_>,
    caller: &Caller,
    scopes: Vec<String>,
    held: &mut Held,
) -> Result<(), NotObtained> {
    let Call { app, authority, .. } = call;
    let policy = &call.site.policy;
    let caller = with_live_token(call, caller).await?;
    let request = ExchangeRequest {
        subject_token: caller.access_token(),
        scopes: &scopes,
        audience: authority.compiled.audience.as_deref(),
        resources: &authority.compiled.resources,
    };
    let exchanged = policy.provider.exchange(&authority.client, &request).await;
    let exchanged = exchanged.map_err(|error| refused(call, &error))?;
    let auth_time = match &caller {
        Caller::Session(loaded) => loaded.session.auth_time,
        Caller::Bearer(_) => Timestamp::default(),
    };
    let of = Of { subject: caller.subject(), issuer: caller.issuer(), auth_time };
    let recorded = record_exchanged(exchanged, of, scopes, authority, app.clock.now());
    let elevated = recorded.map_err(|ScopeRefused { tokens }| {
        policy.discard(&authority.client, &tokens);
        NotObtained::Refused { code: "scope_refused", for_good: false }
    })?;
    let session = match &caller {
        Caller::Session(loaded) => Some(loaded),
        Caller::Bearer(_) => None,
    };
    let kept = keep(app, policy, authority, session, held.grant(), elevated.clone()).await;
    let set_cookies = kept.map_err(|not_kept| match not_kept {
        NotKept::Store(error) => NotObtained::Store(error),
        NotKept::TooLarge => NotObtained::Refused { code: "token_too_large", for_good: false },
        NotKept::SessionEnded => NotObtained::SessionOver,
    })?;
    note(call, session.map(|loaded| &loaded.key), &elevated);
    held.set_cookies = set_cookies;
    held.elevated = Some(elevated.into());
    Ok(())
}

fn note(call: Call<'_>, key: Option<&StoreKey>, elevated: &Session) {
    let policy = &call.site.policy.compiled.id;
    let granted = elevated.grant.as_ref().map_or(&[][..], |grant| &grant.granted);
    let (subject, issuer) = (&elevated.subject, &elevated.issuer);
    audit::elevated(policy, key, subject, issuer, &call.authority.compiled.base, granted);
}

/// The caller with a token of their own that is not over: a session's is refreshed.
async fn with_live_token(call: Call<'_>, caller: &Caller) -> Result<Caller, NotObtained> {
    let Caller::Session(loaded) = caller else { return Ok(caller.clone()) };
    let is_over = |end: Timestamp| end <= call.app.clock.now();
    if !loaded.session.access_token_expires_at.is_some_and(is_over) {
        return Ok(caller.clone());
    }
    if loaded.session.refresh_token.is_none() {
        return Err(NotObtained::SessionOver);
    }
    match call.app.sessions.refresh(&call.site.policy, loaded).await? {
        Refreshed::Fresh(fresh) => Ok(Caller::Session(fresh)),
        Refreshed::Ended => Err(NotObtained::SessionOver),
        Refreshed::Failed => Err(NotObtained::Unavailable),
    }
}

/// `invalid_request` is what RFC 8693, section 2.2.2 has for a token that the provider does not accept.
fn refused(call: Call<'_>, error: &OidcError) -> NotObtained {
    let (policy, base) = (&call.site.policy.compiled.id, &call.authority.compiled.base);
    tracing::warn!(%policy, base, %error, "a token was not exchanged");
    match error {
        OidcError::Unavailable(_) => NotObtained::Unavailable,
        OidcError::Refused(code) => {
            let for_good = matches!(
                *code,
                "access_denied" | "invalid_grant" | "invalid_request" | "invalid_scope"
            );
            NotObtained::Refused { code: code_of(error), for_good }
        }
        error => NotObtained::Refused { code: code_of(error), for_good: false },
    }
}

/// A browser's way to the provider.
pub(super) struct Way {
    pub request: ElevationRequest,
    pub return_to: String,
}

/// Sends the browser to the provider.
pub(super) async fn send(
    app: &App,
    site: &Site,
    cookies: Cookies<'_>,
    authority: &LiveAuthority,
    way: Way,
) -> Result<Response, NotBegun> {
    let Way { request, return_to } = way;
    let login = authority.login(&request.scopes, request.silent);
    let started = if request.silent { "started" } else { "asked_user" };
    let beginning = Beginning {
        client: &authority.client,
        login: &login,
        acr_values: login.acr_values.clone(),
        max_age: login.max_age,
        return_to,
        elevation: Some(request),
    };
    let response = begin(app, site, cookies, beginning).await?;
    app.metrics.elevation(started);
    Ok(response)
}
