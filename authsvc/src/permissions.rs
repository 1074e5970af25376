//! Whether a user may do something: asked of claims, of OpenFGA, or of a decision point that speaks OpenID
//! AuthZEN.
//!
//! Why it exists: who may do what is known elsewhere, and changes sooner than tokens do. A question is made
//! of typed values, never of text pasted together, and an answer counts only where it is exactly that: what
//! is late, partial, of a wrong type, or says more than was asked is no answer. It must never take the lack
//! of an answer for one, and must not know sessions, cookies or browsers. No error of it holds a token, or
//! text that a server sent.

mod authzen;
mod cache;
mod connections;
mod object;
mod openfga;
mod point;
mod questions;

use std::sync::Arc;
use std::time::Duration;

use vestibule_policy::model::{
    CompiledAuthZen, CompiledCheck, CompiledOpenFga, CompiledPolicy, Consistency,
};

use self::authzen::AuthZen;
pub use self::connections::Connections;
use self::openfga::OpenFga;
use self::point::{Point, Protocol};
use self::questions::{Asked, Prepared};
use crate::session::Claims;

/// The most questions that are asked at once; more are refused.
pub const MAX_QUESTIONS: usize = 200;

/// One question about a user.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// What is asked.
    pub check: &'a CompiledCheck,
    /// The user's `sub`.
    pub subject: &'a str,
    /// The user's claims.
    pub claims: &'a Claims,
    /// The request's canonical path, without a query; `None` where there is none to ask about.
    pub path: Option<&'a str>,
}

impl Question<'_> {
    /// Who answers it, as metrics name them.
    #[must_use]
    pub const fn source(&self) -> &'static str {
        match self.check {
            CompiledCheck::Expression(_) => "expression",
            CompiledCheck::OpenFga { .. } => OpenFga::SOURCE,
            CompiledCheck::AuthZen { .. } => AuthZen::SOURCE,
        }
    }
}

/// Why there is no answer. Safe to log; never a refusal, and never an allowance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecisionError {
    /// The decision point did not answer, or with something that is no answer.
    #[error("{point}: {reason}")]
    Unavailable {
        /// Who was asked, as metrics name them.
        point: &'static str,
        /// In our own words.
        reason: String,
    },
    /// So many questions at once.
    #[error("{0} questions at once: at most {MAX_QUESTIONS} are asked")]
    TooMany(usize),
}

/// The decision points of one policy. Cheap to clone; the clones share what was answered lately.
#[derive(Clone, Default)]
pub struct DecisionPoints(Option<Arc<Points>>);

#[derive(Default)]
struct Points {
    open_fga: Option<Point>,
    auth_zen: Option<Point>,
}

impl DecisionPoints {
    /// Those of a policy. Asks nothing yet.
    ///
    /// # Errors
    /// Where a URL may not be used, or a certificate bundle or a token is not usable; with the field.
    pub fn new(policy: &CompiledPolicy, connections: &Connections) -> Result<Self, String> {
        Self::of(policy.open_fga.as_deref(), policy.auth_zen.as_deref(), connections)
    }

    /// These. Without any, only expressions are answered.
    ///
    /// # Errors
    /// As [`DecisionPoints::new`].
    pub fn of(
        open_fga: Option<&CompiledOpenFga>,
        auth_zen: Option<&CompiledAuthZen>,
        connections: &Connections,
    ) -> Result<Self, String> {
        if open_fga.is_none() && auth_zen.is_none() {
            return Ok(Self::default());
        }
        let open_fga = open_fga
            .map(|config| {
                // Who wants answers that know every write wants none of a moment ago.
                let cache_for = match config.consistency {
                    Consistency::HigherConsistency => Duration::ZERO,
                    Consistency::MinimizeLatency => config.server.cache_for,
                };
                let protocol = Protocol::OpenFga(OpenFga::new(config));
                Point::new(protocol, &config.server, cache_for, connections)
                    .map_err(|error| format!("openFga.server: {error}"))
            })
            .transpose()?;
        let auth_zen = auth_zen
            .map(|config| {
                let protocol = Protocol::AuthZen(AuthZen::new(config));
                Point::new(protocol, &config.server, config.server.cache_for, connections)
                    .map_err(|error| format!("authZen.server: {error}"))
            })
            .transpose()?;
        Ok(Self(Some(Arc::new(Points { open_fga, auth_zen }))))
    }

    /// Whether these are the very same.
    #[cfg(test)]
    pub(crate) fn shares_with(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(these), Some(those)) => Arc::ptr_eq(these, those),
            _ => false,
        }
    }

    /// Asks all of them, and gives the answers in their order. What has no object (a path that is not the
    /// template's, a value that may not stand in an id) is not asked about: the answer is no.
    ///
    /// # Errors
    /// Where any of them has no answer: the others' are of no use to who must answer for all.
    pub async fn ask(&self, questions: &[Question<'_>]) -> Result<Vec<bool>, DecisionError> {
        if questions.len() > MAX_QUESTIONS {
            return Err(DecisionError::TooMany(questions.len()));
        }
        let mut answers = vec![false; questions.len()];
        let (mut open_fga, mut auth_zen) = (Batch::default(), Batch::default());
        for (place, question) in questions.iter().enumerate() {
            match Prepared::of(question) {
                Prepared::Answered(answer) => answers[place] = answer,
                Prepared::OpenFga(asked) => open_fga.add(place, asked),
                Prepared::AuthZen(asked) => auth_zen.add(place, asked),
            }
        }
        let none = Points::default();
        let points = self.0.as_deref().unwrap_or(&none);
        let (of_open_fga, of_auth_zen) = tokio::try_join!(
            open_fga.ask(points.open_fga.as_ref(), OpenFga::SOURCE),
            auth_zen.ask(points.auth_zen.as_ref(), AuthZen::SOURCE),
        )?;
        for (place, answer) in of_open_fga.into_iter().chain(of_auth_zen) {
            answers[place] = answer;
        }
        Ok(answers)
    }
}

/// Questions for one decision point, and whose they are.
#[derive(Default)]
struct Batch {
    places: Vec<usize>,
    asked: Vec<Arc<Asked>>,
}

impl Batch {
    fn add(&mut self, place: usize, asked: Asked) {
        self.places.push(place);
        self.asked.push(Arc::new(asked));
    }

    async fn ask(
        self,
        point: Option<&Point>,
        source: &'static str,
    ) -> Result<Vec<(usize, bool)>, DecisionError> {
        if self.asked.is_empty() {
            return Ok(Vec::new());
        }
        let Some(point) = point else {
            let reason = "the policy names no such server".to_owned();
            return Err(DecisionError::Unavailable { point: source, reason });
        };
        let answers = point.ask(&self.asked).await?;
        Ok(self.places.into_iter().zip(answers).collect())
    }
}

#[cfg(test)]
mod tests;
