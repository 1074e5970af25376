//! One edit of one policy among many: it is compiled, and what runs is swapped. Reading the file or the
//! Secret comes before, and is not counted.

use std::sync::Arc;

use secrecy::SecretString;
use serde_json::json;
use vestibule_authsvc::clock::ManualClock;
use vestibule_authsvc::oidc::Providers;
use vestibule_authsvc::policies::{Change, Policies, PolicyEntry};
use vestibule_authsvc::random::SeededRandom;
use vestibule_authsvc::session::keyring::Keyring;
use vestibule_crds::v1alpha1::{BffPolicySpec, BffProviderSpec, SecretKeyRef};
use vestibule_policy::compile::{Input, compile};
use vestibule_policy::model::{CompiledPolicy, PolicyId};

use crate::support::START;
use crate::world::{SHOP, entries};

pub struct Edit {
    policies: Policies,
    keyring: Arc<Keyring>,
    spec: BffPolicySpec,
    provider: BffProviderSpec,
}

impl Edit {
    /// So many policies run, and `shop` is about to be another.
    pub fn among(policies: usize) -> Self {
        let random = Arc::new(SeededRandom::default());
        let keyring = Arc::new(Keyring::ephemeral(&*random));
        let live = Policies::new(Providers::new(Arc::new(ManualClock::new(START)), random));
        assert!(live.install(entries(policies), &keyring).is_empty());
        let mut edit = Self {
            policies: live,
            keyring,
            spec: serde_saphyr::from_str(SHOP).unwrap(),
            provider: serde_json::from_value(json!({"issuer": "https://id.example.com"})).unwrap(),
        };
        // One edit before, for what only the first one makes.
        edit.install();
        edit.spec.routes.remove(0);
        edit
    }

    /// From the new spec to what runs.
    pub fn install(&self) {
        let changed = Change::Is(PolicyEntry::accepted(Arc::new(self.compiled())));
        assert!(self.policies.apply([changed], &self.keyring).is_empty());
    }

    fn compiled(&self) -> CompiledPolicy {
        let secrets = |_: &SecretKeyRef| Ok(SecretString::from("canary-client-secret"));
        let id = PolicyId { namespace: "default".to_owned(), name: "shop".to_owned() };
        let input = Input {
            uid: id.to_string(),
            id,
            spec: &self.spec,
            provider: Some(&self.provider),
            secrets: &secrets,
            allow_insecure: true,
        };
        compile(&input).unwrap()
    }
}
