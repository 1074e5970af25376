//! Where policies come from, and the task that keeps the live ones up to date.
//!
//! Why it exists: a source says what is to be enforced, all of it or what changed; only the task here
//! installs. A source must never hand out a policy that did not compile.

mod claims;
pub mod directory;
pub mod document_lines;
pub mod documents;
mod keyring_file;
pub mod kubernetes;
pub mod names;
pub mod plan;
pub mod problem;
pub mod read;
mod standalone;
mod typed;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::app::App;
use crate::policies::{Change, PolicyEntry};
use crate::session::keyring::Keyring;
pub use keyring_file::{KeyringFileError, KeyringSource};
pub use problem::Problem;
pub use watch::WatchError;

/// What a source says.
pub struct Load {
    /// What is to be enforced.
    pub said: Said,
    /// How many things are wrong: what they are about is enforced as it was, or refused.
    pub problems: usize,
}

/// What is to be enforced.
pub enum Said {
    /// Every policy that is known.
    Whole(Vec<PolicyEntry>),
    /// What changed; never what is said first.
    Changed(Vec<Change>),
}

/// Says what is to be enforced.
pub trait PolicySource: Send + 'static {
    /// Everything that is to be enforced: at once the first time, then what changed, or everything
    /// again. Dropping the future loses no change.
    fn next(&mut self) -> BoxFuture<'_, Load>;

    /// What was said last could not be installed: the next thing said is everything, and soon.
    fn again(&mut self);
}

/// After a defect while policies were installed it is tried again so much later.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Installs what a source says, under the keyring of the moment, until it is dropped.
pub async fn keep_installed(
    app: Arc<App>,
    mut source: Box<dyn PolicySource>,
    mut keyring: KeyringSource,
) {
    let mut problems = 0;
    let mut load = Some(source.next().await);
    loop {
        // Nothing changed but the keys.
        let said = load.take().map_or_else(
            || Said::Changed(Vec::new()),
            |load| {
                problems = load.problems;
                load.said
            },
        );
        if !install(&app, said, problems, keyring.current()).await {
            // Else a change would be lost, such as that a policy is to be refused.
            source.again();
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        tokio::select! {
            changed = source.next() => load = Some(changed),
            () = keyring.changed() => {}
        }
    }
}

/// Ten thousand policies take a while: not on a thread that answers. `false`: it ended in a defect, and what
/// ran goes on.
async fn install(app: &Arc<App>, said: Said, problems: usize, keyring: Arc<Keyring>) -> bool {
    let shared = Arc::clone(app);
    let install = move || match said {
        Said::Whole(entries) => shared.policies.install(entries, &keyring),
        Said::Changed(changes) => shared.policies.apply(changes, &keyring),
    };
    match tokio::task::spawn_blocking(install).await {
        Ok(unusable) => {
            for (policy, reason) in &unusable {
                tracing::error!(%policy, "the policy does not run as it was given: {reason}");
            }
            let (live, refused) = app.policies.count();
            let problems = problems + app.policies.withheld();
            app.metrics.policies(live, refused);
            app.metrics.policy_problems(problems);
            tracing::info!(live, refused, problems, "policies installed");
            true
        }
        Err(error) => {
            tracing::error!(%error, "installing the policies failed");
            false
        }
    }
}
