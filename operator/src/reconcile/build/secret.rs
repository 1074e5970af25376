//! The Secret that hands a policy over to authsvc.
//!
//! Why it exists: it is the record of who holds which host, and all that authsvc sees. It must not
//! be owned by an object of another namespace: a tombstone outlives its policy.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use vestibule_crds::names::{
    COMPILED_LABEL, COMPILED_SECRET_TYPE, COMPILED_VALUE, HASH_ANNOTATION, RELEASE_ANNOTATION,
};
use vestibule_policy::handoff::{self, Handoff, State};

use super::child;
use crate::reconcile::input::Installation;

/// The Secret of a hand-off, as it is applied.
#[must_use]
pub fn compiled_secret(handoff: &Handoff, installation: &Installation) -> Secret {
    let id = &handoff.id;
    let data = handoff.encode();
    let name = handoff::secret_name(&id.namespace, &id.name);
    let mut metadata = child(id, &installation.namespace, name);
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(COMPILED_LABEL.to_owned(), COMPILED_VALUE.to_owned());
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(HASH_ANNOTATION.to_owned(), handoff::hash(&data));
    if !matches!(handoff.state, State::Tombstone) {
        // A word of release is for a tombstone: one that was left here earlier must not open the
        // app at its policy's next deletion.
        annotations.insert(RELEASE_ANNOTATION.to_owned(), "false".to_owned());
    }
    Secret {
        metadata,
        type_: Some(COMPILED_SECRET_TYPE.to_owned()),
        data: Some(data.into_iter().map(|(key, value)| (key, ByteString(value))).collect()),
        ..Secret::default()
    }
}
