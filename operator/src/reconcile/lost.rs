//! What is known of a policy whose compiled Secret cannot be read: its `/bff` routes name the hosts
//! that it held. Without them those hosts would be free for whoever claims them next.
//!
//! It must not take anything else from them: whether and how the policy is enforced is decided anew.

use vestibule_policy::handoff::{Handoff, State};
use vestibule_policy::model::PolicyId;
use vestibule_policy::origin::Origin;

use crate::world::World;

/// A policy that refuses and holds the hosts of its `/bff` routes.
#[must_use]
pub fn lost(world: &World, id: &PolicyId) -> Handoff {
    let hosts = world.hosts_made_for(id);
    let origins = hosts.iter().filter_map(|host| Origin::parse(&format!("https://{host}")).ok());
    Handoff {
        id: id.clone(),
        uid: String::new(),
        generation: 0,
        origins: origins.collect(),
        released: false,
        state: State::Refused,
    }
}
