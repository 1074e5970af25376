//! Beginning a transaction at the provider: for a login, or for the elevated token of an authority.
//!
//! Why it exists: both send a browser to the provider and wait for it at the same callback, so both are
//! bound to the browser in the same way: a record under a random id, and a cookie with that id. It must
//! not know who may begin one.

use axum::response::Response;
use vestibule_policy::model::{CompiledClient, CompiledLogin};

use super::{Site, append_cookie, see_other};
use crate::app::App;
use crate::clock::Timestamp;
use crate::cookies::{Cookies, LOGIN_COOKIE_PREFIX};
use crate::oidc::{LoginRequest, OidcError};
use crate::random;
use crate::session::service::LOGIN_SECONDS;
use crate::session::store::StoreError;
use crate::session::{ElevationRequest, LoginTransaction, SecretId};
use crate::token::Token;

/// How many of one browser may be under way: each has a cookie, and cookies have room.
const MAX_TRANSACTIONS: usize = 16;
/// The greatest suffix of a cookie's name.
const MAX_SUFFIX: usize = 64;

/// What the provider is asked for, and where the browser goes afterwards.
pub(super) struct Beginning<'a> {
    pub client: &'a CompiledClient,
    pub login: &'a CompiledLogin,
    pub acr_values: Vec<String>,
    pub max_age: Option<u64>,
    /// Path and query, validated as same-origin.
    pub return_to: String,
    /// `None`: it is a login.
    pub elevation: Option<ElevationRequest>,
}

/// Why none was begun.
pub(super) enum NotBegun {
    Store(StoreError),
    Provider(OidcError),
}

/// Begins a transaction; the answer sends the browser to the provider, with the cookie that it is bound
/// to.
pub(super) async fn begin(
    app: &App,
    site: &Site,
    cookies: Cookies<'_>,
    what: Beginning<'_>,
) -> Result<Response, NotBegun> {
    let policy = &site.policy;
    let now = app.clock.now();
    let redirect_uri = site.url("callback");
    let suffix = new_suffix(app, now);
    let request = LoginRequest {
        client: what.client,
        login: what.login,
        redirect_uri: &redirect_uri,
        state: Token::new(format!("{suffix}.{}", random::token::<32>(&*app.random))),
        acr_values: &what.acr_values,
        max_age: what.max_age,
    };
    let started = policy.provider.start_login(request).await.map_err(NotBegun::Provider)?;
    let transaction = LoginTransaction {
        state: started.state,
        nonce: started.nonce,
        code_verifier: started.code_verifier,
        issuer: policy.provider.issuer().to_owned(),
        redirect_uri,
        return_to: what.return_to,
        acr_values: what.acr_values,
        max_age: what.max_age,
        created_at: now,
        elevation: what.elevation,
    };
    let id = app.sessions.begin_login(policy, &transaction).await.map_err(NotBegun::Store)?;
    let mut response = see_other(&started.url);
    set_cookies(&mut response, cookies, &suffix, &id);
    Ok(response)
}

/// Begins with the time, so that the names of a browser's cookies sort by age.
fn new_suffix(app: &App, now: Timestamp) -> String {
    format!("{:010x}{}", now.0, random::token::<9>(&*app.random))
}

/// Whether text can be the suffix of a cookie's name.
pub(super) fn is_suffix(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_SUFFIX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn set_cookies(response: &mut Response, cookies: Cookies<'_>, suffix: &str, id: &SecretId) {
    let mut known: Vec<&str> = cookies
        .names_with_prefix(LOGIN_COOKIE_PREFIX)
        .filter_map(|name| name.strip_prefix(LOGIN_COOKIE_PREFIX))
        .filter(|suffix| is_suffix(suffix))
        .collect();
    known.sort_unstable();
    let over = (known.len() + 1).saturating_sub(MAX_TRANSACTIONS);
    for old in known.into_iter().take(over) {
        append_cookie(response, &expired_cookie(old));
    }
    let cookie = format!(
        "{LOGIN_COOKIE_PREFIX}{suffix}={}; Path=/; Secure; HttpOnly; SameSite=Lax; \
         Max-Age={LOGIN_SECONDS}",
        id.encode()
    );
    append_cookie(response, &cookie);
}

/// The `Set-Cookie` value that removes a transaction's cookie.
pub(super) fn expired_cookie(suffix: &str) -> String {
    format!("{LOGIN_COOKIE_PREFIX}{suffix}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_of_a_login_cookie_is_short_and_of_plain_characters() {
        for good in ["a", "0123456789abcdefAZ-_", &"x".repeat(MAX_SUFFIX)] {
            assert!(is_suffix(good), "{good}");
        }
        for bad in ["", "a.b", "a b", "a;b", "a=b", "\u{e9}", &"x".repeat(MAX_SUFFIX + 1)] {
            assert!(!is_suffix(bad), "{bad}");
        }
    }
}
