//! What policies have in common: provider, login, session and rules, each kept once.
//!
//! It must not list what names its policy or holds a secret.

use std::hash::{Hash, Hasher};

use super::shared::{Common, InUse};
use super::{CompiledLogin, CompiledProvider, CompiledRoute, CompiledSession};
use crate::expression::Expression;

/// By the source, as they are compared.
impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source().hash(state);
    }
}

impl Common for CompiledProvider {
    fn in_use() -> &'static InUse<Self> {
        static IN_USE: InUse<CompiledProvider> = InUse::new();
        &IN_USE
    }
}

impl Common for CompiledLogin {
    fn in_use() -> &'static InUse<Self> {
        static IN_USE: InUse<CompiledLogin> = InUse::new();
        &IN_USE
    }

    fn shrink(&mut self) {
        self.scopes.shrink_to_fit();
        self.acr_values.shrink_to_fit();
        self.resources.shrink_to_fit();
    }
}

impl Common for CompiledSession {
    fn in_use() -> &'static InUse<Self> {
        static IN_USE: InUse<CompiledSession> = InUse::new();
        &IN_USE
    }

    fn shrink(&mut self) {
        self.claims.shrink_to_fit();
    }
}

impl Common for Vec<CompiledRoute> {
    fn in_use() -> &'static InUse<Self> {
        static IN_USE: InUse<Vec<CompiledRoute>> = InUse::new();
        &IN_USE
    }

    fn shrink(&mut self) {
        self.shrink_to_fit();
        for route in self {
            route.methods.shrink_to_fit();
            route.require.scopes.shrink_to_fit();
            route.upstream.headers.shrink_to_fit();
        }
    }
}
