//! What the demo provider remembers: requests that wait for a login, logins, codes, refresh tokens,
//! and what users have allowed. In memory, capped, and gone with the process.

use std::collections::{BTreeSet, HashMap};

use super::request::AuthRequest;
use super::scopes::Scope;
use super::users::User;

/// Most entries of each kind: a demo needs a handful, and memory must not grow without end.
const CAP: usize = 1_000;
/// How long a login page stays usable, in seconds.
pub const PENDING_TTL: u64 = 600;
/// How long a code stays usable, in seconds.
pub const CODE_TTL: u64 = 60;
/// How long a login at the provider lasts, in seconds.
pub const LOGIN_TTL: u64 = 8 * 3600;

/// Something that ends at a time, in unix seconds.
#[derive(Debug)]
pub struct Expiring<T> {
    value: T,
    until: u64,
}

/// Entries under unguessable ids.
#[derive(Debug)]
pub struct Table<T>(HashMap<String, Expiring<T>>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<T> Table<T> {
    /// Adds an entry; a full table first loses what has ended, then what ends soonest.
    pub fn insert(&mut self, id: String, value: T, now: u64, ttl: u64) {
        if self.0.len() >= CAP {
            self.0.retain(|_, entry| entry.until > now);
        }
        if self.0.len() >= CAP {
            let soonest = self.0.iter().min_by_key(|(_, entry)| entry.until);
            if let Some(id) = soonest.map(|(id, _)| id.clone()) {
                self.0.remove(&id);
            }
        }
        self.0.insert(id, Expiring { value, until: now + ttl });
    }

    /// The entry, unless it has ended.
    pub fn get_mut(&mut self, id: &str, now: u64) -> Option<&mut T> {
        self.0.get_mut(id).filter(|entry| entry.until > now).map(|entry| &mut entry.value)
    }

    /// Takes the entry out; `None` if it has ended.
    pub fn remove(&mut self, id: &str, now: u64) -> Option<T> {
        self.0.remove(id).filter(|entry| entry.until > now).map(|entry| entry.value)
    }

    /// Removes the entries that fulfil the condition.
    pub fn remove_where(&mut self, condition: impl Fn(&T) -> bool) {
        self.0.retain(|_, entry| !condition(&entry.value));
    }
}

/// A login at the provider.
#[derive(Clone, Debug)]
pub struct Login {
    /// Who.
    pub user: &'static User,
    /// The session id that ID tokens carry as `sid`.
    pub sid: String,
    /// When the user last proved who they are, in unix seconds.
    pub auth_time: u64,
    /// The authentication context class.
    pub acr: &'static str,
}

/// What a code stands for.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The request that it answers.
    pub request: AuthRequest,
    /// The scopes that are granted, which may be fewer.
    pub scopes: Vec<&'static Scope>,
    /// The login that it is for.
    pub login: Login,
    /// The `jti` of the access token it was redeemed for; a second try ends that token
    /// (RFC 6749, section 4.1.2).
    pub redeemed: Option<String>,
}

/// What a refresh token stands for.
#[derive(Clone, Debug)]
pub struct Refresh {
    /// The scopes that were granted.
    pub scopes: Vec<&'static Scope>,
    /// The login that it is for, as it was then.
    pub login: Login,
    /// The `jti` of the grant's first access token.
    pub first: String,
}

/// All of it.
#[derive(Debug, Default)]
pub struct State {
    /// Requests that wait for a login, under the id in the login page.
    pub pending: Table<AuthRequest>,
    /// Logins, under the id in the provider's cookie.
    pub logins: Table<Login>,
    /// Codes, under themselves.
    pub codes: Table<Grant>,
    /// Access tokens that are good for `UserInfo`, under their `jti`.
    pub access: Table<()>,
    /// Refresh tokens, under themselves.
    pub refresh: Table<Refresh>,
    /// Subjects and the scopes that they have allowed the app.
    pub consents: BTreeSet<(&'static str, &'static str)>,
}
