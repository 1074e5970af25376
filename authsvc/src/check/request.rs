//! One question of a gateway, the same for all of them.

use vestibule_policy::origin::Origin;
use vestibule_policy::path::Target;

use crate::caller::Authorization;
use crate::cookies::Cookies;
use crate::facts::Facts;

/// The original request, as far as a decision needs it. Scheme and host are the policy's.
#[derive(Debug)]
pub struct CheckRequest<'a> {
    /// Which of the policy's origins was asked.
    pub origin: &'a Origin,
    /// Path and query, canonical.
    pub target: Target<'a>,
    /// The client's cookies.
    pub cookies: Cookies<'a>,
    /// The token that it brings, where the policy takes any.
    pub authorization: Authorization,
    /// Method, Fetch Metadata and the like.
    pub facts: Facts<'a>,
}
