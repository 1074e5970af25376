//! Text that must never be seen: tokens, codes, verifiers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A token. `Debug` hides it, there is no `Display`, and it is serialised only into sealed records.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token(Box<str>);

impl Token {
    /// Wraps a token.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into_boxed_str())
    }

    /// The token itself, for the wire.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([hidden])")
    }
}
