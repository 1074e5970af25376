//! The elevated token that a caller has for an authority, wherever it is kept: beside the session, or in
//! cookies.
//!
//! Why it exists: what a caller may do does not depend on where the token lies. It must not judge it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vestibule_policy::model::TokenStorage;

use super::Call;
use crate::app::App;
use crate::caller::Caller;
use crate::clock::Timestamp;
use crate::policies::{LiveAuthority, LivePolicy};
use crate::session::elevation::{Judgement, judge, lacks_authentication};
use crate::session::elevation_cookies::{self, CookieRefresh, TooLarge};
use crate::session::refresh::Refreshed;
use crate::session::service::Loaded;
use crate::session::store::StoreError;
use crate::session::{Grant, Session, StoreKey};

/// How often it is logged at most that tokens do not fit, in seconds.
const SAY_AGAIN: u64 = 60;

/// What a caller has.
#[derive(Default)]
pub(super) struct Held {
    /// It may be over, spent, or of too weak a login.
    pub elevated: Option<Arc<Session>>,
    /// `Set-Cookie` values of the answer.
    pub set_cookies: Vec<String>,
}

impl Held {
    pub(super) fn grant(&self) -> Option<&Grant> {
        self.elevated.as_deref()?.grant.as_deref()
    }

    /// The scopes that it has.
    pub(super) fn granted(&self) -> &[String] {
        self.grant().map_or(&[], |grant| &grant.granted)
    }

    pub(super) fn was_asked(&self, scopes: &[String]) -> bool {
        self.grant().is_some_and(|grant| grant.was_asked(scopes))
    }

    fn of(elevated: Option<Arc<Session>>) -> Self {
        Self { elevated, set_cookies: Vec::new() }
    }
}

/// Why it is not known what a caller has.
pub(super) enum HeldError {
    Store(StoreError),
    /// The provider did not answer.
    Provider,
}

impl From<StoreError> for HeldError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What the caller has; one that is over is refreshed first, if that may be and can be.
pub(super) async fn look(
    call: Call<'_>,
    caller: &Caller,
    may_refresh: bool,
) -> Result<Held, HeldError> {
    let stays = call.authority.compiled.storage == TokenStorage::Session;
    match caller {
        Caller::Session(session) if stays => in_store(call, session, may_refresh).await,
        Caller::Session(_) | Caller::Bearer(_) => in_cookies(call, caller, may_refresh).await,
    }
}

async fn in_store(call: Call<'_>, session: &Loaded, may_refresh: bool) -> Result<Held, HeldError> {
    let (app, policy, authority) = (call.app, &call.site.policy, call.authority);
    let Some(found) = app.sessions.elevation(policy, authority, session).await? else {
        return Ok(Held::default());
    };
    let judged = judge(&authority.compiled, &[], Some(&found.session), app.clock.now());
    if judged != Judgement::Refresh || !may_refresh {
        return Ok(Held::of(Some(found.session)));
    }
    match app.sessions.refresh_elevation(policy, authority, session, &found).await? {
        Refreshed::Fresh(fresh) => Ok(Held::of(Some(fresh.session))),
        Refreshed::Ended => Ok(Held::default()),
        Refreshed::Failed => Err(HeldError::Provider),
    }
}

async fn in_cookies(call: Call<'_>, caller: &Caller, may_refresh: bool) -> Result<Held, HeldError> {
    let (app, policy, authority) = (call.app, &call.site.policy, call.authority);
    let (key, now) = (caller.key(policy), app.clock.now());
    let found = elevation_cookies::read(policy, authority, &key, call.cookies, now);
    let Some(found) = found else { return Ok(Held::default()) };
    let is_over = found.access_token_expires_at.is_some_and(|end| end <= now);
    if !is_over || !may_refresh || lacks_authentication(&authority.compiled, &found, now) {
        return Ok(Held::of(Some(Arc::new(found))));
    }
    let refreshed = app.sessions.refresh_cookie(policy, authority, &key, call.cookies);
    match refreshed.await? {
        CookieRefresh::Fresh(fresh) => {
            let set_cookies = in_new_cookies(app, policy, authority, &key, &fresh);
            if set_cookies.is_err() {
                policy.discard(&authority.client, &fresh);
            }
            let kept = set_cookies.is_ok().then(|| Arc::new(fresh));
            let set_cookies =
                set_cookies.unwrap_or_else(|_| elevation_cookies::expire(policy, authority));
            Ok(Held { elevated: kept, set_cookies })
        }
        CookieRefresh::Ended => {
            let set_cookies = elevation_cookies::expire(policy, authority);
            Ok(Held { elevated: None, set_cookies })
        }
        CookieRefresh::Failed => Err(HeldError::Provider),
        // It stays over.
        CookieRefresh::None => Ok(Held::of(Some(Arc::new(found)))),
    }
}

/// Why an elevated token is not kept.
pub(super) enum NotKept {
    Store(StoreError),
    /// It does not fit into a cookie.
    TooLarge,
    /// The session that it is for has ended meanwhile.
    SessionEnded,
}

/// Keeps a new elevated token; gives the `Set-Cookie` values of the answer. `session`: of the caller who has
/// one; `before`: what the caller was asked and granted until now, as far as that is known.
pub(super) async fn keep(
    app: &App,
    policy: &LivePolicy,
    authority: &LiveAuthority,
    session: Option<&Loaded>,
    before: Option<&Grant>,
    elevated: Session,
) -> Result<Vec<String>, NotKept> {
    let grant = elevated.grant.map(|grant| Box::new(ever(*grant, before)));
    let elevated = Session { grant, ..elevated };
    match session {
        Some(session) if authority.compiled.storage == TokenStorage::Session => {
            let kept = app.sessions.elevate(policy, authority, session, elevated.clone()).await;
            if kept.map_err(NotKept::Store)?.is_none() {
                policy.discard(&authority.client, &elevated);
                return Err(NotKept::SessionEnded);
            }
            Ok(Vec::new())
        }
        session => {
            let (uid, issuer) = (&policy.compiled.uid, &elevated.issuer);
            let key = session.map_or_else(
                || StoreKey::of_bearer(uid, issuer, &elevated.subject),
                |session| session.key,
            );
            let set_cookies = in_new_cookies(app, policy, authority, &key, &elevated);
            set_cookies.map_err(|TooLarge { .. }| NotKept::TooLarge)
        }
    }
}

/// What was asked for once counts as asked for: it is not to be advised again.
fn ever(mut grant: Grant, before: Option<&Grant>) -> Grant {
    for scope in before.map_or(&[][..], |before| &before.asked) {
        if !grant.asked.contains(scope) {
            grant.asked.push(scope.clone());
        }
    }
    grant
}

fn in_new_cookies(
    app: &App,
    policy: &LivePolicy,
    authority: &LiveAuthority,
    caller: &StoreKey,
    elevated: &Session,
) -> Result<Vec<String>, TooLarge> {
    let written = elevation_cookies::write(policy, authority, caller, elevated, &*app.random);
    if let Err(error) = &written {
        app.metrics.elevation("token_too_large");
        if is_to_be_said(app.clock.now()) {
            let (policy, base) = (&policy.compiled.id, &authority.compiled.base);
            tracing::error!(%policy, base, %error, "set the authority's storage to Session");
        }
    }
    written
}

/// Not each time: it would be so for every user.
fn is_to_be_said(now: Timestamp) -> bool {
    static SAID_AT: AtomicU64 = AtomicU64::new(0);
    let due = |said: u64| (said == 0 || now.since(Timestamp(said)) >= SAY_AGAIN).then_some(now.0);
    SAID_AT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_once_stays_asked_for_and_is_not_granted_by_that() {
        let grant = |asked: &[&str], granted: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
            Grant { asked: owned(asked), granted: owned(granted) }
        };
        let before = grant(&["read", "admin"], &["read"]);
        let now = ever(grant(&["read", "write"], &["write"]), Some(&before));
        assert_eq!(now, grant(&["read", "write", "admin"], &["write"]));
        assert_eq!(ever(grant(&["read"], &[]), None), grant(&["read"], &[]));
    }
}
