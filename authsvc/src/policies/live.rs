//! One policy with everything that a request needs, made once per version.
//!
//! It must not know other policies, or where this one came from.

use std::sync::Arc;

use vestibule_policy::header_list;
use vestibule_policy::matching::{RouteKey, RouteTable};
use vestibule_policy::model::{CompiledClient, CompiledPolicy, CompiledRoute};
use vestibule_policy::origin::Origin;
use vestibule_policy::path::{PathError, Target};

use super::authority::{Authorities, AuthorityEndpoint, LiveAuthority};
use crate::identity_jwt::IdentitySigner;
use crate::oidc::Provider;
use crate::permissions::DecisionPoints;
use crate::session::index::Indexer;
use crate::session::keyring::Keyring;
use crate::session::seal::Sealer;
use crate::session::{Purpose, Session};

/// A policy with everything that a request needs: keys derived, routes indexed.
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
    routes: RouteTable,
    unmatched: CompiledRoute,
}

impl LivePolicy {
    /// Derives keys and indexes routes.
    #[must_use]
    pub fn new(
        compiled: impl Into<Arc<CompiledPolicy>>,
        keyring: &Keyring,
        provider: Arc<Provider>,
    ) -> Self {
        let compiled = compiled.into();
        let keys: Vec<RouteKey> = compiled
            .routes
            .iter()
            .map(|route| RouteKey {
                path: route.path.clone(),
                exact: route.exact,
                methods: route.methods.clone(),
            })
            .collect();
        let uid = compiled.uid.as_str();
        Self {
            session_sealer: Sealer::new(keyring, uid, Purpose::Session),
            login_sealer: Sealer::new(keyring, uid, Purpose::Login),
            indexer: Indexer::new(keyring, uid),
            identity: IdentitySigner::new(keyring, uid),
            provider,
            decisions: DecisionPoints::default(),
            header_list: None,
            authorities: Authorities::new(&compiled, keyring),
            routes: RouteTable::new(&keys),
            unmatched: CompiledRoute::unmatched(),
            compiled,
        }
    }

    /// The same, by the keys of another keyring.
    pub(super) fn rekeyed(&self, keyring: &Keyring) -> Self {
        Self::new(Arc::clone(&self.compiled), keyring, Arc::clone(&self.provider))
            .with_decisions(self.decisions.clone())
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
    pub fn rule_for(&self, method: &str, target: &Target) -> Result<&CompiledRoute, PathError> {
        let found = self.routes.find_for(method, target)?;
        Ok(found.and_then(|index| self.compiled.routes.get(index)).unwrap_or(&self.unmatched))
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
    pub fn authority_for(&self, target: &Target) -> Result<Option<&Arc<LiveAuthority>>, PathError> {
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
