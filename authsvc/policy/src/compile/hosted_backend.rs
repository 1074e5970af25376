//! Endpoints in the shape of another product's: where they may be.

use vestibule_crds::v1alpha1::{BffPolicySpec, HostedBackend};

use super::authorities::{ENDPOINT, is_at_or_below};
use super::plain_path;
use crate::error::FieldErrors;
use crate::model::{CompiledHostedBackend, CompiledRoute};

const FIELD: &str = "spec.hostedBackend.path";

/// Validates the path: whatever is there is answered by us alone, so nothing else may be there.
pub(super) fn compile(
    spec: &BffPolicySpec,
    base_path: &str,
    routes: &[CompiledRoute],
    errors: &mut FieldErrors,
) -> Option<CompiledHostedBackend> {
    let HostedBackend { flavor, path } = spec.hosted_backend.as_ref()?;
    plain_path(path, FIELD, errors);
    if is_at_or_below(path, base_path) || is_at_or_below(base_path, path) {
        errors.push(FIELD, format!("meets basePath {base_path}: choose another path"));
    }
    for (index, authority) in spec.authorities.iter().enumerate() {
        let endpoint = format!("{}{ENDPOINT}", authority.base);
        let meets = is_at_or_below(&authority.base, path)
            || is_at_or_below(&endpoint, path)
            || is_at_or_below(path, &endpoint);
        if meets {
            errors.push(
                FIELD,
                format!("meets the endpoint of spec.authorities[{index}]: choose another path"),
            );
        }
    }
    for (index, route) in routes.iter().enumerate() {
        if is_at_or_below(&route.path, path) {
            errors.push(
                format!("spec.routes[{index}].path"),
                format!("{path} is spec.hostedBackend's: choose another path for one of them"),
            );
        }
    }
    if spec.logout.return_to.as_deref().is_some_and(|to| is_at_or_below(without_query(to), path)) {
        errors.push(
            "spec.logout.returnTo",
            format!("{path} is spec.hostedBackend's: no page is there"),
        );
    }
    Some(CompiledHostedBackend { flavor: *flavor, path: path.clone() })
}

fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap_or_default()
}
