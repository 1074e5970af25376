//! Expressions that are in use, by their source, so that equal ones are parsed and kept once.
//!
//! Why it exists: ten thousand policies pass on `claims.sub`, and each parse is a thread. It must not
//! keep what no policy has any more.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use super::Compiled;

#[derive(Default)]
struct Known {
    by_source: HashMap<Box<str>, Weak<Compiled>>,
    /// At how many it is looked for what nobody has any more.
    sweep_at: usize,
}

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

/// The expression with this source that is in use, or else what `compile` makes of it. What is refused
/// is not remembered.
pub(super) fn of(
    source: &str,
    compile: impl FnOnce() -> Result<Compiled, String>,
) -> Result<Arc<Compiled>, String> {
    let lock = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = lock().by_source.get(source).and_then(Weak::upgrade) {
        return Ok(known);
    }
    // Not under the lock: it takes a while, and two that compile the same do no harm.
    let compiled = Arc::new(compile()?);
    let mut known = lock();
    if known.by_source.len() >= known.sweep_at {
        known.by_source.retain(|_, one| one.strong_count() > 0);
        known.sweep_at = 2 * known.by_source.len() + 64;
    }
    known.by_source.insert(source.into(), Arc::downgrade(&compiled));
    Ok(compiled)
}
