//! Waits until something below a folder changed, and is quiet again.
//!
//! A watch, not a poll. It must not say what changed: whoever waits reads everything again. A watch
//! ends with its folder, so the folder around it is watched too, for one that comes in its place.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// No event for this long means that a writer is done.
const QUIET: Duration = Duration::from_millis(100);
/// A writer that is never done delays a reload no longer than this.
const PATIENCE: Duration = Duration::from_millis(500);

/// Changes below some folders.
pub struct Changes {
    flag: Arc<Flag>,
    folders: Vec<PathBuf>,
    mode: RecursiveMode,
    watcher: RecommendedWatcher,
    /// Apart, as one watcher has one watch per path: folders may lie within each other.
    _around: RecommendedWatcher,
}

#[derive(Default)]
struct Flag {
    changed: AtomicBool,
    /// Whether a folder came, went or was replaced.
    replaced: AtomicBool,
    wake: Notify,
}

impl Flag {
    fn raise(&self) {
        self.changed.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// Why a folder cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be watched: {reason}")]
pub struct WatchError {
    path: String,
    reason: String,
}

impl Changes {
    /// Watches folders with everything below them.
    ///
    /// # Errors
    /// Where one does not exist, or the system has no watches left.
    pub fn below(folders: &[&Path]) -> Result<Self, WatchError> {
        Self::watch(folders, RecursiveMode::Recursive, None)
    }

    /// Watches the folder that a file is in: a file that is replaced is another file.
    ///
    /// # Errors
    /// Where it does not exist, or the system has no watches left.
    pub fn of_file(file: &Path) -> Result<Self, WatchError> {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        Self::watch(&[folder], RecursiveMode::NonRecursive, file.file_name())
    }

    fn watch(
        folders: &[&Path],
        mode: RecursiveMode,
        only: Option<&OsStr>,
    ) -> Result<Self, WatchError> {
        let refused =
            |path: &Path, reason: String| WatchError { path: path.display().to_string(), reason };
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error: notify::Error| refused(&path, error.to_string())
        };
        let mut absolute = Vec::with_capacity(folders.len());
        for folder in folders {
            absolute.push(
                std::path::absolute(folder).map_err(|error| refused(folder, error.to_string()))?,
            );
        }
        let flag = Arc::new(Flag::default());
        let (raised, only) = (Arc::clone(&flag), only.map(OsStr::to_owned));
        let mut watcher = notify::recommended_watcher(move |event| {
            if is_change(&event) && only.as_deref().is_none_or(|name| is_of(&event, name)) {
                raised.raise();
            }
        })
        .map_err(failed(Path::new("a folder")))?;
        let (raised, watched) = (Arc::clone(&flag), absolute.clone());
        let mut around = notify::recommended_watcher(move |event| {
            if is_change(&event) && is_about(&event, &watched) {
                raised.replaced.store(true, Ordering::Release);
                raised.raise();
            }
        })
        .map_err(failed(Path::new("a folder")))?;
        for folder in &absolute {
            // First, so that a folder that is replaced meanwhile is noticed.
            if let Some(parent) = folder.parent()
                && let Err(error) = around.watch(parent, RecursiveMode::NonRecursive)
            {
                tracing::warn!(
                    folder = %folder.display(),
                    %error,
                    "the folder around it cannot be watched: restart if it is ever replaced"
                );
            }
            watcher.watch(folder, mode).map_err(failed(folder))?;
        }
        Ok(Self { flag, folders: absolute, mode, watcher, _around: around })
    }

    /// Waits for a change and then for quiet. One that comes after this returned is kept for the
    /// next call; one during a call that is dropped is not lost.
    pub async fn settled(&mut self) {
        while !self.flag.changed.load(Ordering::Acquire) {
            self.flag.wake.notified().await;
        }
        let quiet =
            async { while tokio::time::timeout(QUIET, self.flag.wake.notified()).await.is_ok() {} };
        let _ = tokio::time::timeout(PATIENCE, quiet).await;
        self.flag.changed.store(false, Ordering::Release);
        if self.flag.replaced.swap(false, Ordering::AcqRel) {
            self.watch_again();
        }
    }

    /// Watches what is at the paths now. Whoever waited reads after that, so nothing is missed.
    fn watch_again(&mut self) {
        for folder in &self.folders {
            // An error says that the watch ended with its folder.
            let _ = self.watcher.unwatch(folder);
            // Where there is none yet, its coming is noticed.
            if folder.is_dir()
                && let Err(error) = self.watcher.watch(folder, self.mode)
            {
                tracing::error!(
                    folder = %folder.display(),
                    %error,
                    "the folder cannot be watched any more: restart to see its changes"
                );
            }
        }
    }
}

/// Whether an event is about a file, or about a name such as `..data`, by which Kubernetes replaces
/// mounted files. Others in its folder, such as a log, change all the time.
fn is_of(event: &notify::Result<notify::Event>, file: &OsStr) -> bool {
    match event {
        Ok(event) => {
            let of = |name: &OsStr| name == file || name.as_encoded_bytes().starts_with(b"..");
            event.need_rescan() || event.paths.iter().any(|path| path.file_name().is_some_and(of))
        }
        Err(_) => true,
    }
}

/// Whether an event is about one of the folders themselves; one that cannot say counts too.
fn is_about(event: &notify::Result<notify::Event>, folders: &[PathBuf]) -> bool {
    match event {
        Ok(event) => event.need_rescan() || event.paths.iter().any(|path| folders.contains(path)),
        Err(_) => true,
    }
}

/// Reading is no change: it would wake the reader for ever. A watch that broke or overflowed is one.
fn is_change(event: &notify::Result<notify::Event>) -> bool {
    match event {
        Ok(event) => match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
            EventKind::Access(_) => event.need_rescan(),
            _ => true,
        },
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(path: &str) -> bool {
        let event = notify::Event::new(EventKind::Any).add_path(PathBuf::from(path));
        is_of(&Ok(event), OsStr::new("keyring.yaml"))
    }

    #[test]
    fn of_a_files_folder_only_the_file_counts_and_what_kubernetes_swaps() {
        assert!(counts("/run/keys/keyring.yaml"));
        assert!(counts("/run/keys/..data"));
        assert!(!counts("/run/keys/authsvc.log"), "a log would wake it for ever");
        let broken = Err(notify::Error::generic("broken"));
        assert!(is_of(&broken, OsStr::new("keyring.yaml")), "a broken watch counts");
    }
}
