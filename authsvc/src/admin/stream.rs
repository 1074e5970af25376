//! `GET /policies`: what runs, line by line, for the operator to compare with what it handed over.
//!
//! A line is made when the reader takes it: nothing is kept but the names of what changed, and a reader
//! that takes nothing is cut off by the connection's own limit. Nothing of a policy is shown but its
//! name, version and state.

use std::collections::{HashSet, VecDeque};
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
use crate::news::Reader;
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

enum Line {
    Policy(Arc<RunningPolicy>, Option<Arc<ProviderState>>),
    Removed(PolicyId),
    Synced,
    Heartbeat,
}

/// What a reader is to be told.
enum Due {
    /// What this policy is now.
    Policy(Arc<PolicyId>),
    Synced,
    Heartbeat,
}

/// One reader.
struct Follower {
    app: Arc<App>,
    policies: Reader<Arc<PolicyId>>,
    providers: Reader<Arc<PolicyId>>,
    draining: watch::Receiver<bool>,
    heartbeat: Interval,
    synced: bool,
    due: VecDeque<Due>,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    fn new(shared: &Shared, permit: OwnedSemaphorePermit, heartbeat: Duration) -> Self {
        let mut heartbeat = interval_at(Instant::now() + heartbeat, heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut follower = Self {
            policies: shared.app.policies.changes(),
            providers: shared.app.policies.providers().state_changes(),
            app: Arc::clone(&shared.app),
            draining: shared.draining.clone(),
            heartbeat,
            synced: false,
            due: VecDeque::new(),
            _permit: permit,
        };
        follower.sync();
        follower
    }

    /// The next lines; `None` when the service ends.
    async fn next(&mut self) -> Option<Bytes> {
        while self.due.is_empty() {
            tokio::select! {
                () = async { drop(self.draining.wait_for(|draining| *draining).await) } => {
                    return None;
                }
                _ = self.heartbeat.tick() => self.due.push_back(Due::Heartbeat),
                changed = self.policies.next() => self.note(changed),
                changed = self.providers.next() => self.note(changed),
            }
        }
        let count = self.due.len().min(LINES_PER_CHUNK);
        let due: Vec<Due> = self.due.drain(..count).collect();
        self.due.shrink_to(self.due.len() + LINES_PER_CHUNK);
        Some(due.into_iter().map(|due| self.line(due).render()).collect::<String>().into())
    }

    /// Notes what the reader was not told yet.
    fn note(&mut self, changed: HashSet<Arc<PolicyId>>) {
        if self.synced {
            self.due.extend(changed.into_iter().map(Due::Policy));
        } else {
            self.sync();
        }
    }

    /// Notes everything, once. Before the first load nothing that runs is known, not even that it is
    /// nothing.
    fn sync(&mut self) {
        if !self.app.policies.is_loaded() {
            return;
        }
        // They are among all.
        drop((self.policies.take(), self.providers.take()));
        let all = self.app.policies.running().into_iter();
        self.due.extend(all.map(|running| Due::Policy(Arc::clone(&running.id))));
        self.due.push_back(Due::Synced);
        self.synced = true;
    }

    fn line(&self, due: Due) -> Line {
        match due {
            Due::Policy(id) => match self.app.policies.running_one(&id) {
                Some(running) => {
                    let provider = running.live.as_ref().map(|live| live.provider.state());
                    Line::Policy(running, provider)
                }
                None => Line::Removed(PolicyId::clone(&id)),
            },
            Due::Synced => Line::Synced,
            Due::Heartbeat => Line::Heartbeat,
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
