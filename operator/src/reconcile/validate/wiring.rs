//! What building needs to know about the targets of one policy, whether it is accepted or not.
//!
//! Why it exists: a refused policy stays wired, or its traffic would pass unchecked. Every text in
//! here that ends up in an object of a gateway was validated (`text.rs`), except where a field says
//! otherwise.

use std::collections::{BTreeMap, BTreeSet};

use vestibule_policy::model::PolicyId;
use vestibule_policy::origin::Origin;

/// What the annotations of ingress-nginx begin with.
pub const NGINX_PREFIX: &str = "nginx.ingress.kubernetes.io/";
/// The annotation of Traefik that lists middlewares.
pub const MIDDLEWARES_ANNOTATION: &str = "traefik.ingress.kubernetes.io/router.middlewares";

/// How a target is served, and so how it is wired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Served {
    /// By ingress-nginx.
    IngressNginx,
    /// By Traefik's provider that reads the annotations of ingress-nginx.
    TraefikNginx,
    /// By Traefik's own provider for `Ingress`.
    Traefik,
    /// By something that cannot be wired; the policy is refused.
    Unknown,
}

/// One policy's wiring.
#[derive(Clone, Debug)]
pub struct Wiring {
    /// Which policy.
    pub policy: PolicyId,
    /// Its base path; the default where the author's is none.
    pub base_path: String,
    /// What reaches the browser port, without a check.
    pub paths: OwnPaths,
    /// The headers that its routes set for the app, in lower case and sorted.
    pub headers: Vec<String>,
    /// The origins it holds.
    pub origins: Vec<Origin>,
    /// The targets of kind `Ingress` that are there.
    pub ingresses: Vec<WiredIngress>,
    /// The targets of kind `IngressRoute` that are there.
    pub routes: Vec<WiredRoute>,
}

/// Paths that Vestibule answers itself, all of them validated, sorted and each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnPaths {
    /// With all that is below them.
    pub prefixes: Vec<String>,
    /// Alone: what is below these belongs to the app.
    pub exact: Vec<String>,
}

impl OwnPaths {
    /// The base path alone.
    pub(super) fn below(base_path: &str) -> Self {
        Self { prefixes: vec![base_path.to_owned()], exact: Vec::new() }
    }

    /// Whether there is anything besides the base path.
    pub(crate) fn is_more_than_the_base_path(&self) -> bool {
        self.prefixes.len() > 1 || !self.exact.is_empty()
    }

    /// Sorts them: the order of the author's list must not change an object.
    pub(super) fn tidy(&mut self) {
        for paths in [&mut self.prefixes, &mut self.exact] {
            paths.sort_unstable();
            paths.dedup();
        }
    }
}

/// One `Ingress`.
#[derive(Clone, Debug)]
pub struct WiredIngress {
    /// Its name.
    pub name: String,
    /// How it is served.
    pub served: Served,
    /// Its class, where there is one.
    pub class: Option<String>,
    /// Its literal hosts, canonical, in their order.
    pub hosts: Vec<String>,
    /// Whether it serves others than these too: by a wildcard or without a host.
    pub serves_others: bool,
    /// Those of its hosts that it has TLS for.
    pub tls_hosts: BTreeSet<String>,
    /// The middlewares of its author, without ours.
    pub middlewares: Vec<String>,
    /// What its `/bff` route must share with it: annotations of the gateway.
    pub shared: BTreeMap<String, String>,
    /// Its author's priority among Traefik's routers.
    pub priority: Option<i64>,
    /// The annotations that had another value before ours.
    pub replaced: BTreeSet<String>,
    /// Whether its author chose a buffer size.
    pub own_buffer_size: bool,
}

/// One `IngressRoute`.
#[derive(Clone, Debug)]
pub struct WiredRoute {
    /// Its name.
    pub name: String,
    /// The hosts that its rules match literally, canonical.
    pub hosts: Vec<String>,
    /// Its entry points; empty: Traefik's default.
    pub entry_points: Vec<String>,
    /// Its TLS settings, if it has TLS.
    pub tls: Option<RouteTls>,
    /// Its value of `kubernetes.io/ingress.class`, by which instances of Traefik divide the work.
    pub class: Option<String>,
    /// The greatest priority of its routes, as Traefik computes it.
    pub priority: i64,
    /// The indices of its routes that do not name our middleware first.
    pub unattached: Vec<usize>,
}

/// TLS of an `IngressRoute`, without its certificate, which stays there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTls {
    /// `certResolver`.
    pub cert_resolver: Option<String>,
    /// `options`: name and namespace.
    pub options: Option<(String, String)>,
}
