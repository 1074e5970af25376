//! `BffPolicy`: one app, its origins, its provider, its sessions and its routes.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;
use super::{
    AuthZen, Authority, Bearer, BffPolicyStatus, HostedBackend, OpenFga, Paths, Route, TargetRef,
};
use crate::bounds::{block, list, text};

/// Protects one app: who logs in where, how long a session lives, and what each route asks for.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "vestibule.dev",
    version = "v1alpha1",
    kind = "BffPolicy",
    plural = "bffpolicies",
    shortname = "bff",
    category = "vestibule",
    namespaced,
    status = "BffPolicyStatus",
    derive = "PartialEq",
    doc = "Protects one app: who logs in where, how long a session lives, and what each route asks for.",
    validation = Rule::new(rules::POLICY_NAME_RULE).message(Message::Message(rules::POLICY_NAME_MESSAGE.to_owned())),
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Programmed","type":"string","jsonPath":".status.conditions[?(@.type==\"Programmed\")].status"}"#,
    printcolumn = r#"{"name":"Provider","type":"string","jsonPath":".spec.providerRef.name"}"#,
    printcolumn = r#"{"name":"Origin","type":"string","jsonPath":".status.origins[0]"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type==\"Accepted\")].reason"}"#,
    printcolumn = r#"{"name":"Message","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type==\"Accepted\")].message"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct BffPolicySpec {
    /// What the policy protects, on Kubernetes: objects of its own namespace that route traffic to
    /// the app. An `Ingress` or `IngressRoute` that names the policy in the annotation
    /// `vestibule.dev/policy` is protected as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = rules::targets())]
    pub target_refs: Vec<TargetRef>,

    /// The public URLs of the app as scheme, host and optional port, such as
    /// `https://shop.example.com`. One host belongs to one policy. `http` is accepted on loopback
    /// only, or where the installation allows it for tests. Default, on Kubernetes: what the hosts
    /// and TLS settings of the targets say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = list(16, rules::origin()).set())]
    pub origins: Vec<String>,

    /// The provider that users log in at.
    pub provider_ref: ProviderRef,

    /// How Vestibule is registered at the provider.
    pub client: Client,

    /// What a login asks the provider for.
    #[serde(default)]
    pub login: Login,

    /// How long a session lives, and its cookie.
    #[serde(default)]
    pub session: Session,

    /// What each route asks for; the most specific rule wins. A request that no rule matches needs
    /// a session.
    #[serde(default)]
    #[schemars(transform = list(256, block()))]
    pub routes: Vec<Route>,

    /// Route Authorities: API route hierarchies with elevated tokens of their own. Bases are disjoint
    /// or nested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = rules::authorities())]
    pub authorities: Vec<Authority>,

    /// Callers below the authorities' bases that bring an access token instead of a session. Default:
    /// none; a token that a client brings then counts for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<Bearer>,

    /// The OpenFGA server that `openFga` checks ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_fga: Option<OpenFga>,

    /// The decision point that `authZen` checks ask (OpenID AuthZEN Authorization API 1.0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_zen: Option<AuthZen>,

    /// Exceptions to canonical paths. Without them a path with an encoded slash, a dot segment, a
    /// `;` and the like is refused with 403.
    #[serde(default)]
    pub paths: Paths,

    /// How requests that a session cookie authorises are protected against cross-site forgery.
    #[serde(default)]
    pub csrf: Csrf,

    /// Other origins whose scripts may call the app.
    #[serde(default)]
    pub cors: Cors,

    /// How sessions end, here and at the provider.
    #[serde(default)]
    pub logout: Logout,

    /// The path below which Vestibule answers on the app's own origins: `login`, `callback`,
    /// `session`, `logout` and the rest.
    #[serde(default = "default_base_path")]
    #[schemars(transform = rules::base_path())]
    pub base_path: String,

    /// Endpoints in the shape that another product's SDKs expect, beside those below `basePath`.
    /// Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosted_backend: Option<HostedBackend>,
}

fn default_base_path() -> String {
    "/bff".to_owned()
}

/// Names a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderRef {
    /// The kind of the provider object.
    #[serde(default)]
    pub kind: ProviderKind,
    /// The name of the provider object; a `BffProvider` is looked for in the policy's namespace.
    #[schemars(transform = rules::name())]
    pub name: String,
}

/// The kinds of provider object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProviderKind {
    /// A provider of the policy's own namespace.
    #[default]
    BffProvider,
    /// A provider of the whole cluster, on Kubernetes.
    ClusterBffProvider,
}

/// How Vestibule is registered at the provider: a confidential client (RFC 6749, section 2.1).
/// Exactly one of `secretRef` and `privateKeyJwt` is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::client())]
pub struct Client {
    /// The client identifier.
    #[schemars(transform = text(1024).not_empty())]
    pub id: String,

    /// The client secret, in a Secret of the policy's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,

    /// How the secret is sent to the token endpoint. Default: what the provider lists, and
    /// `ClientSecretBasic` where it lists nothing (OpenID Connect Discovery 1.0, section 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_method: Option<ClientAuthMethod>,

    /// Authenticate with a signed assertion instead of a secret (OpenID Connect Core 1.0,
    /// section 9; RFC 7523).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key_jwt: Option<PrivateKeyJwt>,
}

/// How a client secret is sent to the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClientAuthMethod {
    /// In the `Authorization` header (RFC 6749, section 2.3.1).
    ClientSecretBasic,
    /// In the request's form.
    ClientSecretPost,
}

/// The key of `private_key_jwt` client authentication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrivateKeyJwt {
    /// The private key as PKCS#8 PEM (P-256 for ES256, RSA of at least 2048 bits for RS256 and PS256), in a Secret of
    /// the policy's namespace.
    pub key_ref: SecretKeyRef,
    /// The signature algorithm: `ES256`, `PS256` or `RS256`. Default: `ES256` for a P-256 key, else
    /// `RS256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::assertion_algorithm())]
    pub algorithm: Option<String>,
    /// The `kid` that the provider knows the key by. Default: none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = text(256))]
    pub key_id: Option<String>,
}

/// One key of a Secret in the same namespace. Standalone: the file
/// `SECRETS/NAMESPACE/NAME/KEY`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// The Secret's name.
    #[schemars(transform = rules::name())]
    pub name: String,
    /// The key within it.
    #[schemars(transform = rules::secret_key())]
    pub key: String,
}

/// What a login asks the provider for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Login {
    /// The scopes to request; must contain `openid`.
    #[schemars(transform = rules::scopes())]
    pub scopes: Vec<String>,
    /// Whether authorization requests are pushed to the provider first (RFC 9126).
    pub par: Par,
    /// The `acr_values` to request at every login, most preferred first. The ID token must then
    /// carry one of them.
    #[schemars(transform = rules::acr_values())]
    pub acr_values: Vec<String>,
    /// The greatest age of the user's authentication at the provider, as a duration. The ID
    /// token's `auth_time` must then fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::duration())]
    pub max_age: Option<String>,
    /// The resources that access tokens are for (RFC 8707): absolute URIs without a fragment.
    #[schemars(transform = rules::resources())]
    pub resources: Vec<String>,
    /// Further parameters of the authorization request, such as `prompt` or `kc_idp_hint`. Those
    /// that the protocol sets itself are refused.
    #[schemars(transform = rules::extra_parameters())]
    pub extra_parameters: BTreeMap<String, String>,
    /// Whether claims are completed from the provider's UserInfo endpoint at login.
    pub user_info: bool,
}

impl Default for Login {
    fn default() -> Self {
        Self {
            scopes: ["openid", "profile", "email"].map(str::to_owned).to_vec(),
            par: Par::default(),
            acr_values: Vec::new(),
            max_age: None,
            resources: Vec::new(),
            extra_parameters: BTreeMap::new(),
            user_info: false,
        }
    }
}

/// Whether authorization requests are pushed to the provider first (RFC 9126).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Par {
    /// Where the provider offers it.
    #[default]
    WhenSupported,
    /// Always; a provider that does not offer it fails the login.
    Required,
    /// Never.
    Never,
}

/// How long a session lives, and its cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules::session())]
pub struct Session {
    /// A session that is not used for this long ends.
    #[schemars(transform = rules::duration())]
    pub idle_timeout: String,
    /// A session ends this long after the login, used or not.
    #[schemars(transform = rules::duration())]
    pub absolute_timeout: String,
    /// The session cookie.
    pub cookie: Cookie,
    /// The claims that `GET /bff/session` shows to the app's scripts.
    #[schemars(transform = rules::claims())]
    pub claims: Vec<String>,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            idle_timeout: "30m".to_owned(),
            absolute_timeout: "12h".to_owned(),
            cookie: Cookie::default(),
            claims: ["sub", "name", "email", "preferred_username", "picture"]
                .map(str::to_owned)
                .to_vec(),
        }
    }
}

/// The session cookie. It is always `Secure`, `HttpOnly`, `Path=/` and without `Domain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Cookie {
    /// The cookie's name; must begin with `__Host-`.
    #[schemars(transform = rules::cookie_name())]
    pub name: String,
    /// When browsers send the cookie on requests that other sites cause.
    pub same_site: SameSite,
}

impl Default for Cookie {
    fn default() -> Self {
        Self { name: "__Host-bff".to_owned(), same_site: SameSite::Lax }
    }
}

/// The `SameSite` attribute of the session cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SameSite {
    /// Sent when the user follows a link from another site.
    #[default]
    Lax,
    /// Never sent on a request that another site caused.
    Strict,
}

/// How requests that a session cookie authorises are protected against cross-site forgery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Csrf {
    /// The header that scripts send where the browser gives no Fetch Metadata, and from allowed
    /// CORS origins; any value counts.
    #[schemars(transform = rules::csrf_header())]
    pub header: String,
}

impl Default for Csrf {
    fn default() -> Self {
        Self { header: "X-Bff".to_owned() }
    }
}

/// Other origins whose scripts may call the app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Cors {
    /// Literal origins, such as `https://admin.example.com`.
    #[schemars(transform = list(64, rules::origin()))]
    pub allowed_origins: Vec<String>,
}

/// How sessions end, here and at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Logout {
    /// Where the browser goes after a logout, as a path on the app's origin. Default: Vestibule's
    /// own signed-out page. The provider must know it, joined to the origin, as a post-logout redirect URI.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::return_to())]
    pub return_to: Option<String>,
    /// Whether refresh and access token are revoked at the provider when their user logs out
    /// (RFC 7009), where it offers that.
    pub revoke_tokens: bool,
    /// Whether the provider may end sessions by a call to `backchannel-logout` (OpenID Connect
    /// Back-Channel Logout 1.0).
    pub back_channel: bool,
    /// Whether the provider may end a browser's session by a frame of `frontchannel-logout` (OpenID
    /// Connect Front-Channel Logout 1.0).
    pub front_channel: bool,
}

impl Default for Logout {
    fn default() -> Self {
        Self { return_to: None, revoke_tokens: true, back_channel: true, front_channel: true }
    }
}
