//! Kubernetes Events: what changed for a policy's author, on the policy.
//!
//! They are sent beside the work and may get lost; the conditions are the truth. It must not hold a
//! secret: notes are the conditions' messages.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use vestibule_crds::GROUP;
use vestibule_crds::names::VERSION;
use vestibule_policy::model::PolicyId;

use crate::api::call;

/// What waits beyond this is dropped.
const WAITING: usize = 1024;
/// The API server refuses longer notes.
const MAX_NOTE: usize = 1000;

/// Sends Events.
#[derive(Clone)]
pub struct Events {
    sender: mpsc::Sender<(Event, ObjectReference)>,
}

impl Events {
    /// Begins to send, as this process.
    #[must_use]
    pub fn start(client: Client, identity: &str) -> Self {
        let (sender, mut waiting) = mpsc::channel::<(Event, ObjectReference)>(WAITING);
        let reporter = Reporter {
            controller: "vestibule-operator".to_owned(),
            instance: Some(identity.to_owned()),
        };
        let recorder = Recorder::new(client, reporter);
        tokio::spawn(async move {
            while let Some((event, about)) = waiting.recv().await {
                let sent = call(|| "create Event".to_owned(), recorder.publish(&event, &about));
                if let Err(error) = sent.await {
                    tracing::debug!(%error, "an event was not sent");
                }
            }
        });
        Self { sender }
    }

    /// Tells of every condition that differs.
    pub fn transitions(&self, id: &PolicyId, uid: &str, old: &[Condition], new: &[Condition]) {
        for condition in new {
            if let Some(event) = transition(old, condition) {
                self.send(id, uid, event);
            }
        }
    }

    /// Tells of a hand edit that was undone.
    pub fn repaired(&self, id: &PolicyId, uid: &str, object: &str) {
        let note = format!("{object} was changed by somebody else and put right again");
        let event = Event {
            type_: EventType::Warning,
            reason: "Repaired".to_owned(),
            note: Some(note),
            action: "Repair".to_owned(),
            secondary: None,
        };
        self.send(id, uid, event);
    }

    fn send(&self, id: &PolicyId, uid: &str, event: Event) {
        let about = ObjectReference {
            api_version: Some(format!("{GROUP}/{VERSION}")),
            kind: Some("BffPolicy".to_owned()),
            namespace: Some(id.namespace.clone()),
            name: Some(id.name.clone()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        if self.sender.try_send((event, about)).is_err() {
            tracing::debug!(policy = %id, "an event was dropped: too many wait");
        }
    }
}

fn transition(old: &[Condition], new: &Condition) -> Option<Event> {
    let before = old.iter().find(|condition| condition.type_ == new.type_);
    let same =
        before.is_some_and(|before| before.status == new.status && before.reason == new.reason);
    if same || (before.is_none() && new.status == "Unknown") {
        return None;
    }
    // The API server counts bytes.
    let note = new.message.chars().scan(0_usize, |bytes, c| {
        *bytes += c.len_utf8();
        (*bytes <= MAX_NOTE).then_some(c)
    });
    Some(Event {
        type_: if new.status == "False" { EventType::Warning } else { EventType::Normal },
        reason: new.reason.clone(),
        note: Some(note.collect()),
        action: new.type_.clone(),
        secondary: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    fn condition(status: &str, reason: &str, message: &str) -> Condition {
        Condition {
            type_: "Accepted".to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            observed_generation: Some(1),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn an_event_tells_of_a_transition_and_of_nothing_else() {
        let refused = condition("False", "Invalid", "spec.x: wrong");
        let event = transition(&[], &refused).unwrap();
        assert_eq!((event.type_, event.reason.as_str()), (EventType::Warning, "Invalid"));
        assert_eq!(event.note.as_deref(), Some("spec.x: wrong"));
        let reworded = condition("False", "Invalid", "spec.y: wrong");
        assert!(transition(std::slice::from_ref(&refused), &reworded).is_none());
        let other = condition("False", "Conflicted", "");
        assert!(transition(std::slice::from_ref(&refused), &other).is_some());
        let good = transition(&[refused], &condition("True", "Accepted", "")).unwrap();
        assert_eq!(good.type_, EventType::Normal);
        assert!(transition(&[], &condition("Unknown", "Pending", "")).is_none());
    }

    #[test]
    fn a_note_is_never_too_long() {
        let event = transition(&[], &condition("False", "Invalid", &"ä".repeat(2000))).unwrap();
        assert_eq!(event.note.unwrap().len(), MAX_NOTE);
    }
}
