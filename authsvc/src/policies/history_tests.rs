//! Whatever changes in whatever order: the table is what the last words on all policies make.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::tests::compiled;
use super::*;
use crate::clock::{ManualClock, Timestamp};
use crate::random::SeededRandom;

const NAMES: u8 = 6;
const HOSTS: u8 = 5;

/// What is said of one policy: the hosts it claims, or that it is refused, or gone.
#[derive(Clone, Debug)]
enum Word {
    Claims(BTreeSet<u8>),
    Refused,
    Gone,
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        4 => prop::collection::btree_set(0..HOSTS, 1..3).prop_map(Word::Claims),
        1 => Just(Word::Refused),
        2 => Just(Word::Gone),
    ]
}

/// Batches of words, each on one policy, and whether the whole is said instead of what changed.
fn histories() -> impl Strategy<Value = Vec<(bool, Vec<(u8, Word)>)>> {
    let batch = prop::collection::vec((0..NAMES, word()), 0..4);
    prop::collection::vec((prop::bool::weighted(0.2), batch), 1..20)
}

fn host(number: u8) -> String {
    format!("h{number}.example.com")
}

fn entry(name: u8, word: &Word) -> Option<PolicyEntry> {
    match word {
        Word::Claims(hosts) => {
            let origins: Vec<String> =
                hosts.iter().map(|one| format!("https://{}", host(*one))).collect();
            let origins: Vec<&str> = origins.iter().map(String::as_str).collect();
            let policy = compiled(&format!("p{name}"), &origins);
            Some(PolicyEntry::accepted(Arc::new(policy)))
        }
        Word::Refused => {
            let id = PolicyId { namespace: "default".to_owned(), name: format!("p{name}") };
            Some(PolicyEntry::refused(id))
        }
        Word::Gone => None,
    }
}

/// The rules, by looking at everything each time.
#[derive(Default)]
struct Model {
    said: BTreeMap<u8, Word>,
    holders: BTreeMap<u8, u8>,
}

impl Model {
    fn take(&mut self, batch: &[(u8, Word)]) {
        let changed: BTreeMap<u8, Word> = batch.iter().cloned().collect();
        self.said.extend(changed);
        let claims = self.claims();
        // Who gives a host up, or is another now and cannot have all it claims, has it no more.
        self.holders.retain(|host, name| claims.get(name).is_some_and(|all| all.contains(host)));
        // Once more, since who is refused gives up what it has.
        for (name, hosts) in claims.iter().chain(&claims) {
            self.ask_for(*name, hosts);
        }
    }

    fn claims(&self) -> BTreeMap<u8, BTreeSet<u8>> {
        let claims = self.said.iter().filter_map(|(name, word)| match word {
            Word::Claims(hosts) => Some((*name, hosts.clone())),
            Word::Refused | Word::Gone => None,
        });
        claims.collect()
    }

    /// All of them, or none.
    fn ask_for(&mut self, name: u8, hosts: &BTreeSet<u8>) {
        let free = |host| self.holders.get(host).is_none_or(|holder| *holder == name);
        if hosts.iter().all(free) {
            self.holders.extend(hosts.iter().map(|host| (*host, name)));
        } else {
            self.holders.retain(|_, holder| *holder != name);
        }
    }
}

fn policies() -> Policies {
    let clock = Arc::new(ManualClock::new(Timestamp(1_800_000_000)));
    Policies::new(Providers::new(clock, Arc::new(SeededRandom::default())))
}

fn state_of(policies: &Policies, name: u8) -> &'static str {
    match policies.find("default", &format!("p{name}")) {
        Lookup::Live(_) => "live",
        Lookup::Refused => "refused",
        Lookup::Unknown => "unknown",
    }
}

proptest! {
    // Each provider that is made anew sets up TLS.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_history_of_changes_gives_the_table_that_the_rules_give(history in histories()) {
        let policies = policies();
        let mut keyring = Arc::new(Keyring::ephemeral(&SeededRandom::default()));
        policies.install(Vec::new(), &keyring);
        let mut model = Model::default();
        let mut given: BTreeMap<u8, PolicyEntry> = BTreeMap::new();
        let reader = policies.changes();
        let mut known: BTreeMap<u8, Option<*const RunningPolicy>> = BTreeMap::new();
        for (index, (whole, batch)) in history.iter().enumerate() {
            model.take(batch);
            let mut changes = Vec::new();
            for (name, word) in batch {
                let said = entry(*name, word);
                let id = PolicyId { namespace: "default".to_owned(), name: format!("p{name}") };
                changes.push(said.clone().map_or(Change::Gone(Arc::new(id)), Change::Is));
                match said {
                    Some(entry) => given.insert(*name, entry),
                    None => given.remove(name),
                };
            }
            if index % 5 == 4 {
                keyring = Arc::new(Keyring::ephemeral(&SeededRandom::default()));
            }
            if *whole {
                policies.install(given.values().cloned().collect(), &keyring);
            } else {
                policies.apply(changes, &keyring);
            }

            let told = reader.take();
            for number in 0..HOSTS {
                let found = policies.find_by_host(&host(number));
                let holder = found.map(|(policy, _)| policy.compiled.id.name.clone());
                let expected = model.holders.get(&number).map(|name| format!("p{name}"));
                prop_assert_eq!(holder, expected, "host {}", number);
            }
            let mut counted = (0, 0);
            for name in 0..NAMES {
                let expected = match model.said.get(&name) {
                    Some(Word::Claims(_)) if model.holders.values().any(|one| *one == name) => "live",
                    Some(Word::Claims(_) | Word::Refused) => "refused",
                    Some(Word::Gone) | None => "unknown",
                };
                prop_assert_eq!(state_of(&policies, name), expected, "policy {}", name);
                counted.0 += usize::from(expected == "live");
                counted.1 += usize::from(expected == "refused");
                let id = PolicyId { namespace: "default".to_owned(), name: format!("p{name}") };
                let now = policies.running_one(&id).as_ref().map(Arc::as_ptr);
                let before = known.insert(name, now).flatten();
                prop_assert!(now == before || told.contains(&id), "{} is not told of", name);
            }
            prop_assert_eq!(policies.count(), counted);
            let kept = policies.running().iter().any(|one| one.keeper().is_some());
            prop_assert_eq!(policies.providers().all().len(), usize::from(kept));
        }
    }
}
