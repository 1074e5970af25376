//! Judges one policy: what is handed over, what has to be wired, and what its conditions say.
//!
//! Why it exists: everything that can be wrong is found here, at once, and in a pure function. It
//! must not fail open: what is wrong makes a refused policy that stays wired and keeps its hosts,
//! and takes nothing new.

mod annotations;
mod compile;
mod hosts;
mod origins;
pub mod problems;
mod routes;
pub(crate) mod rule;
pub mod selector;
mod servers;
mod targets;
pub(crate) mod text;
pub mod wiring;

use vestibule_crds::conditions::reasons;
use vestibule_crds::names::{MAX_POLICY_NAME, RELEASE_ANNOTATION, RELEASE_VALUE};
use vestibule_crds::v1alpha1::BffPolicySpec;
use vestibule_policy::handoff::{self, Handoff, State};
use vestibule_policy::model::PolicyId;
use vestibule_policy::origin::Origin;

use self::problems::{Finding, Problems};
use self::wiring::{OwnPaths, Wiring};
use super::build::middleware_name;
use super::conditions::Draft;
use super::input::{HostClaims, Input, Installation, Target};

pub(crate) use self::annotations::is_ours;
pub(crate) use self::routes::CLASS_ANNOTATION;

/// The base path where the author's is none.
const DEFAULT_BASE_PATH: &str = "/bff";

/// After the base of an authority: permissions and elevated tokens.
const AUTHORIZE: &str = "/authorize";
/// Before the base of an authority: its metadata (RFC 9728, section 3.1).
const PROTECTED_RESOURCE: &str = "/.well-known/oauth-protected-resource";

/// What was decided on one policy.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What authsvc gets.
    pub handoff: Handoff,
    /// What the gateways get.
    pub wiring: Wiring,
    /// What the author gets to see.
    pub conditions: Draft,
}

/// Judges a policy by everything that it names. Total: whatever the input, there is a verdict.
#[must_use]
pub fn validate(input: &Input, installation: &Installation, claims: &dyn HostClaims) -> Verdict {
    let policy = id(input);
    let meta = &input.policy.metadata;
    let uid = meta.uid.clone().unwrap_or_default();
    let spec = &input.policy.spec;
    let mut problems = Problems::default();
    identity(&policy, &uid, &mut problems);
    let references = spec.target_refs.len();
    let found = targets::judge(&policy, references, &input.targets, installation, &mut problems);
    let claimed = origins::claimed(spec, &found, &mut problems);
    hosts::check(&policy, input, &claimed, claims, &mut problems);
    let texts = if spec.origins.is_empty() {
        claimed.iter().map(|claimed| claimed.origin.to_string()).collect()
    } else {
        spec.origins.clone()
    };
    let compiled = compile::policy(&policy, &uid, input, texts, installation, &mut problems);
    let mut handoff = Handoff {
        id: policy.clone(),
        uid,
        generation: meta.generation.unwrap_or_default(),
        origins: hosts::kept(&policy, input),
        released: is_released(input),
        state: State::Refused,
    };
    if let Some(compiled) = compiled.filter(|_| problems.is_empty()) {
        let origins = compiled.origins.clone();
        let live = Handoff { origins, state: State::Live(Box::new(compiled)), ..handoff.clone() };
        if handoff::size(&live.encode()) <= handoff::MAX_SIZE {
            handoff = live;
        } else {
            let message =
                "the policy with its CA bundle does not fit into a Secret: make it smaller";
            problems.push(reasons::INVALID, "spec", message);
        }
    }
    let wiring = wiring(policy, spec, handoff.origins.clone(), found);
    let conditions = Draft {
        accepted: problems.accepted(),
        resolved_refs: problems.resolved_refs(),
        host_exclusive: hosts::exclusive(input),
        not_attached: not_attached(&wiring),
        origins: in_force(&handoff),
        hash: handoff::hash(&handoff.encode()),
        uid: handoff.uid.clone(),
    };
    Verdict { handoff, wiring, conditions }
}

/// The wiring of objects that name a policy which does not exist: closed, like those of a refused
/// one.
#[must_use]
pub fn unclaimed(policy: &PolicyId, targets: &[Target], installation: &Installation) -> Wiring {
    let found = targets::judge(policy, 0, targets, installation, &mut Problems::default());
    Wiring {
        policy: policy.clone(),
        base_path: DEFAULT_BASE_PATH.to_owned(),
        paths: OwnPaths::below(DEFAULT_BASE_PATH),
        headers: Vec::new(),
        origins: Vec::new(),
        ingresses: found.ingresses.into_iter().map(|(_, ingress)| ingress).collect(),
        routes: found.routes.into_iter().map(|(_, route)| route).collect(),
    }
}

/// What is handed over for a policy that cannot be read at all: refused, with the hosts it held.
#[must_use]
pub fn unreadable(
    id: PolicyId,
    uid: String,
    generation: i64,
    previous: Option<&Handoff>,
) -> Handoff {
    Handoff {
        id,
        uid,
        generation,
        origins: previous.map(|handoff| handoff.origins.clone()).unwrap_or_default(),
        released: previous.is_some_and(|handoff| handoff.released),
        state: State::Refused,
    }
}

fn id(input: &Input) -> PolicyId {
    let meta = &input.policy.metadata;
    PolicyId {
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
    }
}

/// Names that the API server would not have let pass are refused: they become part of addresses.
fn identity(policy: &PolicyId, uid: &str, problems: &mut Problems) {
    if !text::is_dns_label(&policy.name) || policy.name.len() > MAX_POLICY_NAME {
        let message =
            format!("must be 1 to {MAX_POLICY_NAME} lower-case letters, digits and '-': rename it");
        problems.push(reasons::INVALID, "metadata.name", &message);
    }
    if !text::is_dns_label(&policy.namespace) {
        problems.push(reasons::INVALID, "metadata.namespace", "must be a namespace");
    }
    if uid.is_empty() {
        problems.push(reasons::INVALID, "metadata.uid", "is missing: create the object anew");
    }
}

fn is_released(input: &Input) -> bool {
    let annotations = input.policy.metadata.annotations.as_ref();
    annotations.and_then(|a| a.get(RELEASE_ANNOTATION)).is_some_and(|text| text == RELEASE_VALUE)
}

/// From what the author wrote and not from what was compiled, so that a refused policy is wired as
/// it will be when it is accepted.
fn wiring(
    policy: PolicyId,
    spec: &BffPolicySpec,
    origins: Vec<Origin>,
    found: targets::Found,
) -> Wiring {
    let names = spec.routes.iter().flat_map(|route| &route.upstream.headers);
    let mut headers: Vec<String> = names
        .map(|header| header.name.to_ascii_lowercase())
        .filter(|name| text::is_header_name(name))
        .collect();
    headers.sort_unstable();
    headers.dedup();
    let own = text::is_base_path(&spec.base_path);
    let base_path = if own { &spec.base_path } else { DEFAULT_BASE_PATH };
    Wiring {
        policy,
        base_path: base_path.to_owned(),
        paths: own_paths(spec, base_path),
        headers,
        origins,
        ingresses: found.ingresses.into_iter().map(|(_, ingress)| ingress).collect(),
        routes: found.routes.into_iter().map(|(_, route)| route).collect(),
    }
}

/// What has to reach the browser port. What is written wrongly is left out: the policy is refused for
/// it, and the check refuses its own endpoints to whoever comes there.
fn own_paths(spec: &BffPolicySpec, base_path: &str) -> OwnPaths {
    let mut paths = OwnPaths::below(base_path);
    let hosted = spec.hosted_backend.iter().map(|hosted| &hosted.path);
    paths.prefixes.extend(hosted.filter(|path| text::is_base_path(path)).cloned());
    let bases = spec.authorities.iter().map(|authority| &authority.base);
    for base in bases.filter(|base| text::is_authority_base(base)) {
        paths.exact.push(format!("{base}{AUTHORIZE}"));
        paths.exact.push(format!("{PROTECTED_RESOURCE}{base}"));
    }
    paths.tidy();
    paths
}

fn not_attached(wiring: &Wiring) -> Option<Finding> {
    let texts: Vec<String> = wiring
        .routes
        .iter()
        .filter_map(|route| {
            let first = route.unattached.first()?;
            let middleware = middleware_name(&wiring.policy.name);
            Some(format!(
                "IngressRoute {}: spec.routes[{first}].middlewares: its first entry must be \
                 `name: {middleware}` ({} of its routes lack it)",
                route.name,
                route.unattached.len()
            ))
        })
        .collect();
    (!texts.is_empty()).then(|| Finding {
        ok: false,
        reason: reasons::NOT_ATTACHED,
        message: problems::shortened(&texts),
    })
}

fn in_force(handoff: &Handoff) -> Vec<String> {
    let mut origins: Vec<String> = match &handoff.state {
        State::Live(policy) => policy.origins.iter().map(ToString::to_string).collect(),
        State::Refused | State::Tombstone => Vec::new(),
    };
    origins.sort_unstable();
    origins
}
