//! A real folder, watched: how soon an edit is live, and that the watch outlives the folder.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::app::App;
use crate::clock::{Clock, SystemClock};
use crate::metrics::Metrics;
use crate::oidc::Providers;
use crate::policies::{Lookup, Policies};
use crate::policy_source::{KeyringSource, keep_installed};
use crate::random::{Random, SystemRandom};
use crate::session::memory::MemoryStore;
use crate::session::service::Sessions;

/// What the documentation promises for an edit.
const LIVE_WITHIN: Duration = Duration::from_secs(1);
/// What a busy computer is given before the test fails.
const DEADLINE: Duration = Duration::from_secs(5 * LIVE_WITHIN.as_secs());
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A provider and a policy `shop` with this base path.
fn shop(base_path: &str) -> String {
    format!(
        "apiVersion: vestibule.dev/v1alpha1
kind: BffProvider
metadata: {{name: corp}}
spec: {{issuer: http://127.0.0.1:9}}
---
apiVersion: vestibule.dev/v1alpha1
kind: BffPolicy
metadata: {{name: shop}}
spec:
  origins: [http://localhost:8080]
  providerRef: {{name: corp}}
  client: {{id: shop, secretRef: {{name: shop-oidc, key: client-secret}}}}
  basePath: {base_path}
"
    )
}

struct Kept {
    app: Arc<App>,
    task: JoinHandle<()>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Kept {
    fn start(policies: &Path, secrets: &Path) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock)));
        let keyring = KeyringSource::ephemeral(&*random);
        let providers = Providers::new(Arc::clone(&clock), Arc::clone(&random));
        let app = Arc::new(App {
            policies: Arc::new(Policies::new(providers)),
            sessions: Sessions::new(store, Arc::clone(&clock), Arc::clone(&random)),
            clock,
            random,
            metrics: Metrics::new(),
            overload: crate::overload::Overload::default(),
        });
        let source =
            DirectorySource::open(policies.to_owned(), Some(secrets.to_owned()), false).unwrap();
        let task = tokio::spawn(keep_installed(Arc::clone(&app), Box::new(source), keyring));
        Self { app, task }
    }

    /// The base path that is live.
    fn live(&self) -> Option<String> {
        match self.app.policies.find("default", "shop") {
            Lookup::Live(policy) => Some(policy.compiled.base_path.clone()),
            Lookup::Refused | Lookup::Unknown => None,
        }
    }

    fn shows(&self, line: &str) -> bool {
        self.app.metrics.render().lines().any(|shown| shown == line)
    }
}

/// Waits for a condition; how long that took.
async fn eventually(what: &str, condition: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let waited = tokio::time::timeout(DEADLINE, async {
        while !condition() {
            ticks.tick().await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"));
    begun.elapsed()
}

/// The folders of policies and secrets, the latter filled.
fn folders(root: &Path) -> (PathBuf, PathBuf) {
    let (policies, secrets) = (root.join("policies"), root.join("secrets"));
    fs::create_dir(&policies).unwrap();
    fs::create_dir_all(secrets.join("default/shop-oidc")).unwrap();
    fs::write(secrets.join("default/shop-oidc/client-secret"), "canary").unwrap();
    (policies, secrets)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_live_soon_and_a_broken_one_is_counted() {
    let root = tempfile::tempdir().unwrap();
    let (policies, secrets) = folders(root.path());
    let file = policies.join("shop.yaml");
    fs::write(&file, shop("/one")).unwrap();
    let kept = Kept::start(&policies, &secrets);
    eventually("the first load", || kept.live().as_deref() == Some("/one")).await;
    fs::write(&file, shop("/two")).unwrap();
    let took = eventually("the edit", || kept.live().as_deref() == Some("/two")).await;
    println!("an edit was live after {took:?}; the documentation promises {LIVE_WITHIN:?}");
    eventually("no problem", || kept.shows("vestibule_policy_problems 0")).await;

    fs::write(&file, format!("{}  unknown: 1\n  session: 7\n", shop("bad"))).unwrap();
    eventually("three problems", || kept.shows("vestibule_policy_problems 3")).await;
    assert_eq!(kept.live().as_deref(), Some("/two"), "the last good one stays");
    fs::write(&file, shop("/three")).unwrap();
    eventually("they are solved", || kept.shows("vestibule_policy_problems 0")).await;
    assert_eq!(kept.live().as_deref(), Some("/three"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_removed_and_made_again_is_watched_again() {
    let root = tempfile::tempdir().unwrap();
    let (policies, secrets) = folders(root.path());
    fs::write(policies.join("shop.yaml"), shop("/one")).unwrap();
    let kept = Kept::start(&policies, &secrets);
    eventually("the first load", || kept.live().as_deref() == Some("/one")).await;

    fs::remove_dir_all(&policies).unwrap();
    eventually("it is missed", || kept.shows("vestibule_policy_problems 1")).await;
    assert_eq!(kept.live().as_deref(), Some("/one"), "what it held stays");
    fs::create_dir(&policies).unwrap();
    eventually("it is empty", || kept.live().is_none()).await;
    fs::create_dir(policies.join("team")).unwrap();
    fs::write(policies.join("team/shop.yaml"), shop("/two")).unwrap();
    eventually("a new file", || kept.live().as_deref() == Some("/two")).await;
    fs::write(policies.join("team/shop.yaml"), shop("/three")).unwrap();
    eventually("an edit", || kept.live().as_deref() == Some("/three")).await;

    // As one who prepares a new version beside the old one does.
    let next = root.path().join("next");
    fs::create_dir(&next).unwrap();
    fs::write(next.join("shop.yaml"), shop("/four")).unwrap();
    fs::rename(&policies, root.path().join("old")).unwrap();
    fs::rename(&next, &policies).unwrap();
    eventually("the other folder", || kept.live().as_deref() == Some("/four")).await;
    fs::write(policies.join("shop.yaml"), shop("/five")).unwrap();
    eventually("an edit there", || kept.live().as_deref() == Some("/five")).await;
}
