//! An authority's endpoint as a fetch: what the caller may do, as JSON, or what would help.
//!
//! Why it exists: an app enables its buttons by the answer. It decides nothing: each request to the API is
//! checked on its own. It must not answer from a guess: a decision point that does not answer is 503, and
//! a token never is in an answer.

use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use vestibule_policy::model::{CompiledPermission, Obtain, OwnTokens};

use super::Call;
use super::held::{HeldError, look};
use super::obtain::{NotObtained, exchange};
use crate::caller::{self, Authorization, Caller, CallerError};
use crate::challenge::{Challenge, metadata_url};
use crate::clock::Timestamp;
use crate::csrf::{self, Forged};
use crate::endpoints::session::{json, note_store_error};
use crate::facts::Facts;
use crate::permissions::Question;
use crate::problem::Problem;
use crate::session::elevation::{Judgement, judge};
use crate::session::store::StoreError;

/// The whole answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    base: &'a str,
    permissions: Vec<Permission<'a>>,
    scopes: Scopes<'a>,
    /// When the token is over (RFC 3339), where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

#[derive(Serialize)]
struct Permission<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    granted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl<'a> Permission<'a> {
    fn of((one, reason): (&'a CompiledPermission, Option<&'static str>)) -> Self {
        Self {
            name: &one.name,
            description: one.description.as_deref(),
            granted: reason.is_none(),
            reason,
        }
    }
}

/// Those that were asked for.
#[derive(Serialize)]
struct Scopes<'a> {
    granted: Vec<&'a str>,
    missing: Vec<&'a str>,
}

/// Why there is no such answer.
enum Refusal {
    Forged(Forged),
    Store(StoreError),
    Unavailable,
    InvalidToken,
    Unauthenticated,
    /// A navigation for these scopes would help.
    Advised(Vec<String>),
    /// Nothing would help.
    Insufficient(Vec<String>),
}

impl From<CallerError> for Refusal {
    fn from(error: CallerError) -> Self {
        match error {
            CallerError::Store(error) => Self::Store(error),
            CallerError::Invalid => Self::InvalidToken,
            CallerError::Unavailable => Self::Unavailable,
        }
    }
}

impl From<HeldError> for Refusal {
    fn from(error: HeldError) -> Self {
        match error {
            HeldError::Store(error) => Self::Store(error),
            HeldError::Provider => Self::Unavailable,
        }
    }
}

/// What a token has of the authority's scopes, and until when.
struct Granted<'a> {
    scopes: &'a [String],
    until: Option<Timestamp>,
}

/// Answers; `set_cookies` are to be in the answer.
pub(super) async fn answer(
    call: Call<'_>,
    facts: &Facts<'_>,
    authorization: &Authorization,
    set_cookies: &mut Vec<String>,
) -> Response {
    match evaluate(call, facts, authorization, set_cookies).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(call),
    }
}

async fn evaluate(
    call: Call<'_>,
    facts: &Facts<'_>,
    authorization: &Authorization,
    set_cookies: &mut Vec<String>,
) -> Result<Response, Refusal> {
    let Call { app, site, authority, cookies, asked } = call;
    let by_cookie = *authorization == Authorization::Absent;
    if by_cookie {
        csrf::verify(&site.policy.compiled, facts).map_err(Refusal::Forged)?;
    }
    let caller = caller::of(app, &site.policy, cookies, authorization).await?;
    let caller = caller.ok_or(Refusal::Unauthenticated)?;
    if let Some(own) = of_its_own(call, &caller)? {
        return permissions(call, &caller, &own).await;
    }
    // A frame or a prefetch says nothing of where it comes from, so it changes nothing.
    let may_obtain = !by_cookie || facts.fetch_mode != Some("navigate");
    let mut held = look(call, &caller, may_obtain).await?;
    set_cookies.append(&mut held.set_cookies);
    let judged = judge(&authority.compiled, &[], held.elevated.as_deref(), app.clock.now());
    match judged {
        Judgement::Usable if held.was_asked(&asked.scopes) => {}
        Judgement::Insufficient if held.was_asked(&asked.scopes) => {
            return Err(Refusal::Insufficient(asked.scopes.clone()));
        }
        Judgement::Usable | Judgement::Insufficient | Judgement::Refresh | Judgement::Advise => {
            let scopes = asked.with(held.granted(), authority);
            if authority.compiled.obtain != Obtain::TokenExchange || !may_obtain {
                return Err(Refusal::Advised(scopes));
            }
            let exchanged = exchange(call, &caller, scopes, &mut held).await;
            exchanged.map_err(|not_obtained| not_exchanged(call, not_obtained))?;
            set_cookies.append(&mut held.set_cookies);
        }
    }
    let until = held.elevated.as_ref().and_then(|elevated| elevated.access_token_expires_at);
    permissions(call, &caller, &Granted { scopes: held.granted(), until }).await
}

/// What a token that is brought has itself, where that counts; `None`: it is to be looked at what its
/// owner has besides.
fn of_its_own<'a>(call: Call<'_>, caller: &'a Caller) -> Result<Option<Granted<'a>>, Refusal> {
    let (Caller::Bearer(token), Some(bearer)) = (caller, &call.site.policy.compiled.bearer) else {
        return Ok(None);
    };
    let wanted = &call.asked.scopes;
    let mediates = token.has(&bearer.mediation_scope);
    let suffices = token.covers(wanted) || (!mediates && wanted.iter().any(|one| token.has(one)));
    if bearer.own_tokens == OwnTokens::Pass && suffices {
        return Ok(Some(Granted { scopes: &token.scopes, until: Some(token.expires_at) }));
    }
    if mediates {
        return Ok(None);
    }
    Err(Refusal::Insufficient(vec![bearer.mediation_scope.clone()]))
}

fn not_exchanged(call: Call<'_>, not_obtained: NotObtained) -> Refusal {
    match not_obtained {
        NotObtained::Store(error) => Refusal::Store(error),
        NotObtained::SessionOver => Refusal::Unauthenticated,
        NotObtained::Refused { for_good: true, .. } => {
            Refusal::Insufficient(call.asked.scopes.clone())
        }
        NotObtained::Refused { .. } | NotObtained::Unavailable => Refusal::Unavailable,
    }
}

async fn permissions(
    call: Call<'_>,
    caller: &Caller,
    granted: &Granted<'_>,
) -> Result<Response, Refusal> {
    let asked = &call.asked.scopes;
    let has = |scope: &String| granted.scopes.contains(scope);
    if !asked.iter().any(has) {
        return Err(Refusal::Insufficient(asked.clone()));
    }
    let compiled = &call.authority.compiled;
    let shown = |one: &&CompiledPermission| one.scopes.iter().all(|scope| asked.contains(scope));
    let shown: Vec<&CompiledPermission> = compiled.permissions.iter().filter(shown).collect();
    let reasons = reasons(call, caller, &shown, has).await?;
    let (own, missing): (Vec<&String>, Vec<&String>) = asked.iter().partition(|scope| has(scope));
    Ok(json(&Answer {
        base: &compiled.base,
        permissions: shown.into_iter().zip(reasons).map(Permission::of).collect(),
        scopes: Scopes {
            granted: own.into_iter().map(String::as_str).collect(),
            missing: missing.into_iter().map(String::as_str).collect(),
        },
        expires_at: granted.until.and_then(rfc_3339),
    }))
}

/// Why each of these is not granted; `None`: it is.
async fn reasons(
    call: Call<'_>,
    caller: &Caller,
    shown: &[&CompiledPermission],
    has: impl Fn(&String) -> bool,
) -> Result<Vec<Option<&'static str>>, Refusal> {
    let mut reasons: Vec<Option<&'static str>> = shown
        .iter()
        .map(|one| (!one.scopes.iter().all(&has)).then_some("scope-not-granted"))
        .collect();
    // Nobody is asked about what the scopes forbid already.
    let questions: Vec<(usize, Question<'_>)> = shown
        .iter()
        .enumerate()
        .filter(|(place, _)| reasons[*place].is_none())
        .filter_map(|(place, one)| {
            let check = one.check.as_ref()?;
            let (subject, claims) = (caller.subject(), caller.claims());
            Some((place, Question { check, subject, claims, path: None }))
        })
        .collect();
    let asked: Vec<Question<'_>> = questions.iter().map(|(_, question)| *question).collect();
    let answers = call.site.policy.decisions.ask(&asked).await;
    let metrics = &call.app.metrics;
    let answers = answers.map_err(|error| {
        for question in &asked {
            metrics.permission_check(question.source(), "unavailable");
        }
        tracing::warn!(policy = %call.site.policy.compiled.id, %error, "permissions are not known");
        Refusal::Unavailable
    })?;
    for ((place, question), answer) in questions.into_iter().zip(answers) {
        metrics.permission_check(question.source(), if answer { "granted" } else { "denied" });
        if !answer {
            reasons[place] = Some("denied");
        }
    }
    Ok(reasons)
}

fn rfc_3339(time: Timestamp) -> Option<String> {
    let time = DateTime::<Utc>::from_timestamp(i64::try_from(time.0).ok()?, 0)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

impl Refusal {
    fn into_response(self, call: Call<'_>) -> Response {
        let Call { app, site, authority, asked, .. } = call;
        let base = &authority.compiled.base;
        let metadata = metadata_url(&site.origin, base);
        let takes_tokens = site.policy.compiled.bearer.is_some();
        let (problem, challenge) = match self {
            Self::Forged(forged) => (Problem::forged(forged.reason), None),
            Self::Store(error) => {
                note_store_error(app, site, &error);
                (Problem::store_unavailable(), None)
            }
            Self::Unavailable => (Problem::authority_unavailable(), None),
            Self::InvalidToken => {
                (Problem::invalid_token(), Some(Challenge::invalid_token(&metadata)))
            }
            Self::Unauthenticated => {
                let challenge = takes_tokens.then(|| Challenge::unauthenticated(&metadata));
                (Problem::unauthenticated(Some(site.url("login"))), challenge)
            }
            Self::Advised(scopes) => {
                let redirect = asked.redirect.as_deref();
                let url = authority.authorize_url(&site.origin, &scopes, redirect);
                let challenge = Challenge::mediation_advised(&scopes);
                (Problem::mediation_advised(base, &scopes, Some(url)), Some(challenge))
            }
            Self::Insufficient(scopes) => {
                let challenge = Challenge::insufficient_scope(&scopes);
                (Problem::insufficient_scope(&scopes), Some(challenge))
            }
        };
        let mut response = problem.into_response();
        if let Some(challenge) = challenge {
            challenge.put(&mut response);
        }
        response
    }
}
