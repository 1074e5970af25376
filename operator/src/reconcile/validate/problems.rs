//! What is wrong with a policy, in the words of its conditions.
//!
//! Why it exists: an author should see everything at once, yet a condition has one reason and a
//! message of bounded length. It must not decide anything, and never sees a secret.

use vestibule_crds::conditions::reasons;

/// The longest message of a condition. The API server accepts 32 KiB; people read less.
pub const MAX_MESSAGE: usize = 2048;

/// How one condition turns out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is true.
    pub ok: bool,
    /// One of `vestibule_crds::conditions::reasons`.
    pub reason: &'static str,
    /// What is wrong, with the field and the fix.
    pub message: String,
}

impl Finding {
    /// Nothing is wrong.
    pub(crate) fn ok(reason: &'static str, message: &str) -> Self {
        Self { ok: true, reason, message: message.to_owned() }
    }

    /// Something is wrong.
    pub(crate) fn wrong(reason: &'static str, message: &str) -> Self {
        Self { ok: false, reason, message: shortened(&[message.to_owned()]) }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    reason: &'static str,
    text: String,
}

/// Everything that is wrong with one policy.
#[derive(Clone, Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

/// Of several reasons the condition gives the first of these: what others did comes before what the
/// author can correct alone.
const ACCEPTED: [&str; 7] = [
    reasons::CONFLICTED,
    reasons::HOST_NOT_GRANTED,
    reasons::TARGET_NOT_FOUND,
    reasons::TARGET_REFUSED,
    reasons::UNSUPPORTED,
    reasons::ORIGIN_NOT_OF_TARGET,
    reasons::INVALID,
];

const RESOLVED_REFS: [&str; 4] = [
    reasons::PROVIDER_NOT_FOUND,
    reasons::PROVIDER_NOT_PERMITTED,
    reasons::SECRET_NOT_FOUND,
    reasons::INVALID_SECRET,
];

impl Problems {
    /// Adds one, each text once.
    pub(super) fn push(&mut self, reason: &'static str, field: &str, message: &str) {
        let problem = Problem { reason, text: format!("{field}: {message}") };
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    /// Whether nothing is wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether something of this reason is.
    pub(super) fn has(&self, reason: &str) -> bool {
        self.0.iter().any(|problem| problem.reason == reason)
    }

    /// The condition `Accepted`.
    pub(super) fn accepted(&self) -> Finding {
        self.finding(&ACCEPTED).unwrap_or_else(|| {
            let message = if self.is_empty() {
                "The policy is valid."
            } else {
                "The policy is valid, but something that it names cannot be used: see ResolvedRefs."
            };
            Finding::ok(reasons::ACCEPTED, message)
        })
    }

    /// The condition `ResolvedRefs`.
    pub(super) fn resolved_refs(&self) -> Finding {
        self.finding(&RESOLVED_REFS).unwrap_or_else(|| {
            Finding::ok(reasons::RESOLVED_REFS, "Everything that the policy names is there.")
        })
    }

    fn finding(&self, of: &[&'static str]) -> Option<Finding> {
        let reason = of.iter().find(|reason| self.has(reason))?;
        let mut texts: Vec<String> = Vec::new();
        for wanted in of {
            texts.extend(self.0.iter().filter(|p| p.reason == *wanted).map(|p| p.text.clone()));
        }
        Some(Finding { ok: false, reason, message: shortened(&texts) })
    }
}

/// All texts that fit, and how many more there are. Control characters cannot forge a second line.
#[must_use]
pub fn shortened(texts: &[String]) -> String {
    let mut message = String::new();
    for (index, text) in texts.iter().enumerate() {
        let rest = format!("; and {} more", texts.len() - index);
        let separator = if message.is_empty() { "" } else { "; " };
        let text: String =
            text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        if message.len() + separator.len() + text.len() + rest.len() <= MAX_MESSAGE {
            message.push_str(separator);
            message.push_str(&text);
        } else if message.is_empty() {
            message.push_str(cut(&text, MAX_MESSAGE - rest.len() - 3));
            message.push('…');
        } else {
            message.push_str(&rest);
            break;
        }
    }
    message
}

fn cut(text: &str, at: usize) -> &str {
    let end = (0..=at.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_bounded_and_says_how_much_is_left_out() {
        let texts: Vec<String> =
            (0..400).map(|n| format!("spec.routes[{n}]: é is wrong")).collect();
        let message = shortened(&texts);
        assert!(message.len() <= MAX_MESSAGE && message.len() > 1024, "{}", message.len());
        assert!(message.ends_with(" more"), "{message}");
        let one = shortened(&["é".repeat(5000)]);
        assert!(one.len() <= MAX_MESSAGE, "{}", one.len());
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(shortened(&["a\nb\u{1b}[0m".to_owned()]), "a\u{fffd}b\u{fffd}[0m");
    }

    #[test]
    fn the_first_reason_is_what_others_did() {
        let mut problems = Problems::default();
        problems.push(reasons::INVALID, "spec.a", "is wrong");
        problems.push(reasons::CONFLICTED, "spec.origins[0]", "is taken");
        let finding = problems.accepted();
        assert_eq!(finding.reason, reasons::CONFLICTED);
        assert_eq!(finding.message, "spec.origins[0]: is taken; spec.a: is wrong");
        assert!(problems.resolved_refs().ok);
    }
}
