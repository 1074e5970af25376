//! Where a login may return to: a path on the app's own origin, and nothing else (RFC 9700, section
//! 4.11.1).
//!
//! Browsers read URLs in more ways than one would write them, so only canonical paths are accepted,
//! and each is read once more the way a browser does (WHATWG URL) before it is used.

use percent_encoding::percent_decode_str;
use url::Url;
use vestibule_policy::model::CompiledPolicy;
use vestibule_policy::origin::Origin;
use vestibule_policy::path::parse_target;

/// The greatest URL, in bytes.
const MAX_LENGTH: usize = 4096;

/// Reduces a return URL to path and query; a fragment is dropped. An absolute URL must name one of
/// the policy's origins, whatever scheme a gateway behind a TLS load balancer took it for. A path
/// of our own endpoints becomes `/`, or a login would lead to itself. `None`: refused.
#[must_use]
pub fn parse(raw: &str, policy: &CompiledPolicy) -> Option<String> {
    if raw.len() > MAX_LENGTH {
        return None;
    }
    if raw.chars().any(|c| c == '\\' || c.is_control() || c.is_whitespace()) {
        return None;
    }
    let (origin, rest) = match split_absolute(raw) {
        Some((authority, rest)) => {
            let origin = policy.origins.iter().find(|origin| origin.matches_host(authority))?;
            (origin, if rest.is_empty() { "/" } else { rest })
        }
        None => (policy.origins.first()?, raw),
    };
    let target = rest.split('#').next()?;
    let result = as_browsers_read_it(origin, target)?;
    // What no check lets pass is no place to return to.
    for spelling in [target, &result] {
        parse_target(spelling, &policy.paths).ok()?;
    }
    if is_own_endpoint(&result, policy) {
        return Some("/".to_owned());
    }
    Some(result)
}

/// `http(s)://authority` and what follows.
fn split_absolute(raw: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = raw.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Some(rest.split_at(end))
}

/// Path and query as a browser on this origin would ask for them; `None` where it would go
/// elsewhere.
fn as_browsers_read_it(origin: &Origin, target: &str) -> Option<String> {
    if !target.starts_with('/') {
        return None;
    }
    let base = Url::parse(&origin.to_string()).ok()?;
    let url = base.join(target).ok()?;
    if url.origin() != base.origin() || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    Some(match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    })
}

fn is_own_endpoint(path_and_query: &str, policy: &CompiledPolicy) -> bool {
    let path = path_and_query.split('?').next().unwrap_or_default();
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    decoded
        .strip_prefix(&policy.base_path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        || policy.hosted_backend.as_ref().is_some_and(|hosted| hosted.has(&decoded))
}

#[cfg(test)]
mod tests;
