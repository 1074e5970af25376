//! Where policies come from, and the task that keeps the live ones up to date.
//!
//! Why it exists: a source says what is to be enforced, all of it, whenever that changed; only the
//! task here installs. A source must never hand out a policy that did not compile.

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

use futures_util::future::BoxFuture;

use crate::app::App;
use crate::policies::PolicyEntry;
use crate::session::keyring::Keyring;
pub use keyring_file::{KeyringFileError, KeyringSource};
pub use problem::Problem;
pub use watch::WatchError;

/// What a source says. Cheap to clone.
#[derive(Clone)]
pub struct Load {
    /// Every policy that is known.
    pub entries: Vec<PolicyEntry>,
    /// How many things are wrong: what they are about is enforced as it was, or refused.
    pub problems: usize,
}

/// Says what is to be enforced.
pub trait PolicySource: Send + 'static {
    /// Everything that is to be enforced: at once the first time, then whenever it may have
    /// changed. Dropping the future loses no change.
    fn next(&mut self) -> BoxFuture<'_, Load>;
}

/// Installs what a source says, under the keyring of the moment, until it is dropped.
pub async fn keep_installed(
    app: Arc<App>,
    mut source: Box<dyn PolicySource>,
    mut keyring: KeyringSource,
) {
    let mut load = source.next().await;
    loop {
        install(&app, load.clone(), keyring.current()).await;
        tokio::select! {
            changed = source.next() => load = changed,
            () = keyring.changed() => {}
        }
    }
}

/// Deriving keys takes a while at ten thousand policies: not on a thread that answers.
async fn install(app: &Arc<App>, load: Load, keyring: Arc<Keyring>) {
    let shared = Arc::clone(app);
    let Load { entries, problems } = load;
    let installed =
        tokio::task::spawn_blocking(move || shared.policies.install(entries, &keyring)).await;
    match installed {
        Ok(unusable) => {
            for (policy, reason) in &unusable {
                tracing::error!(%policy, "the policy does not run as it was given: {reason}");
            }
            let (live, refused) = app.policies.count();
            let problems = problems + unusable.len();
            app.metrics.policies(live, refused);
            app.metrics.policy_problems(problems);
            tracing::info!(live, refused, problems, "policies installed");
        }
        Err(error) => tracing::error!(%error, "installing the policies failed"),
    }
}
