//! Leaves out warnings and errors that say the same again and again: where a store is down, each check
//! would log why, and writing that costs more than the check does.
//!
//! How many were left out is told. It must not touch what is no warning: audit lines are `INFO` and are
//! all written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

/// From one place in the source so many are written per [`WINDOW`].
const MOST: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);
/// How often it is told how many were left out.
pub(super) const TELL_EVERY: Duration = Duration::from_secs(10);

/// A filter of events. Clones share what they count.
#[derive(Clone, Debug, Default)]
pub(super) struct Repeats(Arc<Mutex<HashMap<Identifier, Place>>>);

/// A place in the source, and what it logged.
#[derive(Debug)]
struct Place {
    metadata: &'static Metadata<'static>,
    since: Instant,
    written: u32,
    left_out: u64,
}

impl Repeats {
    /// Whether a line from that place is written; else it is counted.
    fn admits(&self, metadata: &'static Metadata<'static>, now: Instant) -> bool {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(metadata.callsite()).or_insert_with(|| Place {
            metadata,
            since: now,
            written: 0,
            left_out: 0,
        });
        if now.saturating_duration_since(place.since) >= WINDOW {
            (place.since, place.written) = (now, 0);
        }
        let admits = place.written < MOST;
        if admits {
            place.written += 1;
        } else {
            place.left_out += 1;
        }
        admits
    }

    /// The places whose lines were left out since this was asked last, and how many.
    fn left_out(&self) -> Vec<(&'static Metadata<'static>, u64)> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = places.values_mut().filter(|place| place.left_out > 0);
        counted.map(|place| (place.metadata, std::mem::take(&mut place.left_out))).collect()
    }

    /// Logs how many lines were left out, if any were.
    pub(super) fn tell(&self) {
        for (place, lines) in self.left_out() {
            tracing::warn!(
                lines,
                module = place.target(),
                line = place.line(),
                "left out: log lines like those before"
            );
        }
    }
}

impl<S: Subscriber> Filter<S> for Repeats {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        *event.metadata().level() > Level::WARN || self.admits(event.metadata(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::{EnvFilter, Layer as _, filter::FilterExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        fn lines_with(&self, text: &str) -> usize {
            let bytes = self.0.lock().unwrap();
            String::from_utf8_lossy(&bytes).lines().filter(|line| line.contains(text)).count()
        }
    }

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_warning_is_written_a_few_times_per_second_and_the_rest_is_counted() {
        let (repeats, written) = (Repeats::default(), Written::default());
        let writer = written.clone();
        let log = tracing_subscriber::fmt::layer().with_ansi(false);
        let log = log.with_writer(move || writer.clone());
        let log = log.with_filter(EnvFilter::new("info").and(repeats.clone()));
        let most = usize::try_from(MOST).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(log), || {
            for number in 0..100 {
                tracing::warn!(number, "a store is down");
                tracing::info!(number, "an audit line");
            }
            tracing::warn!("from another place");
            repeats.tell();
            repeats.tell();
        });
        assert_eq!(written.lines_with("a store is down"), most);
        assert_eq!(written.lines_with("an audit line"), 100);
        assert_eq!(written.lines_with("from another place"), 1);
        assert_eq!(written.lines_with("left out"), 1, "once");
        assert_eq!(written.lines_with("lines=90"), 1);
    }

    #[test]
    fn in_the_next_second_it_is_written_again() {
        let repeats = Repeats::default();
        let event = tracing::error_span!("a place of its own");
        let place = event.metadata().unwrap();
        let begun = Instant::now();
        let admitted = |now| (0..100).filter(|_| repeats.admits(place, now)).count();
        assert_eq!(admitted(begun), admitted(begun + WINDOW));
        assert_eq!(admitted(begun + WINDOW), 0);
    }
}
