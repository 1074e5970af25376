//! What a decision point answered lately, and what it is being asked now.
//!
//! Why it exists: a page asks the same few questions with each of its requests. An answer counts for a
//! bounded time from when it was *asked for*, so that no change at the server goes unseen for longer. It
//! must not hold more than its bounds, whoever asks about whatever.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::DecisionError;
use super::questions::Asked;

/// The most answers that are kept.
pub(super) const MAX_ENTRIES: usize = 4096;
/// How much they may need together, about.
pub(super) const MAX_BYTES: usize = 1024 * 1024;
/// What an entry needs besides its texts: in the map, in the queue, and for its counters.
const OVERHEAD: usize = 2 * size_of::<Arc<Asked>>() + size_of::<Asked>() + 96;

/// What a flight ends with: the answers to all that it asked.
pub(super) type Landed = Result<Arc<HashMap<Arc<Asked>, bool>>, DecisionError>;

/// A request under way.
#[derive(Clone)]
pub(super) struct Flight {
    /// When it was sent.
    pub(super) begun: Instant,
    /// `None` until it ends.
    pub(super) landed: watch::Receiver<Option<Landed>>,
}

impl Flight {
    /// How it ended; `None` where it never will.
    pub(super) async fn wait(mut self) -> Option<Landed> {
        self.landed.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Whether it ended without a word, as a task does that panics.
    fn is_lost(&self) -> bool {
        self.landed.has_changed().is_err() && self.landed.borrow().is_none()
    }
}

/// What is known of a question.
pub(super) enum Known {
    /// This.
    Answer(bool),
    /// It is being asked.
    Asking(Flight),
    /// Nothing.
    Nothing,
}

/// The answers of one decision point.
pub(super) struct Cache {
    count_for: Duration,
    answers: HashMap<Arc<Asked>, Answered>,
    /// By their age.
    order: VecDeque<(Arc<Asked>, Instant)>,
    bytes: usize,
    flights: HashMap<Arc<Asked>, Flight>,
}

#[derive(Clone, Copy)]
struct Answered {
    answer: bool,
    asked_at: Instant,
}

impl Cache {
    /// One whose answers count for so long.
    pub(super) fn new(count_for: Duration) -> Self {
        Self {
            count_for,
            answers: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            flights: HashMap::new(),
        }
    }

    /// What is known of a question now. A request that was sent too long ago is not waited for: its
    /// answer would count no more.
    pub(super) fn look(&self, asked: &Arc<Asked>, now: Instant) -> Known {
        if let Some(known) = self.answers.get(asked)
            && self.counts(known.asked_at, now)
        {
            return Known::Answer(known.answer);
        }
        match self.flights.get(asked) {
            Some(flight) if self.counts(flight.begun, now) && !flight.is_lost() => {
                Known::Asking(flight.clone())
            }
            _ => Known::Nothing,
        }
    }

    /// These are being asked.
    pub(super) fn depart(&mut self, asked: &[Arc<Asked>], flight: &Flight) {
        for one in asked {
            self.flights.insert(Arc::clone(one), flight.clone());
        }
    }

    /// They are asked no more; what was answered is kept.
    pub(super) fn land(
        &mut self,
        asked: &[Arc<Asked>],
        flight: &Flight,
        landed: &Landed,
        now: Instant,
    ) {
        for one in asked {
            let is_this = |other: &Flight| other.landed.same_channel(&flight.landed);
            if self.flights.get(one).is_some_and(is_this) {
                self.flights.remove(one);
            }
        }
        if let Ok(answers) = landed
            && self.counts(flight.begun, now)
        {
            for (one, answer) in answers.iter() {
                self.keep(one, *answer, flight.begun);
            }
        }
        self.trim(now);
    }

    /// How many answers are kept, and what they need.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.answers.len(), self.bytes)
    }

    fn counts(&self, asked_at: Instant, now: Instant) -> bool {
        now.saturating_duration_since(asked_at) < self.count_for
    }

    fn keep(&mut self, asked: &Arc<Asked>, answer: bool, asked_at: Instant) {
        let newer = |known: &Answered| known.asked_at > asked_at;
        if self.answers.get(asked).is_some_and(newer) {
            return;
        }
        self.bytes += footprint(asked);
        self.order.push_back((Arc::clone(asked), asked_at));
        self.answers.insert(Arc::clone(asked), Answered { answer, asked_at });
    }

    /// Drops what is over, and the oldest beyond the bounds.
    fn trim(&mut self, now: Instant) {
        while let Some((_, asked_at)) = self.order.front() {
            let within = self.order.len() <= MAX_ENTRIES && self.bytes <= MAX_BYTES;
            if within && self.counts(*asked_at, now) {
                return;
            }
            if let Some((asked, asked_at)) = self.order.pop_front() {
                self.bytes -= footprint(&asked);
                // It may have been asked again since.
                if self.answers.get(&asked).is_some_and(|known| known.asked_at == asked_at) {
                    self.answers.remove(&asked);
                }
            }
        }
    }
}

fn footprint(asked: &Asked) -> usize {
    let texts = [&asked.subject, &asked.relation, &asked.object.object_type, &asked.object.id];
    OVERHEAD + texts.into_iter().map(String::len).sum::<usize>()
}
