//! Every name that parts of Vestibule and the cluster agree on, each written once.
//!
//! Why it exists: a label that the operator writes and the service reads must not be spelled twice.
//! Only constants belong here; what is computed from them lives with who computes it.

/// Version of the API that is served and stored.
pub const VERSION: &str = "v1alpha1";

/// On an `Ingress` or `IngressRoute`: the `BffPolicy` of its namespace that protects it. The same
/// as a target reference of that policy.
pub const POLICY_ANNOTATION: &str = "vestibule.dev/policy";
/// On anything that stays closed after its policy was deleted: opened on purpose, with the value
/// [`RELEASE_VALUE`].
pub const RELEASE_ANNOTATION: &str = "vestibule.dev/release";
/// The only value of [`RELEASE_ANNOTATION`] that releases.
pub const RELEASE_VALUE: &str = "true";
/// On a target: Vestibule has written to it. Another value of what it wrote is then a hand edit,
/// which is repaired, and not somebody else's setting, which is refused.
pub const WIRED_ANNOTATION: &str = "vestibule.dev/wired";
/// On a target: the annotations, with commas, that had another value when Vestibule first wrote its
/// own. The policy is refused until its author removes this.
pub const REPLACED_ANNOTATION: &str = "vestibule.dev/replaced";

/// On everything that Vestibule creates, with the value [`MANAGED_BY_VALUE`].
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Who manages it.
pub const MANAGED_BY_VALUE: &str = "vestibule";
/// On everything that Vestibule creates for one policy: its id, 40 hexadecimal digits of a hash
/// over namespace and name (`vestibule_policy::handoff::policy_id_label`).
pub const POLICY_ID_LABEL: &str = "vestibule.dev/policy-id";
/// On children in Vestibule's namespace: the policy's namespace.
pub const POLICY_NAMESPACE_ANNOTATION: &str = "vestibule.dev/policy-namespace";
/// On children in Vestibule's namespace: the policy's name.
pub const POLICY_NAME_ANNOTATION: &str = "vestibule.dev/policy-name";

/// On Secrets that hold a compiled policy, with the value [`COMPILED_VALUE`].
pub const COMPILED_LABEL: &str = "vestibule.dev/compiled-policy";
/// The value of [`COMPILED_LABEL`].
pub const COMPILED_VALUE: &str = "true";
/// The type of Secrets that hold a compiled policy.
pub const COMPILED_SECRET_TYPE: &str = "vestibule.dev/compiled-policy";
/// On Secrets that hold a compiled policy: the hash of their content.
pub const HASH_ANNOTATION: &str = "vestibule.dev/hash";
/// What the names of Secrets with a compiled policy begin with; the policy's id follows.
pub const COMPILED_SECRET_PREFIX: &str = "vestibule-policy-";
/// What the names of `/bff` routes begin with; the policy's id follows.
pub const BFF_ROUTE_PREFIX: &str = "vestibule-bff-";
/// What the names of Traefik middlewares begin with; the policy's name follows.
pub const MIDDLEWARE_PREFIX: &str = "vestibule-";
/// The longest name of a `BffPolicy`: with [`MIDDLEWARE_PREFIX`] it is a DNS label still.
pub const MAX_POLICY_NAME: usize = 53;
/// The key of a compiled policy within its Secret.
pub const COMPILED_KEY: &str = "policy.json";
/// The key of the client's credential within the Secret of a compiled policy.
pub const CREDENTIAL_KEY: &str = "credential";
/// What the keys of authorities' own credentials begin with there; the place of the authority follows.
pub const AUTHORITY_CREDENTIAL_PREFIX: &str = "credential-authority-";
/// The key of the OpenFGA server's token there.
pub const OPEN_FGA_CREDENTIAL_KEY: &str = "credential-open-fga";
/// The key of the AuthZEN decision point's token there.
pub const AUTH_ZEN_CREDENTIAL_KEY: &str = "credential-auth-zen";

/// The field manager of server-side apply.
pub const FIELD_MANAGER: &str = "vestibule";
/// The field manager of status writes.
pub const STATUS_FIELD_MANAGER: &str = "vestibule-status";

/// What is appended to the chart's full name for the Secret with the keyring and the admin token.
pub const KEYS_SECRET_SUFFIX: &str = "-keys";
/// The Secret with the keyring and the admin token where nothing else is configured.
pub const DEFAULT_KEYS_SECRET: &str = "vestibule-keys";
/// The key of the keyring within the keys Secret.
pub const KEYRING_KEY: &str = "keyring.yaml";
/// The key of the admin token within the keys Secret.
pub const ADMIN_TOKEN_KEY: &str = "admin-token";

/// Kinds and groups that a policy can be targeted at.
pub mod target {
    /// The group of `Ingress` and `IngressClass`.
    pub const INGRESS_GROUP: &str = "networking.k8s.io";
    /// `Ingress`.
    pub const INGRESS_KIND: &str = "Ingress";
    /// The group of Traefik's `IngressRoute` and `Middleware`.
    pub const TRAEFIK_GROUP: &str = "traefik.io";
    /// The version of Traefik's kinds.
    pub const TRAEFIK_VERSION: &str = "v1alpha1";
    /// Traefik's `IngressRoute`.
    pub const INGRESS_ROUTE_KIND: &str = "IngressRoute";
    /// Traefik's `Middleware`.
    pub const MIDDLEWARE_KIND: &str = "Middleware";
}

/// What `IngressClass.spec.controller` says for the controllers that Vestibule can wire.
pub mod controller {
    /// ingress-nginx, or Traefik's provider that reads the same annotations.
    pub const INGRESS_NGINX: &str = "k8s.io/ingress-nginx";
    /// Traefik's own provider for `Ingress`.
    pub const TRAEFIK: &str = "traefik.io/ingress-controller";
}
