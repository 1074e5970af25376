//! The rules of a policy.

use vestibule_crds::v1alpha1::{
    Access, BffPolicySpec, PathType, Require, Route, Unauthenticated, Upstream,
    UpstreamAuthorization,
};

use super::authorities::{needed, scope};
use super::checks::{self, Place, expression};
use super::{header_name, seconds};
use crate::error::FieldErrors;
use crate::matching::{self, RouteKey};
use crate::model::{CompiledHeader, CompiledRequire, CompiledRoute, CompiledUpstream};
use crate::path::CanonicalPath;

/// Headers that a policy may not set: they belong to the transfer, to the gateway or to us.
const RESERVED_HEADERS: [&str; 22] = [
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "host",
    "keep-alive",
    "location",
    "origin",
    "proxy-authorization",
    "retry-after",
    "server",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
];

/// In seconds; less would send users from one login to the next.
const MIN_MAX_AGE: u64 = 30;

/// Prefixes of headers that gateways and browsers speak through.
const RESERVED_PREFIXES: [&str; 6] =
    ["access-control-", "sec-", "x-forwarded-", "x-original-", "x-envoy-", "x-accel-"];

/// Validates every rule, in the author's order.
pub(super) fn compile(
    spec: &BffPolicySpec,
    base_path: &str,
    errors: &mut FieldErrors,
) -> Vec<CompiledRoute> {
    if spec.routes.len() > 256 {
        errors.push("spec.routes", "give at most 256 rules");
    }
    let routes: Vec<CompiledRoute> = spec
        .routes
        .iter()
        .enumerate()
        .map(|(index, route)| compile_one(route, &format!("spec.routes[{index}]"), spec, errors))
        .collect();
    let keys: Vec<RouteKey> = routes.iter().map(key).collect();
    for (first, second) in matching::conflicts(&keys) {
        errors.push(
            format!("spec.routes[{second}].path"),
            format!("spec.routes[{first}] matches the same requests: merge the two"),
        );
    }
    for (index, route) in routes.iter().enumerate() {
        let below = route.path.strip_prefix(base_path);
        if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            errors.push(
                format!("spec.routes[{index}].path"),
                format!("{base_path} is Vestibule's own: choose another path, or another basePath"),
            );
        }
    }
    routes
}

/// What a rule matches by.
pub(super) fn key(route: &CompiledRoute) -> RouteKey {
    RouteKey { path: route.path.clone(), exact: route.exact, methods: route.methods.clone() }
}

/// The names of every header that any rule sets, sorted, each once.
pub(super) fn header_names(routes: &[CompiledRoute]) -> Vec<String> {
    let mut names: Vec<String> =
        routes.iter().flat_map(|r| r.upstream.headers.iter().map(|h| h.name.clone())).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether a header belongs to the transfer, to the gateway or to us.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED_HEADERS.contains(&name)
        || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn compile_one(
    route: &Route,
    field: &str,
    spec: &BffPolicySpec,
    errors: &mut FieldErrors,
) -> CompiledRoute {
    let path = CanonicalPath::parse(&route.path).map_or_else(
        |why| {
            errors.push(
                format!("{field}.path"),
                format!("{why}; write a canonical path, such as /api"),
            );
            route.path.clone()
        },
        |path| path.as_str().to_owned(),
    );
    for (index, method) in route.methods.iter().enumerate() {
        if method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
            errors.push(
                format!("{field}.methods[{index}]"),
                "must be a method in capitals, such as GET",
            );
        }
    }
    let passes_identity = route.upstream.authorization != UpstreamAuthorization::None
        || !route.upstream.headers.is_empty();
    if matches!(route.access, Access::Public | Access::Deny) && passes_identity {
        errors.push(
            format!("{field}.upstream"),
            "a Public or Deny route passes no identity on: use access Optional or Session",
        );
    }
    if route.access != Access::Session && route.unauthenticated != Unauthenticated::Auto {
        errors.push(
            format!("{field}.unauthenticated"),
            "only a route with access Session refuses the unauthenticated: remove it",
        );
    }
    if route.access != Access::Session && route.require.is_some() {
        errors.push(
            format!("{field}.require"),
            "only a route with access Session can require something of it: remove one of the two",
        );
    }
    let exact = route.path_type == PathType::Exact;
    let place = Place::Route { path: &path, exact };
    let require = require(route.require.as_ref(), place, field, spec, errors);
    CompiledRoute {
        path,
        exact,
        methods: route.methods.clone(),
        access: route.access,
        unauthenticated: route.unauthenticated,
        require,
        upstream: upstream(&route.upstream, field, errors),
    }
}

fn require(
    require: Option<&Require>,
    place: Place<'_>,
    field: &str,
    spec: &BffPolicySpec,
    errors: &mut FieldErrors,
) -> CompiledRequire {
    let Some(require) = require else { return CompiledRequire::default() };
    let field = format!("{field}.require");
    if *require == Require::default() {
        errors.push(&field, "is empty: give acr, maxAge, expression, scopes or permission");
    }
    if let Some(text) = &require.acr {
        acr(text, &format!("{field}.acr"), errors);
    }
    let max_age_field = format!("{field}.maxAge");
    let age = require.max_age.as_deref().map(|text| {
        let age = seconds(text, &max_age_field, errors);
        max_age(age, &max_age_field, errors);
        age
    });
    needed(&require.scopes, &format!("{field}.scopes"), errors);
    for (index, name) in require.scopes.iter().enumerate() {
        scope(name, &format!("{field}.scopes[{index}]"), errors);
    }
    let source = require.expression.as_deref();
    let permission = require.permission.as_ref();
    CompiledRequire {
        acr: require.acr.clone(),
        max_age: age,
        expression: source
            .and_then(|source| expression(source, &format!("{field}.expression"), errors)),
        scopes: require.scopes.clone(),
        permission: permission.and_then(|check| {
            let field = format!("{field}.permission");
            checks::compile(check, place, &field, spec, errors).map(Box::new)
        }),
    }
}

/// An authentication context class: sent among others, and shown in quotes.
pub(super) fn acr(text: &str, field: &str, errors: &mut FieldErrors) {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\');
    if text.is_empty() || !text.bytes().all(plain) {
        errors.push(field, "must be visible ASCII without quotes");
    }
}

/// The greatest age of an authentication.
pub(super) fn max_age(seconds: u64, field: &str, errors: &mut FieldErrors) {
    if seconds < MIN_MAX_AGE {
        errors.push(
            field,
            "must be at least 30s: a login takes a while, and would be too old on its return",
        );
    }
}

fn upstream(upstream: &Upstream, field: &str, errors: &mut FieldErrors) -> CompiledUpstream {
    if upstream.audience.is_some() && upstream.authorization != UpstreamAuthorization::IdentityJwt {
        errors.push(
            format!("{field}.upstream.audience"),
            "is for authorization IdentityJwt: remove it",
        );
    }
    let mut headers: Vec<CompiledHeader> = Vec::with_capacity(upstream.headers.len());
    for (index, header) in upstream.headers.iter().enumerate() {
        let field = format!("{field}.upstream.headers[{index}]");
        let name = header_name(&header.name, &format!("{field}.name"), errors);
        if is_reserved(&name) {
            errors.push(format!("{field}.name"), format!("{name} cannot be set by a policy"));
        }
        if headers.iter().any(|other| other.name == name) {
            errors.push(format!("{field}.name"), format!("{name} is set twice: remove one"));
        }
        if let Some(value) = expression(&header.value, &format!("{field}.value"), errors) {
            headers.push(CompiledHeader { name, value });
        }
    }
    CompiledUpstream {
        authorization: upstream.authorization,
        audience: upstream.audience.clone(),
        headers,
    }
}
