//! The real parts start, answer and stop: what every other test rests on.

use vestibule_e2e::browser::Browser;
use vestibule_e2e::echo::Echo;
use vestibule_e2e::gateway::{Gateway, Kind, Wiring};
use vestibule_e2e::http::Request;
use vestibule_e2e::keycloak::Keycloak;
use vestibule_e2e::process::{free_port, loopback};
use vestibule_e2e::provider::Provider;
use vestibule_e2e::redis::Redis;

use tempfile::TempDir;

#[test]
fn redis_comes_back_with_its_data_after_a_power_cut() {
    let dir = TempDir::new().unwrap();
    let mut redis = Redis::start(dir.path());
    assert_eq!(redis.cli(&["set", "k", "v"]).trim(), "OK");
    redis.stop();
    redis.start_again();
    assert_eq!(redis.cli(&["get", "k"]).trim(), "v");
}

#[test]
fn the_provider_shows_its_login_form_and_counts_requests() {
    let dir = TempDir::new().unwrap();
    let provider = Provider::start(dir.path(), &["http://localhost:1"], None);
    let url = format!(
        "{}/auth?client_id=shop&response_type=code&scope=openid&state=s&nonce=n\
         &redirect_uri=http://localhost:1/bff/callback&code_challenge_method=S256\
         &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        provider.issuer
    );
    let mut browser = Browser::default();
    let form = browser.open(&url);
    assert!(form.form().is_some(), "{form}");
    assert_eq!(provider.authorization_requests(), 1);
}

/// A gateway that cannot reach Vestibule lets nothing through.
fn is_closed_without_vestibule(kind: Kind) {
    let dir = TempDir::new().unwrap();
    let app = Echo::start();
    let listen = Gateway::free_address();
    let wiring = Wiring {
        listen,
        origin: format!("http://localhost:{}", listen.port()),
        check: loopback(free_port()),
        browser: loopback(free_port()),
        app: app.address,
        hosted_backend: None,
    };
    let gateway = Gateway::start(kind, dir.path(), &wiring);
    app.forget();
    let host = format!("localhost:{}", listen.port());
    for path in ["/", "/public", "/api?x=1"] {
        let answer = Request::get(path, &host).send(gateway.address);
        assert!(answer.status >= 500, "{path}: {answer}");
    }
    assert_eq!(app.seen().len(), 0);
}

#[test]
fn nginx_is_closed_without_vestibule() {
    is_closed_without_vestibule(Kind::Nginx);
}

#[test]
fn ingress_nginx_is_closed_without_vestibule() {
    is_closed_without_vestibule(Kind::IngressNginx);
}

#[test]
fn traefik_is_closed_without_vestibule() {
    is_closed_without_vestibule(Kind::Traefik);
}

#[test]
fn keycloak_starts_with_its_realm() {
    let dir = TempDir::new().unwrap();
    let keycloak = Keycloak::start(dir.path(), "http://localhost:1");
    let mut browser = Browser::default();
    let answer = browser.navigate(&format!("{}/.well-known/openid-configuration", keycloak.issuer));
    assert_eq!(answer.response.json()["issuer"], keycloak.issuer);
}
