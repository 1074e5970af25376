//! Load at the pace of the answers. It shows what a server can do at most, and it must not be taken for
//! how long users wait: where the server stalls, so does the load.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::Connection;
use super::run::{Load, Outcome, Run, drive};

/// Where a server refuses connections, it is not asked in a busy loop.
const PAUSE: Duration = Duration::from_millis(10);

/// Each connection sends its next request when the answer to the last is there. Blocks for `lasts`, until
/// the last answers are there, but no longer than ten seconds more.
#[must_use]
pub fn closed(load: &Load, lasts: Duration) -> Outcome {
    let run = Run::new(load);
    let end = run.begun + lasts;
    drive(&run, lasts, |connection| keep_asking(Arc::clone(&run), connection, end))
}

async fn keep_asking(run: Arc<Run>, mut connection: Connection, end: Instant) {
    let mut begun = Instant::now();
    while begun < end {
        run.offer();
        let status = connection.ask(run.next()).await;
        let now = Instant::now();
        match status {
            Some(status) => run.answered(status, begun, begun, now),
            None => tokio::time::sleep(PAUSE).await,
        }
        begun = now;
    }
}
