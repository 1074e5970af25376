//! One policy with everything that a request needs, made once per version; keys at their first use.
//!
//! It must not know other policies, or where this one came from.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use http::HeaderName;
use vestibule_policy::header_list;
use vestibule_policy::model::{CompiledClient, CompiledPolicy, CompiledRoute, Shared};
use vestibule_policy::origin::Origin;
use vestibule_policy::path::{PathError, Target};

use super::authority::{Authorities, AuthorityEndpoint, LiveAuthority};
use super::rules::Rules;
use crate::identity_jwt::IdentitySigner;
use crate::oidc::Provider;
use crate::permissions::DecisionPoints;
use crate::session::index::Indexer;
use crate::session::keyring::Keyring;
use crate::session::seal::Sealer;
use crate::session::{Purpose, Session};

/// The rule of requests that no rule matches, of whichever policy.
static UNMATCHED: LazyLock<CompiledRoute> = LazyLock::new(CompiledRoute::unmatched);

/// One rule of a policy.
#[derive(Clone, Copy)]
pub struct LiveRule<'a> {
    /// The rule.
    pub compiled: &'a CompiledRoute,
    /// The names of `upstream.headers`, in their order.
    pub header_names: &'a [HeaderName],
}

impl Deref for LiveRule<'_> {
    type Target = CompiledRoute;

    fn deref(&self) -> &CompiledRoute {
        self.compiled
    }
}

/// A policy with everything that a request needs.
pub struct LivePolicy {
    /// What was compiled.
    pub compiled: Arc<CompiledPolicy>,
    /// Seals this policy's session records.
    pub session_sealer: Sealer,
    /// Seals this policy's login transactions.
    pub login_sealer: Sealer,
    /// Names the indexes that this policy's sessions are found by.
    pub indexer: Indexer,
    /// Signs this policy's identity JWTs.
    pub identity: IdentitySigner,
    /// Where this policy's users log in.
    pub provider: Arc<Provider>,
    /// Who answers for permissions.
    pub decisions: DecisionPoints,
    /// The query of the check's address where the gateway takes all headers of this policy from us;
    /// `None`: the address does not say so.
    pub header_list: Option<String>,
    authorities: Authorities,
    rules: Shared<Rules>,
}

impl LivePolicy {
    /// With its rules and keys.
    ///
    /// # Errors
    /// Where it names a header that none can have: `compile` makes no such policy.
    pub fn new(
        compiled: impl Into<Arc<CompiledPolicy>>,
        keyring: &Keyring,
        provider: Arc<Provider>,
    ) -> Result<Self, String> {
        let compiled = compiled.into();
        let rules = Rules::of(&compiled)?;
        Ok(Self::with_rules(compiled, rules, keyring, provider))
    }

    pub(super) fn with_rules(
        compiled: Arc<CompiledPolicy>,
        rules: Shared<Rules>,
        keyring: &Keyring,
        provider: Arc<Provider>,
    ) -> Self {
        let roots = keyring.of_policy(&compiled.uid);
        Self {
            session_sealer: Sealer::of(&roots, Purpose::Session),
            login_sealer: Sealer::of(&roots, Purpose::Login),
            indexer: Indexer::of(&roots),
            identity: IdentitySigner::of(&roots),
            provider,
            decisions: DecisionPoints::default(),
            header_list: None,
            authorities: Authorities::new(&compiled, &roots),
            rules,
            compiled,
        }
    }

    /// The same, by the keys of another keyring.
    pub(super) fn rekeyed(&self, keyring: &Keyring) -> Self {
        let rules = self.rules.clone();
        let (compiled, provider) = (Arc::clone(&self.compiled), Arc::clone(&self.provider));
        Self {
            header_list: self.header_list.clone(),
            decisions: self.decisions.clone(),
            ..Self::with_rules(compiled, rules, keyring, provider)
        }
    }

    /// The same, with who answers for permissions: until then only expressions are answered.
    #[must_use]
    pub fn with_decisions(self, decisions: DecisionPoints) -> Self {
        Self { decisions, ..self }
    }

    /// The same, with a gateway that the operator wires.
    #[must_use]
    pub fn wired(self) -> Self {
        let header_list = Some(header_list::query(&self.compiled.upstream_headers));
        Self { header_list, ..self }
    }

    /// The rule for a request: the most specific one, else "a session is required".
    ///
    /// # Errors
    /// Where the spellings of an admitted encoding would match different rules.
    pub fn rule_for(&self, method: &str, target: &Target<'_>) -> Result<LiveRule<'_>, PathError> {
        let unmatched = LiveRule { compiled: &UNMATCHED, header_names: &[] };
        Ok(self.rules.find(method, target)?.unwrap_or(unmatched))
    }

    /// `upstream_headers` of what was compiled, in its order.
    #[must_use]
    pub fn upstream_header_names(&self) -> &[HeaderName] {
        &self.rules.all_headers
    }

    /// Revokes tokens that are of no use any more, where the policy says so. Waits for nothing.
    pub fn discard(&self, client: &CompiledClient, tokens: &Session) {
        if self.compiled.logout.revoke_tokens {
            self.provider.revoke_tokens(client, tokens);
        }
    }

    /// The policy's origin that a `Host` names.
    #[must_use]
    pub fn origin_for(&self, host: &str) -> Option<&Origin> {
        self.compiled.origins.iter().find(|origin| origin.matches_host(host))
    }

    /// Whether a path is one of our own endpoints: the base path or below it, one of an authority, or one
    /// for the SDKs of another product.
    #[must_use]
    pub fn is_own_path(&self, path: &str) -> bool {
        path.strip_prefix(&self.compiled.base_path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            || self.authorities.endpoint(path).is_some()
            || self.compiled.hosted_backend.as_ref().is_some_and(|hosted| hosted.has(path))
    }

    /// All Route Authorities.
    #[must_use]
    pub fn authorities(&self) -> &[Arc<LiveAuthority>] {
        self.authorities.all()
    }

    /// The innermost Route Authority of a request; `None`: none, its token is the session's.
    ///
    /// # Errors
    /// Where the spellings of an admitted encoding would be of different ones.
    pub fn authority_for(
        &self,
        target: &Target<'_>,
    ) -> Result<Option<&Arc<LiveAuthority>>, PathError> {
        self.authorities.find(target)
    }

    /// The authority of this base.
    #[must_use]
    pub fn authority(&self, base: &str) -> Option<&Arc<LiveAuthority>> {
        self.authorities().iter().find(|authority| authority.compiled.base == base)
    }

    /// Which endpoint of which authority a path is.
    #[must_use]
    pub fn authority_endpoint(
        &self,
        path: &str,
    ) -> Option<(&Arc<LiveAuthority>, AuthorityEndpoint)> {
        self.authorities.endpoint(path)
    }

    /// The absolute URL of one of our own endpoints on an origin.
    #[must_use]
    pub fn endpoint(&self, origin: &Origin, name: &str) -> String {
        format!("{origin}{}/{name}", self.compiled.base_path)
    }
}
