//! `GET /policies`: what runs, line by line, for the operator to compare with what it handed over.
//!
//! A line is told when the reader takes it: nothing is buffered but what is left of one comparison
//! with what was told before, and a reader that takes nothing is cut off by the connection's own
//! limit. Nothing of a policy is shown but its name, version and state.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use vestibule_policy::model::PolicyId;

use super::{AdminToken, answer};
use crate::app::App;
use crate::oidc::ProviderState;
use crate::policies::RunningPolicy;

/// How often a line comes even if nothing changed, so that a reader notices a dead connection.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How many readers there may be: an operator and its successor, and people who look.
const MAX_STREAMS: usize = 16;
/// How many lines are put together at a time.
const LINES_PER_CHUNK: usize = 256;
/// The greatest text of a problem, in bytes.
const MAX_TEXT: usize = 1024;

#[derive(Clone)]
struct Shared {
    app: Arc<App>,
    draining: watch::Receiver<bool>,
    token: AdminToken,
    free: Arc<Semaphore>,
}

pub(super) fn router(app: Arc<App>, draining: watch::Receiver<bool>, token: AdminToken) -> Router {
    let free = Arc::new(Semaphore::new(MAX_STREAMS));
    Router::new().route("/policies", get(policies)).with_state(Shared {
        app,
        draining,
        token,
        free,
    })
}

async fn policies(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    match shared.token.admits(&headers) {
        Ok(true) => {}
        Ok(false) => {
            let challenge = [(WWW_AUTHENTICATE, "Bearer")];
            return (challenge, answer(StatusCode::UNAUTHORIZED, "give the admin token\n"))
                .into_response();
        }
        Err(error) => {
            tracing::error!(%error, "--admin-token-file: nobody can read /policies");
            return answer(StatusCode::SERVICE_UNAVAILABLE, "there is no admin token\n");
        }
    }
    let Ok(permit) = Arc::clone(&shared.free).try_acquire_owned() else {
        return answer(StatusCode::SERVICE_UNAVAILABLE, "too many streams: end another\n");
    };
    let follower = Follower::new(&shared, permit, HEARTBEAT);
    let lines = stream::unfold(follower, |mut follower| async move {
        let chunk = follower.next().await?;
        Some((Ok::<_, Infallible>(chunk), follower))
    });
    let headers = [(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(lines)).into_response()
}

/// What a reader was told of a policy.
struct Told {
    running: Arc<RunningPolicy>,
    provider: Option<Arc<ProviderState>>,
    round: u64,
}

enum Line {
    Policy(Arc<RunningPolicy>, Option<Arc<ProviderState>>),
    Removed(PolicyId),
    Synced,
    Heartbeat,
}

/// One reader.
struct Follower {
    app: Arc<App>,
    policies: watch::Receiver<u64>,
    providers: watch::Receiver<u64>,
    draining: watch::Receiver<bool>,
    heartbeat: Interval,
    told: HashMap<PolicyId, Told>,
    round: u64,
    synced: bool,
    due: VecDeque<Line>,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    fn new(shared: &Shared, permit: OwnedSemaphorePermit, heartbeat: Duration) -> Self {
        let mut policies = shared.app.policies.changes();
        // What is there already is a change to whoever was told nothing.
        policies.mark_changed();
        let mut heartbeat = interval_at(Instant::now() + heartbeat, heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            policies,
            providers: shared.app.policies.providers().state_changes(),
            app: Arc::clone(&shared.app),
            draining: shared.draining.clone(),
            heartbeat,
            told: HashMap::new(),
            round: 0,
            synced: false,
            due: VecDeque::new(),
            _permit: permit,
        }
    }

    /// The next lines; `None` when the service ends.
    async fn next(&mut self) -> Option<Bytes> {
        while self.due.is_empty() {
            tokio::select! {
                () = async { drop(self.draining.wait_for(|draining| *draining).await) } => {
                    return None;
                }
                _ = self.heartbeat.tick() => self.due.push_back(Line::Heartbeat),
                changed = self.policies.changed() => {
                    changed.ok()?;
                    self.compare();
                }
                changed = self.providers.changed() => {
                    changed.ok()?;
                    self.compare();
                }
            }
        }
        let count = self.due.len().min(LINES_PER_CHUNK);
        let text: String = self.due.drain(..count).map(Line::render).collect();
        Some(text.into())
    }

    /// Finds what the reader was not told yet.
    fn compare(&mut self) {
        // Before the first load nothing that runs is known, not even that it is nothing.
        if !self.app.policies.is_loaded() {
            return;
        }
        self.policies.borrow_and_update();
        self.providers.borrow_and_update();
        self.round += 1;
        let round = self.round;
        for running in self.app.policies.running() {
            let provider = running.live.as_ref().map(|live| live.provider.state());
            if let Some(told) = self.told.get_mut(&running.id) {
                told.round = round;
                let same_provider = match (&told.provider, &provider) {
                    (Some(told), Some(now)) => Arc::ptr_eq(told, now),
                    (None, None) => true,
                    _ => false,
                };
                if same_provider && Arc::ptr_eq(&told.running, &running) {
                    continue;
                }
            }
            self.due.push_back(Line::Policy(Arc::clone(&running), provider.clone()));
            self.told.insert(running.id.clone(), Told { running, provider, round });
        }
        let due = &mut self.due;
        self.told.retain(|id, told| {
            let known = told.round == round;
            if !known {
                due.push_back(Line::Removed(id.clone()));
            }
            known
        });
        if !self.synced {
            self.synced = true;
            self.due.push_back(Line::Synced);
        }
    }
}

/// A line must stay short, whatever a tenant's provider is like: the operator reads them all.
fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

impl Line {
    fn render(self) -> String {
        let value = match self {
            Self::Policy(running, provider) => {
                let revision = &running.revision;
                json!({
                    "type": "policy",
                    "namespace": running.id.namespace,
                    "name": running.id.name,
                    "uid": revision.uid,
                    "generation": revision.generation,
                    "hash": revision.hash,
                    "state": revision.state.name(),
                    "problem": revision.problem.as_deref().map(bounded),
                    "provider": provider.map(|state| {
                        json!({ "state": state.name(), "message": bounded(state.message()) })
                    }),
                })
            }
            Self::Removed(id) => {
                json!({ "type": "removed", "namespace": id.namespace, "name": id.name })
            }
            Self::Synced => json!({ "type": "synced" }),
            Self::Heartbeat => json!({ "type": "heartbeat" }),
        };
        format!("{value}\n")
    }
}

#[cfg(test)]
mod tests;
