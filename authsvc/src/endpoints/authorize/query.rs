//! What a request to an authority's endpoint asks for: `scope` and `redirectUri`, and nothing else.
//!
//! Why it exists: whatever else a caller may want to say to the provider (`prompt`, `client_id`,
//! `resource` and the like) is the policy's to say. So what is not known is refused and never dropped:
//! a caller who is misunderstood must notice. It must not repair what is malformed.

use axum::response::Response;
use http::StatusCode;
use vestibule_policy::path::parse_target;

use super::address::without_error;
use crate::endpoints::pages;
use crate::endpoints::parameters::{self, Repeated};
use crate::policies::{LiveAuthority, LivePolicy};
use crate::problem::Problem;
use crate::return_to;

/// The greatest query, in bytes.
const MAX_QUERY: usize = 16 * 1024;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Scopes that the authority lists, in its order; never empty.
    pub scopes: Vec<String>,
    /// The path and query to come back to, where one is given.
    pub redirect: Option<String>,
}

/// Why a request is refused, for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    Parameters,
    Scope,
    Redirect,
}

impl Asked {
    /// Reads a query. Both parameters may be left out: all scopes, and `/`.
    pub(super) fn read(
        query: &str,
        policy: &LivePolicy,
        authority: &LiveAuthority,
    ) -> Result<Self, Invalid> {
        if query.len() > MAX_QUERY {
            return Err(Invalid::Parameters);
        }
        let pairs = parameters::pairs(query, true).ok_or(Invalid::Parameters)?;
        if pairs.iter().any(|(name, _)| name != "scope" && name != "redirectUri") {
            return Err(Invalid::Parameters);
        }
        let one = |wanted| parameters::one(&pairs, wanted).map_err(|Repeated| Invalid::Parameters);
        let (scope, redirect) = (one("scope")?, one("redirectUri")?);
        let redirect = redirect.map(|raw| path_to(raw, policy).ok_or(Invalid::Redirect));
        Ok(Self { scopes: scopes(scope, authority)?, redirect: redirect.transpose()? })
    }

    /// Where the browser comes back to.
    pub(super) fn return_to(&self) -> &str {
        self.redirect.as_deref().unwrap_or("/")
    }

    /// The scopes to ask the provider for, with those that the caller has already: the new token takes
    /// the place of the old one.
    pub(super) fn with(&self, granted: &[String], authority: &LiveAuthority) -> Vec<String> {
        in_order(authority, |scope| self.scopes.iter().chain(granted).any(|one| one == scope))
    }
}

/// All of the authority's where none are given (RFC 6749, section 3.3: a space between two).
fn scopes(given: Option<&str>, authority: &LiveAuthority) -> Result<Vec<String>, Invalid> {
    let Some(given) = given else { return Ok(in_order(authority, |_| true)) };
    let wanted: Vec<&str> = given.split(' ').collect();
    if wanted.iter().any(|scope| scope.is_empty() || !authority.lists(scope)) {
        return Err(Invalid::Scope);
    }
    Ok(in_order(authority, |scope| wanted.contains(&scope)))
}

fn in_order(authority: &LiveAuthority, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let all = authority.compiled.scopes.iter().map(|scope| &scope.name);
    all.filter(|scope| wanted(scope)).cloned().collect()
}

/// A path of the app, as for logins. That of an authority's endpoint becomes `/`: an elevation that led
/// to another would be one that the app did not ask for.
fn path_to(raw: &str, policy: &LivePolicy) -> Option<String> {
    let path = without_error(&return_to::parse(raw, &policy.compiled)?);
    let target = parse_target(&path, &policy.compiled.paths).ok()?;
    let spellings = [Some(&target.path), target.decoded.as_ref()];
    let is_ours = spellings.into_iter().flatten().any(|path| policy.is_own_path(path.as_str()));
    Some(if is_ours { "/".to_owned() } else { path })
}

impl Invalid {
    pub(super) fn into_response(self, navigation: bool) -> Response {
        if navigation {
            let message = match self {
                Self::Redirect => "It does not lead back to this site.",
                Self::Parameters | Self::Scope => "It asks for something that is not known here.",
            };
            let title = "This link cannot be followed";
            return pages::login_error(StatusCode::BAD_REQUEST, title, message, Some("/"));
        }
        let detail = match self {
            Self::Parameters => "Give scope and redirectUri, each at most once, and no others.",
            Self::Scope => "Give in scope what the authority lists, with one space between two.",
            Self::Redirect => "Give a path on this origin as redirectUri.",
        };
        Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid-request",
            "The request is not understood",
            detail,
        )
        .into_response()
    }
}
