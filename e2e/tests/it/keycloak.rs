//! One full journey at Keycloak.

use tempfile::TempDir;
use vestibule_e2e::browser::parse;
use vestibule_e2e::echo::Echoed as _;
use vestibule_e2e::gateway::{Gateway, Kind};
use vestibule_e2e::keycloak::Keycloak;
use vestibule_e2e::stack::Plan;

#[test]
fn a_user_of_keycloak_logs_in_reaches_the_api_and_logs_out() {
    let dir = TempDir::new().unwrap();
    let listen = Gateway::free_address();
    let origin = format!("http://localhost:{}", listen.port());
    let keycloak = Keycloak::start(dir.path(), &origin);
    let plan = Plan::new(Kind::Traefik);
    let stack =
        Plan { listen: Some(listen), issuer: Some(keycloak.issuer.clone()), ..plan }.start();

    let mut alice = stack.browser();
    let form = alice.open(&stack.url("/page/home?x=1&y=2"));
    assert!(form.url.as_str().starts_with(&keycloak.issuer), "{form}");
    let page = alice.submit(&form, &[("username", "alice"), ("password", "alice")]);
    assert_eq!(page.url.as_str(), stack.url("/page/home?x=1&y=2"), "{page}");

    let echo = alice.fetch(&stack.origin, &stack.url("/staff/api")).json();
    assert_eq!(echo["target"], "/staff/api", "{echo}");
    let echo = alice.fetch(&stack.origin, &stack.url("/api")).json();
    assert_eq!(echo.values("x-groups"), ["staff"], "{echo}");
    assert!(echo.values("authorization")[0].starts_with("Bearer eyJ"), "{echo}");
    let session = alice.fetch(&stack.origin, &stack.url("/bff/session")).json();
    assert_eq!(session["claims"]["preferred_username"], "alice", "{session}");

    let old = alice.cookie("__Host-bff").unwrap().to_owned();
    let url = stack.url("/bff/logout");
    let request = alice.script_request("POST", &stack.origin, &url).header("X-Bff", "1");
    let answer = alice.send(&parse(&url), &request).json();
    let page = alice.click(&stack.origin, answer["location"].as_str().unwrap());
    assert_eq!(page.url.path(), "/bff/signed-out", "{page}");
    alice.set_cookie("localhost", "__Host-bff", &old);
    assert_eq!(alice.fetch(&stack.origin, &stack.url("/api")).status, 401);
    let form = alice.open(&stack.url("/page/home"));
    assert!(form.url.as_str().starts_with(&keycloak.issuer), "{form}");
    assert!(form.form().is_some(), "Keycloak still knows the user: {form}");
}
