//! End-to-end tests: one binary, so that it links once. Every test starts what it needs and stops
//! it; `cargo test -p vestibule-e2e -- traefik` runs those through one gateway.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail as tests do")]

/// Makes each function a test of its own through each gateway.
macro_rules! through_each_gateway {
    ($($test:ident),+ $(,)?) => {
        through_each_gateway!(@ nginx, Nginx, $($test),+);
        through_each_gateway!(@ ingress_nginx, IngressNginx, $($test),+);
        through_each_gateway!(@ traefik, Traefik, $($test),+);
    };
    (@ $module:ident, $kind:ident, $($test:ident),+) => {
        mod $module {
            $(
                #[test]
                fn $test() {
                    super::$test(vestibule_e2e::gateway::Kind::$kind);
                }
            )+
        }
    };
}

mod access;
mod admin_sessions;
mod annotations;
mod charts;
mod chromium;
mod connections;
mod csrf;
mod demo;
mod edits_under_load;
mod fusionauth;
mod headers;
mod keycloak;
mod login;
mod logout;
mod parts;
mod paths;
mod provider;
mod reload;
mod returns;
mod secrets;
mod sessions;
mod tabs;
