//! Cross-site request forgery: which requests a session cookie may authorise (design §5.4).
//!
//! Called only where the cookie is what authorises. `SameSite` alone is no defence against sibling
//! subdomains (RFC 10017, section 6.1.3.3.1), so every request that a page could have caused must
//! show where it came from.

use vestibule_policy::model::CompiledPolicy;
use vestibule_policy::origin::Origin;

use crate::facts::Facts;

/// A request that may be forged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forged {
    /// Why, as a constant for the problem's detail.
    pub reason: &'static str,
}

/// Refuses what may be forged.
///
/// Needs a proof: unsafe methods, modes other than `navigate`, upgrades. A proof is
/// `Sec-Fetch-Site: same-origin` (`none` on a navigation: the user typed it), an `Origin` of the
/// policy, or an allowed CORS origin with the custom header (an upgrade cannot send one). A client
/// that sends neither Fetch Metadata nor `Origin` proves itself by the custom header.
///
/// # Errors
/// [`Forged`] with the reason.
pub fn verify(policy: &CompiledPolicy, facts: &Facts<'_>) -> Result<(), Forged> {
    let mode = facts.fetch_mode;
    let subresource = mode.is_some_and(|mode| mode != "navigate");
    if facts.is_safe() && !facts.upgrade && !subresource {
        return Ok(());
    }
    let navigates = mode == Some("navigate");
    match facts.fetch_site {
        Some("same-origin") => return Ok(()),
        Some("none") if navigates => return Ok(()),
        _ => {}
    }
    if let Some(origin) = facts.origin {
        return verify_origin(policy, facts, origin);
    }
    if facts.fetch_site.is_some() {
        return Err(Forged { reason: "the request comes from another site" });
    }
    if facts.custom_header {
        return Ok(());
    }
    Err(Forged { reason: "a client without Fetch Metadata must send the custom header" })
}

fn verify_origin(policy: &CompiledPolicy, facts: &Facts<'_>, origin: &str) -> Result<(), Forged> {
    let Ok(origin) = Origin::parse(origin) else {
        return Err(Forged { reason: "the request comes from an opaque origin" });
    };
    if policy.origins.contains(&origin) {
        return Ok(());
    }
    if !policy.cors_origins.contains(&origin) {
        return Err(Forged { reason: "the request comes from an origin that is not allowed" });
    }
    if facts.upgrade || facts.custom_header {
        return Ok(());
    }
    Err(Forged { reason: "a request from an allowed origin must send the custom header" })
}

/// Whether a CORS preflight comes from an origin that may call the app.
#[must_use]
pub fn preflight_allowed(policy: &CompiledPolicy, facts: &Facts) -> bool {
    let origin = facts.origin.and_then(|text| Origin::parse(text).ok());
    // Of the policy's own origins only another one than that asked would send a preflight.
    let siblings = policy.origins.len() > 1;
    origin.is_some_and(|origin| {
        policy.cors_origins.contains(&origin) || (siblings && policy.origins.contains(&origin))
    })
}
