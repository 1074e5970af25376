//! Checks below the base of a Route Authority: what goes upstream is a token of that authority, or none.
//!
//! Why it exists: there the session, or the token that a caller brings, says who it is; what they may do
//! is in an elevated token. A caller's own token passes only where the policy lets it, and the session's
//! never does. It must not look into elevated tokens, and must not set cookies: most gateways would drop
//! them.

use std::sync::Arc;

use serde_json::Value;
use vestibule_policy::model::{
    Access, CompiledBearer, CompiledRoute, OwnTokens, TokenStorage, UpstreamAuthorization,
};

use super::decide::{self, Advice, Decision, Refusal, StepUp};
use super::grant::{self, Identity};
use super::request::CheckRequest;
use super::{Outcome, User, jitter, permitted, refused, store_failed};
use crate::app::App;
use crate::caller::{self, Caller, CallerError};
use crate::clock::Timestamp;
use crate::oidc::BearerToken;
use crate::policies::{LiveAuthority, LivePolicy, LiveRule};
use crate::session::elevation::{self, Judgement};
use crate::session::refresh::Refreshed;
use crate::session::service::Loaded;
use crate::session::store::StoreError;
use crate::session::{Session, elevation_cookies};
use crate::token::Token;

/// A request below a base, whose rule cares about who asks.
#[derive(Clone, Copy)]
pub(super) struct Below<'a> {
    pub(super) app: &'a App,
    pub(super) policy: &'a Arc<LivePolicy>,
    pub(super) authority: &'a Arc<LiveAuthority>,
    pub(super) rule: LiveRule<'a>,
    pub(super) request: &'a CheckRequest<'a>,
}

/// The token that goes upstream.
enum Granted<'a> {
    Elevated(Arc<Session>),
    /// The caller's own.
    Own(&'a Token),
}

impl Granted<'_> {
    fn token(&self) -> &Token {
        match self {
            Self::Elevated(elevated) => &elevated.access_token,
            Self::Own(token) => token,
        }
    }
}

/// Why none does.
enum Lacking {
    /// The caller has none that would do.
    Token(Refusal),
    /// Whether the caller has one is not known.
    Answer(Refusal),
}

/// Decides one request and, where it may pass, makes the headers for the app.
///
/// # Errors
/// Why it does not pass.
pub(super) async fn evaluate(below: Below<'_>) -> Outcome {
    let Below { app, policy, rule, request, .. } = below;
    let caller = caller::of(app, policy, request.cookies, &request.authorization).await;
    let caller = caller.map_err(|error| below.unknown(&error))?;
    let now = app.clock.now();
    let Some(caller) = caller else {
        below.admits(None, now)?;
        return below.anonymous(now);
    };
    let granted = match &caller {
        Caller::Bearer(token) => {
            meets(&rule, token, now)?;
            below.of_bearer(&caller, token, now)
        }
        Caller::Session(session) => {
            if !below.admits(Some(session), now)? {
                return below.anonymous(now);
            }
            match below.authority.compiled.storage {
                TokenStorage::Session => below.of_session(session, now).await,
                TokenStorage::Cookie => below.in_cookies(&caller, now),
            }
        }
    };
    let granted = match granted {
        Ok(granted) => granted,
        // Then nobody asks, as far as the app can tell.
        Err(Lacking::Token(_)) if rule.access == Access::Optional => return below.anonymous(now),
        Err(Lacking::Token(refusal) | Lacking::Answer(refusal)) => return Err(refusal),
    };
    if let Some(check) = &rule.require.permission {
        Box::pin(permitted(app, policy, check, request, User::of(&caller))).await?;
    }
    let identity = Identity::Below { claims: caller.claims(), token: granted.token() };
    Ok(("allow", grant::headers(policy, rule, request, Some(identity), now)?))
}

impl Below<'_> {
    fn anonymous(&self, now: Timestamp) -> Outcome {
        let headers = grant::headers(self.policy, self.rule, self.request, None, now)?;
        Ok(("allow_anonymous", headers))
    }

    fn unknown(&self, error: &CallerError) -> Refusal {
        match error {
            CallerError::Store(error) => store_failed(self.app, self.policy, error),
            CallerError::Invalid => Refusal::InvalidToken,
            CallerError::Unavailable => Refusal::Undecided,
        }
    }

    fn unanswered(&self, error: &StoreError) -> Lacking {
        Lacking::Answer(store_failed(self.app, self.policy, error))
    }

    /// Whether the rule lets a session pass; `true`: as who it is. What its own tokens are worth does not
    /// matter, since none of them is forwarded here.
    fn admits(&self, session: Option<&Loaded>, now: Timestamp) -> Result<bool, Refusal> {
        let Self { app, policy, rule, request, .. } = *self;
        let forwards = UpstreamAuthorization::None;
        let known = session.map(|session| &*session.session);
        match decide::decide(&policy.compiled, &rule, forwards, request, known, now) {
            Decision::Allow(identity) => {
                if let Some(session) = session
                    && decide::is_refresh_due(forwards, &session.session, now, jitter(session))
                {
                    app.sessions.refresh_soon(policy, session);
                }
                Ok(identity)
            }
            Decision::Refuse(refusal) => Err(refused(policy, session, refusal)),
            // There is nothing that could be over.
            Decision::Refresh => Err(Refusal::Unavailable),
        }
    }

    /// The elevated token that is kept beside a session.
    async fn of_session<'c>(
        &self,
        session: &Loaded,
        now: Timestamp,
    ) -> Result<Granted<'c>, Lacking> {
        let Self { app, policy, authority, .. } = *self;
        let found = app.sessions.elevation(policy, authority, session).await;
        let Some(elevated) = found.map_err(|error| self.unanswered(&error))? else {
            return Err(self.lacking(Judgement::Advise));
        };
        match self.judge(Some(&elevated.session), now) {
            Judgement::Usable => {
                let (compiled, token) = (&authority.compiled, &elevated.session);
                if elevation::is_refresh_due(compiled, token, now, jitter(&elevated)) {
                    app.sessions.refresh_elevation_soon(policy, authority, session, &elevated);
                }
                Ok(Granted::Elevated(elevated.session))
            }
            Judgement::Refresh => self.renewed(session, &elevated).await.map(Granted::Elevated),
            judgement => Err(self.lacking(judgement)),
        }
    }

    /// A new elevated token for one that is over.
    async fn renewed(&self, session: &Loaded, over: &Loaded) -> Result<Arc<Session>, Lacking> {
        let Self { app, policy, authority, .. } = *self;
        let refreshed = app.sessions.refresh_elevation(policy, authority, session, over).await;
        let elevated = match refreshed.map_err(|error| self.unanswered(&error))? {
            Refreshed::Fresh(elevated) => elevated.session,
            Refreshed::Ended => return Err(self.lacking(Judgement::Advise)),
            // The provider or another replica did not answer in time, which says nothing of the user.
            Refreshed::Failed => return Err(Lacking::Answer(Refusal::Undecided)),
        };
        match self.judge(Some(&elevated), app.clock.now()) {
            Judgement::Usable => Ok(elevated),
            // The new token is over as well.
            Judgement::Refresh => Err(Lacking::Answer(Refusal::Undecided)),
            judgement => Err(self.lacking(judgement)),
        }
    }

    /// The elevated token that the caller's cookies have. One that is over is for the authority's endpoint
    /// to refresh, which can set new ones.
    fn in_cookies<'c>(&self, caller: &Caller, now: Timestamp) -> Result<Granted<'c>, Lacking> {
        let Self { policy, authority, request, .. } = *self;
        let key = caller.key(policy);
        let found = elevation_cookies::read(policy, authority, &key, request.cookies, now);
        // It could be no other's, since it opens for the caller's key alone; nothing rests on that.
        let found = found
            .filter(|found| found.subject == caller.subject() && found.issuer == caller.issuer());
        match (self.judge(found.as_ref(), now), found) {
            (Judgement::Usable, Some(elevated)) => Ok(Granted::Elevated(Arc::new(elevated))),
            (Judgement::Insufficient, _) => Err(self.lacking(Judgement::Insufficient)),
            _ => Err(self.lacking(Judgement::Advise)),
        }
    }

    /// The token that its caller brings, where that passes; else the elevated one of its cookies.
    fn of_bearer<'c>(
        &self,
        caller: &Caller,
        token: &'c BearerToken,
        now: Timestamp,
    ) -> Result<Granted<'c>, Lacking> {
        let Some(bearer) = &self.policy.compiled.bearer else {
            return Err(Lacking::Token(Refusal::InvalidToken));
        };
        let suffices = self.suffices(bearer, token);
        let too_weak = self.too_weak(token, now);
        if suffices && too_weak.is_none() {
            return Ok(Granted::Own(&token.token));
        }
        if token.has(&bearer.mediation_scope) {
            return self.in_cookies(caller, now);
        }
        let step_up = too_weak.filter(|_| suffices);
        let refusal = step_up.map(|step_up| Refusal::StepUp(step_up, false));
        Err(refusal.map_or_else(|| self.lacking(Judgement::Insufficient), Lacking::Token))
    }

    /// Whether a caller's own token has what the rule needs; without that, anything of the authority's.
    fn suffices(&self, bearer: &CompiledBearer, token: &BearerToken) -> bool {
        let required = &self.rule.require.scopes;
        let has_any = || token.scopes.iter().any(|scope| self.authority.lists(scope));
        bearer.own_tokens == OwnTokens::Pass
            && if required.is_empty() { has_any() } else { token.covers(required) }
    }

    /// What the authority asks of an authentication, where the token's is not that.
    fn too_weak(&self, token: &BearerToken, now: Timestamp) -> Option<StepUp> {
        let authority = &self.authority.compiled;
        step_up(authority.acr.as_ref(), authority.max_age, token, now)
    }

    fn judge(&self, elevated: Option<&Session>, now: Timestamp) -> Judgement {
        elevation::judge(&self.authority.compiled, &self.rule.require.scopes, elevated, now)
    }

    fn lacking(&self, judgement: Judgement) -> Lacking {
        let scopes = match &*self.rule.require.scopes {
            [] => self.authority.scope_names(),
            required => required.to_vec(),
        };
        Lacking::Token(if judgement == Judgement::Insufficient {
            Refusal::InsufficientScope { scopes }
        } else {
            let advice = Advice { base: self.authority.compiled.base.clone(), scopes };
            Refusal::MediationAdvised(advice, decide::goes_to_login(&self.rule, self.request))
        })
    }
}

/// Refuses a bearer token that does not meet what the rule asks of a session.
fn meets(rule: &CompiledRoute, token: &BearerToken, now: Timestamp) -> Result<(), Refusal> {
    let require = &rule.require;
    if let Some(step_up) = step_up(require.acr.as_ref(), require.max_age, token, now) {
        return Err(Refusal::StepUp(step_up, false));
    }
    match &require.expression {
        Some(expression) if !matches!(expression.evaluate_bool(&token.claims), Ok(true)) => {
            Err(Refusal::Forbidden("require"))
        }
        _ => Ok(()),
    }
}

/// What the authentication that a token tells of lacks (RFC 9068, section 2.2.1). One that it does not
/// tell of is too old.
fn step_up(
    acr: Option<&String>,
    max_age: Option<u64>,
    token: &BearerToken,
    now: Timestamp,
) -> Option<StepUp> {
    let told = |name| token.claims.get(name);
    let wrong_acr = acr.is_some_and(|acr| told("acr").and_then(Value::as_str) != Some(acr));
    let auth_time = || Timestamp(told("auth_time").and_then(Value::as_u64).unwrap_or_default());
    let too_old = max_age.is_some_and(|limit| now.since(auth_time()) > limit);
    (wrong_acr || too_old).then(|| StepUp { acr: acr.cloned(), max_age })
}
