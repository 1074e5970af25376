//! What the cluster said lately, so that paging through sessions does not ask it each time. Bounded,
//! and for a few seconds: somebody whose rights were taken must lose them.
//!
//! It holds hashes of tokens, never a token.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::Instant;
use vestibule_policy::model::PolicyId;

use super::{Answer, Verb};
use crate::session::keyring::length_prefixed;

/// How long an answer counts.
pub(super) const COUNTS_FOR: Duration = Duration::from_secs(10);
/// How many answers are remembered; others are asked for again.
pub(super) const MAX_ANSWERS: usize = 1024;

/// Names a question: the hash of the token and of what is wanted.
pub(super) type Question = [u8; 32];

#[derive(Default)]
pub(super) struct Answers {
    known: Mutex<HashMap<Question, (Answer, Instant)>>,
}

impl Answers {
    pub(super) fn question(token: &str, verb: Verb, policy: Option<&PolicyId>) -> Question {
        let (namespace, name) =
            policy.map_or(("", ""), |id| (id.namespace.as_str(), id.name.as_str()));
        let parts = [token, verb.name(), namespace, name].map(str::as_bytes);
        let mut question = [0; 32];
        question.copy_from_slice(digest(&SHA256, &length_prefixed(&parts)).as_ref());
        question
    }

    pub(super) fn get(&self, question: &Question) -> Option<Answer> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, since) = known.get(question)?;
        (since.elapsed() < COUNTS_FOR).then(|| answer.clone())
    }

    pub(super) fn put(&self, question: Question, answer: Answer) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_ANSWERS {
            known.retain(|_, (_, since)| since.elapsed() < COUNTS_FOR);
        }
        if known.len() < MAX_ANSWERS {
            known.insert(question, (answer, Instant::now()));
        }
    }
}
