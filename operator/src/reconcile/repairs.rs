//! Whether a difference is a hand edit, and whether somebody goes on making it.
//!
//! Who reverts us three times in a minute does not stop: then we pause, and say so.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

/// The time within which repairs are counted, and for which we pause.
pub const WINDOW: Duration = Duration::from_mins(1);
const MOST: usize = 3;

/// An object: kind, namespace, name.
pub type Object = (&'static str, String, String);

/// What to do about an object that differs from what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It never was like that: write it.
    New,
    /// It was, and somebody changed it: write it, and say so.
    Repair,
    /// Somebody changes it again and again: pause.
    Contested,
}

/// What we wrote, and when it was undone.
#[derive(Default)]
pub struct Repairs {
    objects: Mutex<HashMap<Object, Written>>,
}

struct Written {
    body: u64,
    repairs: VecDeque<Instant>,
}

impl Repairs {
    /// Judges an object that exists and differs from the body.
    pub fn judge(&self, object: &Object, body: &Value) -> Finding {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(written) = objects.get_mut(object) else { return Finding::New };
        if written.body != digest(body) {
            return Finding::New;
        }
        let now = Instant::now();
        while written.repairs.front().is_some_and(|at| now - *at >= WINDOW) {
            written.repairs.pop_front();
        }
        if written.repairs.len() >= MOST {
            return Finding::Contested;
        }
        written.repairs.push_back(now);
        Finding::Repair
    }

    /// The object is as the body says, now.
    pub fn agreed(&self, object: &Object, body: &Value) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let body = digest(body);
        let written = objects
            .entry(object.clone())
            .or_insert_with(|| Written { body, repairs: VecDeque::new() });
        written.body = body;
    }

    /// The object is gone on purpose.
    pub fn forget(&self, object: &Object) {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }
}

fn digest(body: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn who_reverts_us_three_times_in_a_minute_contests_the_wiring() {
        let repairs = Repairs::default();
        let object = ("Ingress", "shop".to_owned(), "web".to_owned());
        let (one, two) = (json!({"a": 1}), json!({"a": 2}));
        assert_eq!(repairs.judge(&object, &one), Finding::New);
        repairs.agreed(&object, &one);
        assert_eq!(repairs.judge(&object, &two), Finding::New, "we want something else now");
        for _ in 0..3 {
            assert_eq!(repairs.judge(&object, &one), Finding::Repair);
            repairs.agreed(&object, &one);
            advance(Duration::from_secs(10)).await;
        }
        assert_eq!(repairs.judge(&object, &one), Finding::Contested);
        advance(Duration::from_secs(31)).await;
        assert_eq!(repairs.judge(&object, &one), Finding::Repair, "it is tried again");
        repairs.forget(&object);
        assert_eq!(repairs.judge(&object, &one), Finding::New);
    }
}
