//! An authority's endpoint as a navigation: the browser leaves to obtain an elevated token, and comes back.
//!
//! Why it exists: only a navigation can have the user take part. The provider is asked to show no page
//! first; what comes of it is for `complete`. What is refused goes back to where the browser came from,
//! with a code; what cannot be tried at all is a page.

use axum::response::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use vestibule_policy::model::Obtain;

use super::address::with_error;
use super::held::{Held, HeldError, look};
use super::obtain::{NotObtained, Way, exchange, send};
use super::{Call, code_of, not_possible, unavailable};
use crate::audit;
use crate::caller::Caller;
use crate::endpoints::session::note_store_error;
use crate::endpoints::transaction::NotBegun;
use crate::endpoints::{current_session_of, see_other};
use crate::oidc::OidcError;
use crate::session::elevation::{Judgement, judge};
use crate::session::store::StoreError;
use crate::session::{ElevationRequest, StoreKey};

/// The code of scopes that were asked for before, and still are not granted.
pub(super) const NOT_GRANTED: &str = "insufficient_scope";

/// Why the browser is not sent on.
enum Failure {
    Store(StoreError),
    Unavailable,
    Provider(OidcError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Answers; `set_cookies` are to be in the answer.
pub(super) async fn answer(call: Call<'_>, set_cookies: &mut Vec<String>) -> Response {
    match go(call, set_cookies).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(call),
    }
}

async fn go(call: Call<'_>, set_cookies: &mut Vec<String>) -> Result<Response, Failure> {
    let Call { app, site, authority, cookies, asked } = call;
    let compiled = &site.policy.compiled;
    let exchanges = authority.compiled.obtain == Obtain::TokenExchange;
    let Some(session) = current_session_of(app, &site.policy, cookies).await? else {
        if compiled.bearer.is_none() || exchanges {
            return Ok(to_login(call));
        }
        // For whoever logs in: it is kept in cookies, and is of use with a token of that user alone.
        return away(call, None, asked.scopes.clone(), asked.return_to().to_owned()).await;
    };
    let key = session.key;
    let caller = Caller::Session(session);
    let mut held = match look(call, &caller, true).await {
        Ok(held) => held,
        Err(HeldError::Store(error)) => return Err(error.into()),
        // It may be had anew all the same.
        Err(HeldError::Provider) => Held::default(),
    };
    set_cookies.append(&mut held.set_cookies);
    let judged = judge(&authority.compiled, &[], held.elevated.as_deref(), app.clock.now());
    let has_all = held.grant().is_some_and(|grant| grant.covers(&asked.scopes));
    if judged == Judgement::Usable && has_all {
        return Ok(back(call, asked.return_to()));
    }
    let scopes = asked.with(held.granted(), authority);
    if exchanges {
        return exchanged(call, &caller, scopes, held, set_cookies).await;
    }
    let return_to = if held.was_asked(&asked.scopes) {
        // Where it is not granted this time either: who sent the browser here would do so for ever.
        with_error(asked.return_to(), NOT_GRANTED)
    } else {
        asked.return_to().to_owned()
    };
    away(call, Some(&key), scopes, return_to).await
}

async fn away(
    call: Call<'_>,
    session: Option<&StoreKey>,
    scopes: Vec<String>,
    return_to: String,
) -> Result<Response, Failure> {
    let base = call.authority.compiled.base.clone();
    let session = session.map(StoreKey::name);
    let request = ElevationRequest { base, scopes, silent: true, session };
    let way = Way { request, return_to };
    match send(call.app, call.site, call.cookies, call.authority, way).await {
        Ok(response) => Ok(response),
        Err(NotBegun::Store(error)) => Err(Failure::Store(error)),
        Err(NotBegun::Provider(error @ OidcError::Refused(_))) => {
            // A pushed request is refused at once.
            let (policy, code) = (&call.site.policy.compiled.id, code_of(&error));
            tracing::warn!(%policy, %error, "an elevation was not begun");
            audit::elevation_refused(policy, &call.authority.compiled.base, code);
            call.app.metrics.elevation(code);
            Ok(back(call, &with_error(call.asked.return_to(), code)))
        }
        Err(NotBegun::Provider(error)) => Err(Failure::Provider(error)),
    }
}

async fn exchanged(
    call: Call<'_>,
    caller: &Caller,
    scopes: Vec<String>,
    mut held: Held,
    set_cookies: &mut Vec<String>,
) -> Result<Response, Failure> {
    let return_to = call.asked.return_to();
    let was_asked = held.was_asked(&call.asked.scopes);
    match exchange(call, caller, scopes, &mut held).await {
        Ok(()) => {
            set_cookies.append(&mut held.set_cookies);
            let has_all = held.grant().is_some_and(|grant| grant.covers(&call.asked.scopes));
            if was_asked && !has_all {
                return Ok(back(call, &with_error(return_to, NOT_GRANTED)));
            }
            Ok(back(call, return_to))
        }
        Err(NotObtained::Refused { code, .. }) => Ok(back(call, &with_error(return_to, code))),
        Err(NotObtained::SessionOver) => Ok(to_login(call)),
        Err(NotObtained::Store(error)) => Err(error.into()),
        Err(NotObtained::Unavailable) => Err(Failure::Unavailable),
    }
}

fn back(call: Call<'_>, path: &str) -> Response {
    see_other(&format!("{}{path}", call.site.origin))
}

/// To the login, and from there to here again.
fn to_login(call: Call<'_>) -> Response {
    let here = here(call);
    let rd = utf8_percent_encode(&here, NON_ALPHANUMERIC);
    see_other(&format!("{}?rd={rd}", call.site.url("login")))
}

fn here(call: Call<'_>) -> String {
    let Call { site, authority, asked, .. } = call;
    authority.authorize_url(&site.origin, &asked.scopes, asked.redirect.as_deref())
}

impl Failure {
    fn into_response(self, call: Call<'_>) -> Response {
        let Call { app, site, authority, .. } = call;
        let again = here(call);
        match self {
            Self::Store(error) => {
                note_store_error(app, site, &error);
                app.metrics.elevation("store_unavailable");
                unavailable(&again)
            }
            // It is counted already.
            Self::Unavailable => unavailable(&again),
            Self::Provider(error) => {
                let (policy, base) = (&site.policy.compiled.id, &authority.compiled.base);
                tracing::warn!(%policy, base, %error, "an elevation was not begun");
                app.metrics.elevation(code_of(&error));
                match error {
                    OidcError::Unavailable(_) => unavailable(&again),
                    _ => not_possible(&again),
                }
            }
        }
    }
}
