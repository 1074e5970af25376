//! How many logins may begin: each is a record in the store for ten minutes, and anybody may ask for one.
//!
//! Why it exists: a flood of them must not fill the store, and must not keep other policies' users or
//! those who are logged in from anything. So each policy has a limit of its own; each client too, where
//! the gateway tells whose request it is; and whoever is logged in already counts for nobody else. It
//! must not believe an address that the gateway does not set, and must not grow with the number of
//! clients.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use vestibule_policy::model::PolicyId;

use crate::clock::Timestamp;
use crate::session::StoreKey;

/// Logins that may begin per minute for one policy, unless told otherwise.
pub const PER_POLICY: u32 = 3000;
/// Those of one client.
pub const PER_CLIENT: u32 = 60;
/// Those of one session, such as for a stronger login.
const PER_SESSION: u32 = 30;

/// Clients and sessions share so many slots, those with the same hash one. It bounds the memory.
const SLOTS: usize = 8192;
/// In microseconds.
const MINUTE: u64 = 60_000_000;

/// How many logins may begin.
#[derive(Debug)]
pub struct LoginLimits {
    per_policy: Rate,
    per_client: Rate,
    client_address: Option<HeaderName>,
    policies: Mutex<HashMap<PolicyId, u64>>,
    /// Of clients and of sessions.
    slots: Slots,
}

impl Default for LoginLimits {
    /// The usual limits; clients are not told apart.
    fn default() -> Self {
        Self::new(PER_POLICY, PER_CLIENT, None)
    }
}

impl LoginLimits {
    /// So many per minute. `client_address` is the header in which the gateway tells whose a request is;
    /// without it clients are not told apart.
    #[must_use]
    pub fn new(per_policy: u32, per_client: u32, client_address: Option<HeaderName>) -> Self {
        Self {
            per_policy: Rate(per_policy),
            per_client: Rate(per_client),
            client_address,
            policies: Mutex::default(),
            slots: Slots::default(),
        }
    }

    /// Counts a login that is to begin. `session` is the one that the browser has already.
    ///
    /// # Errors
    /// It may not begin; after this time it may.
    pub fn admit(
        &self,
        policy: &PolicyId,
        headers: &HeaderMap,
        session: Option<&StoreKey>,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let now = now.0.saturating_mul(1_000_000);
        if let Some(session) = session {
            return self.slots.admit(session, Rate(PER_SESSION), now);
        }
        if let Some(name) = &self.client_address {
            // Those without a usable one are one client: a gateway that should set it did not.
            self.slots.admit(&client(headers, name), self.per_client, now)?;
        }
        self.admit_for(policy, now)
    }

    fn admit_for(&self, policy: &PolicyId, now: u64) -> Result<(), Duration> {
        // Every change is complete before the guard goes.
        let mut policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        let known = policies.get(policy).copied();
        if known.is_none() {
            // One that is over is as good as none: so policies that are gone leave nothing.
            policies.retain(|_, free_at| *free_at > now);
        }
        let free_at = self.per_policy.next(known.unwrap_or_default(), now)?;
        policies.insert(policy.clone(), free_at);
        Ok(())
    }
}

/// So many per minute, all of them at once if need be.
#[derive(Clone, Copy, Debug)]
struct Rate(u32);

impl Rate {
    /// The moment at which all that were counted are made up for, with one more; both in microseconds.
    fn next(self, free_at: u64, now: u64) -> Result<u64, Duration> {
        let free_at = free_at.max(now) + MINUTE / u64::from(self.0.max(1));
        match (free_at - now).checked_sub(MINUTE) {
            Some(over) if over > 0 => Err(Duration::from_micros(over)),
            _ => Ok(free_at),
        }
    }
}

/// The client's address as the gateway tells it; of several the last, which the gateway itself added.
/// An address of IPv6 stands for its network: a client has all of it.
fn client(headers: &HeaderMap, name: &HeaderName) -> Option<IpAddr> {
    let last = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    let last = last.rsplit(',').next()?.trim();
    let address = last.parse::<SocketAddr>().map(|with_port| with_port.ip());
    match address.or_else(|_| last.parse()).ok()?.to_canonical() {
        IpAddr::V6(address) => {
            let mut network = address.segments();
            network[4..].fill(0);
            Some(Ipv6Addr::from(network).into())
        }
        address @ IpAddr::V4(_) => Some(address),
    }
}

/// Limits of many, in memory that does not grow.
#[derive(Debug)]
struct Slots {
    free_at: Box<[AtomicU64]>,
    /// Random, so that nobody can choose with whom to share a slot.
    hasher: RandomState,
}

impl Default for Slots {
    fn default() -> Self {
        let free_at = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { free_at, hasher: RandomState::new() }
    }
}

impl Slots {
    fn admit(&self, who: &impl Hash, rate: Rate, now: u64) -> Result<(), Duration> {
        #[expect(clippy::cast_possible_truncation, reason = "a part of a hash is one")]
        let slot = &self.free_at[self.hasher.hash_one(who) as usize % SLOTS];
        let mut wait = Duration::ZERO;
        let counted = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free_at| {
            rate.next(free_at, now).map_err(|over| wait = over).ok()
        });
        counted.map(|_| ()).map_err(|_| wait)
    }
}

#[cfg(test)]
mod tests;
