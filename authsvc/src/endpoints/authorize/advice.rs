//! What keeps a session from a page below a base, for the login endpoint.
//!
//! Why it exists: gateways that can only redirect to the login (nginx with `auth-signin`) send every
//! refused request there. It gives the answer that the check could not give.
//!
//! No browser is sent round for ever. The login endpoint sends it on to the authority's endpoint only while
//! the page's address has no `mediation_error`, and that endpoint comes back without one only
//! - with a token that the check lets pass: each condition of the check is one of the completion too;
//! - with one that lacks scopes the first time they are asked for: the check then refuses, and where the
//!   token lies in the store this ends here (`Insufficient`). Where it lies in cookies, which are not sent
//!   to the login endpoint, the browser is sent once more, and comes back with `insufficient_scope`.
//!
//! A browser that keeps no cookies does not come this far: the callback needs one of its own.

use axum::response::Response;
use http::StatusCode;
use vestibule_policy::model::{Access, CompiledRoute, TokenStorage};

use super::address::{has_error, without_error};
use crate::app::App;
use crate::challenge::Challenge;
use crate::endpoints::{Site, pages, see_other};
use crate::policies::LiveAuthority;
use crate::problem::Problem;
use crate::session::elevation::{Judgement, judge};
use crate::session::service::Loaded;
use crate::session::store::StoreError;

/// What is lacking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::endpoints) enum Advice {
    /// Nothing that an elevated token could be.
    Nothing,
    /// A token with these scopes, which may be had.
    Mediation(Vec<String>),
    /// These scopes, which were asked for and not granted.
    Insufficient(Vec<String>),
}

/// What a session lacks for a page that falls under this rule and authority.
pub(in crate::endpoints) async fn advice(
    app: &App,
    site: &Site,
    authority: &LiveAuthority,
    rule: &CompiledRoute,
    session: &Loaded,
) -> Result<Advice, StoreError> {
    if rule.access != Access::Session {
        return Ok(Advice::Nothing);
    }
    let required = &rule.require.scopes;
    let wanted = || match required.as_slice() {
        [] => authority.compiled.scopes.iter().map(|scope| scope.name.clone()).collect(),
        required => required.to_vec(),
    };
    if authority.compiled.storage == TokenStorage::Cookie {
        return Ok(Advice::Mediation(wanted()));
    }
    let elevated = app.sessions.elevation(&site.policy, authority, session).await?;
    let elevated = elevated.as_ref().map(|elevated| &*elevated.session);
    Ok(match judge(&authority.compiled, required, elevated, app.clock.now()) {
        // The check refreshes it.
        Judgement::Usable | Judgement::Refresh => Advice::Nothing,
        Judgement::Advise => Advice::Mediation(wanted()),
        Judgement::Insufficient => Advice::Insufficient(wanted()),
    })
}

impl Advice {
    /// The answer to a browser that wants to go to `return_to`, or to a script; `None`: nothing is lacking.
    pub(in crate::endpoints) fn into_response(
        self,
        site: &Site,
        authority: &LiveAuthority,
        return_to: &str,
        navigation: bool,
    ) -> Option<Response> {
        let base = &authority.compiled.base;
        let url = |scopes: &[String]| {
            authority.authorize_url(&site.origin, scopes, Some(&without_error(return_to)))
        };
        Some(match self {
            Self::Nothing => return None,
            Self::Mediation(scopes) if !navigation => {
                let url = url(&scopes);
                let problem = Problem::mediation_advised(base, &scopes, Some(url));
                challenged(problem, &Challenge::mediation_advised(&scopes))
            }
            Self::Mediation(scopes) if !has_error(return_to) => see_other(&url(&scopes)),
            Self::Insufficient(scopes) if !navigation => {
                let problem = Problem::insufficient_scope(&scopes);
                challenged(problem, &Challenge::insufficient_scope(&scopes))
            }
            Self::Mediation(scopes) | Self::Insufficient(scopes) => pages::login_error(
                StatusCode::FORBIDDEN,
                "You have no access to this page",
                "It needs rights that you were not given. You are still logged in.",
                Some(&url(&scopes)),
            ),
        })
    }
}

fn challenged(problem: Problem, challenge: &Challenge) -> Response {
    let mut response = problem.into_response();
    challenge.put(&mut response);
    response
}
