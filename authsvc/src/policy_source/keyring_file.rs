//! The keyring of the moment: from a file that may change, or random for a memory store.
//!
//! A file that becomes wrong is reported and the last good keyring stays. It must never be logged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use super::read;
use super::watch::{Changes, WatchError};
use crate::random::Random;
use crate::session::keyring::Keyring;

/// Why there is no keyring.
#[derive(Debug, thiserror::Error)]
pub enum KeyringFileError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds no keyring.
    #[error("{path}: {reason}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong; no secret.
        reason: String,
    },
    /// Its folder cannot be watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
}

/// The keyring of the moment.
pub struct KeyringSource {
    current: Arc<Keyring>,
    file: Option<Watched>,
}

struct Watched {
    path: PathBuf,
    seen: Vec<u8>,
    changes: Changes,
}

impl KeyringSource {
    /// Random, and never changing: sessions end with the process.
    pub fn ephemeral(random: &dyn Random) -> Self {
        Self { current: Arc::new(Keyring::ephemeral(random)), file: None }
    }

    /// Reads a file, and begins to watch it.
    ///
    /// # Errors
    /// Where it cannot be read or watched, or holds no keyring.
    pub fn open(path: PathBuf) -> Result<Self, KeyringFileError> {
        let changes = Changes::of_file(&path)?;
        let (current, seen) = load(&path)?;
        Ok(Self { current, file: Some(Watched { path, seen, changes }) })
    }

    /// The keyring of the moment.
    #[must_use]
    pub fn current(&self) -> Arc<Keyring> {
        Arc::clone(&self.current)
    }

    /// Waits until there is another one.
    pub async fn changed(&mut self) {
        let Some(file) = &mut self.file else {
            return std::future::pending().await;
        };
        loop {
            file.changes.settled().await;
            match load(&file.path) {
                Ok((_, seen)) if seen == file.seen => {}
                Ok((keyring, seen)) => {
                    self.current = keyring;
                    file.seen = seen;
                    tracing::info!("keyring reloaded");
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "keyring: the last good one stays in use");
                }
            }
        }
    }
}

fn load(path: &Path) -> Result<(Arc<Keyring>, Vec<u8>), KeyringFileError> {
    let text = read::text(path)
        .map_err(|source| KeyringFileError::Read { path: path.to_owned(), source })?;
    let keyring = Keyring::parse(&text).map_err(|error| KeyringFileError::Content {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    Ok((Arc::new(keyring), digest(&SHA256, text.as_bytes()).as_ref().to_vec()))
}
