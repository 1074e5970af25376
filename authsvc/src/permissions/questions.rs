//! A question as a decision point gets it: who, what, on which object.
//!
//! It must not let a value of a request or a user become another object, another user, or a group of
//! them.

use vestibule_policy::model::CompiledCheck;
use vestibule_policy::template::{Object, Template};

use super::Question;

/// The greatest length of a subject in bytes; OpenID Connect allows 255 characters.
const MAX_SUBJECT: usize = 256;
/// The greatest length of an object with its type, as OpenFGA has it.
const MAX_OBJECT: usize = 256;

/// Who, what, on which object. The subject's type is the decision point's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    /// The user's `sub`.
    pub(super) subject: String,
    /// The relation, or the name of the action.
    pub(super) relation: String,
    /// The object, or resource.
    pub(super) object: Object,
}

/// A question, as far as it is answered here.
pub(super) enum Prepared {
    /// Nobody needs to be asked.
    Answered(bool),
    OpenFga(Asked),
    AuthZen(Asked),
}

impl Prepared {
    pub(super) fn of(question: &Question<'_>) -> Self {
        match question.check {
            CompiledCheck::Expression(expression) => {
                Self::Answered(matches!(expression.evaluate_bool(question.claims), Ok(true)))
            }
            CompiledCheck::OpenFga { relation, object } => {
                asked(question, relation, object).map_or(Self::Answered(false), Self::OpenFga)
            }
            CompiledCheck::AuthZen { action, resource } => {
                asked(question, action, resource).map_or(Self::Answered(false), Self::AuthZen)
            }
        }
    }
}

fn asked(question: &Question<'_>, relation: &str, template: &Template) -> Option<Asked> {
    let refused = |reason: &'static str| {
        tracing::debug!(source = question.source(), reason, "a permission is refused unasked");
        None
    };
    if !is_usable(question.subject) {
        return refused(
            "the subject is too long, or has ':', '#', '*' or other than visible ASCII",
        );
    }
    let Some(object) = template.object(question.path, question.claims) else {
        return refused("the path or a claim gives no object");
    };
    if object.object_type.len() + 1 + object.id.len() > MAX_OBJECT {
        return refused("the object is too long");
    }
    Some(Asked { subject: question.subject.to_owned(), relation: relation.to_owned(), object })
}

/// Whether a subject is one user's in every notation: `:` separates it from its type, `#` from a
/// relation that makes it a set of users, and `*` is everyone. AuthZEN has a field for each, but what is
/// behind it may paste them together.
fn is_usable(subject: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b':' | b'#' | b'*');
    !subject.is_empty() && subject.len() <= MAX_SUBJECT && subject.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_one_user_or_none() {
        for good in [
            "alice",
            "auth0|65f1c0ffee",
            "google-oauth2|1177",
            "alice@example.com",
            "2f6b1f0e-7f3b-4d1c-9f5e-1c2d3e4f5a6b",
            "CgYxMjM0NTYSBGxkYXA=",
            "uid=alice,ou=people",
            &"a".repeat(256),
        ] {
            assert!(is_usable(good), "{good}");
        }
        for bad in [
            "",
            "*",
            "user:alice",
            "f:5b0e:alice",
            "group#member",
            "alice ",
            " alice",
            "al\tice",
            "alice\n",
            "alice\0",
            "alic\u{e9}",
            "\u{200b}alice",
            &"a".repeat(257),
        ] {
            assert!(!is_usable(bad), "{bad:?}");
        }
    }
}
