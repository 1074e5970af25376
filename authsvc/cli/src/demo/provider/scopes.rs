//! The scopes that the demo provider knows: what each is for, who may have it, and whether users are
//! asked before an app gets it. Pure.

use super::users::User;

/// A scope.
#[derive(Debug)]
pub struct Scope {
    /// As in requests.
    pub name: &'static str,
    /// What it lets an app do, for the page that asks.
    pub description: &'static str,
    /// Whether the user is asked, once.
    pub asks: bool,
    /// The group whose members may have it; `None`: everyone.
    pub group: Option<&'static str>,
}

/// All of them.
pub const ALL: [Scope; 7] = [
    open("openid", "Know who you are"),
    open("profile", "See your name"),
    open("email", "See your e-mail address"),
    open("groups", "See your groups"),
    open("stock:read", "Count the stock"),
    Scope { asks: true, ..open("orders:read", "See the orders in production") },
    Scope {
        asks: true,
        group: Some("staff"),
        ..open("orders:release", "Release orders for production")
    },
];

const fn open(name: &'static str, description: &'static str) -> Scope {
    Scope { name, description, asks: false, group: None }
}

/// Of the scopes of a request those that the client is registered for, in the order of the request.
pub fn asked(scope: &str, registered: &[&str]) -> Vec<&'static Scope> {
    let known = |name: &str| ALL.iter().find(|one| one.name == name && registered.contains(&name));
    scope.split(' ').filter_map(known).collect()
}

/// Of these scopes those that the user may have.
pub fn allowed(asked: &[&'static Scope], user: &User) -> Vec<&'static Scope> {
    let may = |scope: &Scope| scope.group.is_none_or(|group| user.groups.contains(&group));
    asked.iter().copied().filter(|scope| may(scope)).collect()
}

/// Their names, as in a `scope` parameter.
pub fn names(scopes: &[&'static Scope]) -> String {
    let names: Vec<_> = scopes.iter().map(|scope| scope.name).collect();
    names.join(" ")
}
