//! `GET /sessions` and `POST /sessions/end`: who is logged in, and no longer.
//!
//! It shows who a session belongs to and when it began, was used and ends: never a token, a cookie,
//! or a claim beyond `sub`. One request does a bounded piece of work and says where the next one goes
//! on, whatever the number of policies and sessions.

mod filter;
mod scan;

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::{DateTime, SecondsFormat, Utc};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::access::{Access, Verb};
use crate::app::App;
use crate::audit::{EndReason, Ending};
use crate::clock::Timestamp;
use crate::policies::LivePolicy;
use crate::problem::Problem;
use crate::session::service::Loaded;
use crate::session::store::StoreError;
use filter::{Asked, Filter, Wrong};
use scan::Scan;

#[derive(Clone)]
struct Shared {
    app: Arc<App>,
    access: Access,
}

pub(super) fn router(app: Arc<App>, access: Access) -> Router {
    Router::new()
        .route("/sessions", get(list))
        .route("/sessions/end", post(end))
        .with_state(Shared { app, access })
}

async fn list(
    State(shared): State<Shared>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let asked = asked.map(|Query(asked)| asked).map_err(|error| error.body_text());
    let (asked, _) = match shared.admit(&headers, Verb::List, asked).await {
        Ok(admitted) => admitted,
        Err(refused) => return refused,
    };
    let scan = match shared.scan(&asked) {
        Ok(scan) => scan,
        Err(wrong) => return wrong.into_response(),
    };
    match scan.list(asked.limit).await {
        Ok(found) => {
            let sessions: Vec<Value> =
                found.sessions.iter().map(|(policy, loaded)| shown(policy, loaded)).collect();
            let next = found.next.map(|cursor| cursor.to_string());
            answer(&json!({ "sessions": sessions, "more": next.is_some(), "next": next }))
        }
        Err(error) => store_down(&error, "Nothing was changed; try again."),
    }
}

async fn end(
    State(shared): State<Shared>,
    headers: HeaderMap,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Response {
    let asked = asked
        .map_err(|error| error.body_text())
        .and_then(|Json(asked)| asked.narrowed().map_err(|wrong| wrong.0));
    let (asked, by) = match shared.admit(&headers, Verb::Delete, asked).await {
        Ok(admitted) => admitted,
        Err(refused) => return refused,
    };
    let scan = match shared.scan(&asked) {
        Ok(scan) => scan,
        Err(wrong) => return wrong.into_response(),
    };
    // In a task of its own: a client that goes away must not part an end from its audit line.
    let ending =
        tokio::spawn(async move { scan.end(Ending { reason: EndReason::Admin, by: &by }).await });
    match ending.await {
        Ok(Ok(done)) => {
            let next = done.next.map(|cursor| cursor.to_string());
            answer(&json!({ "ended": done.ended, "more": next.is_some(), "next": next }))
        }
        Ok(Err(error)) => store_down(&error, "Some of the sessions may have ended; try again."),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl Shared {
    /// What is asked for, and who asks. Who may not ask is told so before what is wrong with it.
    async fn admit(
        &self,
        headers: &HeaderMap,
        verb: Verb,
        asked: Result<Asked, String>,
    ) -> Result<(Filter, Arc<str>), Response> {
        let asked = asked.map_err(Wrong).and_then(Filter::try_from);
        let policy = asked.as_ref().ok().and_then(|filter| filter.policy.as_ref());
        let by = self.access.admit(headers, verb, policy).await?;
        Ok((asked.map_err(Wrong::into_response)?, by))
    }

    /// The policies to look at, in the order of their names.
    fn scan(&self, filter: &Filter) -> Result<Scan, Wrong> {
        let policies = &self.app.policies;
        let kept = if let Some(id) = &filter.policy {
            let Some(policy) = policies.keeper(id) else {
                return Err(Wrong(format!("policy: {id} was never in force here")));
            };
            vec![policy]
        } else {
            let running = policies.running();
            let mut kept: Vec<_> =
                running.iter().filter_map(|one| one.keeper().map(Arc::clone)).collect();
            kept.sort_unstable_by(|one, other| one.compiled.id.cmp(&other.compiled.id));
            kept
        };
        Ok(Scan::new(Arc::clone(&self.app), filter.clone(), kept))
    }
}

/// What an admin sees of a session.
fn shown(policy: &LivePolicy, loaded: &Loaded) -> Value {
    let (session, terms) = (&loaded.session, &policy.compiled.session);
    let idle = session.touched_at.plus(terms.idle_timeout);
    let absolute = session.created_at.plus(terms.absolute_timeout);
    json!({
        "session": loaded.key.name(),
        "policy": policy.compiled.id.to_string(),
        "subject": session.subject,
        "issuer": session.issuer,
        "createdAt": text(session.created_at),
        "lastUsedAt": text(session.touched_at),
        "expiresAt": text(idle.min(absolute)),
    })
}

/// As RFC 3339 writes it.
fn text(time: Timestamp) -> Option<String> {
    let seconds = i64::try_from(time.0).ok()?;
    let time = DateTime::<Utc>::from_timestamp(seconds, 0)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn answer(body: &Value) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn store_down(error: &StoreError, detail: &'static str) -> Response {
    tracing::warn!(%error, "sessions cannot be managed");
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "store-unavailable",
        "Sessions cannot be read right now",
        format!("The session store did not answer. {detail}"),
    )
    .into_response()
}

#[cfg(test)]
mod tests;
