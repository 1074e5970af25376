//! Which policy holds which host: the memory of what the compiled Secrets say.
//!
//! It is seeded from those Secrets before the first reconcile, so that who was accepted first keeps
//! a host across restarts and changes of the leader. A holder is never overwritten here; who may
//! claim is decided in `validate`, under the same lock.

use std::collections::{HashMap, HashSet};

use vestibule_policy::model::PolicyId;
use vestibule_policy::origin::Origin;

use crate::reconcile::input::HostClaims;

type Host = String;

/// All claims.
#[derive(Debug, Default)]
pub struct Claims {
    holders: HashMap<Host, PolicyId>,
    held: HashMap<PolicyId, HashSet<Host>>,
    refused: HashSet<PolicyId>,
}

impl Claims {
    /// The policy holds these origins as well, as far as no other does; what it held it keeps until
    /// `record`, since its Secret still says so.
    pub fn reserve(&mut self, id: &PolicyId, origins: &[Origin]) {
        for origin in origins {
            let host = origin.host().to_owned();
            if self.holders.entry(host.clone()).or_insert_with(|| id.clone()) == id {
                self.held.entry(id.clone()).or_default().insert(host);
            }
        }
    }

    /// The policy now holds these origins and no others. An origin that another policy holds stays
    /// there. Gives whether an origin became free.
    pub fn record(&mut self, id: &PolicyId, origins: &[Origin]) -> bool {
        let wanted: HashSet<Host> = origins.iter().map(|origin| origin.host().to_owned()).collect();
        let before = self.held.remove(id).unwrap_or_default();
        let mut freed = false;
        for host in before.difference(&wanted) {
            self.holders.remove(host);
            freed = true;
        }
        let held: HashSet<Host> = wanted
            .into_iter()
            .filter(|host| self.holders.entry(host.clone()).or_insert_with(|| id.clone()) == id)
            .collect();
        if !held.is_empty() {
            self.held.insert(id.clone(), held);
        }
        freed
    }

    /// Notes whether the policy is refused: a host that becomes free may mend that.
    pub fn refused(&mut self, id: &PolicyId, refused: bool) {
        if refused {
            self.refused.insert(id.clone());
        } else {
            self.refused.remove(id);
        }
    }

    /// The refused policies: to be looked at again when a host becomes free.
    #[must_use]
    pub fn waiting(&self) -> Vec<PolicyId> {
        self.refused.iter().cloned().collect()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl HostClaims for Claims {
    fn holder(&self, host: &str) -> Option<PolicyId> {
        self.holders.get(host).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> PolicyId {
        PolicyId { namespace: "shop".to_owned(), name: name.to_owned() }
    }

    fn origins(hosts: &[&str]) -> Vec<Origin> {
        hosts.iter().map(|host| Origin::parse(&format!("https://{host}")).unwrap()).collect()
    }

    #[test]
    fn who_claimed_first_keeps_the_host_and_an_older_object_that_adds_it_does_not_steal_it() {
        let mut claims = Claims::default();
        claims.record(&id("first"), &origins(&["a.example", "b.example"]));
        claims.record(&id("second"), &origins(&["c.example"]));
        claims.record(&id("second"), &origins(&["c.example", "a.example"]));
        assert_eq!(claims.holder("a.example"), Some(id("first")));
        assert_eq!(claims.holder("c.example"), Some(id("second")));
        let other_port = [Origin::parse("https://b.example:8443").unwrap()];
        claims.reserve(&id("third"), &other_port);
        assert_eq!(claims.holder("b.example"), Some(id("first")), "cookies know no ports");
    }

    #[test]
    fn a_host_becomes_free_when_its_holder_lets_go() {
        let mut claims = Claims::default();
        assert!(!claims.record(&id("first"), &origins(&["a.example", "b.example"])));
        claims.refused(&id("second"), true);
        assert!(claims.record(&id("first"), &origins(&["b.example"])));
        assert_eq!(claims.waiting(), [id("second")]);
        assert_eq!(claims.holder("a.example"), None);
        claims.record(&id("second"), &origins(&["a.example"]));
        claims.refused(&id("second"), false);
        assert_eq!(claims.holder("a.example"), Some(id("second")));
        assert!(claims.record(&id("first"), &[]));
        assert!(claims.waiting().is_empty() && !claims.held.contains_key(&id("first")));
    }

    #[test]
    fn a_host_that_was_dropped_is_free_only_once_that_is_written() {
        let mut claims = Claims::default();
        claims.record(&id("first"), &origins(&["a.example"]));
        claims.reserve(&id("first"), &origins(&["b.example"]));
        claims.reserve(&id("second"), &origins(&["a.example"]));
        assert_eq!(claims.holder("a.example"), Some(id("first")));
        assert_eq!(claims.holder("b.example"), Some(id("first")));
        assert!(claims.record(&id("first"), &origins(&["b.example"])));
        assert_eq!(claims.holder("a.example"), None);
    }

    #[test]
    fn releasing_what_was_never_held_frees_nothing_of_others() {
        let mut claims = Claims::default();
        claims.record(&id("first"), &origins(&["a.example"]));
        claims.record(&id("second"), &origins(&["a.example"]));
        assert!(!claims.record(&id("second"), &[]));
        assert_eq!(claims.holder("a.example"), Some(id("first")));
    }
}
