//! Which origins a policy claims, and whether its targets serve them.
//!
//! Why it exists: a policy may only claim hosts that its own targets serve by name. It must not
//! guess a scheme: cookies and redirects depend on it.

use vestibule_crds::conditions::reasons;
use vestibule_crds::v1alpha1::BffPolicySpec;
use vestibule_policy::origin::Origin;

use super::problems::Problems;
use super::targets::Found;

/// An origin and the field that it comes from.
pub(super) struct Claimed {
    pub origin: Origin,
    pub field: String,
}

/// What the policy claims: what it lists, else what its targets' hosts and TLS say. An origin that
/// cannot be read is left to compiling, which says why.
pub(super) fn claimed(
    spec: &BffPolicySpec,
    found: &Found,
    problems: &mut Problems,
) -> Vec<Claimed> {
    if spec.origins.is_empty() { derived(found, problems) } else { listed(spec, found, problems) }
}

fn listed(spec: &BffPolicySpec, found: &Found, problems: &mut Problems) -> Vec<Claimed> {
    let hosts: Vec<&String> = found
        .ingresses
        .iter()
        .flat_map(|(_, ingress)| &ingress.hosts)
        .chain(found.routes.iter().flat_map(|(_, route)| &route.hosts))
        .collect();
    let anything = !found.ingresses.is_empty() || !found.routes.is_empty();
    let mut claimed = Vec::new();
    for (index, text) in spec.origins.iter().enumerate() {
        let Ok(origin) = Origin::parse(text) else { continue };
        let field = format!("spec.origins[{index}]");
        if anything && !hosts.iter().any(|host| *host == origin.host()) {
            let message = format!(
                "{} is no host of a target by its full name: add it there, or remove it here",
                origin.host()
            );
            problems.push(reasons::ORIGIN_NOT_OF_TARGET, &field, &message);
        }
        claimed.push(Claimed { origin, field });
    }
    claimed
}

fn derived(found: &Found, problems: &mut Problems) -> Vec<Claimed> {
    let mut claimed: Vec<Claimed> = Vec::new();
    let ingresses = found.ingresses.iter().map(|(field, ingress)| {
        let hosts = ingress.hosts.iter().map(|host| (host, ingress.tls_hosts.contains(host)));
        (field, hosts.collect::<Vec<_>>())
    });
    let routes = found.routes.iter().map(|(field, route)| {
        (field, route.hosts.iter().map(|host| (host, route.tls.is_some())).collect::<Vec<_>>())
    });
    for (field, hosts) in ingresses.chain(routes) {
        if hosts.is_empty() {
            let message =
                format!("{field} has no literal host: list the origins, and give it their hosts");
            problems.push(reasons::ORIGIN_NOT_OF_TARGET, "spec.origins", &message);
        }
        for (host, tls) in hosts {
            if !tls {
                let message = format!(
                    "{field} has no TLS for {host}, so it is unknown where TLS ends: list the \
                     origins, such as https://{host}"
                );
                problems.push(reasons::INVALID, "spec.origins", &message);
                continue;
            }
            let Ok(origin) = Origin::parse(&format!("https://{host}")) else { continue };
            if !claimed.iter().any(|other| other.origin == origin) {
                claimed.push(Claimed { origin, field: format!("{field} (host {host})") });
            }
        }
    }
    claimed
}
