//! What the logins of a Route Authority ask the provider for, and as whom, by what its policy says.

use secrecy::ExposeSecret as _;
use vestibule_policy::model::{ClientAuthMethod, Credential, Obtain, Par};

use super::BASE;
use crate::support::TestApp;

const POLICY: &str = r#"
login:
  scopes: [openid, email]
  par: Never
  acrValues: [silver]
  maxAge: 8h
  resources: ["https://api.example.com"]
  extraParameters: {prompt: login, kc_idp_hint: corp, audience: everything}
authorities:
  - base: /api
    scopes: [{name: read}, {name: write}]
    audience: production
    resources: ["https://api.example.com/production"]
    acr: gold
    maxAge: 5m
    client: {id: production, secretRef: {name: production, key: secret}, authMethod: ClientSecretPost}
  - {base: /plain, scopes: [{name: read}]}
  - {base: /exchanged, scopes: [{name: read}], obtain: TokenExchange, audience: other}
"#;

fn app() -> TestApp {
    TestApp::new(&[("shop", &format!("{BASE}{POLICY}"))])
}

#[test]
fn an_authoritys_login_asks_for_what_the_authority_says() {
    let policy = app().policy("shop");
    let authority = policy.authority("/api").unwrap();
    let login = authority.login(&["write".to_owned()], true);
    assert_eq!(login.scopes, ["openid", "write"]);
    assert_eq!(login.par, Par::Never);
    assert_eq!(login.acr_values, ["gold"]);
    assert_eq!(login.max_age, Some(300));
    assert_eq!(login.resources, ["https://api.example.com/production"]);
    assert!(!login.user_info);
    let parameters: Vec<(&str, &str)> =
        login.extra_parameters.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(
        parameters,
        [("audience", "production"), ("kc_idp_hint", "corp"), ("prompt", "none")]
    );
    let interactive = authority.login(&["write".to_owned()], false);
    assert_eq!(interactive.extra_parameters.get("prompt"), None);
}

#[test]
fn what_an_authority_does_not_say_is_not_taken_from_the_policys_login() {
    let policy = app().policy("shop");
    let login = policy.authority("/plain").unwrap().login(&["read".to_owned()], true);
    assert_eq!(login.scopes, ["openid", "read"]);
    assert_eq!(login.acr_values, Vec::<String>::new());
    assert_eq!(login.max_age, None);
    assert_eq!(login.resources, Vec::<String>::new());
}

#[test]
fn an_authority_is_the_policys_client_unless_it_has_one_of_its_own() {
    let policy = app().policy("shop");
    assert_eq!(policy.authority("/plain").unwrap().client, policy.compiled.client);
    let own = &policy.authority("/api").unwrap().client;
    assert_eq!(own.id, "production");
    let Credential::Secret { method, value } = &own.credential else { panic!("it is a secret") };
    assert_eq!(*method, Some(ClientAuthMethod::ClientSecretPost));
    assert!(!value.expose_secret().is_empty());
}

#[test]
fn a_token_is_obtained_as_the_authority_says() {
    let policy = app().policy("shop");
    let obtain = |base: &str| policy.authority(base).unwrap().compiled.obtain;
    assert_eq!(obtain("/api"), Obtain::AuthorizationCode);
    assert_eq!(obtain("/exchanged"), Obtain::TokenExchange);
}
