//! The live policies: what the source accepted last, ready to be asked on every request.
//!
//! Why it exists: requests read one immutable snapshot without a lock, and a reload swaps it whole.
//! It must not read files or decide what is accepted: that is the policy source's work.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use vestibule_policy::matching::{RouteKey, RouteTable};
use vestibule_policy::model::{CompiledPolicy, CompiledRoute, PolicyId};
use vestibule_policy::origin::{Origin, canonical_host};
use vestibule_policy::path::{PathError, Target};

use crate::identity_jwt::IdentitySigner;
use crate::oidc::{Provider, Providers};
use crate::session::Purpose;
use crate::session::keyring::Keyring;
use crate::session::seal::Sealer;

/// A policy with everything that a request needs: keys derived, routes indexed.
pub struct LivePolicy {
    /// What was compiled.
    pub compiled: CompiledPolicy,
    /// Seals this policy's session records.
    pub session_sealer: Sealer,
    /// Seals this policy's login transactions.
    pub login_sealer: Sealer,
    /// Signs this policy's identity JWTs.
    pub identity: IdentitySigner,
    /// Where this policy's users log in.
    pub provider: Arc<Provider>,
    routes: RouteTable,
    unmatched: CompiledRoute,
}

impl LivePolicy {
    /// Derives keys and indexes routes.
    #[must_use]
    pub fn new(compiled: CompiledPolicy, keyring: &Keyring, provider: Arc<Provider>) -> Self {
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
            identity: IdentitySigner::new(keyring, uid),
            provider,
            routes: RouteTable::new(&keys),
            unmatched: CompiledRoute::unmatched(),
            compiled,
        }
    }

    /// The rule for a request: the most specific one, else "a session is required".
    ///
    /// # Errors
    /// Where the spellings of an admitted encoding would match different rules.
    pub fn rule_for(&self, method: &str, target: &Target) -> Result<&CompiledRoute, PathError> {
        let found = self.routes.find_for(method, target)?;
        Ok(found.and_then(|index| self.compiled.routes.get(index)).unwrap_or(&self.unmatched))
    }

    /// The policy's origin that a `Host` names.
    #[must_use]
    pub fn origin_for(&self, host: &str) -> Option<&Origin> {
        self.compiled.origins.iter().find(|origin| origin.matches_host(host))
    }

    /// Whether a path is one of our own endpoints: the base path, or below it.
    #[must_use]
    pub fn is_own_path(&self, path: &str) -> bool {
        path.strip_prefix(&self.compiled.base_path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The absolute URL of one of our own endpoints on an origin.
    #[must_use]
    pub fn endpoint(&self, origin: &Origin, name: &str) -> String {
        format!("{origin}{}/{name}", self.compiled.base_path)
    }
}

/// What the source says of one policy.
pub enum PolicyEntry {
    /// Enforce this.
    Accepted(Box<CompiledPolicy>),
    /// Refuse its traffic: it was never good.
    Refused(PolicyId),
}

/// What is known of a policy that a gateway asks for.
pub enum Lookup {
    /// It is enforced.
    Live(Arc<LivePolicy>),
    /// It exists, and was never good.
    Refused,
    /// Nobody ever wrote it.
    Unknown,
}

#[derive(Default)]
struct Snapshot {
    by_id: HashMap<PolicyId, Option<Arc<LivePolicy>>>,
    by_host: HashMap<(String, u16), (Arc<LivePolicy>, Origin)>,
}

impl Snapshot {
    fn new(by_id: HashMap<PolicyId, Option<Arc<LivePolicy>>>) -> Self {
        let mut by_host = HashMap::new();
        for policy in by_id.values().flatten() {
            for origin in &policy.compiled.origins {
                let key = (origin.host().to_owned(), origin.port());
                by_host.insert(key, (Arc::clone(policy), origin.clone()));
            }
        }
        Self { by_id, by_host }
    }
}

/// The live policies.
pub struct Policies {
    snapshot: ArcSwap<Snapshot>,
    providers: Providers,
    loaded: AtomicBool,
}

impl Policies {
    /// None yet, and not ready.
    #[must_use]
    pub fn new(providers: Providers) -> Self {
        Self { snapshot: ArcSwap::default(), providers, loaded: AtomicBool::new(false) }
    }

    /// Swaps in what the source accepted. From the first time on, `is_loaded` is true. A policy
    /// whose provider cannot be set up (a certificate bundle that does not parse) is returned with
    /// the reason; it goes on as it was, or is refused if it never was.
    pub fn install(&self, entries: Vec<PolicyEntry>, keyring: &Keyring) -> Vec<(PolicyId, String)> {
        let before = self.snapshot.load();
        let mut refused = Vec::new();
        let mut used = Vec::new();
        let mut by_id = HashMap::with_capacity(entries.len());
        for entry in entries {
            match entry {
                PolicyEntry::Refused(id) => {
                    by_id.insert(id, None);
                }
                PolicyEntry::Accepted(compiled) => {
                    let id = compiled.id.clone();
                    match self.providers.get(&compiled.provider) {
                        Ok(provider) => {
                            used.push(Arc::clone(&provider));
                            let live = LivePolicy::new(*compiled, keyring, provider);
                            by_id.insert(id, Some(Arc::new(live)));
                        }
                        Err(reason) => {
                            refused.push((id.clone(), reason));
                            // What was good before goes on.
                            let old = before.by_id.get(&id).cloned().flatten();
                            used.extend(old.iter().map(|policy| Arc::clone(&policy.provider)));
                            by_id.insert(id, old);
                        }
                    }
                }
            }
        }
        self.providers.retain(&used);
        self.snapshot.store(Arc::new(Snapshot::new(by_id)));
        self.loaded.store(true, Ordering::Release);
        refused
    }

    /// Whether a first full load was installed.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// The policy that a check names.
    #[must_use]
    pub fn find(&self, namespace: &str, name: &str) -> Lookup {
        let id = PolicyId { namespace: namespace.to_owned(), name: name.to_owned() };
        match self.snapshot.load().by_id.get(&id) {
            Some(Some(policy)) => Lookup::Live(Arc::clone(policy)),
            Some(None) => Lookup::Refused,
            None => Lookup::Unknown,
        }
    }

    /// The policy and origin that a browser's `Host` names.
    #[must_use]
    pub fn find_by_host(&self, host: &str) -> Option<(Arc<LivePolicy>, Origin)> {
        let (host, port) = canonical_host(host)?;
        let snapshot = self.snapshot.load();
        // Without a port it is the scheme's, and a browser's scheme is https but on loopback.
        let ports = port.map_or([443, 80], |port| [port, port]);
        ports.into_iter().find_map(|port| snapshot.by_host.get(&(host.clone(), port)).cloned())
    }

    /// How many policies are enforced and how many refused.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        let snapshot = self.snapshot.load();
        let live = snapshot.by_id.values().flatten().count();
        (live, snapshot.by_id.len() - live)
    }
}
