//! Floods of logins, and a provider that hangs: who is not hurt by them.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use vestibule_authsvc::clock::{ManualClock, Timestamp};
use vestibule_authsvc::oidc::{OidcError, Providers};
use vestibule_authsvc::overload::logins::LoginLimits;
use vestibule_authsvc::random::SystemRandom;

use crate::idp::FakeIdp;
use crate::site::{Browser, NAVIGATION, START, Shop, provider_config};

const SOON: Duration = Duration::from_secs(10);
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

#[tokio::test]
async fn a_flood_of_logins_is_told_to_wait_and_hurts_nobody_who_is_logged_in_and_no_other_policy() {
    let shop = Shop::with_limits(LoginLimits::new(20, 20, None), |_| {}).await;
    let mut alice = Browser::default();
    let token = |nonce: &str| shop.idp.id_token(nonce, shop.now(), |_| {});
    assert_eq!(shop.log_in(&mut alice, "/", token).await.status, StatusCode::SEE_OTHER);
    let mut refused = None;
    for _ in 0..100 {
        let reply = Browser::default().navigate(&shop, "/bff/login").await;
        if reply.status != StatusCode::SEE_OTHER {
            refused = Some(reply);
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["retry-after"], "3");
    assert!(refused.is_page_without_redirect(), "{}", refused.body);
    assert!(!refused.headers.contains_key("set-cookie"));
    // Who is logged in goes on, and may log in more strongly.
    let stronger = alice.navigate(&shop, "/bff/login?rd=%2Fadmin").await;
    assert_eq!(stronger.status, StatusCode::SEE_OTHER);
    assert!(stronger.location().contains("/authorize?"), "{}", stronger.location());
    let other = shop.beside(|_| {});
    let elsewhere = Browser::default().navigate(&other, "/bff/login").await;
    assert_eq!(elsewhere.status, StatusCode::SEE_OTHER);
    shop.clock.advance(3);
    let later = Browser::default().navigate(&shop, "/bff/login").await;
    assert_eq!(later.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_client_that_floods_is_told_to_wait_alone() {
    let shop = Shop::with_limits(LoginLimits::new(1000, 5, Some(X_REAL_IP)), |_| {}).await;
    let navigate = async |address: &str| {
        let from = [NAVIGATION, &[("x-real-ip", address)]].concat();
        Browser::default().get(&shop, "/bff/login", &from).await.status
    };
    for attempt in 0..20 {
        let expected =
            if attempt < 5 { StatusCode::SEE_OTHER } else { StatusCode::TOO_MANY_REQUESTS };
        assert_eq!(navigate("192.0.2.1").await, expected);
    }
    assert_eq!(navigate("192.0.2.2").await, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn few_wait_for_a_provider_that_hangs_and_none_for_another_one() {
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let idp = FakeIdp::start().await;
    let clock = Arc::new(ManualClock::new(Timestamp(START)));
    let providers = Providers::new(clock, Arc::new(SystemRandom));
    let mut config = provider_config(&format!("http://{}", hanging.local_addr().unwrap()));
    config.request_timeout = Duration::from_mins(1);
    let stuck = providers.get(&config).unwrap();
    let mut logins = JoinSet::new();
    for _ in 0..1000 {
        let stuck = Arc::clone(&stuck);
        logins.spawn(async move { stuck.metadata().await.map(|_| ()) });
    }
    // All but those who found room are told at once, long before the provider is given up.
    for _ in 0..1000 - 256 {
        let told = tokio::time::timeout(SOON, logins.join_next()).await.unwrap();
        let error = told.unwrap().unwrap().unwrap_err();
        assert!(matches!(error, OidcError::Unavailable(why) if why.contains("too many")));
    }
    let other = providers.get(&provider_config(&idp.issuer)).unwrap();
    tokio::time::timeout(SOON, other.metadata()).await.unwrap().unwrap();
    assert_eq!(logins.len(), 256);
}
