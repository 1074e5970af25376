//! Endpoints in the shape that `FusionAuth`'s web SDKs expect of a hosted backend, so that they run unchanged.
//!
//! Why it exists: an app that was written for such an SDK gets sessions on the server without a new line.
//! What it asks is what `login`, `session` and `logout` answer in our own shape, and they do it here too. It
//! must not give a token to the browser: of the four cookies that `FusionAuth` sets only `app.at_exp` is
//! there, which says nothing but when the session ends. What the policy says of a login (scopes, parameters)
//! is not the request's to say.

mod leave;
mod login;
mod user;

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use vestibule_policy::model::CompiledPolicy;
use vestibule_policy::path::parse_target;

use super::parameters::{self, Pairs, Repeated};
use super::session::idle_end;
use super::{Site, append_cookie, pages};
use crate::app::App;
use crate::clock::Timestamp;
use crate::cookies::Cookies;
use crate::policies::LivePolicy;
use crate::problem::Problem;
use crate::return_to;
use crate::session::Session;

/// Tells scripts when the session ends, in seconds since 1970.
const END_COOKIE: &str = "app.at_exp";
/// The greatest query, in bytes.
const MAX_QUERY: usize = 16 * 1024;
/// The client of a request: at the end of its path, or a parameter, as the SDKs send it.
const CLIENT: &str = "client_id";

/// The endpoints, below the policy's path for them.
pub fn router(app: Arc<App>) -> Router {
    let no_head = || async { StatusCode::METHOD_NOT_ALLOWED };
    let mut router = Router::new();
    for end in ["", "/", "/{client}"] {
        router = router
            .route(&format!("/login{end}"), get(login::login).head(no_head))
            .route(&format!("/register{end}"), get(login::register).head(no_head))
            .route(&format!("/logout{end}"), get(leave::logout).head(no_head))
            .route(&format!("/refresh{end}"), post(user::refresh));
    }
    router
        .route("/me", get(user::me))
        .route("/me/", get(user::me))
        .fallback(|| async { not_found() })
        .with_state(app)
}

/// Tells a browser that logs in now when its session ends; `None` where no SDK wants to know.
pub(super) fn tell_new_session(policy: &LivePolicy, now: Timestamp) -> Option<String> {
    let session = &policy.compiled.session;
    let end = now.plus(session.idle_timeout.min(session.absolute_timeout));
    policy.compiled.hosted_backend.as_ref().map(|_| end_cookie(end))
}

/// Tells a browser that its session is over; `None` where no SDK wants to know.
pub(super) fn tell_no_session(policy: &LivePolicy) -> Option<String> {
    let cookie = || format!("{END_COOKIE}=; Path=/; Secure; SameSite=Lax; Max-Age=0");
    policy.compiled.hosted_backend.as_ref().map(|_| cookie())
}

fn end_cookie(end: Timestamp) -> String {
    format!("{END_COOKIE}={}; Path=/; Secure; SameSite=Lax", end.0)
}

/// Tells the browser of the session that it has, or that it has none.
fn tell(response: &mut Response, site: &Site, session: Option<&Session>) {
    let cookie = match session {
        Some(session) => Some(end_cookie(idle_end(session, &site.policy.compiled.session))),
        None => tell_no_session(&site.policy),
    };
    if let Some(cookie) = cookie {
        append_cookie(response, &cookie);
    }
}

/// What a request of an SDK says, of what counts.
struct Asked {
    pairs: Pairs,
}

/// Why a request is refused.
enum Refused {
    /// It is not for the policy's client: there is nothing here.
    Client,
    /// What it says cannot be read, or leads away.
    Malformed,
}

impl Asked {
    /// Reads a request for the policy's client. All names of the client that it gives must be that one,
    /// and it must give one.
    fn read(
        query: &str,
        client: Option<&Path<String>>,
        policy: &CompiledPolicy,
    ) -> Result<Self, Refused> {
        if query.len() > MAX_QUERY {
            return Err(Refused::Malformed);
        }
        let pairs = parameters::pairs(query, true).ok_or(Refused::Malformed)?;
        let in_query = pairs.iter().filter(|(name, _)| name == CLIENT).map(|(_, value)| value);
        let mut clients = in_query.chain(client.map(|Path(client)| client)).peekable();
        if clients.peek().is_none() || clients.any(|client| *client != policy.client.id) {
            return Err(Refused::Client);
        }
        Ok(Self { pairs })
    }

    /// A parameter, which may be there once.
    fn one(&self, wanted: &str) -> Result<Option<&str>, Refused> {
        parameters::one(&self.pairs, wanted).map_err(|Repeated| Refused::Malformed)
    }
}

/// Path and query of a URL of the app, as for every login; none of our own, and `None` for all else.
fn path_to(raw: &str, policy: &LivePolicy) -> Option<String> {
    let path = return_to::parse(raw, &policy.compiled)?;
    let target = parse_target(&path, &policy.compiled.paths).ok()?;
    let spellings = [Some(&target.path), target.decoded.as_ref()];
    let is_ours = spellings.into_iter().flatten().any(|path| policy.is_own_path(path.as_str()));
    Some(if is_ours { "/".to_owned() } else { path })
}

impl Refused {
    fn into_response(self, navigation: bool) -> Response {
        match self {
            Self::Client => not_found(),
            Self::Malformed if navigation => pages::login_error(
                StatusCode::BAD_REQUEST,
                "This link cannot be followed",
                "It is not one of this site, or leads elsewhere. Nothing has changed.",
                None,
            ),
            Self::Malformed => Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid-request",
                "The request is not understood",
                "Give each parameter once, and URLs of this origin.",
            )
            .into_response(),
        }
    }
}

fn not_found() -> Response {
    Problem::not_found().into_response()
}

/// Whether the browser has something that says that there is a session.
fn believes_in_a_session(cookies: Cookies<'_>) -> bool {
    cookies.names_with_prefix(END_COOKIE).any(|name| name == END_COOKIE)
}
