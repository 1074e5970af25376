//! A document of a provider, fetched once for many callers, and not too often.
//!
//! It must never wait on the provider while a value is at hand that still serves, and never take a
//! failure for a value.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use super::OidcError;
use crate::clock::{Clock, Timestamp};
use crate::overload::waiting::{Place, Room};

/// After how long a value is fetched anew, in seconds.
const REFRESH_AFTER: u64 = 3600;
/// How soon a refresh that failed is tried again, while the old value serves, in seconds.
const RETRY_REFRESH: u64 = 60;
/// How soon a first fetch that failed is tried again, in seconds.
const RETRY_FIRST: u64 = 1;
/// How often a newer value may be asked for, in seconds.
const NEWER_INTERVAL: u64 = 5;
/// How many may wait for a fetch.
const WAITING: usize = 256;

struct Known<T> {
    value: Arc<T>,
    at: Timestamp,
}

/// The last attempt to fetch: when it ended, and how it failed.
struct Attempt {
    at: Timestamp,
    error: Option<OidcError>,
}

/// A fetched value with its rules of age.
pub(crate) struct Cached<T> {
    known: ArcSwapOption<Known<T>>,
    last: Mutex<Option<Attempt>>,
    waiting: Room,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self { known: ArcSwapOption::empty(), last: Mutex::new(None), waiting: Room::new(WAITING) }
    }
}

impl<T> Cached<T> {
    /// The value. `fetch` runs where there is none yet, or an old one that nobody else is
    /// refreshing; its failure is an error only where there is none.
    pub(crate) async fn get(
        &self,
        clock: &dyn Clock,
        fetch: impl Future<Output = Result<T, OidcError>> + Send,
    ) -> Result<Arc<T>, OidcError> {
        if let Some(known) = self.known.load_full() {
            let now = clock.now();
            if now.since(known.at) >= REFRESH_AFTER
                && let Ok(mut last) = self.last.try_lock()
                && last.as_ref().is_none_or(|last| now.since(last.at) >= RETRY_REFRESH)
            {
                return Ok(match self.run(&mut last, clock, fetch).await {
                    Ok(value) => value,
                    Err(error) => {
                        tracing::warn!(%error, "a provider's document is not refreshed");
                        Arc::clone(&known.value)
                    }
                });
            }
            return Ok(Arc::clone(&known.value));
        }
        let _place = self.wait()?;
        let mut last = self.last.lock().await;
        if let Some(known) = self.known.load_full() {
            return Ok(Arc::clone(&known.value));
        }
        if let Some(Attempt { at, error: Some(error) }) = &*last
            && clock.now().since(*at) < RETRY_FIRST
        {
            return Err(error.clone());
        }
        self.run(&mut last, clock, fetch).await
    }

    /// A newer value than `seen`, or `seen` again where asking for one is not due yet.
    ///
    /// # Errors
    /// Where it is due and fails: what `seen` lacks must not be taken as lacking for good.
    pub(crate) async fn newer(
        &self,
        seen: &Arc<T>,
        clock: &dyn Clock,
        fetch: impl Future<Output = Result<T, OidcError>> + Send,
    ) -> Result<Arc<T>, OidcError> {
        let _place = self.wait()?;
        let mut last = self.last.lock().await;
        if let Some(known) = self.known.load_full()
            && !Arc::ptr_eq(&known.value, seen)
        {
            return Ok(Arc::clone(&known.value));
        }
        let now = clock.now();
        match &*last {
            Some(last) if now.since(last.at) < NEWER_INTERVAL => match &last.error {
                Some(error) => Err(error.clone()),
                None => Ok(Arc::clone(seen)),
            },
            _ => self.run(&mut last, clock, fetch).await,
        }
    }

    /// A place among those who wait for a fetch, which may never be answered.
    fn wait(&self) -> Result<Place<'_>, OidcError> {
        let full = || OidcError::Unavailable("too many requests wait for it".to_owned());
        self.waiting.enter().ok_or_else(full)
    }

    async fn run(
        &self,
        last: &mut Option<Attempt>,
        clock: &dyn Clock,
        fetch: impl Future<Output = Result<T, OidcError>> + Send,
    ) -> Result<Arc<T>, OidcError> {
        let result = fetch.await.map(Arc::new);
        let at = clock.now();
        *last = Some(Attempt { at, error: result.as_ref().err().cloned() });
        if let Ok(value) = &result {
            self.known.store(Some(Arc::new(Known { value: Arc::clone(value), at })));
        }
        result
    }
}
