//! What is wrong with a policy, field by field, so that one run reports everything.
//!
//! A message names the fix and never quotes a secret.

use serde::{Deserialize, Serialize};

/// One thing that is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FieldError {
    /// The field's path in the object, such as `spec.routes[1].path`.
    pub field: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// Collects field errors, so that an author sees all of them at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldErrors(pub Vec<FieldError>);

impl FieldErrors {
    /// Adds one error.
    pub fn push(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError { field: field.into(), message: message.into() });
    }

    /// Whether nothing was wrong so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `value` where nothing was wrong, else all errors in the order they were found.
    pub fn into_result<T>(self, value: T) -> Result<T, Vec<FieldError>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}

impl Extend<FieldError> for FieldErrors {
    fn extend<I: IntoIterator<Item = FieldError>>(&mut self, errors: I) {
        self.0.extend(errors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_errors_are_kept_in_order() {
        let mut errors = FieldErrors::default();
        assert_eq!(errors.clone().into_result(1), Ok(1));
        errors.push("spec.a", "write b");
        errors.push("spec.c", "write d");
        let errors = errors.into_result(1).unwrap_err();
        assert_eq!(errors[0].to_string(), "spec.a: write b");
        assert_eq!(errors.len(), 2);
    }
}
