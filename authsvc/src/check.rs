//! The check: one question of a gateway, answered.
//!
//! `parse (per gateway) → policy → session → decide → render (per gateway)`: only the first and the
//! last know the gateway. Where the session's tokens are over, they are refreshed, and it is decided
//! once more. Nothing here may fail open: every way out that is not an explicit allow
//! refuses, and an allow is exactly 200 with an empty body.

pub mod decide;
pub mod gateway;
pub mod grant;
mod header_list;
pub mod request;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use tokio::time::Instant;
use vestibule_policy::model::CompiledRoute;

use crate::app::App;
use crate::audit;
use crate::clock::Timestamp;
use crate::endpoints::current_session_of;
use crate::policies::{LivePolicy, Lookup};
use crate::session::refresh::Refreshed;
use crate::session::service::Loaded;
use crate::session::store::StoreError;
use decide::{Decision, Refusal};
use gateway::Dialect;
use request::CheckRequest;

/// Answers `/check/{dialect}/{namespace}/{policy}`.
pub async fn check(
    State(app): State<Arc<App>>,
    Path((dialect, namespace, name)): Path<(String, String, String)>,
    address: Uri,
    headers: HeaderMap,
) -> Response {
    let started = Instant::now();
    let Some(dialect) = Dialect::from_name(&dialect) else {
        return gateway::bare(StatusCode::NOT_FOUND);
    };
    let (outcome, reason, response) = match app.policies.find(&namespace, &name) {
        Lookup::Live(policy) => answer(&app, dialect, &policy, address.query(), &headers).await,
        Lookup::Refused => ("refused_policy", "", gateway::unavailable(dialect, "policy-refused")),
        Lookup::Unknown => ("unknown_policy", "", gateway::unavailable(dialect, "policy-unknown")),
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

/// The outcome's label, the reason of a 403, and the answer.
async fn answer(
    app: &App,
    dialect: Dialect,
    policy: &Arc<LivePolicy>,
    list: Option<&str>,
    headers: &HeaderMap,
) -> (&'static str, &'static str, Response) {
    let refused = |request: Option<&CheckRequest>, refusal: Refusal| {
        let (label, reason) = (refusal.label(), refusal.reason());
        (label, reason, dialect.render_refusal(policy, request, refusal))
    };
    let read = header_list::refuse_copies(policy, list, headers);
    let request = match read.and_then(|()| dialect.parse(headers, policy)) {
        Ok(request) => request,
        Err(refusal) => return refused(None, refusal),
    };
    match evaluate(app, policy, &request).await {
        Ok((label, response_headers)) => (label, "", gateway::allow(response_headers)),
        Err(refusal) => refused(Some(&request), refusal),
    }
}

/// Decides one request and, where it may pass, makes the headers for the app.
async fn evaluate(
    app: &App,
    policy: &Arc<LivePolicy>,
    request: &CheckRequest,
) -> Result<(&'static str, HeaderMap), Refusal> {
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
    let mut loaded = if decide::needs_session(rule, request) {
        current_session_of(app, policy, &request.cookies)
            .await
            .map_err(|error| store_failed(app, policy, &error))?
    } else {
        None
    };
    let mut now = app.clock.now();
    let mut decision = decide_on(policy, rule, request, loaded.as_ref(), now);
    if decision == Decision::Refresh {
        loaded = refreshed(app, policy, loaded).await?;
        now = app.clock.now();
        decision = decide_on(policy, rule, request, loaded.as_ref(), now);
    }
    if matches!(decision, Decision::Allow(true) | Decision::Refuse(Refusal::Forbidden("require")))
        && let Some(loaded) = &loaded
        && decide::is_refresh_due(rule, &loaded.session, now, loaded.key.digest()[0])
    {
        app.sessions.refresh_soon(policy, loaded);
    }
    match decision {
        Decision::Allow(identity) => {
            let session = loaded.as_ref().filter(|_| identity).map(|loaded| &*loaded.session);
            let headers = grant::headers(policy, rule, request, session, now)?;
            Ok((if session.is_some() { "allow" } else { "allow_anonymous" }, headers))
        }
        Decision::Refuse(refusal) => {
            if let (Refusal::Forbidden(reason @ "require"), Some(loaded)) = (&refusal, &loaded) {
                audit::check_refused(&policy.compiled.id, &loaded.key, &loaded.session, reason);
            }
            Err(refusal)
        }
        // Its new tokens are over as well.
        Decision::Refresh => Err(Refusal::Unavailable),
    }
}

fn decide_on(
    policy: &LivePolicy,
    rule: &CompiledRoute,
    request: &CheckRequest,
    loaded: Option<&Loaded>,
    now: Timestamp,
) -> Decision {
    let session = loaded.map(|loaded| &*loaded.session);
    decide::decide(&policy.compiled, rule, request, session, now)
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
