//! One watch: it fills its part of a cache and tells what changed, for ever.
//!
//! A watch that breaks is begun again with growing pauses; what was known stays known meanwhile.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use kube::api::Api;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{Config, Error, Event};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use vestibule_crds::names::FIELD_MANAGER;

use super::cache::{Change, Part};
use crate::metrics::Metrics;
use crate::random;

/// A server that starts may say of a kind that it is not there, a few times.
const GONE_AFTER: u32 = 3;

/// Counts the watches whose first listing is not complete.
#[derive(Default)]
pub struct Pending {
    count: AtomicUsize,
    changed: Notify,
}

impl Pending {
    pub(super) fn begin(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    fn end(&self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Waits until every first listing is complete.
    pub async fn none(&self) {
        loop {
            let changed = self.changed.notified();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            changed.await;
        }
    }
}

/// What may be missing without stopping the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing: without it there is no readiness.
    Nothing,
    /// The kind: its CRD may come and go. It is looked for again every few seconds.
    Kind,
    /// The right: a namespaced installation has none for cluster-scoped kinds.
    Right,
}

/// A watch to be run.
pub struct Watch<K> {
    pub(super) kind: &'static str,
    pub(super) api: Api<K>,
    pub(super) config: Config,
    pub(super) part: Part<K>,
    pub(super) missing: Missing,
    pub(super) pending: Arc<Pending>,
    pub(super) metrics: Arc<Metrics>,
}

impl<K> Watch<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// Runs for ever. `trim` drops what need not be kept; what `keep` refuses is not kept at all.
    pub async fn run(
        self,
        trim: impl Fn(&mut K),
        keep: impl Fn(&K) -> bool,
        changed: impl Fn(Change<K>),
    ) {
        let Self { kind, api, config, mut part, missing, pending, metrics } = self;
        let mut told: HashSet<String> = HashSet::new();
        let (mut listed, mut absent) = (false, 0_u32);
        let stream = watcher(api, config).backoff(Pauses(FIRST_PAUSE));
        pin_mut!(stream);
        while let Some(event) = stream.next().await {
            let changes = match event {
                Ok(event) => {
                    told.clear();
                    absent = 0;
                    let done = matches!(event, Event::InitDone);
                    let event = event.modify(|object| {
                        forget_others_fields(object);
                        trim(object);
                    });
                    let changes = match event {
                        Event::Apply(object) if !keep(&object) => Vec::new(),
                        Event::InitApply(object) if !keep(&object) => Vec::new(),
                        event => part.apply(event),
                    };
                    if done && !listed {
                        listed = true;
                        pending.end();
                    }
                    changes
                }
                Err(error) if excused(&error, missing) => {
                    absent = absent.saturating_add(1);
                    if !listed {
                        listed = true;
                        tracing::info!(kind, "not watched: the kind or the right is missing");
                        pending.end();
                    }
                    // A kind that is gone is gone; a right that is gone tells nothing of objects.
                    let gone = missing == Missing::Kind && absent >= GONE_AFTER;
                    if gone { part.clear() } else { Vec::new() }
                }
                Err(error) if is_expired(&error) => {
                    tracing::debug!(kind, "listed again");
                    Vec::new()
                }
                Err(error) => {
                    let text = error.to_string();
                    metrics.watch_failed(kind);
                    if told.insert(text.clone()) {
                        tracing::warn!(kind, error = text, "a watch broke; it is begun again");
                    }
                    Vec::new()
                }
            };
            changes.into_iter().for_each(&changed);
        }
    }
}

/// Pauses between tries, shorter than the client's own: what is not seen is not enforced.
struct Pauses(Duration);

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        Some(pause.mul_f64(0.75 + random::fraction() / 2.0))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0 = FIRST_PAUSE;
    }
}

/// That a version is too old to watch from is usual; everything is listed again then.
fn is_expired(error: &Error) -> bool {
    matches!(error, Error::WatchError(status) if status.code == 410)
}

fn excused(error: &Error, missing: Missing) -> bool {
    let code = match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status)) => status.code,
        _ => return false,
    };
    match missing {
        Missing::Nothing => false,
        Missing::Kind => code == 404,
        Missing::Right => code == 403 || code == 404,
    }
}

/// Of who owns which field only our own part matters, and it is large.
fn forget_others_fields<K: Resource>(object: &mut K) {
    object.managed_fields_mut().retain(|entry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.subresource.is_none()
    });
}
