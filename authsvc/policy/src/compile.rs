//! From what users write to what authsvc runs on.
//!
//! Why it exists: the operator and the directory source must come to the same result. Pure and
//! total: same input, same output, no clock, no client, and every error names the field. It must not
//! stop at the first error, and never guess.

mod authorities;
mod bearer;
mod checks;
mod client;
mod decision_points;
mod hosted_backend;
mod provider;
mod routes;

use std::collections::BTreeMap;

use secrecy::SecretString;
use vestibule_crds::v1alpha1::{BffPolicySpec, BffProviderSpec, SecretKeyRef};

use crate::duration;
use crate::error::{FieldError, FieldErrors};
use crate::model::{CompiledLogin, CompiledLogout, CompiledPolicy, CompiledSession, PolicyId};
use crate::origin::Origin;
use crate::path::Exceptions;
pub use provider::is_loopback_issuer;

/// Looks up one key of a Secret; the error says what is missing and where it was looked for.
pub type SecretLookup<'a> = &'a dyn Fn(&SecretKeyRef) -> Result<SecretString, String>;

/// Everything that one policy is made of.
pub struct Input<'a> {
    /// Which policy this is.
    pub id: PolicyId,
    /// The object's uid.
    pub uid: String,
    /// What its author wrote.
    pub spec: &'a BffPolicySpec,
    /// The provider it names; `None`: there is no such object.
    pub provider: Option<&'a BffProviderSpec>,
    /// Secrets of the policy's namespace.
    pub secrets: SecretLookup<'a>,
    /// Whether `http` is accepted beyond loopback (tests).
    pub allow_insecure: bool,
}

/// Authorization request parameters that the protocol sets itself.
const RESERVED_PARAMETERS: [&str; 19] = [
    "acr_values",
    "claims",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "dpop_jkt",
    "max_age",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "resource",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// Validates and resolves one policy whose provider is of its own namespace.
///
/// # Errors
/// Every field that is wrong, with what to write instead.
pub fn compile(input: &Input<'_>) -> Result<CompiledPolicy, Vec<FieldError>> {
    compile_with(input, input.secrets)
}

/// As [`compile`], with the Secrets that the provider names looked up elsewhere: those of a
/// `ClusterBffProvider` are of Vestibule's namespace, and no policy can name one of these.
///
/// # Errors
/// Every field that is wrong, with what to write instead.
pub fn compile_with(
    input: &Input<'_>,
    provider_secrets: SecretLookup<'_>,
) -> Result<CompiledPolicy, Vec<FieldError>> {
    let mut errors = FieldErrors(Vec::new());
    let spec = input.spec;
    let origins = origins(&spec.origins, "spec.origins", input.allow_insecure, &mut errors);
    if spec.origins.is_empty() || spec.origins.len() > 16 {
        errors.push("spec.origins", "give 1 to 16 origins, such as https://shop.example.com");
    }
    let provider = provider::compile(input, provider_secrets, &mut errors);
    let client = client::compile(&spec.client, "spec.client", input.secrets, &mut errors);
    let login = login(spec, &mut errors);
    let session = session(spec, &mut errors);
    let base_path = plain_path(&spec.base_path, "spec.basePath", &mut errors);
    let routes = routes::compile(spec, &base_path, &mut errors);
    let habits = provider.as_ref().map(|(_, habits)| habits);
    let authorities = authorities::compile(input, habits, &base_path, &mut errors);
    authorities::fit_routes(&authorities, &routes, &mut errors);
    let hosted_backend = hosted_backend::compile(spec, &base_path, &routes, &mut errors);
    let bearer = bearer::compile(spec, habits, &mut errors);
    let open_fga = decision_points::open_fga(input, &mut errors);
    let auth_zen = decision_points::auth_zen(input, &mut errors);
    let paths = Exceptions::new(&spec.paths).unwrap_or_else(|found| {
        errors.0.extend(found);
        Exceptions::default()
    });
    let cors_origins = origins_list(spec, input.allow_insecure, &mut errors);
    let logout_return_to = logout_return_to(spec, &base_path, &mut errors);
    let upstream_headers = routes::header_names(&routes);
    let csrf_header = csrf_header(&spec.csrf.header, &upstream_headers, &mut errors);
    match (provider, client) {
        (Some((provider, _)), Some(client)) if errors.is_empty() => Ok(CompiledPolicy {
            id: input.id.clone(),
            uid: input.uid.clone(),
            origins,
            provider: provider.into(),
            client,
            login: login.into(),
            session: session.into(),
            routes: routes.into(),
            authorities,
            bearer: bearer.map(Box::new),
            open_fga: open_fga.map(Box::new),
            auth_zen: auth_zen.map(Box::new),
            paths,
            csrf_header,
            cors_origins,
            logout_return_to,
            logout: CompiledLogout {
                revoke_tokens: spec.logout.revoke_tokens,
                back_channel: spec.logout.back_channel,
                front_channel: spec.logout.front_channel,
            },
            base_path,
            hosted_backend,
            upstream_headers,
        }),
        _ => Err(errors.0),
    }
}

fn origins(
    texts: &[String],
    field: &str,
    allow_insecure: bool,
    errors: &mut FieldErrors,
) -> Vec<Origin> {
    let mut origins: Vec<Origin> = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let field = format!("{field}[{index}]");
        match Origin::parse(text) {
            Err(message) => errors.push(field, message),
            Ok(origin) if origin.scheme() == "http" && !origin.is_loopback() && !allow_insecure => {
                errors.push(field, "use https: http is accepted on loopback only");
            }
            Ok(origin) if origins.contains(&origin) => {
                errors.push(field, format!("{origin} is listed twice: remove one"));
            }
            Ok(origin) => origins.push(origin),
        }
    }
    origins
}

fn origins_list(
    spec: &BffPolicySpec,
    allow_insecure: bool,
    errors: &mut FieldErrors,
) -> Vec<Origin> {
    origins(&spec.cors.allowed_origins, "spec.cors.allowedOrigins", allow_insecure, errors)
}

fn seconds(text: &str, field: &str, errors: &mut FieldErrors) -> u64 {
    match duration::parse(text) {
        Ok(duration) if duration.subsec_nanos() == 0 => duration.as_secs(),
        Ok(_) => {
            errors.push(field, "give whole seconds, such as 90s");
            0
        }
        Err(message) => {
            errors.push(field, message);
            0
        }
    }
}

fn login(spec: &BffPolicySpec, errors: &mut FieldErrors) -> CompiledLogin {
    let login = &spec.login;
    if !login.scopes.iter().any(|scope| scope == "openid") {
        errors.push("spec.login.scopes", "must contain openid: this is an OpenID Connect login");
    }
    tokens(&login.scopes, "spec.login.scopes", errors);
    tokens(&login.acr_values, "spec.login.acrValues", errors);
    resources(&login.resources, "spec.login.resources", errors);
    for name in login.extra_parameters.keys() {
        if RESERVED_PARAMETERS.contains(&name.as_str()) {
            errors.push(
                format!("spec.login.extraParameters.{name}"),
                "Vestibule sets this parameter itself: remove it",
            );
        }
    }
    CompiledLogin {
        scopes: login.scopes.clone(),
        par: login.par,
        acr_values: login.acr_values.clone(),
        max_age: login.max_age.as_deref().map(|text| seconds(text, "spec.login.maxAge", errors)),
        resources: login.resources.clone(),
        extra_parameters: BTreeMap::clone(&login.extra_parameters),
        user_info: login.user_info,
    }
}

fn resources(values: &[String], field: &str, errors: &mut FieldErrors) {
    for (index, resource) in values.iter().enumerate() {
        let absolute = url::Url::parse(resource).is_ok_and(|url| url.fragment().is_none());
        if !absolute {
            errors.push(
                format!("{field}[{index}]"),
                "must be an absolute URI without a fragment (RFC 8707, section 2)",
            );
        }
    }
}

/// Space-separated on the wire, so no element may hold a space or a control character.
fn tokens(values: &[String], field: &str, errors: &mut FieldErrors) {
    for (index, value) in values.iter().enumerate() {
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_graphic() && b != b'"') {
            errors.push(
                format!("{field}[{index}]"),
                "must be visible ASCII without spaces and quotes",
            );
        }
    }
}

fn session(spec: &BffPolicySpec, errors: &mut FieldErrors) -> CompiledSession {
    let session = &spec.session;
    let before = errors.0.len();
    let idle_timeout = seconds(&session.idle_timeout, "spec.session.idleTimeout", errors);
    let absolute_timeout =
        seconds(&session.absolute_timeout, "spec.session.absoluteTimeout", errors);
    if errors.0.len() == before {
        if idle_timeout == 0 {
            errors.push("spec.session.idleTimeout", "must be at least 1s");
        }
        if absolute_timeout < idle_timeout {
            errors.push("spec.session.absoluteTimeout", "must not be less than idleTimeout");
        }
        if absolute_timeout > 400 * 24 * 3600 {
            errors.push("spec.session.absoluteTimeout", "must be at most 9600h");
        }
    }
    let name = &session.cookie.name;
    let rest = name.strip_prefix("__Host-").unwrap_or_default();
    let token = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if rest.is_empty() || name.len() > 64 || !rest.bytes().all(token) {
        errors.push(
            "spec.session.cookie.name",
            "must be __Host- and 1 to 57 letters, digits, '-', '_' or '.'",
        );
    }
    if name.to_ascii_lowercase().starts_with("__host-bff-login-") {
        errors.push(
            "spec.session.cookie.name",
            "__Host-bff-login-… is for login transactions: choose another name",
        );
    }
    CompiledSession {
        idle_timeout,
        absolute_timeout,
        cookie_name: name.clone(),
        same_site: session.cookie.same_site,
        claims: session.claims.clone(),
    }
}

/// The prefix of endpoints of ours.
fn plain_path(text: &str, field: &str, errors: &mut FieldErrors) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let segments_plain = text
        .strip_prefix('/')
        .is_some_and(|rest| rest.split('/').all(|s| !s.is_empty() && s.bytes().all(plain)));
    if !segments_plain {
        errors.push(
            field,
            "must be a path such as /bff, of letters, digits, '-' and '_', without a slash at its end",
        );
    }
    text.to_owned()
}

/// A header name in lower case (RFC 9110, section 5.1), without characters that CGI-like servers
/// fold together.
pub(crate) fn header_name(text: &str, field: &str, errors: &mut FieldErrors) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) {
        errors.push(field, "a header name is 1 to 64 letters, digits and '-'");
    }
    text.to_ascii_lowercase()
}

/// A header that no browser sends by itself, or its presence would prove nothing.
fn csrf_header(text: &str, upstream_headers: &[String], errors: &mut FieldErrors) -> String {
    let field = "spec.csrf.header";
    let before = errors.0.len();
    let name = header_name(text, field, errors);
    if errors.0.len() == before && (!name.starts_with("x-") || routes::is_reserved(&name)) {
        errors.push(field, "must begin with X- and be none that gateways use, such as X-Bff");
    }
    if upstream_headers.contains(&name) {
        errors.push(field, format!("{name} is set for the app by a route: choose another name"));
    }
    name
}

fn logout_return_to(spec: &BffPolicySpec, base_path: &str, errors: &mut FieldErrors) -> String {
    let Some(text) = &spec.logout.return_to else { return format!("{base_path}/signed-out") };
    if crate::path::parse_target(text, &Exceptions::default()).is_err() {
        errors.push("spec.logout.returnTo", "must be a path on the app's origin, such as /");
    }
    text.clone()
}
