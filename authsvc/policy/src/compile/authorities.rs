//! Route Authorities, and whether the rules below them make sense.

use vestibule_crds::v1alpha1::{Authority, Obtain, Permission};

use super::checks::{self, Place};
use super::provider::Habits;
use super::{Input, client, resources, routes, seconds};
use crate::error::FieldErrors;
use crate::matching::{RouteKey, RouteTable};
use crate::model::{
    Access, CompiledAuthority, CompiledPermission, CompiledRoute, CompiledScope,
    UpstreamAuthorization,
};

/// The most authorities of a policy.
const MAX_AUTHORITIES: usize = 32;
/// The most scopes and the most permissions of an authority.
const MAX_ITEMS: usize = 64;
/// The most scopes that anything needs, and the most audiences and resources.
pub(super) const MAX_LIST: usize = 16;
/// What Vestibule answers of each base.
pub(super) const ENDPOINT: &str = "/authorize";

/// Validates every authority, in the author's order: errors name them by their place.
pub(super) fn compile(
    input: &Input<'_>,
    habits: Option<&Habits>,
    base_path: &str,
    errors: &mut FieldErrors,
) -> Vec<CompiledAuthority> {
    let all = &input.spec.authorities;
    if all.len() > MAX_AUTHORITIES {
        errors.push("spec.authorities", format!("give at most {MAX_AUTHORITIES}"));
    }
    for index in 0..all.len() {
        base(all, index, base_path, errors);
    }
    let fields = (0..all.len()).map(|index| format!("spec.authorities[{index}]"));
    let one =
        |(authority, field): (&Authority, String)| one(authority, &field, input, habits, errors);
    all.iter().zip(fields).map(one).collect()
}

/// A base is written into URLs, headers and cookies as it is, so that it is plain.
fn base(all: &[Authority], index: usize, base_path: &str, errors: &mut FieldErrors) {
    let field = format!("spec.authorities[{index}].base");
    let Some(Authority { base, .. }) = all.get(index) else { return };
    if !is_base(base) {
        errors.push(
            &field,
            "must be a path such as /api/production, of letters, digits and -_.~, without a slash \
             at its end, and not / alone",
        );
        return;
    }
    if is_at_or_below(base, base_path) || is_at_or_below(&format!("{base}{ENDPOINT}"), base_path) {
        errors.push(
            &field,
            format!("{base_path} is Vestibule's own: choose another base, or another basePath"),
        );
    }
    if is_at_or_below(base, "/.well-known") {
        errors.push(&field, "/.well-known is for metadata: choose another base");
    }
    for (other, authority) in all.iter().enumerate() {
        if other < index && authority.base == *base {
            errors.push(&field, format!("spec.authorities[{other}] has this base: merge the two"));
        }
        if base.strip_suffix(ENDPOINT) == Some(&authority.base) {
            errors.push(
                &field,
                format!("is the endpoint of spec.authorities[{other}]: choose another base"),
            );
        }
    }
}

fn is_base(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    let segment = |s: &str| !matches!(s, "" | "." | "..") && s.bytes().all(plain);
    let segments = |rest: &str| rest.split('/').all(segment);
    text.len() <= 256 && text.strip_prefix('/').is_some_and(segments)
}

pub(super) fn is_at_or_below(path: &str, base: &str) -> bool {
    path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn one(
    authority: &Authority,
    field: &str,
    input: &Input<'_>,
    habits: Option<&Habits>,
    errors: &mut FieldErrors,
) -> CompiledAuthority {
    let scopes = scopes(authority, field, errors);
    let audience = authority.audience.clone();
    if audience.as_deref() == Some("") {
        errors.push(format!("{field}.audience"), "must not be empty: remove it");
    }
    resources(&authority.resources, &format!("{field}.resources"), errors);
    at_most(MAX_LIST, authority.resources.len(), &format!("{field}.resources"), errors);
    let max_age = authority.max_age.as_deref();
    let max_age_field = format!("{field}.maxAge");
    let max_age = max_age.map(|text| {
        let age = seconds(text, &max_age_field, errors);
        routes::max_age(age, &max_age_field, errors);
        age
    });
    if let Some(acr) = &authority.acr {
        routes::acr(acr, &format!("{field}.acr"), errors);
    }
    if authority.obtain == Obtain::TokenExchange {
        let text = "needs obtain AuthorizationCode: a token exchange authenticates nobody";
        if authority.acr.is_some() {
            errors.push(format!("{field}.acr"), text);
        }
        if max_age.is_some() {
            errors.push(max_age_field, text);
        }
    }
    let own_client = authority.client.as_ref();
    let client = own_client
        .and_then(|own| client::compile(own, &format!("{field}.client"), input.secrets, errors));
    CompiledAuthority {
        base: authority.base.clone(),
        permissions: permissions(authority, &scopes, field, input, errors),
        scopes,
        added_scopes: habits.map(|habits| habits.added_scopes.clone()).unwrap_or_default(),
        obtain: authority.obtain,
        audience,
        resources: authority.resources.clone(),
        acr: authority.acr.clone(),
        max_age,
        storage: authority.storage,
        client,
    }
}

fn at_most(most: usize, count: usize, field: &str, errors: &mut FieldErrors) {
    if count > most {
        errors.push(field, format!("list at most {most}"));
    }
}

/// Scopes that something needs: not many, each once.
pub(super) fn needed(scopes: &[String], field: &str, errors: &mut FieldErrors) {
    at_most(MAX_LIST, scopes.len(), field, errors);
    for (index, name) in scopes.iter().enumerate() {
        if scopes[..index].contains(name) {
            errors.push(format!("{field}[{index}]"), "is listed twice: remove one");
        }
    }
}

fn scopes(authority: &Authority, field: &str, errors: &mut FieldErrors) -> Vec<CompiledScope> {
    let field = format!("{field}.scopes");
    if authority.scopes.is_empty() {
        errors.push(&field, "list at least one: else there is nothing to elevate to");
    }
    at_most(MAX_ITEMS, authority.scopes.len(), &field, errors);
    for (index, one) in authority.scopes.iter().enumerate() {
        let name = format!("{field}[{index}].name");
        scope(&one.name, &name, errors);
        let reason = match one.name.as_str() {
            "openid" => "is asked for by itself, and gives no right to an API: remove it",
            "offline_access" => {
                "outlives the login, and elevated tokens end with the session: remove it"
            }
            _ if authority.scopes[..index].iter().any(|other| other.name == one.name) => {
                "is listed twice: remove one"
            }
            _ => continue,
        };
        errors.push(name, reason);
    }
    let compiled = authority.scopes.iter().map(|scope| CompiledScope {
        name: scope.name.clone(),
        description: scope.description.clone(),
    });
    compiled.collect()
}

/// A scope (RFC 6749, section 3.3): what may stand in a header's quoted list.
pub(super) fn scope(text: &str, field: &str, errors: &mut FieldErrors) {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\');
    if text.is_empty() || text.len() > 256 || !text.bytes().all(plain) {
        errors.push(
            field,
            "must be 1 to 256 characters of visible ASCII without spaces, quotes and backslashes",
        );
    }
}

fn permissions(
    authority: &Authority,
    scopes: &[CompiledScope],
    field: &str,
    input: &Input<'_>,
    errors: &mut FieldErrors,
) -> Vec<CompiledPermission> {
    if authority.permissions.is_empty() {
        let of_scope = |scope: &CompiledScope| CompiledPermission {
            name: scope.name.clone(),
            description: scope.description.clone(),
            scopes: vec![scope.name.clone()],
            check: None,
        };
        return scopes.iter().map(of_scope).collect();
    }
    let field = format!("{field}.permissions");
    at_most(MAX_ITEMS, authority.permissions.len(), &field, errors);
    let mut compiled: Vec<CompiledPermission> = Vec::with_capacity(authority.permissions.len());
    for (index, one) in authority.permissions.iter().enumerate() {
        let field = format!("{field}[{index}]");
        scope(&one.name, &format!("{field}.name"), errors);
        if compiled.iter().any(|other| other.name == one.name) {
            errors
                .push(format!("{field}.name"), format!("{} is there twice: remove one", one.name));
        }
        compiled.push(permission(one, scopes, &field, input, errors));
    }
    compiled
}

fn permission(
    permission: &Permission,
    scopes: &[CompiledScope],
    field: &str,
    input: &Input<'_>,
    errors: &mut FieldErrors,
) -> CompiledPermission {
    needed(&permission.scopes, &format!("{field}.scopes"), errors);
    for (index, name) in permission.scopes.iter().enumerate() {
        if !scopes.iter().any(|scope| scope.name == *name) {
            errors.push(
                format!("{field}.scopes[{index}]"),
                format!("the authority does not list {name}: list it in its scopes, or remove it"),
            );
        }
    }
    if permission.scopes.is_empty() && permission.check.is_none() {
        errors.push(field, "everybody would have it: give scopes, a check, or both");
    }
    let field = format!("{field}.check");
    let check = permission.check.as_ref();
    CompiledPermission {
        name: permission.name.clone(),
        description: permission.description.clone(),
        scopes: permission.scopes.clone(),
        check: check
            .and_then(|check| checks::compile(check, Place::Authority, &field, input.spec, errors)),
    }
}

/// Whether rules and authorities fit: what a rule needs its authority has, and of what an authority
/// is for some rule lets somebody pass.
pub(super) fn fit_routes(
    authorities: &[CompiledAuthority],
    routes: &[CompiledRoute],
    errors: &mut FieldErrors,
) {
    // What is no base has nothing below it; no canonical path is this.
    let path = |base: &str| if is_base(base) { base.to_owned() } else { "/\u{0}".to_owned() };
    let bases: Vec<RouteKey> = authorities
        .iter()
        .map(|one| RouteKey { path: path(&one.base), exact: false, methods: Vec::new() })
        .collect();
    let bases = RouteTable::new(&bases);
    let innermost = |path: &str| bases.find("", path).and_then(|index| authorities.get(index));
    let rules = Rules::new(routes);
    for (index, route) in routes.iter().enumerate() {
        let field = format!("spec.routes[{index}]");
        let authority = innermost(&route.path);
        scopes_of_rule(route, authority, &field, errors);
        inner_bases(index, route, authority, authorities, &rules, errors);
        let is_endpoint = |one: &CompiledAuthority| route.path == format!("{}{ENDPOINT}", one.base);
        if route.exact && authorities.iter().any(is_endpoint) {
            errors.push(
                format!("{field}.path"),
                format!("{} is Vestibule's own: choose another path", route.path),
            );
        }
        let identity = matches!(
            route.upstream.authorization,
            UpstreamAuthorization::IdToken | UpstreamAuthorization::IdentityJwt
        );
        if let Some(authority) = authority.filter(|_| identity) {
            errors.push(
                format!("{field}.upstream.authorization"),
                format!(
                    "below {} its elevated token is passed on: write AccessToken, or remove it",
                    authority.base
                ),
            );
        }
    }
    for (index, authority) in authorities.iter().enumerate() {
        let below = |route: &CompiledRoute| innermost(&route.path) == Some(authority);
        if !rules.let_somebody_pass(&authority.base, below) {
            errors.push(
                format!("spec.authorities[{index}].base"),
                format!(
                    "no rule below it needs a session, all are Public or Deny: give one such as \
                     {{path: {}, access: Session}}, or remove the authority",
                    authority.base
                ),
            );
        }
    }
}

fn lists(authority: &CompiledAuthority, scope: &str) -> bool {
    authority.scopes.iter().any(|one| one.name == scope)
}

fn scopes_of_rule(
    route: &CompiledRoute,
    authority: Option<&CompiledAuthority>,
    field: &str,
    errors: &mut FieldErrors,
) {
    let Some(authority) = authority else {
        if !route.require.scopes.is_empty() {
            errors.push(
                format!("{field}.require.scopes"),
                "are an authority's, and this rule is below none: give spec.authorities one with a \
                 base at or above the rule's path",
            );
        }
        return;
    };
    for (index, scope) in route.require.scopes.iter().enumerate() {
        if !lists(authority, scope) {
            errors.push(
                format!("{field}.require.scopes[{index}]"),
                format!(
                    "{} does not list {scope}: list it there, or remove it here",
                    authority.base
                ),
            );
        }
    }
}

/// What a rule requires, the requests below an inner base that fall to it could never fulfil.
fn inner_bases(
    index: usize,
    route: &CompiledRoute,
    authority: Option<&CompiledAuthority>,
    authorities: &[CompiledAuthority],
    rules: &Rules<'_>,
    errors: &mut FieldErrors,
) {
    let Some(authority) = authority else { return };
    let required = route.require.scopes.iter();
    let required: Vec<&String> = required.filter(|scope| lists(authority, scope)).collect();
    for inner in authorities {
        let missing = required.iter().find(|scope| !lists(inner, scope));
        if let Some(scope) = missing
            && inner.base != authority.base
            && rules.covers(index, &inner.base)
        {
            errors.push(
                format!("spec.routes[{index}].require.scopes"),
                format!(
                    "{} is below this rule and does not list {scope}: give it a rule of its own",
                    inner.base
                ),
            );
        }
    }
}

/// The rules, asked for what falls to them below a base.
struct Rules<'a> {
    routes: &'a [CompiledRoute],
    table: RouteTable,
    /// Each method that a rule names, and one that none names.
    methods: Vec<&'a str>,
}

impl<'a> Rules<'a> {
    fn new(routes: &'a [CompiledRoute]) -> Self {
        let keys: Vec<RouteKey> = routes.iter().map(routes::key).collect();
        let named = routes.iter().flat_map(|route| route.methods.iter().map(String::as_str));
        let methods = named.chain([""]).collect();
        Self { routes, table: RouteTable::new(&keys), methods }
    }

    /// The rules that requests below a base fall to, where no rule is more exact than the base;
    /// `None`: none, so that a session is needed.
    fn below(&self, base: &str) -> impl Iterator<Item = Option<usize>> {
        // No canonical path has this segment.
        let nobody = format!("{base}/\u{0}");
        self.methods.iter().map(move |method| self.table.find(method, &nobody))
    }

    fn covers(&self, index: usize, base: &str) -> bool {
        self.below(base).any(|found| found == Some(index))
    }

    fn let_somebody_pass(&self, base: &str, below: impl Fn(&CompiledRoute) -> bool) -> bool {
        let needs_session =
            |route: &CompiledRoute| matches!(route.access, Access::Session | Access::Optional);
        let rule =
            |index: Option<usize>| index.is_none_or(|index| needs_session(&self.routes[index]));
        self.below(base).any(rule)
            || self.routes.iter().any(|route| needs_session(route) && below(route))
    }
}
