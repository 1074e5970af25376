//! Waiting for news of one key, such as the result of another replica's refresh.
//!
//! It tells that there is news, never what it is: who waits asks the store.

use std::sync::Arc;

use tokio::sync::watch;

use super::SessionCache;
use crate::session::StoreKey;

/// News of one key since this was made.
pub struct News {
    cache: Arc<SessionCache>,
    key: StoreKey,
    /// Always there but while this is dropped.
    heard: Option<watch::Receiver<()>>,
}

impl News {
    pub(super) fn new(cache: Arc<SessionCache>, key: StoreKey, heard: watch::Receiver<()>) -> Self {
        Self { cache, key, heard: Some(heard) }
    }

    /// Waits until something was heard of the key, or may have been missed, since the last call and
    /// at first since this was made. To be awaited with a deadline: news may be late.
    pub async fn heard(&mut self) {
        // The sender lives as long as somebody listens.
        let heard = match &mut self.heard {
            Some(heard) => heard.changed().await.is_ok(),
            None => false,
        };
        if !heard {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for News {
    fn drop(&mut self) {
        self.heard = None;
        self.cache.stop_listening(&self.key);
    }
}
