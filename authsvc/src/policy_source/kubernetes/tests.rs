//! Secrets as events: what counts, what stays, and how soon it is told.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream;
use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::mpsc;
use vestibule_crds::names::{
    COMPILED_KEY, COMPILED_SECRET_TYPE, POLICY_NAME_ANNOTATION, POLICY_NAMESPACE_ANNOTATION,
};
use vestibule_policy::handoff::{self, Handoff, State};
use vestibule_policy::model::PolicyId;

use super::*;
use crate::policies::tests::compiled;
use crate::policies::{Change, PolicyEntry};
use crate::policy_source::Said;

pub(super) const OURS: &str = "vestibule";
const SOON: Duration = Duration::from_secs(5);

fn handoff(name: &str, generation: i64, state: State) -> Handoff {
    let policy = compiled(name, &[&format!("https://{name}.example.com")]);
    Handoff {
        id: policy.id,
        uid: policy.uid,
        generation,
        origins: policy.origins,
        released: false,
        state,
    }
}

pub(super) fn live(name: &str, generation: i64, base_path: &str) -> Secret {
    let mut policy = compiled(name, &[&format!("https://{name}.example.com")]);
    base_path.clone_into(&mut policy.base_path);
    secret(&handoff(name, generation, State::Live(Box::new(policy))))
}

fn secret(handoff: &Handoff) -> Secret {
    let PolicyId { namespace, name } = &handoff.id;
    let annotations = [
        (POLICY_NAMESPACE_ANNOTATION.to_owned(), namespace.clone()),
        (POLICY_NAME_ANNOTATION.to_owned(), name.clone()),
    ];
    let data = handoff.encode().into_iter().map(|(key, value)| (key, ByteString(value)));
    Secret {
        metadata: ObjectMeta {
            namespace: Some(OURS.to_owned()),
            name: Some(handoff::secret_name(namespace, name)),
            annotations: Some(BTreeMap::from(annotations)),
            ..ObjectMeta::default()
        },
        type_: Some(COMPILED_SECRET_TYPE.to_owned()),
        data: Some(data.collect()),
        ..Secret::default()
    }
}

/// A newer writer's Secret.
fn unreadable(name: &str) -> Secret {
    let mut secret = live(name, 9, "/bff");
    let json = br#"{"format":2,"canary":true}"#.to_vec();
    secret.data.as_mut().unwrap().insert(COMPILED_KEY.to_owned(), ByteString(json));
    secret
}

fn listed(secrets: &[Secret]) -> Known {
    let mut known = Known::new(OURS.to_owned());
    known.take(Event::Init);
    for secret in secrets {
        known.take(Event::InitApply(secret.clone()));
        assert!(known.load_if_changed().is_none(), "nothing before the list is complete");
    }
    known.take(Event::InitDone);
    known
}

/// What is said of policies.
fn entries(load: &Load) -> Vec<&PolicyEntry> {
    match &load.said {
        Said::Whole(entries) => entries.iter().collect(),
        Said::Changed(changes) => changes
            .iter()
            .filter_map(|change| match change {
                Change::Is(entry) => Some(entry),
                Change::Gone(_) => None,
            })
            .collect(),
    }
}

/// Each policy's name, base path (`-`: refused) and whether there is a problem; what changed alone
/// begins with a plus, or is gone.
pub(super) fn shown(load: &Load) -> Vec<String> {
    let is = |PolicyEntry { id, policy, revision, .. }: &PolicyEntry| {
        let path = policy.as_ref().map_or("-", |policy| &policy.base_path);
        let mark = if revision.problem.is_some() { "!" } else { "" };
        format!("{} {path} {:?} {}{mark}", id.name, revision.state, revision.generation)
    };
    let mut shown: Vec<String> = match &load.said {
        Said::Whole(entries) => entries.iter().map(is).collect(),
        Said::Changed(changes) => changes
            .iter()
            .map(|change| match change {
                Change::Is(entry) => format!("+ {}", is(entry)),
                Change::Gone(id) => format!("{} is gone", id.name),
            })
            .collect(),
    };
    shown.sort();
    shown
}

fn after(known: &mut Known, events: Vec<Event<Secret>>) -> Vec<String> {
    for event in events {
        known.take(event);
    }
    shown(&known.load_if_changed().expect("a change"))
}

#[test]
fn live_refused_and_tombstone_are_what_they_say() {
    let mut known = listed(&[
        live("a", 1, "/bff"),
        secret(&handoff("b", 2, State::Refused)),
        secret(&handoff("c", 3, State::Tombstone)),
    ]);
    let load = known.load_if_changed().unwrap();
    assert_eq!(shown(&load), ["a /bff Live 1", "b - Refused 2", "c - Tombstone 3"]);
    assert!(known.load_if_changed().is_none(), "told once");
    let all = entries(&load);
    let a = all.iter().find(|entry| entry.id.name == "a").unwrap();
    assert!(a.wired, "the operator wires its gateway");
    let data = handoff("a", 1, State::Live(Box::new((**a.policy.as_ref().unwrap()).clone())));
    assert_eq!(a.revision.hash, handoff::hash(&data.encode()));
    // On Kubernetes an edit that is refused refuses traffic; so does one that is gone.
    let refused = secret(&handoff("a", 4, State::Refused));
    let told = after(&mut known, vec![Event::Apply(refused.clone())]);
    assert_eq!(told, ["+ a - Refused 4"]);
    known.take(Event::Apply(refused.clone()));
    assert!(known.load_if_changed().is_none(), "it says the same");
    let told = after(&mut known, vec![Event::Delete(refused)]);
    assert_eq!(told, ["a is gone"]);
}

#[test]
fn what_cannot_be_read_keeps_the_last_good_form_and_refuses_what_never_was_good() {
    let mut known = listed(&[live("a", 1, "/bff"), unreadable("b")]);
    let load = known.load_if_changed().unwrap();
    assert_eq!(shown(&load), ["a /bff Live 1", "b - Refused 0!"]);
    assert_eq!(load.problems, 1);
    let told = after(&mut known, vec![Event::Apply(unreadable("a"))]);
    assert_eq!(told, ["+ a /bff Live 1!"]);
    // It stays so over a new list, and ends with a good form or the Secret.
    let list = vec![Event::Init, Event::InitApply(unreadable("a")), Event::InitDone];
    assert_eq!(after(&mut known, list), ["a /bff Live 1!"]);
    let told = after(&mut known, vec![Event::Apply(live("a", 2, "/two"))]);
    assert_eq!(told, ["+ a /two Live 2"]);
    let mut wrong_type = live("a", 3, "/three");
    wrong_type.type_ = Some("Opaque".to_owned());
    assert_eq!(after(&mut known, vec![Event::Apply(wrong_type)]), ["+ a /two Live 2!"]);
}

#[test]
fn while_a_list_is_under_way_nothing_changes_and_a_broken_off_one_counts_for_nothing() {
    let (a, b) = (live("a", 1, "/bff"), live("b", 1, "/bff"));
    let mut known = listed(&[a.clone(), b.clone()]);
    known.load_if_changed().unwrap();
    known.take(Event::Init);
    known.take(Event::InitApply(live("a", 2, "/two")));
    assert!(known.load_if_changed().is_none());
    // The connection is lost; the next list is another one.
    known.take(Event::Init);
    known.take(Event::InitApply(b.clone()));
    known.take(Event::InitApply(a));
    assert!(known.load_if_changed().is_none());
    assert_eq!(after(&mut known, vec![Event::InitDone]), ["a /bff Live 1", "b /bff Live 1"]);
    let list = vec![Event::Init, Event::InitApply(b), Event::InitDone];
    assert_eq!(after(&mut known, list), ["b /bff Live 1"], "what is not listed is gone");
}

#[test]
fn what_says_the_same_is_the_same_policy() {
    let mut known = listed(&[live("a", 1, "/bff"), live("b", 1, "/bff")]);
    let policies = |load: Load| -> Vec<Arc<_>> {
        let all = entries(&load).into_iter();
        all.map(|entry| Arc::clone(entry.policy.as_ref().unwrap())).collect()
    };
    let before = policies(known.load_if_changed().unwrap());
    for event in [
        Event::Apply(live("a", 2, "/bff")),
        Event::Init,
        Event::InitApply(live("a", 3, "/bff")),
        Event::InitApply(live("b", 1, "/bff")),
        Event::InitDone,
    ] {
        known.take(event);
    }
    let now = policies(known.load_if_changed().unwrap());
    assert!(before.iter().zip(&now).all(|(before, now)| Arc::ptr_eq(before, now)));
}

#[test]
fn t052_a_secret_of_another_namespace_is_refused() {
    let mut foreign = live("a", 1, "/bff");
    foreign.metadata.namespace = Some("tenant".to_owned());
    let mut known = listed(&[foreign.clone(), live("b", 1, "/bff")]);
    assert_eq!(shown(&known.load_if_changed().unwrap()), ["b /bff Live 1"]);
    known.take(Event::Apply(foreign));
    assert!(known.load_if_changed().is_none());
    let mut theirs = live("b", 1, "/bff");
    theirs.metadata.namespace = Some("tenant".to_owned());
    known.take(Event::Delete(theirs));
    assert!(known.load_if_changed().is_none());
}

#[test]
fn t053_a_secret_says_nothing_of_another_policy() {
    let mut known = listed(&[live("a", 1, "/bff")]);
    known.load_if_changed().unwrap();
    let mut posing = live("a", 2, "/posing");
    posing.metadata.name = Some(handoff::secret_name("default", "b"));
    known.take(Event::Apply(posing));
    let load = known.load_if_changed().expect("a problem");
    assert_eq!(shown(&load), [""; 0], "neither a nor an unknown policy is changed by it");
    assert_eq!(load.problems, 1);
}

/// A source, and what tells it of events.
fn following() -> (mpsc::UnboundedSender<Result<Event<Secret>, watcher::Error>>, KubernetesSource) {
    let (events, received) = mpsc::unbounded_channel();
    let next = |mut events: mpsc::UnboundedReceiver<_>| async {
        events.recv().await.map(|event| (event, events))
    };
    (events, KubernetesSource::follow(OURS.to_owned(), stream::unfold(received, next)))
}

#[tokio::test]
async fn an_edit_is_told_at_once_and_an_error_of_the_api_server_changes_nothing() {
    let (events, mut source) = following();
    let send = |event| events.send(event).unwrap();
    send(Ok(Event::Init));
    for index in 0..1000 {
        send(Ok(Event::InitApply(live(&format!("p{index}"), 1, "/bff"))));
    }
    send(Ok(Event::InitDone));
    let load = tokio::time::timeout(SOON, source.next()).await.unwrap();
    assert_eq!(entries(&load).len(), 1000);
    send(Err(watcher::Error::NoResourceVersion));
    send(Ok(Event::Init));
    send(Err(watcher::Error::NoResourceVersion));
    assert!(source.next().now_or_never().is_none());
    send(Ok(Event::Apply(live("p7", 2, "/two"))));
    let load = tokio::time::timeout(SOON, source.next()).await.unwrap();
    assert_eq!(shown(&load), ["+ p7 /two Live 2"]);
    drop(events);
    assert!(source.next().now_or_never().is_none(), "what runs stays");
}

#[tokio::test]
async fn what_could_not_be_installed_is_said_again_with_all_else_and_nothing_older_after_it() {
    let (events, mut source) = following();
    let send = |event| events.send(Ok(event)).unwrap();
    let list = [Event::Init, Event::InitApply(live("a", 1, "/bff")), Event::InitDone];
    list.into_iter().for_each(send);
    let load = tokio::time::timeout(SOON, source.next()).await.unwrap();
    assert_eq!(shown(&load), ["a /bff Live 1"]);
    send(Event::Apply(secret(&handoff("a", 2, State::Refused))));
    let load = tokio::time::timeout(SOON, source.next()).await.unwrap();
    assert_eq!(shown(&load), ["+ a - Refused 2"]);
    source.again();
    let load = tokio::time::timeout(SOON, source.next()).await.unwrap();
    assert!(matches!(load.said, Said::Whole(_)), "{:?}", shown(&load));
    assert_eq!(shown(&load), ["a - Refused 2"]);
    assert!(source.next().now_or_never().is_none(), "once");
    // A change that waits is part of what is said again.
    send(Event::Apply(live("a", 3, "/three")));
    let waits = async {
        while source.loads.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, waits).await.unwrap();
    source.again();
    let load = tokio::time::timeout(SOON, source.next()).await.unwrap();
    assert_eq!(shown(&load), ["a /three Live 3"]);
    assert!(source.next().now_or_never().is_none(), "nothing older follows");
}
