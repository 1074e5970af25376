//! Policies from a folder of YAML, secrets from another, both live.
//!
//! Thin: it reads, asks `plan`, and logs what is new among what is wrong.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::plan::{Options, Plan, State, plan};
use super::problem::Problem;
use super::read;
use super::watch::{Changes, WatchError};
use super::{Load, PolicySource, Said};

/// Policies from a folder.
pub struct DirectorySource {
    policies: PathBuf,
    secrets: Option<PathBuf>,
    allow_insecure: bool,
    changes: Changes,
    state: Arc<State>,
    known: Vec<Problem>,
    /// Whether something changed that was not read yet; true before the first read.
    stale: bool,
}

impl DirectorySource {
    /// Begins to watch; reads nothing yet.
    ///
    /// # Errors
    /// Where a folder cannot be watched.
    pub fn open(
        policies: PathBuf,
        secrets: Option<PathBuf>,
        allow_insecure: bool,
    ) -> Result<Self, WatchError> {
        let mut folders = vec![policies.as_path()];
        folders.extend(secrets.as_deref());
        let changes = Changes::below(&folders)?;
        Ok(Self {
            policies,
            secrets,
            allow_insecure,
            changes,
            state: Arc::default(),
            known: Vec::new(),
            stale: true,
        })
    }

    /// Reading and compiling take a while at ten thousand policies: not on a thread that answers.
    async fn read(&self) -> Option<Plan> {
        let (policies, secrets) = (self.policies.clone(), self.secrets.clone());
        let (state, allow_insecure) = (Arc::clone(&self.state), self.allow_insecure);
        let planned = tokio::task::spawn_blocking(move || {
            let listing = read::folder(&policies);
            let options = Options {
                secrets: &|namespace, key| read::secret(secrets.as_deref(), namespace, key),
                secrets_assumed: false,
                allow_insecure,
            };
            plan(&state, &listing, &options)
        });
        planned
            .await
            .inspect_err(|error| tracing::error!(%error, "reading the policies failed"))
            .ok()
    }

    fn report(&mut self, problems: Vec<Problem>) {
        for problem in problems.iter().filter(|problem| !self.known.contains(problem)) {
            tracing::error!(
                file = problem.file,
                line = problem.line,
                object = problem.object,
                field = problem.field,
                "policies: {problem}"
            );
        }
        if problems.is_empty() && !self.known.is_empty() {
            tracing::info!("policies: every problem is solved");
        }
        self.known = problems;
    }
}

impl PolicySource for DirectorySource {
    fn next(&mut self) -> BoxFuture<'_, Load> {
        async move {
            loop {
                if !self.stale {
                    self.changes.settled().await;
                    self.stale = true;
                }
                let planned = self.read().await;
                self.stale = false;
                if let Some(plan) = planned {
                    self.state = Arc::new(plan.state);
                    let problems = plan.problems.len();
                    self.report(plan.problems);
                    return Load { said: Said::Whole(plan.entries), problems };
                }
            }
        }
        .boxed()
    }

    fn again(&mut self) {
        self.stale = true;
    }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
