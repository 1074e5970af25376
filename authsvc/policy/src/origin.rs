//! Origins (RFC 6454) and `Host` header values, each with exactly one spelling.
//!
//! A policy's hosts are looked up by these spellings, so a second one for the same host would be a
//! second policy or none. What cannot be spelled canonically is refused, never repaired by guess.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use url::Host;

const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;

/// A scheme, a host and a port, canonical.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin {
    scheme: Scheme,
    /// As in a URL: IPv6 in brackets.
    host: String,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Origin {
    /// Reads `scheme://host[:port]`. Case, one trailing dot, the default port and IDNA are made
    /// canonical; a path (also `/`), query, fragment, user or wildcard is refused. The error says
    /// what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused =
            |why: &str| Err(format!("{why}; write an origin such as `https://shop.example.com`"));
        let Some((scheme, authority)) = text.split_once("://") else {
            return refused("has no scheme");
        };
        let scheme = if scheme.eq_ignore_ascii_case("https") {
            Scheme::Https
        } else if scheme.eq_ignore_ascii_case("http") {
            Scheme::Http
        } else {
            return refused("has a scheme other than https and http");
        };
        for (forbidden, why) in [
            ('/', "has a path (a single `/` is one too)"),
            ('\\', "has a backslash"),
            ('?', "has a query"),
            ('#', "has a fragment"),
            ('@', "has a user name"),
            ('*', "has a wildcard, but each origin is literal"),
            ('%', "has a percent sign"),
            (',', "has a comma"),
        ] {
            if authority.contains(forbidden) {
                return refused(why);
            }
        }
        if authority.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return refused("has a space or a control character");
        }
        let (name, port) = match split_port(authority) {
            Ok(parts) => parts,
            Err(BadPort) => return refused("has a port that is not a number from 1 to 65535"),
        };
        // Only names beyond ASCII need IDNA; the rest is checked as a Host header would be.
        let ascii;
        let name = if name.is_ascii() {
            name
        } else {
            match Host::parse(name) {
                Ok(Host::Domain(domain)) => {
                    ascii = domain;
                    &ascii
                }
                _ => return refused("has a host that is no valid internationalised name"),
            }
        };
        let Some(host) = canonical_name(name) else {
            return refused("has a host that is neither a DNS name nor an IP address");
        };
        Ok(Self { scheme, host, port: port.unwrap_or(scheme.default_port()) })
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.scheme.as_str()
    }

    /// The host as in a URL: lower-case, punycode, no trailing dot, IPv6 in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; the scheme's default where none was written.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the host is the machine itself: `localhost`, a name below it, 127.0.0.0/8 or `::1`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        if self.host == "localhost" || self.host.ends_with(".localhost") {
            return true;
        }
        if let Some(address) = self.host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            return address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback());
        }
        self.host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
    }

    /// Whether a request's `Host` header names this origin. A header without a port means this
    /// scheme's default port, also where the gateway itself is spoken to by plain HTTP.
    #[must_use]
    pub fn matches_host(&self, host_header: &str) -> bool {
        // Most spell it as we do. What is canonical is so once more.
        if host_header == self.host {
            return self.port == self.scheme.default_port();
        }
        canonical_host(host_header).is_some_and(|(host, port)| {
            host == self.host && port.unwrap_or(self.scheme.default_port()) == self.port
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port == self.scheme.default_port() {
            return Ok(());
        }
        write!(formatter, ":{}", self.port)
    }
}

impl std::str::FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.to_string()
    }
}

/// The one spelling of a `Host` header value (RFC 9110, section 7.2) and its port if it names one.
/// Case and one trailing dot are made canonical; `None` for whatever a host name, an IPv4 address
/// or a bracketed IPv6 address cannot be spelled with.
#[must_use]
pub fn canonical_host(value: &str) -> Option<(String, Option<u16>)> {
    let (name, port) = split_port(value).ok()?;
    Some((canonical_name(name)?, port))
}

struct BadPort;

fn split_port(authority: &str) -> Result<(&str, Option<u16>), BadPort> {
    // A colon within brackets belongs to the address.
    let after_bracket = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    let Some(colon) = authority[after_bracket..].find(':') else {
        return Ok((authority, None));
    };
    let (name, port) = authority.split_at(after_bracket + colon);
    let port = &port[1..];
    // `parse` alone would take `+80` and `0080`.
    if port.is_empty() || port.starts_with('0') || !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BadPort);
    }
    port.parse().map(|port| (name, Some(port))).map_err(|_| BadPort)
}

fn canonical_name(name: &str) -> Option<String> {
    if let Some(bracketed) = name.strip_prefix('[') {
        let address = bracketed.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?;
        // The URL standard's spelling, which the browser's Origin header has too.
        return Some(Host::<String>::Ipv6(address).to_string());
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > MAX_HOST {
        return None;
    }
    let mut last = "";
    for label in name.split('.') {
        let allowed = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if label.is_empty()
            || label.len() > MAX_LABEL
            || !allowed
            || label.starts_with('-')
            || label.ends_with('-')
        {
            return None;
        }
        last = label;
    }
    // A last label that reads as a number makes an IPv4 address (URL standard, "ends in a
    // number"); of its spellings (127.1, 0x7f.0.0.1, octal) only the dotted quad is canonical.
    let numeric = last.bytes().all(|b| b.is_ascii_digit())
        || last.get(..2).is_some_and(|p| {
            p.eq_ignore_ascii_case("0x") && last[2..].bytes().all(|b| b.is_ascii_hexdigit())
        });
    if numeric {
        return name.parse::<Ipv4Addr>().ok().map(|address| address.to_string());
    }
    let name = name.to_ascii_lowercase();
    // A punycode label must stand for what IDNA would spell with it: browsers send nothing else.
    if name.contains("xn--") && Host::parse(&name).ok() != Some(Host::Domain(name.clone())) {
        return None;
    }
    Some(name)
}
