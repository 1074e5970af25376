//! The decision: pure, over policy, request, session and time.

use vestibule_policy::model::{
    Access, CompiledPolicy, CompiledRequire, CompiledRoute, Unauthenticated, UpstreamAuthorization,
};

use super::request::CheckRequest;
use crate::clock::Timestamp;
use crate::csrf;
use crate::session::Session;
use crate::session::refresh::is_soon;

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// It passes; `true`: with the session's identity.
    Allow(bool),
    /// It does not.
    Refuse(Refusal),
    /// The session needs new tokens first; then it is to be decided again.
    Refresh,
}

/// Why a request does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no session; `true`: the browser should go to the login.
    Unauthenticated(bool),
    /// The session's authentication is too weak or too old (RFC 9470); `true`: the browser should
    /// go to the login.
    StepUp(StepUp, bool),
    /// There is no elevated token that would do, and the authority's endpoint helps; `true`: the
    /// browser should go there.
    MediationAdvised(Advice, bool),
    /// The caller was not granted these scopes, and asking again would not help.
    InsufficientScope {
        /// Those that are needed.
        scopes: Vec<String>,
    },
    /// The token that the caller brings is no good.
    InvalidToken,
    /// Whoever asks, this does not pass; the text is a constant label.
    Forbidden(&'static str),
    /// The store or another part did not answer: not "no session".
    Unavailable,
    /// The provider or a decision point did not answer: not "no".
    Undecided,
}

/// What the elevated token of an authority is to be obtained for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The authority's base.
    pub base: String,
    /// The scopes that are needed.
    pub scopes: Vec<String>,
}

/// What an authentication must be like (RFC 9470, section 3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepUp {
    /// The `acr` it must have.
    pub acr: Option<String>,
    /// How old it may be, in seconds.
    pub max_age: Option<u64>,
}

impl Refusal {
    /// The label for metrics and logs.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Unauthenticated(true) => "login",
            Self::Unauthenticated(false) => "unauthenticated",
            Self::StepUp(..) => "step_up",
            Self::MediationAdvised(..) => "mediation_advised",
            Self::InsufficientScope { .. } => "insufficient_scope",
            Self::InvalidToken => "invalid_token",
            Self::Forbidden(_) => "forbidden",
            Self::Unavailable => "unavailable",
            Self::Undecided => "undecided",
        }
    }

    /// Why it is forbidden, for the log; empty for what the label tells already.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Forbidden(reason) => reason,
            _ => "",
        }
    }
}

/// Whether the session must be read at all. Never for what passes or fails without one.
#[must_use]
pub fn needs_session(rule: &CompiledRoute, request: &CheckRequest<'_>) -> bool {
    matches!(rule.access, Access::Session | Access::Optional) && !request.facts.preflight
}

/// Decides. The session is `None` where there is none or where it was not needed; `forwards`: which of
/// its tokens goes to the app.
#[must_use]
pub fn decide(
    policy: &CompiledPolicy,
    rule: &CompiledRoute,
    forwards: UpstreamAuthorization,
    request: &CheckRequest<'_>,
    session: Option<&Session>,
    now: Timestamp,
) -> Decision {
    match rule.access {
        Access::Deny => return Decision::Refuse(Refusal::Forbidden("deny")),
        Access::Public => return Decision::Allow(false),
        Access::Session | Access::Optional => {}
    }
    if request.facts.preflight {
        // A preflight carries no cookie: from an allowed origin the app answers it, anonymously.
        return if csrf::preflight_allowed(policy, &request.facts) {
            Decision::Allow(false)
        } else {
            Decision::Refuse(Refusal::Forbidden("cors"))
        };
    }
    let usable = session.filter(|session| !lacks_token(forwards, session, now));
    let Some(session) = usable else {
        return if rule.access == Access::Optional {
            Decision::Allow(false)
        } else {
            Decision::Refuse(unauthenticated(rule, request))
        };
    };
    if csrf::verify(policy, &request.facts).is_err() {
        // The cookie authorises nothing here. An optional route goes on as if it were not there.
        return if rule.access == Access::Optional {
            Decision::Allow(false)
        } else {
            Decision::Refuse(Refusal::Forbidden("forged"))
        };
    }
    if is_over(forwards, session, now) {
        // Before anything is asked of the session: its claims may be others then.
        return Decision::Refresh;
    }
    if let Some(step_up) = step_up(&rule.require, session, now) {
        return Decision::Refuse(Refusal::StepUp(step_up, goes_to_login(rule, request)));
    }
    match &rule.require.expression {
        Some(expression) if !matches!(expression.evaluate_bool(&session.claims), Ok(true)) => {
            Decision::Refuse(Refusal::Forbidden("require"))
        }
        _ => Decision::Allow(true),
    }
}

/// What the session's authentication lacks for a rule; `None`: nothing.
#[must_use]
pub fn step_up(require: &CompiledRequire, session: &Session, now: Timestamp) -> Option<StepUp> {
    let wrong_acr = require.acr.is_some() && require.acr != session.acr;
    let too_old = require.max_age.is_some_and(|limit| now.since(session.auth_time) > limit);
    (wrong_acr || too_old).then(|| StepUp { acr: require.acr.clone(), max_age: require.max_age })
}

/// Whether the rule forwards a token of the provider that is over, and no new one can be had.
#[must_use]
pub fn lacks_access_token(rule: &CompiledRoute, session: &Session, now: Timestamp) -> bool {
    lacks_token(rule.upstream.authorization, session, now)
}

fn lacks_token(forwards: UpstreamAuthorization, session: &Session, now: Timestamp) -> bool {
    is_over(forwards, session, now)
        && !forwarded_until(forwards, session).is_some_and(|end| is_renewable(session, end))
}

/// Whether new tokens are to be had while the old ones still serve: those of the session as a whole,
/// also where the rule forwards none, since with them come the user's claims of today. `jitter`
/// spreads sessions that began together.
#[must_use]
pub fn is_refresh_due(
    forwards: UpstreamAuthorization,
    session: &Session,
    now: Timestamp,
    jitter: u8,
) -> bool {
    let is_due = |end: Timestamp| {
        is_renewable(session, end) && is_soon(session.tokens_issued_at, end, now, jitter)
    };
    [session.access_token_expires_at, forwarded_until(forwards, session)]
        .into_iter()
        .flatten()
        .any(is_due)
}

/// When the provider's token that is forwarded is over.
fn forwarded_until(forwards: UpstreamAuthorization, session: &Session) -> Option<Timestamp> {
    match forwards {
        UpstreamAuthorization::AccessToken => session.access_token_expires_at,
        UpstreamAuthorization::IdToken => Some(session.id_token_expires_at),
        UpstreamAuthorization::IdentityJwt | UpstreamAuthorization::None => None,
    }
}

fn is_over(forwards: UpstreamAuthorization, session: &Session, now: Timestamp) -> bool {
    forwarded_until(forwards, session).is_some_and(|end| end <= now)
}

/// Whether a refresh may move this end: one that was over when the tokens came did not move.
fn is_renewable(session: &Session, end: Timestamp) -> bool {
    session.refresh_token.is_some() && end > session.tokens_issued_at
}

fn unauthenticated(rule: &CompiledRoute, request: &CheckRequest<'_>) -> Refusal {
    Refusal::Unauthenticated(goes_to_login(rule, request))
}

/// Whether what the request lacks is to be had by sending the browser for it.
pub(super) fn goes_to_login(rule: &CompiledRoute, request: &CheckRequest<'_>) -> bool {
    rule.unauthenticated == Unauthenticated::Auto && request.facts.is_navigation()
}
