//! `GET login`: sends the browser to the provider, or back where the session already suffices.
//!
//! Why it exists: gateways and scripts send users here with nothing but a return URL, so what the
//! login must fulfil is read from the rule of that URL. Only a navigation starts a login: a fetch,
//! a frame or a prefetch never reaches the provider. It must not redirect anywhere but to the
//! provider and to the app's own origin. A page below a base may lack an elevated token instead: then it
//! leads to the authority's endpoint.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use vestibule_policy::model::{Access, CompiledLogin, CompiledRoute};
use vestibule_policy::path::parse_target;

use super::authorize::advice::advice;
use super::transaction::{Beginning, NotBegun, begin};
use super::{Site, current_session_of, pages, parameters, see_other};
use crate::app::App;
use crate::challenge::Challenge;
use crate::check::decide::{StepUp, lacks_access_token, step_up};
use crate::clock::Timestamp;
use crate::cookies::Cookies;
use crate::facts::Facts;
use crate::oidc::OidcError;
use crate::policies::{LiveAuthority, LivePolicy};
use crate::problem::Problem;
use crate::return_to;
use crate::session::Session;

/// What keeps a browser from where it wants to go.
pub(super) enum Lacking {
    Nothing,
    Session,
    StepUp(StepUp),
}

/// Why no login was started.
enum Failure {
    BadReturnTo,
    /// For this time.
    TooMany(Duration),
    Store,
    Provider(OidcError),
}

/// Handles the request. The router has refused all methods but GET.
pub async fn login(
    State(app): State<Arc<App>>,
    Extension(site): Extension<Site>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let facts = Facts::read(Method::GET, &headers, &site.policy.compiled.csrf_header);
    let cookies = Cookies::from_headers(&headers);
    let navigation = facts.is_navigation();
    let Some(return_to) = return_path(&query.unwrap_or_default(), &site.policy) else {
        return Failure::BadReturnTo.into_response(&app, &site, navigation);
    };
    let wanted = Wanted { return_to, navigation, login: None, headers: &headers };
    lead_to(&app, &site, cookies, wanted).await
}

/// Where a browser wants to go.
pub(super) struct Wanted<'a> {
    /// Path and query, validated as same-origin.
    pub return_to: String,
    /// Whether it can be sent off to the provider.
    pub navigation: bool,
    /// What the provider is asked for; `None`: what the policy says.
    pub login: Option<&'a CompiledLogin>,
    /// Those of the request: one of them may say whose it is.
    pub headers: &'a HeaderMap,
}

/// Leads a browser there, by a login where its session does not suffice.
pub(super) async fn lead_to(
    app: &App,
    site: &Site,
    cookies: Cookies<'_>,
    wanted: Wanted<'_>,
) -> Response {
    let navigation = wanted.navigation;
    let result = answer(app, site, cookies, wanted).await;
    result.unwrap_or_else(|failure| failure.into_response(app, site, navigation))
}

async fn answer(
    app: &App,
    site: &Site,
    cookies: Cookies<'_>,
    wanted: Wanted<'_>,
) -> Result<Response, Failure> {
    let policy = &site.policy;
    let Wanted { return_to, navigation, login, headers } = wanted;
    let loaded = current_session_of(app, policy, cookies).await.map_err(|_| Failure::Store)?;
    let session = loaded.as_ref().map(|loaded| &*loaded.session);
    let place = Place::of(policy, &return_to);
    let lacking = lacking(&place, session, app.clock.now());
    if matches!(lacking, Lacking::Nothing)
        && let (Some(loaded), Some((rule, authority))) = (&loaded, place.elevated())
    {
        let advice =
            advice(app, site, authority, rule, loaded).await.map_err(|_| Failure::Store)?;
        let answer = advice.into_response(site, authority, &return_to, navigation);
        if let Some(answer) = answer {
            return Ok(answer);
        }
    }
    if !navigation {
        return Ok(unauthenticated(site, &return_to, &lacking));
    }
    if matches!(lacking, Lacking::Nothing) {
        return Ok(see_other(&format!("{}{return_to}", site.origin)));
    }
    let session = loaded.as_ref().map(|loaded| &loaded.key);
    let admitted =
        app.overload.logins().admit(&policy.compiled.id, headers, session, app.clock.now());
    admitted.map_err(Failure::TooMany)?;
    let login = login.unwrap_or(&policy.compiled.login);
    start(app, site, cookies, place.rule, login, return_to).await
}

/// The return path of a query: `rd` or `return_to`, one of them, once; `/` without any. In a query
/// that a gateway wrote a `+` is a plus: it escaped a URL, not a form.
fn return_path(query: &str, policy: &LivePolicy) -> Option<String> {
    let pairs = parameters::pairs(query, false)?;
    let mut found = pairs.iter().filter(|(name, _)| name == "rd" || name == "return_to");
    match (found.next(), found.next()) {
        (None, _) => Some("/".to_owned()),
        (Some((_, value)), None) => return_to::parse(value, &policy.compiled),
        _ => None,
    }
}

/// What a return path falls under; nothing where no check will let it pass anyway, or where it is one of
/// our own, which ask for what they need themselves.
#[derive(Default)]
pub(super) struct Place<'a> {
    rule: Option<&'a CompiledRoute>,
    authority: Option<&'a Arc<LiveAuthority>>,
}

impl<'a> Place<'a> {
    pub(super) fn of(policy: &'a LivePolicy, return_to: &str) -> Self {
        let target = parse_target(return_to, &policy.compiled.paths).ok();
        let target = target.filter(|target| !policy.is_own_path(target.path.as_str()));
        let Some(target) = target else { return Self::default() };
        match (policy.rule_for("GET", &target), policy.authority_for(&target)) {
            (Ok(rule), Ok(authority)) => Self { rule: Some(rule.compiled), authority },
            _ => Self::default(),
        }
    }

    /// The authority whose elevated token the rule's requests carry.
    fn elevated(&self) -> Option<(&'a CompiledRoute, &'a Arc<LiveAuthority>)> {
        self.rule.zip(self.authority)
    }
}

/// What of a session is lacking; what of its elevated tokens is for `authorize::advice`.
pub(super) fn lacking(place: &Place<'_>, session: Option<&Session>, now: Timestamp) -> Lacking {
    let Some(session) = session else { return Lacking::Session };
    let Some(rule) = place.rule else { return Lacking::Nothing };
    // What needs no session asks nothing of one.
    if matches!(rule.access, Access::Public | Access::Deny) {
        return Lacking::Nothing;
    }
    // Below a base its own token goes nowhere.
    if place.authority.is_none() && lacks_access_token(rule, session, now) {
        return Lacking::Session;
    }
    step_up(&rule.require, session, now).map_or(Lacking::Nothing, Lacking::StepUp)
}

/// What a script gets, also one whose request a gateway turned into a redirect to here.
fn unauthenticated(site: &Site, return_to: &str, lacking: &Lacking) -> Response {
    let rd = utf8_percent_encode(return_to, NON_ALPHANUMERIC);
    let login_url = format!("{}?rd={rd}", site.url("login"));
    let Lacking::StepUp(wanted) = lacking else {
        return Problem::unauthenticated(Some(login_url)).into_response();
    };
    let mut response = Problem::insufficient_authentication(Some(login_url)).into_response();
    Challenge::step_up(wanted).put(&mut response);
    response
}

async fn start(
    app: &App,
    site: &Site,
    cookies: Cookies<'_>,
    rule: Option<&CompiledRoute>,
    login: &CompiledLogin,
    return_to: String,
) -> Result<Response, Failure> {
    let client = &site.policy.compiled.client;
    let require = rule.map(|rule| &rule.require);
    let acr_values = match require.and_then(|require| require.acr.clone()) {
        Some(acr) => vec![acr],
        None => login.acr_values.clone(),
    };
    let max_age =
        [login.max_age, require.and_then(|require| require.max_age)].into_iter().flatten().min();
    let elevation = None;
    let what = Beginning { client, login, acr_values, max_age, return_to, elevation };
    let response = begin(app, site, cookies, what).await.map_err(|not_begun| match not_begun {
        NotBegun::Store(_) => Failure::Store,
        NotBegun::Provider(error) => Failure::Provider(error),
    })?;
    app.metrics.login("started");
    Ok(response)
}

/// Where a page offers to start again, without what may have gone wrong.
pub(super) fn start_again(site: &Site) -> String {
    format!("{}?rd=%2F", site.url("login"))
}

impl Failure {
    fn into_response(self, app: &App, site: &Site, navigation: bool) -> Response {
        match self {
            Self::BadReturnTo => {
                app.metrics.login("bad_return_to");
                bad_return_to(site, navigation)
            }
            Self::TooMany(wait) => {
                app.metrics.login("too_many");
                too_many(site, wait)
            }
            Self::Store => {
                app.metrics.login("store_unavailable");
                if navigation {
                    super::callback::unavailable(site)
                } else {
                    Problem::store_unavailable().into_response()
                }
            }
            Self::Provider(error) => {
                let policy = &site.policy.compiled.id;
                tracing::warn!(%policy, %error, "login not started");
                super::callback::provider_page(app, site, &error)
            }
        }
    }
}

/// Only a navigation begins a login, so this is a page.
fn too_many(site: &Site, wait: Duration) -> Response {
    let mut response = pages::login_error(
        StatusCode::TOO_MANY_REQUESTS,
        "Too many logins at once",
        "More people want to log in than can be served. Please try again in a moment.",
        Some(&start_again(site)),
    );
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    response.headers_mut().insert(RETRY_AFTER, seconds.max(1).into());
    response
}

fn bad_return_to(site: &Site, navigation: bool) -> Response {
    if !navigation {
        return Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid-return-url",
            "The return URL is not acceptable",
            "Give rd or return_to once: a path on this origin.",
        )
        .into_response();
    }
    pages::login_error(
        StatusCode::BAD_REQUEST,
        "This link cannot be followed",
        "It does not lead back to this site.",
        Some(&start_again(site)),
    )
}
