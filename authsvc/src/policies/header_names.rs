//! The names of the headers that a policy sets, parsed once per version.
//!
//! Why it exists: a check writes them, and must not parse what never changes, nor find only then that
//! a name is none.

use http::HeaderName;
use vestibule_policy::model::CompiledPolicy;

/// The names of one policy's headers.
pub(super) struct HeaderNames {
    /// As `upstream_headers` lists them.
    pub(super) all: Box<[HeaderName]>,
    /// Of each rule, in its order; empty where no rule sets any.
    pub(super) of_rules: Box<[Box<[HeaderName]>]>,
}

impl HeaderNames {
    /// # Errors
    /// Where a name is none, or a rule sets a header that the policy does not list: it would not be
    /// empty where the rule does not apply. `compile` makes no such policy.
    pub(super) fn of(policy: &CompiledPolicy) -> Result<Self, String> {
        let parsed = policy.upstream_headers.iter().map(|name| {
            HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("upstream.headers: {name:?} is no name of a header"))
        });
        let all: Box<[HeaderName]> = parsed.collect::<Result<_, _>>()?;
        if policy.routes.iter().all(|rule| rule.upstream.headers.is_empty()) {
            return Ok(Self { all, of_rules: Box::default() });
        }
        let listed = |name: &str| {
            let found = all.iter().find(|listed| listed.as_str() == name).cloned();
            found.ok_or_else(|| format!("upstream.headers: {name:?} is not among the policy's"))
        };
        let of_rules = policy.routes.iter().map(|rule| {
            let headers = rule.upstream.headers.iter();
            headers.map(|header| listed(&header.name)).collect::<Result<_, _>>()
        });
        let of_rules = of_rules.collect::<Result<_, String>>()?;
        Ok(Self { all, of_rules })
    }
}
