//! A client's copy of an identity header, where the gateway may not replace it by ours.
//!
//! Why it exists: on Kubernetes a route asks us from its birth, while the list of the headers that
//! its gateway takes from our answer follows the policy and comes later. The check's address names
//! the list (`vestibule_policy::header_list`). Until it is this policy's, a request that brings such
//! a header is refused. It must not ask for a list where a user wrote the gateway's configuration.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use vestibule_policy::header_list::is_query;

use super::decide::Refusal;
use crate::policies::LivePolicy;

/// Refuses a request that brings a header which the gateway might pass on as it is.
///
/// # Errors
/// [`Refusal::Forbidden`] then.
pub(super) fn refuse_copies(
    policy: &LivePolicy,
    list: Option<&str>,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    let Some(complete) = policy.header_list.as_deref() else { return Ok(()) };
    if list == Some(complete) {
        return Ok(());
    }
    // Every list that the operator writes has `Authorization` and `Cookie`. Without one nobody knows;
    // cookies cannot be refused, or nobody who is logged in could pass.
    let written = list.is_some_and(is_query);
    let copied = policy.compiled.upstream_headers.iter().any(|name| headers.contains_key(name))
        || (!written && headers.contains_key(AUTHORIZATION));
    if copied { Err(Refusal::Forbidden("header_list")) } else { Ok(()) }
}
