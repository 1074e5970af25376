//! What an install costs, and who keeps a host.

use std::collections::HashSet;
use std::time::Duration;

use secrecy::SecretString;
use vestibule_policy::model::{
    CompiledAuthZen, CompiledClient, CompiledDecisionPoint, CompiledLogin, CompiledLogout,
    CompiledProvider, CompiledRoute, CompiledSession, Credential, Par, SameSite,
};
use vestibule_policy::path::Exceptions;

use super::*;
use crate::clock::{ManualClock, Timestamp};
use crate::random::SeededRandom;

pub(crate) fn compiled(name: &str, origins: &[&str]) -> CompiledPolicy {
    CompiledPolicy {
        id: PolicyId { namespace: "default".to_owned(), name: name.to_owned() },
        uid: format!("uid-of-{name}"),
        origins: origins.iter().map(|text| Origin::parse(text).unwrap()).collect(),
        provider: CompiledProvider {
            issuer: "https://id.example.com".to_owned(),
            ca_bundle: None,
            request_timeout: Duration::from_secs(5),
            allow_insecure: false,
        }
        .into(),
        client: CompiledClient {
            id: name.to_owned(),
            credential: Credential::Secret { method: None, value: SecretString::from("canary") },
        },
        login: CompiledLogin {
            scopes: vec!["openid".to_owned()],
            par: Par::WhenSupported,
            acr_values: Vec::new(),
            max_age: None,
            resources: Vec::new(),
            extra_parameters: std::collections::BTreeMap::new(),
            user_info: false,
        }
        .into(),
        session: CompiledSession {
            idle_timeout: 1800,
            absolute_timeout: 43200,
            cookie_name: "__Host-bff".to_owned(),
            same_site: SameSite::Lax,
            claims: Vec::new(),
        }
        .into(),
        routes: vec![CompiledRoute::unmatched()].into(),
        authorities: Vec::new(),
        bearer: None,
        open_fga: None,
        auth_zen: None,
        paths: Exceptions::default(),
        csrf_header: "x-bff".to_owned(),
        cors_origins: Vec::new(),
        logout_return_to: "/".to_owned(),
        logout: CompiledLogout::default(),
        base_path: "/bff".to_owned(),
        hosted_backend: None,
        upstream_headers: Vec::new(),
    }
}

fn entry(name: &str, origins: &[&str]) -> PolicyEntry {
    PolicyEntry::accepted(Arc::new(compiled(name, origins)))
}

fn policies() -> (Policies, Arc<Keyring>) {
    let clock = Arc::new(ManualClock::new(Timestamp(1_800_000_000)));
    let random = Arc::new(SeededRandom::default());
    let keyring = Arc::new(Keyring::ephemeral(&*random));
    (Policies::new(Providers::new(clock, random)), keyring)
}

fn live(policies: &Policies) -> HashSet<*const LivePolicy> {
    policies.running().iter().filter_map(|one| one.live.as_ref().map(Arc::as_ptr)).collect()
}

fn holder(policies: &Policies, host: &str) -> Option<String> {
    policies.find_by_host(host).map(|(policy, _)| policy.compiled.id.name.clone())
}

#[test]
fn of_ten_thousand_policies_an_edit_makes_one_anew() {
    let (policies, keyring) = policies();
    let name = |index: usize| format!("p{index:05}");
    let host = |index: usize| format!("https://p{index:05}.example.com");
    let mut entries: Vec<PolicyEntry> =
        (0..10_000).map(|index| entry(&name(index), &[&host(index)])).collect();
    assert!(policies.install(entries.clone(), &keyring).is_empty());
    // Held, so that no address is used again.
    let held = policies.running();
    let first = live(&policies);
    assert_eq!(first.len(), 10_000);

    policies.install(entries.clone(), &keyring);
    assert_eq!(live(&policies), first, "nothing changed");
    let equal = PolicyEntry::accepted(Arc::clone(entries[5].policy.as_ref().unwrap()));
    entries[5] = equal;
    entries[7] = entry(&name(7), &["https://moved.example.com"]);
    policies.install(entries.clone(), &keyring);
    let second = live(&policies);
    assert_eq!((second.difference(&first).count(), second.len()), (1, 10_000));
    assert_eq!(holder(&policies, "moved.example.com").as_deref(), Some("p00007"));
    assert_eq!(holder(&policies, "p00007.example.com"), None);

    let revision = Revision { generation: 2, ..(*entries[9].revision).clone() };
    entries[9].revision = Arc::new(revision);
    policies.install(entries, &keyring);
    assert_eq!(live(&policies), second, "only the version's number changed");
    drop(held);
}

#[test]
fn other_keys_make_every_policy_anew() {
    let (policies, keyring) = policies();
    let entries = vec![entry("a", &["https://a.example.com"])];
    policies.install(entries.clone(), &keyring);
    let held = policies.running();
    let first = live(&policies);
    policies.install(entries, &Arc::new(Keyring::ephemeral(&SeededRandom::default())));
    assert!(live(&policies).is_disjoint(&first));
    drop(held);
}

#[test]
fn the_sessions_of_a_policy_that_is_refused_can_still_be_ended() {
    let (policies, keyring) = policies();
    let good = entry("a", &["https://a.example.com"]);
    let (id, refused) = (good.id.clone(), PolicyEntry::refused(good.id.clone()));
    policies.install(vec![refused.clone()], &keyring);
    assert!(policies.keeper(&id).is_none(), "it was never in force");
    policies.install(vec![good.clone()], &keyring);
    let before = policies.keeper(&id).expect("it is in force");
    policies.install(vec![refused.clone()], &keyring);
    policies.install(vec![refused.clone()], &keyring);
    assert!(matches!(policies.find("default", "a"), Lookup::Refused));
    assert!(Arc::ptr_eq(&policies.keeper(&id).expect("it was in force"), &before));
    let other = Arc::new(Keyring::ephemeral(&SeededRandom::default()));
    policies.install(vec![refused], &other);
    let rekeyed = policies.keeper(&id).expect("it was in force");
    assert_ne!(rekeyed.session_sealer.id(), before.session_sealer.id());
    policies.install(vec![good], &other);
    assert!(matches!(policies.find("default", "a"), Lookup::Live(_)));
    policies.install(Vec::new(), &other);
    assert!(policies.keeper(&id).is_none(), "nobody knows it any more");
    assert!(policies.providers().all().is_empty());
}

#[test]
fn t053_who_holds_a_host_keeps_it_and_who_claims_it_too_is_refused() {
    let (policies, keyring) = policies();
    let shop = "https://shop.example.com";
    let (holding, claiming) = (entry("b", &[shop]), entry("a", &["https://a.example.com", shop]));
    policies.install(vec![holding.clone()], &keyring);
    for entries in [
        vec![claiming.clone(), holding.clone()],
        vec![holding.clone(), claiming.clone()],
        vec![claiming.clone(), holding.clone()],
    ] {
        let problems = policies.install(entries, &keyring);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].1.contains(shop), "{problems:?}");
        assert_eq!(holder(&policies, "shop.example.com").as_deref(), Some("b"));
        assert_eq!(holder(&policies, "a.example.com"), None);
        assert!(matches!(policies.find("default", "a"), Lookup::Refused));
        let running = policies.running();
        let refused = running.iter().find(|one| one.id.name == "a").unwrap();
        assert_eq!(refused.revision.state, RevisionState::Refused);
        assert!(refused.revision.problem.is_some());
    }
    assert!(policies.install(vec![claiming], &keyring).is_empty());
    assert_eq!(holder(&policies, "shop.example.com").as_deref(), Some("a"));
}

#[test]
fn t053_of_two_that_come_at_once_neither_is_chosen_by_its_place_in_the_list() {
    let shop = "https://shop.example.com";
    let claims = [entry("a", &[shop]), entry("b", &[shop]), entry("c", &[shop])];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let (policies, keyring) = policies();
        let entries = order.iter().map(|&index| claims[index].clone()).collect();
        assert_eq!(policies.install(entries, &keyring).len(), 2);
        assert_eq!(holder(&policies, "shop.example.com").as_deref(), Some("a"));
    }
}

fn asking(name: &str, ca_bundle: Option<&str>, base_path: &str) -> PolicyEntry {
    let mut policy = compiled(name, &[&format!("https://{name}.example.com")]);
    base_path.clone_into(&mut policy.base_path);
    let auth_zen = CompiledAuthZen {
        server: CompiledDecisionPoint {
            url: "https://pdp.example.com".to_owned(),
            token: None,
            ca_bundle: ca_bundle.map(str::to_owned),
            timeout: Duration::from_secs(1),
            cache_for: Duration::from_secs(10),
            allow_insecure: false,
        },
        subject_type: "user".to_owned(),
    };
    policy.auth_zen = Some(Box::new(auth_zen));
    PolicyEntry::accepted(Arc::new(policy))
}

#[test]
fn a_policy_whose_decision_point_cannot_be_set_up_goes_on_as_it_was_or_is_refused() {
    let (policies, keyring) = policies();
    let problems = policies.install(vec![asking("a", Some("no bundle"), "/bff")], &keyring);
    assert!(problems[0].1.contains("authZen.server: caBundleRef: "), "{problems:?}");
    assert!(matches!(policies.find("default", "a"), Lookup::Refused));

    assert!(policies.install(vec![asking("a", None, "/bff")], &keyring).is_empty());
    let good = live(&policies);
    let held = policies.running();
    assert_eq!(policies.install(vec![asking("a", Some("no bundle"), "/bff")], &keyring).len(), 1);
    assert_eq!(live(&policies), good);
    assert!(policies.running()[0].revision.problem.is_some());
    drop(held);
}

#[test]
fn an_edit_elsewhere_and_other_keys_leave_what_a_decision_point_answered_lately() {
    let decisions = |policies: &Policies| match policies.find("default", "a") {
        Lookup::Live(policy) => policy.decisions.clone(),
        Lookup::Refused | Lookup::Unknown => panic!("a is live"),
    };
    let (policies, keyring) = policies();
    policies.install(vec![asking("a", None, "/bff")], &keyring);
    let first = decisions(&policies);
    policies.install(vec![asking("a", None, "/login")], &keyring);
    assert!(decisions(&policies).shares_with(&first));
    let other = Arc::new(Keyring::ephemeral(&SeededRandom::default()));
    policies.install(vec![asking("a", None, "/login")], &other);
    assert!(decisions(&policies).shares_with(&first));
    policies.install(vec![entry("a", &["https://a.example.com"])], &other);
    assert!(!decisions(&policies).shares_with(&first));
}
