//! What is wrong in a policies folder, so that a person finds the line.
//!
//! Shared by the running service's log and `check-policies`. It must never quote a secret.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, relative to the policies folder; empty where the folder itself is meant.
    pub file: String,
    /// The line in it, from 1; 0 where no line is meant.
    pub line: usize,
    /// `namespace/name` of the object, where it is known.
    pub object: Option<String>,
    /// The field's path, such as `spec.routes[1].path`.
    pub field: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
            if self.line > 0 {
                write!(f, "{}:", self.line)?;
            }
            f.write_str(" ")?;
        }
        match (&self.object, &self.field) {
            (Some(object), Some(field)) => write!(f, "{object} {field}: ")?,
            (Some(one), None) | (None, Some(one)) => write!(f, "{one}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.message)
    }
}
