//! Hears what any replica of ours told of its changes, and knows how far it has heard.
//!
//! Redis tells subscribers once and never again, so a subscription alone proves nothing: its
//! connection is asked (PING) all the time, on the same way as what is told. It must never claim to
//! have heard what it may have missed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::{FutureExt as _, StreamExt as _};
use redis::aio::{PubSub, PubSubSink, PubSubStream};
use redis::{Client, Msg};
use tokio::task::unconstrained;
use tokio::time::{Instant, timeout, timeout_at};

use super::super::store::{Change, ChangeListener};
use super::super::{Purpose, StoreKey};
use super::connect::{CONNECT_TIMEOUT, describe};
use super::scripts::CHANNEL;

/// How often the connection is asked.
const PING_EVERY: Duration = Duration::from_millis(100);
/// Without an answer for this long it is lost.
const SILENCE: Duration = Duration::from_millis(500);
/// Pauses between attempts.
const BACKOFF: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// Why a feed ended.
type Lost = String;

/// Pauses that double.
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) const fn new() -> Self {
        Self(BACKOFF[0])
    }

    /// Whether there was no pause yet.
    pub(super) fn is_new(&self) -> bool {
        self.0 == BACKOFF[0]
    }

    pub(super) async fn pause(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(BACKOFF[1]);
    }
}

/// Tells what all of these servers tell, until one of them is lost or `moved` says that they are no
/// longer the right ones. What was heard of only some of them is not told as up to date.
pub(super) async fn listen(
    servers: &[Client],
    listener: &dyn ChangeListener,
    backoff: &mut Backoff,
    moved: impl Future<Output = Lost>,
) -> Lost {
    let feeds = match timeout(CONNECT_TIMEOUT, try_join_all(servers.iter().map(subscribe))).await {
        Ok(Ok(feeds)) => feeds,
        Ok(Err(lost)) => return lost,
        Err(_) => return "no subscription within a second".to_owned(),
    };
    *backoff = Backoff::new();
    // What was read until now may have changed before we could hear of it.
    listener.interrupted();
    tracing::info!("what other replicas change is heard");
    let heard = Heard { until: Mutex::new(vec![None; feeds.len()]), listener };
    let following = feeds.into_iter().enumerate().map(|(index, feed)| follow(feed, &heard, index));
    tokio::select! {
        lost = try_join_all(following) => lost.map_or_else(|lost| lost, |_| "ended".to_owned()),
        lost = moved => lost,
    }
}

async fn subscribe(server: &Client) -> Result<PubSub, Lost> {
    let subscribing = async {
        let mut feed = server.get_async_pubsub().await?;
        feed.subscribe(CHANNEL).await?;
        Ok(feed)
    };
    subscribing.await.map_err(|error| describe(&error))
}

/// What was heard of all servers together.
struct Heard<'a> {
    until: Mutex<Vec<Option<Instant>>>,
    listener: &'a dyn ChangeListener,
}

impl Heard<'_> {
    fn tell(&self, message: &Msg) {
        if let Some((key, change)) = read(message.get_payload_bytes()) {
            self.listener.changed(&key, change);
        }
    }

    fn up_to_date(&self, server: usize, as_of: Instant) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = until.get_mut(server) {
            *until = Some(as_of);
        }
        // Nothing until each has answered once: `None` is the least.
        let all = until.iter().min().copied().flatten();
        drop(until);
        if let Some(all) = all {
            self.listener.up_to_date(all);
        }
    }
}

/// Follows one server. Never returns but when it is lost.
async fn follow(feed: PubSub, heard: &Heard<'_>, index: usize) -> Result<(), Lost> {
    let (mut asking, mut told) = feed.split();
    loop {
        let asked = Instant::now();
        ask(&mut asking, &mut told, heard, asked + SILENCE).await?;
        // All that came before the answer is here already: the answer took the same way.
        // Unconstrained, since tokio else says "nothing there" when a task has done much at once.
        while let Some(message) = unconstrained(told.next()).now_or_never() {
            heard.tell(&message.ok_or_else(closed)?);
        }
        heard.up_to_date(index, asked);
        while Instant::now() < asked + PING_EVERY {
            let Ok(message) = timeout_at(asked + PING_EVERY, told.next()).await else { break };
            heard.tell(&message.ok_or_else(closed)?);
        }
    }
}

/// Waits for an answer, telling what comes before it.
async fn ask(
    asking: &mut PubSubSink,
    told: &mut PubSubStream,
    heard: &Heard<'_>,
    deadline: Instant,
) -> Result<(), Lost> {
    let mut answer = std::pin::pin!(asking.ping::<Vec<String>>());
    loop {
        tokio::select! {
            answer = &mut answer => return answer.map(|_| ()).map_err(|error| describe(&error)),
            message = told.next() => heard.tell(&message.ok_or_else(closed)?),
            () = tokio::time::sleep_until(deadline) => {
                return Err("no answer for half a second".to_owned());
            }
        }
    }
}

fn closed() -> Lost {
    "the connection was closed".to_owned()
}

/// Reads what `scripts::message` wrote; anything else is not ours.
fn read(message: &[u8]) -> Option<(StoreKey, Change)> {
    let (kind, name) = std::str::from_utf8(message).ok()?.split_at_checked(1)?;
    let change = match kind {
        "e" => Change::Ended,
        "r" => Change::Replaced,
        _ => return None,
    };
    Some((StoreKey::from_name(Purpose::Session, name)?, change))
}

#[cfg(test)]
mod tests {
    use super::super::scripts;
    use super::*;

    #[test]
    fn what_is_told_is_read_and_anything_else_is_passed_over() {
        let key = StoreKey::of_session(&[7; 32]).expect("32 bytes");
        for change in [Change::Ended, Change::Replaced] {
            let message = scripts::message(&key, change);
            assert_eq!(read(message.as_bytes()), Some((key, change)));
        }
        let name = key.name();
        for foreign in ["", "e", "x", &name, &format!("x{name}"), &format!("e{name}x"), "é"] {
            assert_eq!(read(foreign.as_bytes()), None, "{foreign:?} was taken for a change");
        }
        assert_eq!(read(&[0xff, 0xfe]), None);
    }
}
