//! Load at a pace of its own, as many users make it: what the server does to one request does not keep
//! the next from coming, and a wait that it causes counts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::client::Connection;
use super::random::Repeatable;
use super::run::{Load, Outcome, Run, drive};

/// Requests begin at a fixed mean rate with exponential gaps, whatever the answers do, and a request's
/// latency counts from when it was due. At most as many are under way as the load has connections; one
/// that finds none free waits, and that waiting counts, until it is given up. The gaps are the same in
/// every run. Blocks for `lasts`, until the last answers are there, but no longer than ten seconds more.
#[must_use]
pub fn open(load: &Load, per_second: f64, lasts: Duration) -> Outcome {
    assert!(per_second > 0.0, "a load at no rate");
    let run = Run::new(load);
    let (send, receive) = unbounded_channel();
    let receive = Arc::new(Mutex::new(receive));
    std::thread::scope(|scope| {
        let pacing = &run;
        scope.spawn(move || pace(pacing, per_second, lasts, &send));
        drive(&run, lasts, |connection| {
            answer_dues(Arc::clone(&run), connection, Arc::clone(&receive))
        })
    })
}

/// Tells when each request is due. A thread of its own, as timers of the runtime tick in milliseconds.
fn pace(run: &Run, per_second: f64, lasts: Duration, send: &UnboundedSender<Instant>) {
    wake_on_time();
    let mut random = Repeatable::default();
    let mut due = Duration::ZERO;
    loop {
        due += Duration::from_secs_f64(random.gap() / per_second);
        if due > lasts {
            return;
        }
        let at = run.begun + due;
        let wait = at.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
        run.offer();
        if send.send(at).is_err() {
            return;
        }
    }
}

/// Else the kernel wakes this thread up to 50 µs late. Where it cannot be set, every server of a run is
/// asked as late.
fn wake_on_time() {
    let Ok(link) = std::fs::read_link("/proc/thread-self") else { return };
    if let Some(thread) = link.file_name().and_then(|name| name.to_str()) {
        let _ = std::fs::write(format!("/proc/{thread}/timerslack_ns"), "1");
    }
}

async fn answer_dues(
    run: Arc<Run>,
    mut connection: Connection,
    dues: Arc<Mutex<UnboundedReceiver<Instant>>>,
) {
    loop {
        let next = dues.lock().await.recv().await;
        let Some(due) = next else { return };
        let sent = Instant::now();
        if run.load.patience.is_some_and(|patience| sent.saturating_duration_since(due) > patience)
        {
            run.give_up();
        } else if let Some(status) = connection.ask(run.next()).await {
            run.answered(status, due, sent, Instant::now());
        }
    }
}
