//! Works the queue off, a bounded number of keys at a time.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;

use tokio::task::{Id, JoinSet};

use super::{Outcome, Queue, Work};
use crate::api::Category;

/// Works for ever. Dropping the future stops all work under way.
pub async fn run<K, H, F>(queue: &Queue<K>, at_once: usize, handle: H)
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    H: Fn(K, Work) -> F,
    F: Future<Output = Outcome> + Send + 'static,
{
    let mut tasks: JoinSet<Outcome> = JoinSet::new();
    let mut keys: HashMap<Id, (K, Work)> = HashMap::new();
    loop {
        tokio::select! {
            Some(ended) = tasks.join_next_with_id() => {
                let (id, outcome) = match ended {
                    Ok(ended) => ended,
                    Err(error) => {
                        tracing::error!(%error, "work on a policy ended in a defect");
                        (error.id(), Outcome::Failed(Category::Other))
                    }
                };
                if let Some((key, work)) = keys.remove(&id) {
                    queue.finish(&key, work, outcome);
                }
            }
            (key, work) = queue.next(), if tasks.len() < at_once => {
                let id = tasks.spawn(handle(key.clone(), work)).id();
                keys.insert(id, (key, work));
            }
        }
    }
}
