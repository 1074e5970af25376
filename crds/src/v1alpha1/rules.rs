//! The bounds that several types share, and those too long to stand at a field.
//!
//! Each is what `vestibule_policy::compile` says of the same text, as far as CEL can say it.

use crate::bounds::{Bounds, block, list, map, text};

/// A name of an object.
pub(super) fn name() -> Bounds {
    text(253).rule(
        "self.matches(r'^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')",
        "must be the name of an object: lower-case letters, digits, '-' and '.'",
    )
}

/// A key of a Secret.
pub(super) fn secret_key() -> Bounds {
    text(253).rule(
        "self.matches(r'^[-._a-zA-Z0-9]+$')",
        "must be a key of a Secret: letters, digits, '-', '_' and '.'",
    )
}

/// A policy's own name.
pub(super) const POLICY_NAME_RULE: &str =
    "size(self.metadata.name) <= 53 && !self.metadata.name.contains('.')";
/// What to do about it.
pub(super) const POLICY_NAME_MESSAGE: &str =
    "metadata.name must have at most 53 characters and no '.': other names are made from it";

/// An object that a policy targets.
pub(super) fn target() -> Bounds {
    block().rule(
        "(self.group == 'networking.k8s.io' && self.kind == 'Ingress') || \
         (self.group == 'traefik.io' && self.kind == 'IngressRoute')",
        "write group networking.k8s.io with kind Ingress, or group traefik.io with kind IngressRoute",
    )
}

/// What a policy targets.
pub(super) fn targets() -> Bounds {
    list(16, block()).keyed_by(&["group", "kind", "name"])
}

/// The conditions of a status: one for each type.
pub(super) fn conditions() -> Bounds {
    list(16, block()).keyed_by(&["type"])
}

/// An origin.
pub(super) fn origin() -> Bounds {
    text(300).rule(
        r"self.matches(r'(?i)^https?://[^/\\?#@*%,\s]+$')",
        "write an origin such as https://shop.example.com: scheme, host and port only, no path and no wildcard",
    )
}

/// A duration (GEP-2257).
pub(super) fn duration() -> Bounds {
    text(32).rule(
        "self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$')",
        "write a duration such as 30m, 1h30m or 90s (units h, m, s, ms)",
    )
}

/// The duration of a request to the provider.
pub(super) fn request_timeout() -> Bounds {
    duration().rule(
        "!self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') || \
         (duration(self) >= duration('1s') && duration(self) < duration('61s'))",
        "must be between 1s and 60s",
    )
}

/// How old an authentication may be before a route asks for another.
pub(super) fn route_max_age() -> Bounds {
    duration().rule(
        "!self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') || duration(self) >= duration('30s')",
        "must be at least 30s: a login takes a while, and would be too old on its return",
    )
}

/// A session's timeouts, which belong together.
pub(super) fn session() -> Bounds {
    let both = "self.idleTimeout.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') && \
                self.absoluteTimeout.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$')";
    let rule = |says: &str| format!("!({both}) || {says}");
    block()
        .rule_at(
            ".idleTimeout",
            &rule("duration(self.idleTimeout) >= duration('1s')"),
            "must be at least 1s",
        )
        .rule_at(
            ".absoluteTimeout",
            &rule("duration(self.absoluteTimeout) >= duration(self.idleTimeout)"),
            "must not be less than idleTimeout",
        )
        .rule_at(
            ".absoluteTimeout",
            &rule("duration(self.absoluteTimeout) <= duration('9600h')"),
            "must be at most 9600h",
        )
}

/// A session cookie's name.
pub(super) fn cookie_name() -> Bounds {
    text(64)
        .rule(
            "self.matches(r'^__Host-[-._A-Za-z0-9]{1,57}$')",
            "must be __Host- and 1 to 57 letters, digits, '-', '_' or '.'",
        )
        .rule(
            "!self.lowerAscii().startsWith('__host-bff-login-')",
            "__Host-bff-login-... is for login transactions: choose another name",
        )
}

/// A value that is sent in a space-separated list.
fn token() -> Bounds {
    text(256).rule("self.matches(r'^[!#-~]+$')", "must be visible ASCII without spaces and quotes")
}

/// Scopes of a login.
pub(super) fn scopes() -> Bounds {
    list(64, token())
        .rule("'openid' in self", "must contain openid: this is an OpenID Connect login")
}

/// Authentication context classes of a login.
pub(super) fn acr_values() -> Bounds {
    list(16, token())
}

/// The one authentication context class of a route.
pub(super) fn acr() -> Bounds {
    text(256).rule(
        r"self.matches(r'^[!#-\[\]-~]+$')",
        "must be visible ASCII without spaces, quotes and backslashes",
    )
}

/// Names of claims.
pub(super) fn claims() -> Bounds {
    list(64, text(256))
}

/// Resources of access tokens.
pub(super) fn resources() -> Bounds {
    let uri = text(2048).rule(
        "self.matches(r'^[A-Za-z][-+.A-Za-z0-9]*:[^#]*$')",
        "must be an absolute URI without a fragment (RFC 8707, section 2)",
    );
    list(16, uri)
}

/// Further parameters of an authorization request.
pub(super) fn extra_parameters() -> Bounds {
    map(32, text(2048))
        .rule(
            "self.all(name, !(name in ['acr_values', 'claims', 'client_assertion', \
             'client_assertion_type', 'client_id', 'client_secret', 'code_challenge', \
             'code_challenge_method', 'dpop_jkt', 'max_age', 'nonce', 'redirect_uri', 'request', \
             'request_uri', 'resource', 'response_mode', 'response_type', 'scope', 'state']))",
            "Vestibule sets state, scope, client_id and the like itself: remove them",
        )
        .rule("self.all(name, size(name) <= 128)", "a name has at most 128 characters")
}

/// The header that scripts send.
pub(super) fn csrf_header() -> Bounds {
    text(64).rule(
        "self.matches(r'^[Xx]-[-A-Za-z0-9]*$') && \
         !self.lowerAscii().matches(r'^x-(forwarded|original|envoy|accel)-')",
        "must begin with X-, be of letters, digits and '-', and be none that gateways use, such as X-Bff",
    )
}

/// A header for the app.
pub(super) fn upstream_header() -> Bounds {
    let message = "cannot be set by a policy: it belongs to the transfer, the gateway or Vestibule";
    // Two rules: one would cost more than an API server grants.
    text(64)
        .rule(
            "self.matches(r'^[-A-Za-z0-9]+$')",
            "a header name is 1 to 64 letters, digits and '-'",
        )
        .rule(
            "!self.matches(r'(?i)^((access-control|sec|x-forwarded|x-original|x-envoy|x-accel)-.*|\
             host|origin|date|expect|server|location|te|trailer|upgrade)$')",
            message,
        )
        .rule(
            "!self.matches(r'(?i)^(authorization|cache-control|connection|content-(encoding|length|type)|\
             cookie|keep-alive|proxy-authorization|retry-after|set-cookie|transfer-encoding|\
             www-authenticate)$')",
            message,
        )
}

/// Headers for the app.
pub(super) fn upstream_headers() -> Bounds {
    list(32, block()).keyed_by(&["name"])
}

/// A path on the app's origin.
pub(super) fn path(max: u32) -> Bounds {
    text(max).rule("self.startsWith('/')", "write a path that begins with '/', such as /api")
}

/// Where a logout leads.
pub(super) fn return_to() -> Bounds {
    text(2048).rule(
        "self.startsWith('/') && !self.startsWith('//')",
        "must be a path on the app's origin, such as /",
    )
}

/// Below which Vestibule answers.
pub(super) fn base_path() -> Bounds {
    text(128).rule(
        "self.matches(r'^(/[-_A-Za-z0-9]+)+$')",
        "must be a path such as /bff, of letters, digits, '-' and '_', without a slash at its end",
    )
}

/// Methods of a rule.
pub(super) fn methods() -> Bounds {
    let method =
        text(32).rule("self.matches(r'^[-A-Z]+$')", "must be a method in capitals, such as GET");
    list(16, method)
}

/// What a rule cannot say together.
pub(super) fn route() -> Bounds {
    block()
        .rule_at(
            ".upstream",
            "!(self.access in ['Public', 'Deny']) || (self.upstream.authorization == 'None' && \
             size(self.upstream.headers) == 0)",
            "a Public or Deny route passes no identity on: use access Optional or Session",
        )
        .rule_at(
            ".require",
            "self.access == 'Session' || !has(self.require)",
            "only a route with access Session can require something of it: remove one of the two",
        )
        .rule_at(
            ".unauthenticated",
            "self.access == 'Session' || self.unauthenticated == 'Auto'",
            "only a route with access Session refuses the unauthenticated: remove it",
        )
}

/// What a rule requires.
pub(super) fn require() -> Bounds {
    block().rule(
        "has(self.acr) || has(self.maxAge) || has(self.expression) || has(self.permission) || \
         (has(self.scopes) && size(self.scopes) > 0)",
        "is empty: give acr, maxAge, expression, scopes or permission",
    )
}

/// What the app gets.
pub(super) fn upstream() -> Bounds {
    block().rule_at(
        ".audience",
        "!has(self.audience) || self.authorization == 'IdentityJwt'",
        "is for authorization IdentityJwt: remove it",
    )
}

/// The client's one credential.
pub(super) fn client() -> Bounds {
    block()
        .rule(
            "has(self.secretRef) || has(self.privateKeyJwt)",
            "give secretRef or privateKeyJwt: Vestibule is a confidential client",
        )
        .rule(
            "!(has(self.secretRef) && has(self.privateKeyJwt))",
            "give either secretRef or privateKeyJwt, not both",
        )
        .rule_at(
            ".authMethod",
            "!(has(self.authMethod) && has(self.privateKeyJwt))",
            "is for a client secret: remove it, privateKeyJwt says enough",
        )
}

/// The algorithm of a client's assertions.
pub(super) fn assertion_algorithm() -> Bounds {
    text(16).rule("self in ['ES256', 'PS256', 'RS256']", "write ES256, PS256 or RS256")
}

/// An issuer.
pub(super) fn issuer() -> Bounds {
    text(2048).rule(
        r"self.matches(r'(?i)^https?://[^/?#@\s]+(/[^?#\s]*)?$')",
        "write the issuer as the provider does: an https URL without user, query and fragment",
    )
}

/// A host that is granted.
pub(super) fn granted_host() -> Bounds {
    text(253).rule(
        "self.matches(r'^([*][.])?[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
        "write a host in lower case, such as shop.example.com, or *.example.com for every name below",
    )
}

/// A selector of namespaces.
pub(super) fn selector() -> Bounds {
    let expression = block()
        .field("key", text(317).not_empty())
        .field("operator", text(32))
        .field("values", list(64, text(63)))
        .rule(
            "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : \
             self.operator in ['Exists', 'DoesNotExist'] && (!has(self.values) || size(self.values) == 0)",
            "write operator In or NotIn with values, or Exists or DoesNotExist without",
        );
    block().field("matchLabels", map(32, text(63))).field("matchExpressions", list(32, expression))
}

/// A scope of an authority: it stands in headers in quotes.
pub(super) fn scope() -> Bounds {
    text(256).rule(
        r"self.matches(r'^[!#-\[\]-~]+$')",
        "must be visible ASCII without spaces, quotes and backslashes",
    )
}

/// Route Authorities.
pub(super) fn authorities() -> Bounds {
    list(32, block()).keyed_by(&["base"])
}

/// What an authority cannot say together.
pub(super) fn authority() -> Bounds {
    block().rule(
        "self.obtain == 'AuthorizationCode' || !(has(self.acr) || has(self.maxAge))",
        "acr and maxAge need obtain AuthorizationCode: a token exchange authenticates nobody",
    )
}

/// The base of an authority.
pub(super) fn authority_base() -> Bounds {
    text(256).rule(
        "self.matches(r'^(/[-_.~A-Za-z0-9]+)+$')",
        "must be a path such as /api/production, of letters, digits and -_.~, without a slash at its end",
    )
}

/// The scopes of an authority.
pub(super) fn authority_scopes() -> Bounds {
    list(64, block()).some().keyed_by(&["name"])
}

/// The permissions of an authority.
pub(super) fn permissions() -> Bounds {
    list(64, block()).keyed_by(&["name"])
}

/// One permission of an authority.
pub(super) fn permission() -> Bounds {
    block().rule(
        "has(self.check) || size(self.scopes) > 0",
        "everybody would have it: give scopes, a check, or both",
    )
}

/// The scopes that a permission needs. A rule for each would cost more than an API server grants:
/// they are the authority's, which have it.
pub(super) fn permission_scopes() -> Bounds {
    list(16, text(256).not_empty()).set()
}

/// The scopes that a rule of routes needs.
pub(super) fn required_scopes() -> Bounds {
    list(16, scope()).set()
}

/// Who is asked.
pub(super) fn permission_check() -> Bounds {
    block().rule(
        "[has(self.expression), has(self.openFga), has(self.authZen)].filter(given, given).size() == 1",
        "give one of expression, openFga and authZen",
    )
}

/// A name of a relation, an action or a type.
pub(super) fn relation() -> Bounds {
    text(50)
        .rule("self.matches(r'^[A-Za-z0-9_.-]+$')", "must be of letters, digits, '_', '-' and '.'")
}

/// The URL of a server that is asked.
pub(super) fn endpoint() -> Bounds {
    text(2048).rule(
        r"self.matches(r'(?i)^https?://[^/?#@\s]+(/[^?#\s]*)?$')",
        "write an https URL without user, query and fragment",
    )
}

/// An id that OpenFGA gave.
pub(super) fn ulid() -> Bounds {
    text(26).rule(
        "self.matches(r'^[0-9A-HJKMNP-TV-Z]{26}$')",
        "write the 26 characters that OpenFGA shows",
    )
}

/// How long a decision may take.
pub(super) fn decision_timeout() -> Bounds {
    duration().rule(
        "!self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') || \
         (duration(self) >= duration('100ms') && duration(self) <= duration('10s'))",
        "must be between 100ms and 10s",
    )
}

/// How long a decision counts.
pub(super) fn cache_for() -> Bounds {
    duration().rule(
        "!self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') || duration(self) <= duration('5m')",
        "must be at most 5m: for so long a change at the server goes unseen",
    )
}

/// Audiences of bearer tokens.
pub(super) fn audiences() -> Bounds {
    list(16, text(1024).not_empty()).some().set()
}

/// What a provider writes into the headers of its access tokens.
pub(super) fn access_token_types() -> Bounds {
    list(8, text(64).rule("self.matches(r'^[-+./A-Za-z0-9]+$')", "write a typ such as at+jwt"))
        .some()
}

/// The scopes that a provider adds.
pub(super) fn added_scopes() -> Bounds {
    list(64, token())
}
