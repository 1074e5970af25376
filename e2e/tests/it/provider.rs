//! What Vestibule can do with a certified provider beside the usual login.

use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use vestibule_e2e::echo::Echoed as _;
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::process::eventually;
use vestibule_e2e::stack::Plan;

fn plan() -> Plan {
    Plan::new(Kind::Traefik)
}

#[test]
fn a_client_secret_in_the_form_logs_in() {
    let client = "{id: shop-post, authMethod: ClientSecretPost, \
                  secretRef: {name: shop-oidc, key: client-secret}}";
    let stack = Plan { client: client.to_owned(), ..plan() }.start();
    let mut alice = stack.logged_in("alice");
    assert_eq!(alice.fetch(&stack.origin, &stack.url("/api")).status, 200);
}

#[test]
fn a_signed_assertion_logs_in() {
    let script = "const {privateKey, publicKey} = require('node:crypto')\
                  .generateKeyPairSync('ec', {namedCurve: 'P-256'});\
                  console.log(JSON.stringify({\
                  pem: privateKey.export({type: 'pkcs8', format: 'pem'}),\
                  jwk: {...publicKey.export({format: 'jwk'}), kid: 'client-1', use: 'sig'}}))";
    let output = Command::new("node").args(["-e", script]).output().unwrap();
    let key: Value = serde_json::from_slice(&output.stdout).unwrap();
    let client = "{id: shop-jwt, privateKeyJwt: \
                  {keyRef: {name: shop-key, key: key.pem}, keyId: client-1}}";
    let stack = Plan {
        client: client.to_owned(),
        secrets: vec![("default/shop-key/key.pem".into(), key["pem"].as_str().unwrap().into())],
        client_jwks: Some(json!({"keys": [key["jwk"]]})),
        ..plan()
    }
    .start();
    let mut alice = stack.logged_in("alice");
    assert_eq!(alice.fetch(&stack.origin, &stack.url("/api")).status, 200);
}

#[test]
fn a_resource_gets_an_access_token_of_its_own() {
    let spec = "  login: {resources: [\"https://api.example.test\"]}".to_owned();
    let stack = Plan { spec, ..plan() }.start();
    let mut alice = stack.logged_in("alice");
    let echo = alice.fetch(&stack.origin, &stack.url("/api")).json();
    let authorization = echo.values("authorization");
    let payload = authorization[0].split('.').nth(1).expect("a JWT");
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    assert_eq!(claims["aud"], "https://api.example.test", "{claims}");
}

#[test]
fn claims_are_completed_from_userinfo_where_asked_for() {
    let spec = "  login: {userInfo: true}".to_owned();
    let stack = Plan { spec, ..plan() }.start();
    let _ = stack.logged_in("alice");
    assert_eq!(stack.provider().count("/me"), 1);
}

#[test]
fn new_signing_keys_of_the_provider_are_fetched_when_first_seen() {
    let stack = plan().start();
    let _ = stack.logged_in("alice");
    stack.provider().set(&json!({"rotate": true}));
    // Keys are asked for again five seconds after the last time at the earliest, so that made-up
    // key ids cost the provider nothing.
    let bob = eventually(Duration::from_secs(15), || {
        let page = stack.browser().log_in(&stack.url("/page/home"), "bob");
        (page.response.status == 200).then_some(())
    });
    assert!(bob.is_some(), "{}", stack.authsvc.log());
    assert_eq!(stack.provider().count("/jwks"), 2);
}

#[test]
fn par_can_be_left_out_or_demanded() {
    let never = Plan { spec: "  login: {par: Never}".to_owned(), ..plan() }.start();
    let _ = never.logged_in("alice");
    assert_eq!(never.provider().count("/request"), 0);
    assert_eq!(never.provider().authorization_requests(), 1);

    let required = Plan { spec: "  login: {par: Required}".to_owned(), ..plan() }.start();
    required.provider().set(&json!({"fail": {"/request": 500}}));
    let page = required.browser().open(&required.url("/page/home"));
    assert!(page.response.status >= 400, "{page}");
    assert_eq!(page.url.path(), "/bff/login", "{page}");
    assert_eq!(required.provider().authorization_requests(), 0);
}

#[test]
fn a_login_that_the_user_refuses_ends_in_a_page() {
    let stack = plan().start();
    let mut browser = stack.browser();
    let form = browser.open(&stack.url("/page/home"));
    assert!(form.form().is_some(), "{form}");
    // What a provider sends when the user says no (RFC 6749, section 4.1.2.1), with our own state.
    let cookie =
        browser.cookies("localhost").into_iter().find(|c| c.name.contains("login")).cloned();
    assert!(cookie.is_some_and(|c| c.http_only), "a login in progress has a cookie of its own");
    let page = browser.navigate(&stack.url("/bff/callback?error=access_denied&state=unknown"));
    assert!((400..500).contains(&page.response.status), "{page}");
    assert!(page.response.text().contains("/bff/login"), "{page}");
}
