//! Elevated tokens in two cookies of the browser, sealed, where no store keeps them.
//!
//! Why it exists: a caller who brings a token has no session beside which one could be kept, and a policy
//! may want none kept. What lies here opens for one caller, under one authority and as one kind of token
//! alone; anything else is as if it were not there, and why is told to nobody. It must not compress: the
//! length of a cookie would then tell of the secret beside what somebody else chose. It must not show a
//! token in an error.

mod record;
mod refresh;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_policy::model::SameSite;

use super::seal::Sealer;
use super::service::open;
use super::{Session, StoreKey};
use crate::clock::Timestamp;
use crate::cookies::{ACCESS_COOKIE_PREFIX, Cookies, REFRESH_COOKIE_PREFIX};
use crate::policies::{LiveAuthority, LivePolicy};
use crate::random::Random;
use record::{Access, Refresh};
pub use refresh::CookieRefresh;

/// The bytes that a `Set-Cookie` value may have: browsers keep 4,096 of name and value (RFC 6265bis,
/// 5.6), and some count the attributes too.
pub const MAX_BYTES: usize = 4_000;
/// How many bytes of an authority's tag are in the names of its cookies: 16 characters.
const TAG_BYTES: usize = 12;

/// A token that does not fit into a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cookie of the elevated {cookie} token would have {bytes} bytes, and {limit} at most fit"
)]
pub struct TooLarge {
    /// What it would have, with its name and attributes.
    pub bytes: usize,
    /// [`MAX_BYTES`].
    pub limit: usize,
    /// `access` or `refresh`.
    pub cookie: &'static str,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Access,
    Refresh,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Access, Self::Refresh];

    /// Not a secret: the tag is a hash of policy and base.
    fn cookie_name(self, authority: &LiveAuthority) -> String {
        let prefix = match self {
            Self::Access => ACCESS_COOKIE_PREFIX,
            Self::Refresh => REFRESH_COOKIE_PREFIX,
        };
        format!("{prefix}{}", URL_SAFE_NO_PAD.encode(&authority.tag.0[..TAG_BYTES]))
    }

    fn sealer(self, authority: &LiveAuthority) -> &Sealer {
        match self {
            Self::Access => &authority.sealers.access_cookie,
            Self::Refresh => &authority.sealers.refresh_cookie,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
        }
    }
}

/// The elevated token that the cookies of a request have for this caller and authority; its access token
/// may be over. It has no refresh token, no ID token and no claims.
#[must_use]
pub fn read(
    policy: &LivePolicy,
    authority: &LiveAuthority,
    caller: &StoreKey,
    cookies: Cookies<'_>,
    now: Timestamp,
) -> Option<Session> {
    let record: Access = opened(Kind::Access, authority, caller, cookies)?;
    let session = record.into_session();
    let is_over = now.since(session.created_at) >= policy.compiled.session.absolute_timeout;
    // Neither the provider that the policy had before, nor scopes that the authority had.
    let is_of_its_provider = session.issuer == policy.compiled.provider.issuer;
    let granted = session.grant.as_ref().map_or(&[][..], |grant| &grant.granted);
    let is_listed = granted.iter().all(|scope| authority.lists(scope));
    (!is_over && is_of_its_provider && is_listed).then_some(session)
}

/// As [`read`], with the refresh token, if there is one and it is of one pair with the access token: a
/// browser may have kept one cookie of an older answer and one of a newer.
fn read_pair(
    policy: &LivePolicy,
    authority: &LiveAuthority,
    caller: &StoreKey,
    cookies: Cookies<'_>,
    now: Timestamp,
) -> Option<Session> {
    let session = read(policy, authority, caller, cookies, now)?;
    let record: Refresh = opened(Kind::Refresh, authority, caller, cookies)?;
    record.completed(session)
}

/// The `Set-Cookie` values that keep an elevated token in the browser for this caller, in place of one
/// that is there. They live as long as the browser; the server says when the token ends.
///
/// # Errors
/// Where one of them would be larger than browsers keep: then neither is to be set.
pub fn write(
    policy: &LivePolicy,
    authority: &LiveAuthority,
    caller: &StoreKey,
    session: &Session,
    random: &dyn Random,
) -> Result<Vec<String>, TooLarge> {
    // A session's own token never lies in a cookie.
    let Some(access) = Access::of(session) else { return Ok(expire(policy, authority)) };
    let at = StoreKey::of_elevation(caller, &authority.tag);
    let access = sealed(Kind::Access, policy, authority, &at, &access, random)?;
    let refresh = match Refresh::of(session) {
        Some(refresh) => sealed(Kind::Refresh, policy, authority, &at, &refresh, random)?,
        None => expired(Kind::Refresh, policy, authority),
    };
    Ok(vec![access, refresh])
}

/// The `Set-Cookie` values that remove both cookies. A browser that is nowhere below the base does not
/// show them, so that they are to be removed unseen.
#[must_use]
pub fn expire(policy: &LivePolicy, authority: &LiveAuthority) -> Vec<String> {
    Kind::ALL.map(|kind| expired(kind, policy, authority)).into()
}

fn opened<T: DeserializeOwned>(
    kind: Kind,
    authority: &LiveAuthority,
    caller: &StoreKey,
    cookies: Cookies<'_>,
) -> Option<T> {
    let value = cookies.one(&kind.cookie_name(authority))?;
    if value.len() > MAX_BYTES {
        return None;
    }
    let record = URL_SAFE_NO_PAD.decode(value).ok()?;
    open(kind.sealer(authority), &StoreKey::of_elevation(caller, &authority.tag), &record)
}

fn sealed<T: Serialize>(
    kind: Kind,
    policy: &LivePolicy,
    authority: &LiveAuthority,
    at: &StoreKey,
    record: &T,
    random: &dyn Random,
) -> Result<String, TooLarge> {
    // Strings and numbers are always JSON; a record that were not would open as none.
    let plain = serde_json::to_vec(record).unwrap_or_default();
    let value = URL_SAFE_NO_PAD.encode(kind.sealer(authority).seal(random, at, plain));
    let cookie = set_cookie(kind, policy, authority, &value, "");
    let bytes = cookie.len();
    if bytes > MAX_BYTES {
        return Err(TooLarge { bytes, limit: MAX_BYTES, cookie: kind.label() });
    }
    Ok(cookie)
}

fn expired(kind: Kind, policy: &LivePolicy, authority: &LiveAuthority) -> String {
    set_cookie(kind, policy, authority, "", "; Max-Age=0")
}

/// `__Secure-` and not `__Host-`: the latter must be of all paths, and the app's own pages must not be
/// sent these. A sibling host can therefore set one as well; it opens for nobody.
fn set_cookie(
    kind: Kind,
    policy: &LivePolicy,
    authority: &LiveAuthority,
    value: &str,
    age: &str,
) -> String {
    let same_site = match policy.compiled.session.same_site {
        SameSite::Lax => "Lax",
        SameSite::Strict => "Strict",
    };
    let (name, base) = (kind.cookie_name(authority), &authority.compiled.base);
    format!("{name}={value}; Path={base}{age}; Secure; HttpOnly; SameSite={same_site}")
}

#[cfg(test)]
mod tests;
