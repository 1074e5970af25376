//! The conditions of a `BffPolicy` and the reasons they can have (GEP-713).
//!
//! Why it exists: the operator writes them, tests, docs and people's scripts read them. A reason,
//! once released, keeps its name. Messages are written where the fact is known, and name the field.

/// A condition type with what it says, and every reason it can have.
pub struct ConditionType {
    /// Its `type`.
    pub name: &'static str,
    /// What it says when it is `True`.
    pub meaning: &'static str,
    /// Its reasons.
    pub reasons: &'static [Reason],
}

/// One reason of a condition.
pub struct Reason {
    /// The condition's `status` with this reason.
    pub status: &'static str,
    /// The `reason`.
    pub name: &'static str,
    /// What it means and what to do.
    pub meaning: &'static str,
}

const fn reason(status: &'static str, name: &'static str, meaning: &'static str) -> Reason {
    Reason { status, name, meaning }
}

/// The policy is valid and holds its hosts.
pub const ACCEPTED: &str = "Accepted";
/// Every object that the policy names is there and may be used.
pub const RESOLVED_REFS: &str = "ResolvedRefs";
/// Every replica enforces this generation, and the targets are wired to it.
pub const PROGRAMMED: &str = "Programmed";
/// The provider can be logged in at.
pub const PROVIDER_READY: &str = "ProviderReady";
/// No route of another namespace serves one of the policy's hosts.
pub const HOST_EXCLUSIVE: &str = "HostExclusive";

/// Reasons, by condition. Positive ones are named as their condition.
pub mod reasons {
    /// `Accepted`: `True`.
    pub const ACCEPTED: &str = "Accepted";
    /// `Accepted`: a field is wrong.
    pub const INVALID: &str = "Invalid";
    /// `Accepted`: another policy holds a host.
    pub const CONFLICTED: &str = "Conflicted";
    /// `Accepted`: a target does not exist.
    pub const TARGET_NOT_FOUND: &str = "TargetNotFound";
    /// `Accepted`: a target cannot be protected as it is.
    pub const TARGET_REFUSED: &str = "TargetRefused";
    /// `Accepted`: no grant gives a host to the policy's namespace.
    pub const HOST_NOT_GRANTED: &str = "HostNotGranted";
    /// `Accepted`: an origin is no host of a target.
    pub const ORIGIN_NOT_OF_TARGET: &str = "OriginNotOfTarget";
    /// `Accepted`: the target's class or controller cannot be wired.
    pub const UNSUPPORTED: &str = "Unsupported";

    /// `ResolvedRefs`: `True`.
    pub const RESOLVED_REFS: &str = "ResolvedRefs";
    /// `ResolvedRefs`: a Secret or its key does not exist.
    pub const SECRET_NOT_FOUND: &str = "SecretNotFound";
    /// `ResolvedRefs`: a Secret holds what cannot be used.
    pub const INVALID_SECRET: &str = "InvalidSecret";
    /// `ResolvedRefs`: the provider does not exist.
    pub const PROVIDER_NOT_FOUND: &str = "ProviderNotFound";
    /// `ResolvedRefs`: the provider is not for the policy's namespace.
    pub const PROVIDER_NOT_PERMITTED: &str = "ProviderNotPermitted";

    /// `Programmed`: `True`.
    pub const PROGRAMMED: &str = "Programmed";
    /// `Programmed`: the policy is refused, and so is its traffic.
    pub const REFUSED: &str = "Refused";
    /// `Programmed`: replicas have not taken this generation over yet.
    pub const RECONCILING: &str = "Reconciling";
    /// `Programmed`: a target does not name the middleware.
    pub const NOT_ATTACHED: &str = "NotAttached";
    /// `Programmed`: somebody else writes what Vestibule wrote.
    pub const WIRING_CONTESTED: &str = "WiringContested";

    /// `ProviderReady`: `True`.
    pub const READY: &str = "Ready";
    /// `ProviderReady`: discovery or keys could not be read.
    pub const DISCOVERY_FAILED: &str = "DiscoveryFailed";
    /// `ProviderReady`: not tried yet.
    pub const PENDING: &str = "Pending";

    /// `HostExclusive`: `True`.
    pub const EXCLUSIVE: &str = "Exclusive";
    /// `HostExclusive`: a route of another namespace serves one of the hosts.
    pub const FOREIGN_ROUTE: &str = "ForeignRoute";
}

/// Every condition with every reason, as the reference lists them.
pub const ALL: [ConditionType; 5] = [
    ConditionType {
        name: ACCEPTED,
        meaning: "The policy is valid and holds its hosts.",
        reasons: &[
            reason("True", reasons::ACCEPTED, "Nothing to do."),
            reason("False", reasons::INVALID, "Correct the fields that the message names."),
            reason(
                "False",
                reasons::CONFLICTED,
                "Another policy holds the host, or targets the same object: remove it from one of the two.",
            ),
            reason("False", reasons::TARGET_NOT_FOUND, "Create the target or name another."),
            reason(
                "False",
                reasons::TARGET_REFUSED,
                "The target has annotations that undo the protection, or a backend of type ExternalName: remove what the message names.",
            ),
            reason(
                "False",
                reasons::HOST_NOT_GRANTED,
                "A BffHostGrant names the host, but none for this namespace: ask who manages the cluster.",
            ),
            reason(
                "False",
                reasons::ORIGIN_NOT_OF_TARGET,
                "Add the host to a target, or remove the origin.",
            ),
            reason(
                "False",
                reasons::UNSUPPORTED,
                "The target's class is none that this installation knows how to protect.",
            ),
        ],
    },
    ConditionType {
        name: RESOLVED_REFS,
        meaning: "Every object that the policy names is there and may be used.",
        reasons: &[
            reason("True", reasons::RESOLVED_REFS, "Nothing to do."),
            reason("False", reasons::SECRET_NOT_FOUND, "Create the Secret or the key in it."),
            reason(
                "False",
                reasons::INVALID_SECRET,
                "Put into the Secret what the message asks for.",
            ),
            reason("False", reasons::PROVIDER_NOT_FOUND, "Create the provider or name another."),
            reason(
                "False",
                reasons::PROVIDER_NOT_PERMITTED,
                "The ClusterBffProvider is for other namespaces: ask who manages the cluster.",
            ),
        ],
    },
    ConditionType {
        name: PROGRAMMED,
        meaning: "Every replica enforces this generation, and the targets are wired to it.",
        reasons: &[
            reason("True", reasons::PROGRAMMED, "Nothing to do."),
            reason(
                "False",
                reasons::REFUSED,
                "Traffic is refused: see the condition that is False.",
            ),
            reason("False", reasons::RECONCILING, "Wait; the message says what is waited for."),
            reason(
                "False",
                reasons::NOT_ATTACHED,
                "Name the middleware of the message in every route of the IngressRoute.",
            ),
            reason(
                "False",
                reasons::WIRING_CONTESTED,
                "Something else keeps changing what protects the target: stop it.",
            ),
        ],
    },
    ConditionType {
        name: PROVIDER_READY,
        meaning: "The provider's discovery document and keys were read.",
        reasons: &[
            reason("True", reasons::READY, "Nothing to do."),
            reason("False", reasons::DISCOVERY_FAILED, "Nobody can log in: see the message."),
            reason("Unknown", reasons::PENDING, "Wait; it is being tried."),
        ],
    },
    ConditionType {
        name: HOST_EXCLUSIVE,
        meaning: "No route of another namespace serves one of the policy's hosts.",
        reasons: &[
            reason("True", reasons::EXCLUSIVE, "Nothing to do."),
            reason(
                "False",
                reasons::FOREIGN_ROUTE,
                "Scripts of that route share the app's origin: have it removed; the chart's value `admission.exclusiveHosts` refuses new ones.",
            ),
        ],
    },
];
