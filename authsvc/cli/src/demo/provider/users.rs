//! The demo provider's users: two, so that one can be refused something the other may do.
//! Their passwords are printed on the login page; never take this for a user store.

use serde_json::{Map, Value, json};

use super::scopes::Scope;

/// A user of the demo provider.
#[derive(Debug)]
pub struct User {
    /// What the user types in.
    pub username: &'static str,
    /// What the user types in below it.
    pub password: &'static str,
    /// The subject identifier, unlike the user name on purpose: apps must not mix them up.
    pub sub: &'static str,
    /// The display name.
    pub name: &'static str,
    /// The e-mail address.
    pub email: &'static str,
    /// The groups; `staff` opens the admin area, and releases orders.
    pub groups: &'static [&'static str],
}

/// All users.
pub const USERS: [User; 2] = [
    User {
        username: "demo",
        password: "demo",
        sub: "u-4f1d07",
        name: "Dana Demo",
        email: "dana@example.com",
        groups: &["customers", "staff"],
    },
    User {
        username: "guest",
        password: "guest",
        sub: "u-b93a52",
        name: "Gus Guest",
        email: "gus@example.com",
        groups: &["customers"],
    },
];

impl User {
    /// The user with that name and password.
    pub fn authenticate(username: &str, password: &str) -> Option<&'static Self> {
        USERS.iter().find(|user| user.username == username && user.password == password)
    }

    /// The user with that subject identifier.
    pub fn by_sub(sub: &str) -> Option<&'static Self> {
        USERS.iter().find(|user| user.sub == sub)
    }

    /// The claims that the scopes give access to (`OpenID` Connect Core 1.0, section 5.4).
    pub fn claims(&self, scopes: &[&'static Scope]) -> Map<String, Value> {
        let mut claims = Map::new();
        let mut add = |scope: &str, name: &str, value: Value| {
            if scopes.iter().any(|granted| granted.name == scope) {
                claims.insert(name.to_owned(), value);
            }
        };
        add("profile", "name", json!(self.name));
        add("profile", "preferred_username", json!(self.username));
        add("email", "email", json!(self.email));
        add("email", "email_verified", json!(true));
        add("groups", "groups", json!(self.groups));
        claims
    }
}
