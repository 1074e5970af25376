//! The servers that decide about permissions, and how they are reached.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use vestibule_crds::v1alpha1::DecisionPoint;

use super::checks::relation;
use super::{Input, client, provider};
use crate::duration;
use crate::error::FieldErrors;
use crate::model::{CompiledAuthZen, CompiledDecisionPoint, CompiledOpenFga};

const MIN_TIMEOUT: Duration = Duration::from_millis(100);
const MAX_TIMEOUT: Duration = Duration::from_secs(10);
/// For so long a change at the server may go unseen.
const MAX_CACHE: Duration = Duration::from_mins(5);

/// The OpenFGA server, where there is one.
pub(super) fn open_fga(input: &Input<'_>, errors: &mut FieldErrors) -> Option<CompiledOpenFga> {
    let open_fga = input.spec.open_fga.as_ref()?;
    let server = server(&open_fga.server, "spec.openFga.server", input, errors);
    ulid(&open_fga.store_id, "spec.openFga.storeId", errors);
    if let Some(model) = &open_fga.model_id {
        ulid(model, "spec.openFga.modelId", errors);
    }
    relation(&open_fga.user_type, "spec.openFga.userType", errors);
    Some(CompiledOpenFga {
        server,
        store_id: open_fga.store_id.clone(),
        model_id: open_fga.model_id.clone(),
        user_type: open_fga.user_type.clone(),
        consistency: open_fga.consistency,
    })
}

/// The AuthZEN decision point, where there is one.
pub(super) fn auth_zen(input: &Input<'_>, errors: &mut FieldErrors) -> Option<CompiledAuthZen> {
    let auth_zen = input.spec.auth_zen.as_ref()?;
    let server = server(&auth_zen.server, "spec.authZen.server", input, errors);
    relation(&auth_zen.subject_type, "spec.authZen.subjectType", errors);
    Some(CompiledAuthZen { server, subject_type: auth_zen.subject_type.clone() })
}

fn server(
    server: &DecisionPoint,
    field: &str,
    input: &Input<'_>,
    errors: &mut FieldErrors,
) -> CompiledDecisionPoint {
    let url = server.url.trim_end_matches('/');
    let what = "a decision point's URL";
    if let Err(message) = provider::server_url(url, what, input.allow_insecure) {
        errors.push(format!("{field}.url"), message);
    }
    let timeout = time(&server.timeout, &format!("{field}.timeout"), errors);
    if timeout.is_some_and(|time| !(MIN_TIMEOUT..=MAX_TIMEOUT).contains(&time)) {
        errors.push(format!("{field}.timeout"), "must be between 100ms and 10s");
    }
    let cache_for = time(&server.cache_for, &format!("{field}.cacheFor"), errors);
    if cache_for.is_some_and(|time| time > MAX_CACHE) {
        errors.push(
            format!("{field}.cacheFor"),
            "must be at most 5m: for so long a change at the server goes unseen",
        );
    }
    let bundle = server.ca_bundle_ref.as_ref();
    CompiledDecisionPoint {
        url: url.to_owned(),
        token: token(server, &format!("{field}.tokenRef"), input, errors),
        ca_bundle: provider::ca_bundle(
            bundle,
            &format!("{field}.caBundleRef"),
            input.secrets,
            errors,
        ),
        timeout: timeout.unwrap_or_default(),
        cache_for: cache_for.unwrap_or_default(),
        allow_insecure: input.allow_insecure,
    }
}

/// A duration; `None` where it is none, with an error pushed.
fn time(text: &str, field: &str, errors: &mut FieldErrors) -> Option<Duration> {
    duration::parse(text).map_err(|message| errors.push(field, message)).ok()
}

/// The bearer token; it must fit into a header (RFC 6750, section 2.1).
fn token(
    server: &DecisionPoint,
    field: &str,
    input: &Input<'_>,
    errors: &mut FieldErrors,
) -> Option<SecretString> {
    let token = client::found((input.secrets)(server.token_ref.as_ref()?), field, errors)?;
    if !token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
        errors.push(
            field,
            "the token must be visible ASCII without spaces: is there a line break at its end?",
        );
    }
    Some(token)
}

/// An id that OpenFGA gave: 26 characters of Crockford's base 32.
fn ulid(text: &str, field: &str, errors: &mut FieldErrors) {
    let digit = |b: u8| {
        b.is_ascii_digit() || b.is_ascii_uppercase() && !matches!(b, b'I' | b'L' | b'O' | b'U')
    };
    if text.len() != 26 || !text.bytes().all(digit) {
        errors.push(field, "write the 26 characters that OpenFGA shows");
    }
}
