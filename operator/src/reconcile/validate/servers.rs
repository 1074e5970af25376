//! Servers that authsvc would reach on itself, or on what clouds tell their machines.
//!
//! Why it exists: authsvc asks whatever URL a policy names, from its own pod. What listens there on
//! loopback is for nobody else, and metadata services trust whoever reaches them. It must not be
//! taken for more: names are not resolved here, which is what network policies are for.

use std::net::{IpAddr, Ipv6Addr};

use url::{Host, Url};
use vestibule_crds::conditions::reasons;
use vestibule_crds::v1alpha1::{BffPolicySpec, BffProviderSpec};
use vestibule_policy::compile::is_loopback_issuer;

use super::compile::PROVIDER;
use super::problems::Problems;

/// AWS's metadata service, of the addresses that are no link's own.
const AWS_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
/// Google's has a name as well.
const GOOGLE_METADATA: &str = "metadata.google.internal";

/// Refuses, by its field, every server of a policy that no pod may be sent to; whether all may be
/// used. Loopback is for the folder of policies on a developer's machine.
pub(super) fn check(
    spec: &BffPolicySpec,
    provider: Option<&BffProviderSpec>,
    problems: &mut Problems,
) -> bool {
    let mut fine = true;
    let mut refuse = |field: &str, text: &str| {
        problems.push(reasons::INVALID, field, text);
        fine = false;
    };
    if let Some(place) = provider.and_then(|provider| place(&provider.issuer)) {
        let text = format!("its issuer is {place}: name a provider that has an address of its own");
        refuse(&format!("{PROVIDER} (spec.issuer)"), &text);
    }
    for (field, server) in [
        ("spec.openFga.server.url", spec.open_fga.as_ref().map(|open_fga| &open_fga.server)),
        ("spec.authZen.server.url", spec.auth_zen.as_ref().map(|auth_zen| &auth_zen.server)),
    ] {
        if let Some(place) = server.and_then(|server| place(&server.url)) {
            let text = format!("is {place}: name a server that has an address of its own");
            refuse(field, &text);
        }
    }
    fine
}

/// Where no server of a policy can be; `None`: anywhere else.
fn place(url: &str) -> Option<&'static str> {
    if is_loopback_issuer(url) {
        return Some("on loopback, which in a cluster is authsvc's own pod");
    }
    let url = Url::parse(url).ok()?;
    let address = match url.host()? {
        Host::Domain(name) => {
            return (name.trim_end_matches('.') == GOOGLE_METADATA).then_some(METADATA);
        }
        Host::Ipv4(address) => IpAddr::V4(address),
        Host::Ipv6(address) => IpAddr::V6(address).to_canonical(),
    };
    if address.is_loopback() || address.is_unspecified() {
        return Some("on loopback, which in a cluster is authsvc's own pod");
    }
    let on_link = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address == AWS_METADATA,
    };
    on_link.then_some(METADATA)
}

const METADATA: &str =
    "an address of the node's own link, where clouds tell machines their secrets";

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn t111_loopback_and_metadata_are_found_in_every_spelling() {
        for host in [
            "localhost",
            "a.localhost",
            "LOCALHOST.",
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "2130706433",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "169.254.169.254",
            "0xa9fea9fe",
            "[fe80::1]",
            "[::ffff:169.254.1.1]",
            "[fd00:ec2::254]",
            "metadata.google.internal",
            "Metadata.Google.Internal.",
        ] {
            assert!(place(&format!("https://{host}:8443/x")).is_some(), "{host}");
        }
    }

    #[test]
    fn other_servers_are_not_refused() {
        for host in ["id.example.com", "10.0.0.1", "fga.tools.svc", "[fd00::1]", "169.253.1.1"] {
            assert_eq!(place(&format!("https://{host}")), None, "{host}");
        }
        assert_eq!(place("no url"), None);
    }
}
