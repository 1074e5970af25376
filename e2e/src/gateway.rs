//! The gateways the tests run through, each with the very configuration that users copy; only
//! addresses and the origin are replaced.

use std::net::SocketAddr;
use std::path::Path;

use crate::{nginx::Nginx, process::free_port, process::loopback, traefik::Traefik};

/// The kinds of gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `docs/gateways/nginx/vestibule.conf`.
    Nginx,
    /// The server that ingress-nginx renders for `docs/gateways/nginx/ingress.yaml`.
    IngressNginx,
    /// `docs/gateways/traefik/*.yaml`.
    Traefik,
    /// The same, with `aliasHeadersStrategy` at Traefik's default, which passes `X_User` on.
    TraefikKeepingAliases,
}

impl Kind {
    /// Whether it shows a refusal's body to the browser and redirects by itself.
    #[must_use]
    pub fn is_traefik(self) -> bool {
        matches!(self, Self::Traefik | Self::TraefikKeepingAliases)
    }

    /// What a browser sees when the store is down: nginx knows 401, 403 and 500 alone.
    #[must_use]
    pub fn unavailable(self) -> u16 {
        if self.is_traefik() { 503 } else { 500 }
    }
}

/// The bases of the authorities in the examples.
const BASES: &str = "production|warehouse";

/// What a gateway's configuration is filled in with.
#[derive(Clone, Debug)]
pub struct Wiring {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The policy's origin.
    pub origin: String,
    /// Vestibule's check port.
    pub check: SocketAddr,
    /// Vestibule's browser port.
    pub browser: SocketAddr,
    /// The app.
    pub app: SocketAddr,
    /// The path of the policy's hosted backend, without its slash, as `docs/hosted-backend.md` has it.
    pub hosted_backend: Option<&'static str>,
}

impl Wiring {
    /// The configuration with the example's addresses and origin replaced, and the bases of its
    /// authorities where there are any.
    ///
    /// # Panics
    /// Where the example lacks one of them, as nothing would then be tested.
    #[must_use]
    pub fn fill(&self, example: &str, bases: &[&str]) -> String {
        let host = self.origin.split("://").nth(1).expect("an origin has a host");
        // Server names and rules know no port.
        let name = host.split(':').next().unwrap_or(host);
        let ours = if bases.is_empty() { BASES.to_owned() } else { bases.join("|") };
        let example = match self.hosted_backend {
            Some(path) => with_hosted_backend(example, path),
            None => example.to_owned(),
        };
        example
            .replace(BASES, &ours)
            .replace("https://shop.example.com", &self.origin)
            .replace("shop.example.com", name)
            .replace("127.0.0.1:8000", &self.listen.to_string())
            .replace("127.0.0.1:8081", &self.check.to_string())
            .replace("127.0.0.1:8080", &self.browser.to_string())
            .replace("127.0.0.1:3000", &self.app.to_string())
    }
}

/// The rule for `/bff/`, widened as `docs/hosted-backend.md` says.
fn with_hosted_backend(example: &str, path: &str) -> String {
    example
        .replace("location /bff/ {", &format!("location ~ ^/(bff|{path})/ {{"))
        .replace("PathPrefix(`/bff/`)", &format!("(PathPrefix(`/bff/`) || PathPrefix(`/{path}/`))"))
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// Which one it is.
    pub kind: Kind,
    /// Where it listens.
    pub address: SocketAddr,
    _process: Running,
}

#[derive(Debug)]
#[expect(dead_code, reason = "kept to be dropped, which ends the process")]
enum Running {
    Nginx(Nginx),
    Traefik(Traefik),
}

impl Gateway {
    /// A free address for a gateway, chosen first since the origin contains it.
    #[must_use]
    pub fn free_address() -> SocketAddr {
        loopback(free_port())
    }

    /// Starts one with its files in `dir`.
    #[must_use]
    pub fn start(kind: Kind, dir: &Path, wiring: &Wiring) -> Self {
        Self::start_for(kind, dir, wiring, &[])
    }

    /// Starts one for a policy whose authorities have these bases, without their first slash; none:
    /// those of the example.
    #[must_use]
    pub fn start_for(kind: Kind, dir: &Path, wiring: &Wiring, bases: &[&str]) -> Self {
        let nginx = |example| Running::Nginx(Nginx::start_for(dir, example, wiring, bases));
        let traefik = |aliases| Running::Traefik(Traefik::start(dir, wiring, bases, aliases));
        let process = match kind {
            Kind::Nginx => nginx("docs/gateways/nginx/vestibule.conf"),
            Kind::IngressNginx => nginx("e2e/gateways/ingress-nginx.conf"),
            Kind::Traefik => traefik("reject"),
            Kind::TraefikKeepingAliases => traefik("keep"),
        };
        Self { kind, address: wiring.listen, _process: process }
    }
}
