//! The check: one question of a gateway, answered.
//!
//! `parse (per gateway) → policy → session → decide → render (per gateway)`: only the first and the
//! last know the gateway. Where the session's tokens are over, they are refreshed, and it is decided
//! once more. Below the base of a Route Authority, `elevated` decides. Nothing here may fail open: every
//! way out that is not an explicit allow refuses, and an allow is exactly 200 with an empty body.

pub mod decide;
mod elevated;
pub mod gateway;
pub mod grant;
mod header_list;
pub mod request;

use std::sync::Arc;

use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use tokio::time::Instant;
use vestibule_policy::model::{CompiledCheck, CompiledRoute};

use crate::app::App;
use crate::audit;
use crate::caller::Caller;
use crate::clock::Timestamp;
use crate::endpoints::current_session_of;
use crate::permissions::Question;
use crate::policies::{LivePolicy, LiveRule, Lookup};
use crate::session::Claims;
use crate::session::refresh::Refreshed;
use crate::session::service::Loaded;
use crate::session::store::StoreError;
use decide::{Decision, Refusal};
use elevated::Below;
use gateway::Dialect;
use grant::{AppHeaders, Identity};
use request::CheckRequest;

/// The outcome's label and the headers for the app, or why it does not pass.
type Outcome = Result<(&'static str, AppHeaders), Refusal>;

/// What the gateway is told.
enum Answer {
    Allow(AppHeaders),
    Refusal(Response),
}

/// Answers `/check/{dialect}/{namespace}/{policy}`.
pub async fn answer(app: &App, address: &Uri, headers: HeaderMap) -> Response {
    let started = Instant::now();
    let Some((dialect, namespace, name)) = named(address.path()) else {
        return gateway::bare(StatusCode::NOT_FOUND);
    };
    let unavailable = |kind| Answer::Refusal(gateway::unavailable(dialect, kind));
    let (outcome, reason, answer) = match app.policies.find(namespace, name) {
        Lookup::Live(policy) => answer_for(app, dialect, &policy, address.query(), &headers).await,
        Lookup::Refused => ("refused_policy", "", unavailable("policy-refused")),
        Lookup::Unknown => ("unknown_policy", "", unavailable("policy-unknown")),
    };
    let response = match answer {
        Answer::Allow(granted) => gateway::allow(granted, headers),
        Answer::Refusal(response) => gateway::in_map(headers, response),
    };
    app.metrics.check(dialect.name(), outcome, started.elapsed());
    tracing::debug!(
        dialect = dialect.name(),
        policy = %format_args!("{namespace}/{name}"),
        outcome,
        reason,
        status = response.status().as_u16(),
        "check"
    );
    response
}

/// Dialect, namespace and policy of a check's address. None of them is ever percent-encoded.
fn named(path: &str) -> Option<(Dialect, &str, &str)> {
    let (dialect, rest) = until_slash(path.strip_prefix("/check/")?)?;
    let (namespace, name) = until_slash(rest)?;
    let dialect = Dialect::from_name(dialect)?;
    until_slash(name).is_none().then_some((dialect, namespace, name))
}

/// What is before and behind the first slash. Names are short: byte by byte is quickest.
fn until_slash(text: &str) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == b'/')?;
    Some((&text[..at], &text[at + 1..]))
}

/// The outcome's label, the reason of a 403, and the answer.
async fn answer_for(
    app: &App,
    dialect: Dialect,
    policy: &Arc<LivePolicy>,
    list: Option<&str>,
    headers: &HeaderMap,
) -> (&'static str, &'static str, Answer) {
    let refused = |request: Option<&CheckRequest<'_>>, refusal: Refusal| {
        let (label, reason) = (refusal.label(), refusal.reason());
        (label, reason, Answer::Refusal(dialect.render_refusal(policy, request, refusal)))
    };
    let read = header_list::refuse_copies(policy, list, headers);
    let request = match read.and_then(|()| dialect.parse(headers, policy)) {
        Ok(request) => request,
        Err(refusal) => return refused(None, refusal),
    };
    match evaluate(app, policy, &request).await {
        Ok((label, granted)) => (label, "", Answer::Allow(granted)),
        Err(refusal) => refused(Some(&request), refusal),
    }
}

/// Decides one request and, where it may pass, makes the headers for the app.
async fn evaluate(app: &App, policy: &Arc<LivePolicy>, request: &CheckRequest<'_>) -> Outcome {
    if policy.is_own_path(request.target.path.as_str()) {
        // The gateway should send these to the browser port. Allowing would show the app's own
        // pages there to anyone, and a login redirect would loop.
        tracing::warn!(
            policy = %policy.compiled.id,
            base_path = %policy.compiled.base_path,
            "check refused: route the base path to the browser port, without asking"
        );
        return Err(Refusal::Forbidden("own_path"));
    }
    let rule = policy
        .rule_for(request.facts.method.as_str(), &request.target)
        .map_err(|_| Refusal::Forbidden("path"))?;
    let authority =
        policy.authority_for(&request.target).map_err(|_| Refusal::Forbidden("path"))?;
    match authority.filter(|_| decide::needs_session(&rule, request)) {
        Some(authority) => {
            let below = Below { app, policy, authority, rule, request };
            // Boxed, as all that is large and rare: every other check would carry its size along.
            Box::pin(elevated::evaluate(below)).await
        }
        None => by_session(app, policy, rule, request).await,
    }
}

/// Where the session is all that counts.
async fn by_session(
    app: &App,
    policy: &Arc<LivePolicy>,
    rule: LiveRule<'_>,
    request: &CheckRequest<'_>,
) -> Outcome {
    let mut loaded = if decide::needs_session(&rule, request) {
        current_session_of(app, policy, request.cookies)
            .await
            .map_err(|error| store_failed(app, policy, &error))?
    } else {
        None
    };
    let mut now = app.clock.now();
    let mut decision = decide_on(policy, &rule, request, loaded.as_ref(), now);
    if decision == Decision::Refresh {
        loaded = refreshed(app, policy, loaded).await?;
        now = app.clock.now();
        decision = decide_on(policy, &rule, request, loaded.as_ref(), now);
    }
    let forwards = rule.upstream.authorization;
    if matches!(decision, Decision::Allow(true) | Decision::Refuse(Refusal::Forbidden("require")))
        && let Some(loaded) = &loaded
        && decide::is_refresh_due(forwards, &loaded.session, now, jitter(loaded))
    {
        app.sessions.refresh_soon(policy, loaded);
    }
    match decision {
        Decision::Allow(identity) => {
            let known = loaded.as_ref().filter(|_| identity);
            if let (Some(check), Some(loaded)) = (&rule.require.permission, known) {
                let user = User::of_session(loaded);
                Box::pin(permitted(app, policy, check, request, user)).await?;
            }
            let identity = known.map(|loaded| Identity::Session(&loaded.session));
            let headers = grant::headers(policy, rule, request, identity, now)?;
            Ok((if known.is_some() { "allow" } else { "allow_anonymous" }, headers))
        }
        Decision::Refuse(refusal) => Err(refused(policy, loaded.as_ref(), refusal)),
        // Its new tokens are over as well.
        Decision::Refresh => Err(Refusal::Unavailable),
    }
}

/// A refusal, with its line in the audit trail where somebody wanted more than they may.
fn refused(policy: &LivePolicy, loaded: Option<&Loaded>, refusal: Refusal) -> Refusal {
    if let (Refusal::Forbidden(reason @ ("require" | "permission")), Some(loaded)) =
        (&refusal, loaded)
    {
        audit::check_refused(&policy.compiled.id, &loaded.key, &loaded.session, reason);
    }
    refusal
}

/// Of whom it is asked whether they may do something.
#[derive(Clone, Copy)]
struct User<'a> {
    subject: &'a str,
    claims: &'a Claims,
    session: Option<&'a Loaded>,
}

impl<'a> User<'a> {
    fn of_session(loaded: &'a Loaded) -> Self {
        let Loaded { session, .. } = loaded;
        Self { subject: &session.subject, claims: &session.claims, session: Some(loaded) }
    }

    fn of(caller: &'a Caller) -> Self {
        match caller {
            Caller::Session(loaded) => Self::of_session(loaded),
            Caller::Bearer(token) => {
                Self { subject: &token.subject, claims: &token.claims, session: None }
            }
        }
    }
}

/// Refuses what the user is not permitted to do.
async fn permitted(
    app: &App,
    policy: &LivePolicy,
    check: &CompiledCheck,
    request: &CheckRequest<'_>,
    user: User<'_>,
) -> Result<(), Refusal> {
    let User { subject, claims, session } = user;
    let path = Some(request.target.path.as_str());
    let question = Question { check, subject, claims, path };
    let answers = policy.decisions.ask(&[question]).await;
    let (outcome, result) = match answers.as_deref() {
        Ok([true]) => ("granted", Ok(())),
        Ok(_) => ("denied", Err(refused(policy, session, Refusal::Forbidden("permission")))),
        Err(error) => {
            tracing::warn!(policy = %policy.compiled.id, %error, "check refused");
            ("unavailable", Err(Refusal::Undecided))
        }
    };
    app.metrics.permission_check(question.source(), outcome);
    result
}

/// Spreads what is done for sessions that began together.
fn jitter(loaded: &Loaded) -> u8 {
    loaded.key.digest()[0]
}

fn decide_on(
    policy: &LivePolicy,
    rule: &CompiledRoute,
    request: &CheckRequest<'_>,
    loaded: Option<&Loaded>,
    now: Timestamp,
) -> Decision {
    let session = loaded.map(|loaded| &*loaded.session);
    let forwards = rule.upstream.authorization;
    decide::decide(&policy.compiled, rule, forwards, request, session, now)
}

/// The session with new tokens; `None`: the provider ended it.
async fn refreshed(
    app: &App,
    policy: &Arc<LivePolicy>,
    loaded: Option<Loaded>,
) -> Result<Option<Loaded>, Refusal> {
    let Some(loaded) = loaded else { return Ok(None) };
    match app.sessions.refresh(policy, &loaded).await {
        Ok(Refreshed::Fresh(loaded)) => Ok(Some(loaded)),
        Ok(Refreshed::Ended) => Ok(None),
        // The provider or another replica did not answer in time, which says nothing of the user.
        Ok(Refreshed::Failed) => Err(Refusal::Unavailable),
        Err(error) => Err(store_failed(app, policy, &error)),
    }
}

fn store_failed(app: &App, policy: &LivePolicy, error: &StoreError) -> Refusal {
    tracing::warn!(policy = %policy.compiled.id, %error, "check refused");
    app.metrics.store_error();
    Refusal::Unavailable
}
