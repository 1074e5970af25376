//! The rules of a policy, ready for requests: found by method and path, the names of their headers parsed.
//!
//! Why it exists: a check must not parse what never changes, nor find only then that a name is none; and
//! policies made from one template have equal rules, which are kept once. It must not know anything else
//! of a policy.

use std::hash::{Hash, Hasher};

use http::HeaderName;
use vestibule_policy::matching::{RouteKey, RouteTable};
use vestibule_policy::model::{Common, CompiledPolicy, CompiledRoute, InUse, Shared};
use vestibule_policy::path::{PathError, Target};

use super::LiveRule;

/// The rules of one policy, or of all that have the same.
#[derive(Clone)]
pub(super) struct Rules {
    compiled: Shared<Vec<CompiledRoute>>,
    table: RouteTable,
    /// As `upstream_headers` lists them.
    pub(super) all_headers: Box<[HeaderName]>,
    /// Of each rule, in its order; empty where no rule sets any.
    headers: Box<[Box<[HeaderName]>]>,
}

impl Rules {
    /// # Errors
    /// Where a name is none, or a rule sets a header that the policy does not list: it would not be
    /// empty where the rule does not apply. `compile` makes no such policy.
    pub(super) fn of(policy: &CompiledPolicy) -> Result<Shared<Self>, String> {
        let parsed = policy.upstream_headers.iter().map(|name| {
            HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("upstream.headers: {name:?} is no name of a header"))
        });
        let all_headers: Box<[HeaderName]> = parsed.collect::<Result<_, _>>()?;
        let headers = of_each(&policy.routes, &all_headers)?;
        let keys: Vec<RouteKey> = policy.routes.iter().map(key).collect();
        let (compiled, table) = (policy.routes.clone(), RouteTable::new(&keys));
        Ok(Self { compiled, table, all_headers, headers }.into())
    }

    /// The rule for a request: the most specific one.
    ///
    /// # Errors
    /// Where the spellings of an admitted encoding would match different rules.
    pub(super) fn find(
        &self,
        method: &str,
        target: &Target<'_>,
    ) -> Result<Option<LiveRule<'_>>, PathError> {
        let found = self.table.find_for(method, target)?;
        Ok(found.and_then(|index| {
            let compiled = self.compiled.get(index)?;
            // None where no rule sets any.
            let header_names = self.headers.get(index).map_or(&[][..], |names| &**names);
            Some(LiveRule { compiled, header_names })
        }))
    }
}

fn key(route: &CompiledRoute) -> RouteKey {
    RouteKey { path: route.path.clone(), exact: route.exact, methods: route.methods.clone() }
}

fn of_each(
    routes: &[CompiledRoute],
    all: &[HeaderName],
) -> Result<Box<[Box<[HeaderName]>]>, String> {
    if routes.iter().all(|rule| rule.upstream.headers.is_empty()) {
        return Ok(Box::default());
    }
    let listed = |name: &str| {
        let found = all.iter().find(|listed| listed.as_str() == name).cloned();
        found.ok_or_else(|| format!("upstream.headers: {name:?} is not among the policy's"))
    };
    let of_rules = routes.iter().map(|rule| {
        let headers = rule.upstream.headers.iter();
        headers.map(|header| listed(&header.name)).collect::<Result<_, _>>()
    });
    of_rules.collect()
}

/// All else follows from these.
impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.compiled == other.compiled && self.all_headers == other.all_headers
    }
}

impl Eq for Rules {}

impl Hash for Rules {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.compiled.hash(state);
        self.all_headers.hash(state);
    }
}

impl Common for Rules {
    fn in_use() -> &'static InUse<Self> {
        static IN_USE: InUse<Rules> = InUse::new();
        &IN_USE
    }
}
