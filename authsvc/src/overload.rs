//! What is refused where more is asked than can be answered: 503 at once, before queues grow.
//!
//! Why it exists: a warm check never waits for anything, so how many are under way says nothing. What
//! lacks is processor time, and then requests queue in the runtime and in sockets. A probe goes through
//! the same queue as the requests and takes the time. Where that stays too long, each pass of the probe
//! lets only so many requests in, as many as make the next one as long as it should be. Browsers are let
//! in by a stricter measure than checks; the admin port is not limited at all. It must not refuse while
//! there is time for all, must never make a refusal look like "not logged in", and must cost a request
//! that is let in no more than one atomic addition and a few loads.

mod bell;
mod gate;
pub mod logins;
pub(crate) mod waiting;

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, StatusCode};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use crate::metrics::Metrics;
use bell::Bell;
use gate::{Control, Gate, Measure, Pass, Turned};
use logins::LoginLimits;

/// How often the queue is probed while it is short.
const PROBE_EVERY: Duration = Duration::from_millis(5);
/// The same while nobody asks for anything.
const PROBE_IDLE_EVERY: Duration = Duration::from_millis(50);

/// Checks are limited where the queue is longer than this: a refusal should be there within 50 ms also
/// while the queue that grew before it was noticed is worked off.
const CHECKS: Measure =
    Measure { longest: Duration::from_millis(20), least: 64, refusing: Some(0.2) };
/// Browsers are limited much earlier: who is logged in goes before who wants to be.
const BROWSERS: Measure = Measure { longest: Duration::from_millis(10), least: 32, refusing: None };

/// The answer to a check that is refused for overload, as it goes on the wire. It has no body: nginx
/// would close the connection after one.
pub(crate) const CHECK_REFUSED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\
    cache-control: no-store\r\ncontent-length: 0\r\n\r\n";

/// The answer to a GET of a browser that is refused for overload, as it goes on the wire: the same as
/// [`Overload::refuse_browser`].
pub(crate) const BROWSER_REFUSED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\
    cache-control: no-store\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 67\r\n\r\n\
    Too much is going on here right now. Please try again in a moment.\n";

const REFUSAL: &str = "Too much is going on here right now. Please try again in a moment.\n";
const TEXT: &str = "text/plain; charset=utf-8";

/// Which requests are let in: all, until [`Self::watch`] says otherwise.
#[derive(Debug, Default)]
pub struct Overload {
    checks: Gate,
    browsers: Gate,
    logins: LoginLimits,
}

impl Overload {
    /// With these limits on logins that begin.
    #[must_use]
    pub fn new(logins: LoginLimits) -> Self {
        Self { logins, ..Self::default() }
    }

    /// How many logins may begin.
    #[must_use]
    pub fn logins(&self) -> &LoginLimits {
        &self.logins
    }

    /// Whether a check is let in, which counts it. Else it is answered by [`Self::refuse_check`].
    #[must_use]
    pub fn admits_check(&self) -> bool {
        self.checks.admits()
    }

    /// Whether a request of a browser is let in, which counts it. One that `ends` a session goes before
    /// others, as checks do. Else it is answered by [`Self::refuse_browser`].
    #[must_use]
    pub fn admits_browser(&self, ends: bool) -> bool {
        if ends { self.checks.admits() } else { self.browsers.admits() }
    }

    /// Whether the next check is refused. One that is refused by this is to be counted by
    /// [`Self::refused_check`].
    #[must_use]
    pub(crate) fn is_full_for_checks(&self) -> bool {
        self.checks.is_full()
    }

    /// Counts a check that was refused without [`Self::admits_check`], and how long that took.
    pub(crate) fn refused_check(&self, took: Duration) {
        self.checks.refused(took);
    }

    /// Whether the next request of a browser is refused. One that is refused by this is to be counted by
    /// [`Self::refused_browser`].
    #[must_use]
    pub(crate) fn is_full_for_browsers(&self) -> bool {
        self.browsers.is_full()
    }

    /// Counts a request of a browser that was refused without [`Self::admits_browser`], and how long that
    /// took.
    pub(crate) fn refused_browser(&self, took: Duration) {
        self.browsers.refused(took);
    }

    /// Notes how many connections of gateways there are now.
    pub(crate) fn connected_gateways(&self, connections: usize) {
        self.checks.connected(connections);
    }

    /// Notes how many connections of browsers there are now.
    pub(crate) fn connected_browsers(&self, connections: usize) {
        self.browsers.connected(connections);
    }

    /// 503 for a gateway, without a body in every dialect.
    #[must_use]
    pub fn refuse_check() -> Response {
        let headers: [(HeaderName, &str); 2] = [(RETRY_AFTER, "1"), (CACHE_CONTROL, "no-store")];
        (StatusCode::SERVICE_UNAVAILABLE, headers).into_response()
    }

    /// 503 for a browser, in plain text: a page or a problem would cost more than what is refused.
    #[must_use]
    pub fn refuse_browser() -> Response {
        let headers: [(HeaderName, &str); 3] =
            [(RETRY_AFTER, "1"), (CACHE_CONTROL, "no-store"), (CONTENT_TYPE, TEXT)];
        (StatusCode::SERVICE_UNAVAILABLE, headers, REFUSAL).into_response()
    }

    /// Probes the queue and sets the limits, until it is dropped. It must run where requests are answered.
    pub async fn watch(&self, metrics: &Metrics) {
        let Err(error) = self.probe(metrics).await;
        // The last limit would hold for ever.
        self.checks.open();
        self.browsers.open();
        tracing::error!(%error, "overload is not noticed any more: allow more open files, and restart");
    }

    async fn probe(&self, metrics: &Metrics) -> io::Result<Infallible> {
        let bell = Bell::new()?;
        let (mut checks, mut browsers) = (Control::new(CHECKS), Control::new(BROWSERS));
        let (mut turned, mut worked) = (Instant::now(), processor_time());
        let mut every = PROBE_EVERY;
        loop {
            let due = Instant::now() + every;
            tokio::time::sleep_until(due).await;
            bell.ring().await?;
            let (now, working) = (Instant::now(), processor_time());
            let spent = working.saturating_sub(worked);
            let pass = Pass { queued: now - due, lasted: now - turned, spent };
            (turned, worked) = (now, working);
            every = PROBE_IDLE_EVERY;
            for (port, gate, control) in
                [("check", &self.checks, &mut checks), ("browser", &self.browsers, &mut browsers)]
            {
                let Turned { came, refused } = gate.turn(control, pass);
                if came > 0 {
                    every = PROBE_EVERY;
                }
                if refused > 0 {
                    metrics.shed(port, refused.into());
                }
            }
        }
    }

    /// Sets how many are let in until the next turn; for tests of what a refusal looks like.
    #[cfg(test)]
    pub(crate) fn limit(&self, checks: u32, browsers: u32) {
        self.checks.set(checks);
        self.browsers.set(browsers);
    }
}

/// The processor's time that this process has had. A process that stands still has none meanwhile.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
