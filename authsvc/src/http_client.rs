//! The HTTP client that talks to providers and decision points: bounded in time and size, following
//! nothing.
//!
//! Why it exists: the URLs come from policies and from documents fetched over the network, so whoever
//! writes those must not make this service fetch from where it alone can reach. It must not know OAuth
//! or permissions, and its errors must never repeat a URL's query, a header or a body.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Request, Response};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, redirect};
use url::{Host, Url};

/// The greatest response body, in bytes.
const MAX_BODY: usize = 1 << 20;
/// How long a connection waits to be used again. Servers built on Node.js end theirs after 5 s, and a
/// request that crosses such an end is lost: nobody could tell whether it was acted on, so it is not
/// sent again.
const KEEP_UNUSED: Duration = Duration::from_secs(4);
/// The greatest PEM bundle of certificate authorities, in bytes.
const MAX_CA_BUNDLE: usize = 1 << 20;
/// The cloud metadata service of EC2 over IPv6, which is no link-local address.
const EC2_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Which URLs of a server may be used at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UrlRules {
    allow_insecure: bool,
    allow_loopback: bool,
}

impl UrlRules {
    /// The rules for a server, and its own URL checked by them. Loopback is for a server that is
    /// itself there: no other may point us at our own machine.
    pub(crate) fn for_server(url: &str, allow_insecure: bool) -> Result<Self, String> {
        let parsed = Url::parse(url).map_err(|error| format!("is no URL: {error}"))?;
        let rules = Self { allow_insecure, allow_loopback: allow_insecure || is_loopback(&parsed) };
        if parsed.query().is_some() {
            return Err("must not have a query".to_owned());
        }
        rules.check(url)?;
        Ok(rules)
    }

    /// Accepts `https`, and `http` on loopback or where the installation allows it; never a user
    /// name, a fragment, or an address that only this machine's network can reach.
    pub(crate) fn check(self, text: &str) -> Result<Url, String> {
        let url = Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
        let loopback = is_loopback(&url);
        match url.scheme() {
            "https" => {}
            "http" if loopback || self.allow_insecure => {}
            _ => return Err("must be an https URL".to_owned()),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not have a user name".to_owned());
        }
        if url.fragment().is_some() {
            return Err("must not have a fragment".to_owned());
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) => None,
            None => return Err("must have a host".to_owned()),
        };
        if (loopback && !self.allow_loopback)
            || address.is_some_and(|address| is_forbidden(address, self.allow_loopback))
        {
            return Err("must not be a loopback, link-local or metadata address".to_owned());
        }
        Ok(url)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        None => false,
    }
}

/// Addresses that answer this machine alone: link-local, with the metadata services of clouds.
fn is_forbidden(address: IpAddr, allow_loopback: bool) -> bool {
    let address = address.to_canonical();
    if address.is_loopback() {
        return !allow_loopback;
    }
    address.is_unspecified()
        || address.is_multicast()
        || match address {
            IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_unicast_link_local() || v6 == EC2_METADATA,
        }
}

/// Why a request got no usable response. Safe to log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpError {
    /// The URL may not be used.
    #[error("the URL {0}")]
    Forbidden(String),
    /// No answer within the server's time.
    #[error("no answer in time")]
    Timeout,
    /// No connection, a broken one, or TLS that does not verify.
    #[error("not reached: {0}")]
    Unreachable(String),
    /// More than the greatest body.
    #[error("the response is larger than 1 MiB")]
    TooLarge,
    /// A redirect, which is not followed.
    #[error("answered with a redirect, which is not followed")]
    Redirected,
}

/// Talks to one server.
pub(crate) struct HttpClient {
    client: reqwest::Client,
    rules: UrlRules,
}

impl HttpClient {
    /// A client that trusts the authorities of a PEM bundle, or else the system's; the error names the
    /// field.
    pub(crate) fn new(
        ca_bundle: Option<&str>,
        timeout: Duration,
        rules: UrlRules,
    ) -> Result<Self, String> {
        let mut builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .dns_resolver(GuardedResolver { allow_loopback: rules.allow_loopback })
            .timeout(timeout)
            .pool_idle_timeout(KEEP_UNUSED)
            .user_agent("vestibule");
        if let Some(bundle) = ca_bundle {
            builder = builder.tls_certs_only(parse_bundle(bundle)?);
        }
        let client = builder.build().map_err(|error| {
            let why = cause(&error);
            if ca_bundle.is_some() {
                format!("caBundleRef: not usable: {why}")
            } else {
                format!("TLS cannot be set up: {why}")
            }
        })?;
        Ok(Self { client, rules })
    }

    /// Sends a request, and reads the response with its status and content type.
    pub(crate) async fn call(
        &self,
        request: Request<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>, HttpError> {
        self.rules.check(&request.uri().to_string()).map_err(HttpError::Forbidden)?;
        let request = reqwest::Request::try_from(request).map_err(failed)?;
        let mut received = self.client.execute(request).await.map_err(failed)?;
        if received.status().is_redirection() {
            return Err(HttpError::Redirected);
        }
        let mut body = Vec::new();
        while let Some(chunk) = received.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(body);
        *response.status_mut() = received.status();
        if let Some(kind) = received.headers().get(CONTENT_TYPE) {
            response.headers_mut().insert(CONTENT_TYPE, kind.clone());
        }
        Ok(response)
    }
}

fn parse_bundle(bundle: &str) -> Result<Vec<Certificate>, String> {
    if bundle.len() > MAX_CA_BUNDLE {
        return Err("caBundleRef: larger than 1 MiB".to_owned());
    }
    let certificates = Certificate::from_pem_bundle(bundle.as_bytes())
        .map_err(|error| format!("caBundleRef: not a PEM bundle: {}", cause(&error)))?;
    if certificates.is_empty() {
        return Err("caBundleRef: holds no certificate; give a PEM bundle".to_owned());
    }
    Ok(certificates)
}

fn failed(error: reqwest::Error) -> HttpError {
    if error.is_timeout() {
        return HttpError::Timeout;
    }
    HttpError::Unreachable(cause(&error.without_url()))
}

/// The innermost cause, which is the telling one.
fn cause(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}

/// Resolves names as the system does, and drops the addresses that no server may have. A name
/// that changes between check and use (DNS rebinding) gains nothing: this is the use.
struct GuardedResolver {
    allow_loopback: bool,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_loopback = self.allow_loopback;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let usable: Vec<SocketAddr> =
                found.filter(|address| !is_forbidden(address.ip(), allow_loopback)).collect();
            if usable.is_empty() {
                return Err("the name has only loopback, link-local or metadata addresses".into());
            }
            let addresses: Addrs = Box::new(usable.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn t084_addresses_that_only_this_machine_reaches_are_forbidden() {
        let forbidden = |text: &str, loopback| is_forbidden(text.parse().unwrap(), loopback);
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "fe80::1",
            "febf::1",
            "::",
            "ff02::1",
            "::ffff:169.254.169.254",
            "fd00:ec2::254",
        ] {
            assert!(forbidden(address, true), "{address}");
        }
        for address in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            assert!(forbidden(address, false), "{address}");
            assert!(!forbidden(address, true), "{address}");
        }
        // Providers do live in private networks.
        for address in ["10.0.0.1", "192.168.1.1", "203.0.113.1", "2001:db8::1", "fd00::1"] {
            assert!(!forbidden(address, false), "{address}");
        }
    }

    #[tokio::test]
    async fn t084_a_name_that_resolves_to_loopback_is_no_way_in() {
        let name = || "localhost".parse::<Name>().unwrap();
        assert!(GuardedResolver { allow_loopback: false }.resolve(name()).await.is_err());
        let mut found = GuardedResolver { allow_loopback: true }.resolve(name()).await.unwrap();
        assert!(found.next().is_some());
    }

    #[tokio::test]
    async fn a_connection_that_nobody_uses_is_let_go() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let rules = UrlRules::for_server(&url, true).unwrap();
        let client = HttpClient::new(None, Duration::from_secs(5), rules).unwrap();
        let request = Request::get(&url).body(Vec::new()).unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4096];
            assert!(stream.read(&mut asked).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            stream
        };
        let (mut stream, answer) = tokio::join!(serve, client.call(request));
        assert_eq!(answer.unwrap().status(), 204);
        // It is looked for at the end of that time, and at most as long after it again.
        let end = tokio::time::timeout(KEEP_UNUSED * 4, stream.read(&mut [0])).await;
        assert_eq!(end.expect("long before the 90 s of the library").unwrap(), 0);
    }

    #[test]
    fn t084_a_provider_elsewhere_cannot_point_at_loopback() {
        let elsewhere = UrlRules::for_server("https://id.example.com", false).unwrap();
        let here = UrlRules::for_server("http://localhost:9000", false).unwrap();
        for url in ["https://localhost/x", "https://127.0.0.1/x", "http://[::1]:8082/x"] {
            assert!(elsewhere.check(url).is_err(), "{url}");
            assert!(here.check(url).is_ok(), "{url}");
        }
    }
}
