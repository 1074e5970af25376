//! TLS to the provider: only certificates that the policy's authorities vouch for, by name.
//!
//! The certificates below `tls/` were made for these tests; the authorities' keys were thrown away.

use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use vestibule_authsvc::clock::{ManualClock, Timestamp};
use vestibule_authsvc::oidc::{OidcError, Providers};
use vestibule_authsvc::random::SystemRandom;
use vestibule_policy::model::CompiledProvider;

use crate::site::{START, provider_config};

const CA: &str = include_str!("tls/ca.pem");
const OTHER_CA: &str = include_str!("tls/other-ca.pem");

/// A provider with a certificate for `localhost`; gives its port.
async fn serve() -> u16 {
    let certificates = CertificateDer::pem_slice_iter(include_bytes!("tls/server.pem"))
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server-key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let issuer = format!("https://localhost:{port}");
                let body = json!({
                    "issuer": issuer,
                    "authorization_endpoint": format!("{issuer}/authorize"),
                    "token_endpoint": format!("{issuer}/token"),
                    "jwks_uri": format!("{issuer}/jwks"),
                })
                .to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                     connection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    port
}

async fn discover(config: &CompiledProvider) -> Result<(), OidcError> {
    let clock = Arc::new(ManualClock::new(Timestamp(START)));
    let provider = Providers::new(clock, Arc::new(SystemRandom)).get(config).unwrap();
    provider.metadata().await.map(|_| ())
}

#[tokio::test]
async fn t057_t102_tls_to_the_provider_is_verified_by_authority_and_name() {
    let port = serve().await;
    let config = |host: &str, bundle: Option<String>| CompiledProvider {
        ca_bundle: bundle,
        ..provider_config(&format!("https://{host}:{port}"))
    };
    for (config, what) in [
        (config("localhost", None), "the system's authorities do not know it"),
        (config("localhost", Some(OTHER_CA.to_owned())), "another authority"),
        (config("127.0.0.1", Some(CA.to_owned())), "another name"),
    ] {
        let result = discover(&config).await;
        assert!(matches!(result, Err(OidcError::Unavailable(_))), "{what}: {result:?}");
    }
    discover(&config("localhost", Some(CA.to_owned()))).await.unwrap();
    discover(&config("localhost", Some(format!("{OTHER_CA}{CA}")))).await.unwrap();
    let mut insecure = config("localhost", Some(OTHER_CA.to_owned()));
    insecure.allow_insecure = true;
    assert!(discover(&insecure).await.is_err(), "plain http may be allowed, bad TLS never");
}

#[test]
fn t057_a_bundle_that_holds_no_certificate_is_refused_by_name() {
    let clock = Arc::new(ManualClock::new(Timestamp(START)));
    let providers = Providers::new(clock, Arc::new(SystemRandom));
    for bundle in [
        String::new(),
        "no PEM".to_owned(),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
        format!("{CA}{}", " ".repeat(1 << 20)),
    ] {
        let mut config = provider_config("https://id.example.com");
        config.ca_bundle = Some(bundle);
        let error = providers.get(&config).err().unwrap();
        assert!(error.starts_with("caBundleRef: "), "{error}");
    }
}
