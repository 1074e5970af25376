//! The only place that knows how authsvc is started in this process: as a server would start it,
//! but with the in-memory store and free loopback ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::body::Body;
use axum::http::Uri;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
pub use vestibule_authsvc::clock::{Clock, SystemClock};
pub use vestibule_authsvc::random::{Random, SystemRandom};
use vestibule_authsvc::server;
use vestibule_authsvc::settings::Settings;

use super::DemoError;
use super::policy::Folder;

/// How long authsvc may take until it has loaded the policy and the provider.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// How often it is asked whether it has.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Starts authsvc on free ports; returns when it serves the policy.
pub async fn start(folder: &Folder) -> Result<server::Running, DemoError> {
    let free: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let settings = Settings {
        secrets: Some(folder.secrets()),
        allow_insecure_issuers: false,
        browser_addr: free,
        check_addr: free,
        admin_addr: free,
        drain_delay: Duration::ZERO,
        ..Settings::embedded(folder.policies())
    };
    let running =
        server::start(settings).await.map_err(|error| DemoError::Authsvc(error.to_string()))?;
    tokio::time::timeout(READY_WITHIN, ready(running.admin_addr))
        .await
        .map_err(|_| DemoError::Authsvc("it did not load the demo's policy in time".to_owned()))?;
    Ok(running)
}

/// Waits until the admin port says so, as any supervisor does.
async fn ready(admin: SocketAddr) {
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
    let Ok(url) = format!("http://{admin}/readyz").parse::<Uri>() else { return };
    let mut ticks = tokio::time::interval(ASK_EVERY);
    loop {
        ticks.tick().await;
        if client.get(url.clone()).await.is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use vestibule_authsvc::check_policies::check_policies;

    use super::super::policy;
    use super::super::provider::Registration;

    #[test]
    fn the_demo_policy_is_accepted() {
        let client = Registration {
            id: "demo-shop".to_owned(),
            secret: "secret".to_owned(),
            redirect_uri: "http://localhost:8080/bff/callback".to_owned(),
            post_logout_redirect_uri: "http://localhost:8080/".to_owned(),
            scopes: &super::super::provider::SHOP_SCOPES,
        };
        let folder =
            policy::write("http://localhost:8080", "http://127.0.0.1:9000", &client).unwrap();
        let mut errors = Vec::new();
        let (policies, secrets) = (folder.policies(), folder.secrets());
        let found = check_policies(&policies, Some(&secrets), false, &mut errors).unwrap();
        assert_eq!(found, 0, "{}", String::from_utf8_lossy(&errors));
    }
}
