//! The secrets of a policy with authorities and decision points: each is handed over in a key of its
//! own, none is missing, and none is anywhere else.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use vestibule_crds::v1alpha1::{BffPolicy, BffProvider, SecretKeyRef};
use vestibule_policy::compile::{Input, compile};
use vestibule_policy::handoff::{
    AUTH_ZEN_CREDENTIAL_KEY, COMPILED_KEY, CREDENTIAL_KEY, Handoff, OPEN_FGA_CREDENTIAL_KEY, State,
    hash,
};
use vestibule_policy::model::{CompiledClient, CompiledPolicy, Credential, PolicyId};

type Data = BTreeMap<String, Vec<u8>>;

/// What the secret of each reference is.
fn secret(reference: &SecretKeyRef) -> SecretString {
    match reference.key.as_str() {
        "key.pem" => include_str!("../testdata/p256-test-key.pem").into(),
        "ca.pem" => "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
        key => format!("canary-{}-{key}", reference.name).into(),
    }
}

fn compiled(golden: &str) -> CompiledPolicy {
    let documents: Vec<Value> = serde_saphyr::from_multiple(golden).unwrap();
    let of_kind = |kind: &str| documents.iter().find(|d| d["kind"] == kind).cloned().unwrap();
    let policy: BffPolicy = serde_json::from_value(of_kind("BffPolicy")).unwrap();
    let provider: BffProvider = serde_json::from_value(of_kind("BffProvider")).unwrap();
    compile(&Input {
        id: PolicyId { namespace: "default".to_owned(), name: "factory".to_owned() },
        uid: "uid".to_owned(),
        spec: &policy.spec,
        provider: Some(&provider.spec),
        secrets: &|reference| Ok(secret(reference)),
        allow_insecure: false,
    })
    .unwrap()
}

fn factory() -> CompiledPolicy {
    compiled(include_str!("../testdata/compile/authorities.in.yaml"))
}

fn live(policy: CompiledPolicy) -> Handoff {
    Handoff {
        id: policy.id.clone(),
        uid: policy.uid.clone(),
        generation: 1,
        origins: policy.origins.clone(),
        released: false,
        state: State::Live(Box::new(policy)),
    }
}

fn text(data: &Data, key: &str) -> String {
    String::from_utf8(data[key].clone()).unwrap()
}

fn refused(data: &Data) -> String {
    let reason = Handoff::decode(data).map(|_| "it was read").unwrap_err();
    assert!(!reason.contains("canary"), "{reason}");
    reason
}

/// Every place of a secret.
fn places(policy: &mut CompiledPolicy) -> Vec<&mut SecretString> {
    fn of_client(client: &mut CompiledClient) -> &mut SecretString {
        match &mut client.credential {
            Credential::Secret { value, .. } => value,
            Credential::PrivateKey { pem, .. } => pem,
        }
    }
    let mut all = vec![of_client(&mut policy.client)];
    all.extend(policy.authorities.iter_mut().filter_map(|one| one.client.as_mut()).map(of_client));
    all.extend(policy.open_fga.as_mut().and_then(|one| one.server.token.as_mut()));
    all.extend(policy.auth_zen.as_mut().and_then(|one| one.server.token.as_mut()));
    all
}

#[test]
fn t052_each_credential_is_in_its_own_key_alone_and_never_in_debug() {
    let handoff = live(factory());
    let data = handoff.encode();
    let keys: Vec<&str> = data.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "credential",
            "credential-auth-zen",
            "credential-authority-1",
            "credential-authority-2",
            "credential-open-fga",
            "policy.json"
        ]
    );
    assert_eq!(text(&data, CREDENTIAL_KEY), "canary-factory-oidc-client-secret");
    assert_eq!(
        text(&data, "credential-authority-1"),
        include_str!("../testdata/p256-test-key.pem")
    );
    assert_eq!(text(&data, "credential-authority-2"), "canary-factory-reports-client-secret");
    assert_eq!(text(&data, OPEN_FGA_CREDENTIAL_KEY), "canary-factory-fga-token");
    assert_eq!(text(&data, AUTH_ZEN_CREDENTIAL_KEY), "canary-factory-pdp-token");
    let json = text(&data, COMPILED_KEY);
    for shown in [json, format!("{handoff:?}"), format!("{:?}", Handoff::decode(&data).unwrap())] {
        assert!(!shown.contains("canary") && !shown.contains("PRIVATE KEY"), "{shown}");
    }
}

#[test]
fn a_policy_without_authorities_is_handed_over_as_it_always_was() {
    let data = live(compiled(include_str!("../testdata/compile/full.in.yaml"))).encode();
    assert_eq!(data.keys().collect::<Vec<_>>(), [CREDENTIAL_KEY, COMPILED_KEY]);
    let json = text(&data, COMPILED_KEY);
    // An older reader refuses what it does not know.
    for novelty in ["authorities", "bearer", "open_fga", "auth_zen", "\"scopes\":[]", "permission"]
    {
        assert!(!json.contains(novelty), "{novelty}");
    }
    assert!(json.starts_with("{\"format\":1,"), "{json}");
}

#[test]
fn a_secret_too_few_or_too_many_is_refused() {
    let data = live(factory()).encode();
    for key in data.keys().filter(|key| *key != COMPILED_KEY) {
        let mut without = data.clone();
        without.remove(key);
        assert_eq!(refused(&without), format!("is live, but has no {key}"));
        for (value, why) in [(&b""[..], "is empty"), (&b"canary\xff"[..], "is not UTF-8 text")] {
            let mut broken = data.clone();
            broken.insert(key.clone(), value.to_vec());
            assert_eq!(refused(&broken), format!("{key} {why}"));
        }
    }
    for (key, why) in [
        (
            "credential-authority-0",
            "has a credential-authority-0, but its policy has no such secret",
        ),
        (
            "credential-authority-9",
            "has a credential-authority-9, but its policy has no such secret",
        ),
        ("credential-authority-01", "has an unknown key \"credential-authority-01\""),
        ("credential-authority-", "has an unknown key \"credential-authority-\""),
        ("credential-authority-999", "has an unknown key \"credential-authority-999\""),
        ("credential-other", "has an unknown key \"credential-other\""),
    ] {
        let mut more = data.clone();
        more.insert(key.to_owned(), b"canary".to_vec());
        assert_eq!(refused(&more), why);
    }
    let mut dead = Handoff { state: State::Tombstone, ..live(factory()) }.encode();
    dead.insert(OPEN_FGA_CREDENTIAL_KEY.to_owned(), b"canary".to_vec());
    assert_eq!(refused(&dead), "has a credential-open-fga, but is not live");
}

#[test]
fn a_server_without_a_token_has_none_when_it_is_read() {
    let mut policy = factory();
    policy.open_fga.as_mut().unwrap().server.token = None;
    let handoff = live(policy);
    let mut data = handoff.encode();
    assert!(!data.contains_key(OPEN_FGA_CREDENTIAL_KEY));
    assert_eq!(Handoff::decode(&data).unwrap(), handoff);
    data.insert(OPEN_FGA_CREDENTIAL_KEY.to_owned(), b"canary".to_vec());
    assert!(refused(&data).contains("no such secret"));
}

/// Compiled once: each time takes a while.
fn factories() -> impl Strategy<Value = CompiledPolicy> {
    Just(factory())
}

proptest! {
    #[test]
    fn every_secret_comes_back_to_its_own_place(
        mut policy in factories(), secrets in prop::collection::vec(".{1,40}", 5), other in 0..5_usize
    ) {
        for (place, secret) in places(&mut policy).into_iter().zip(&secrets) {
            *place = secret.as_str().into();
        }
        let handoff = live(policy.clone());
        let data = handoff.encode();
        let read = Handoff::decode(&data).unwrap();
        prop_assert_eq!(&read, &handoff);
        let State::Live(mut read) = read.state else { panic!("it is live") };
        let found: Vec<String> =
            places(&mut read).iter().map(|secret| secret.expose_secret().to_owned()).collect();
        prop_assert_eq!(found, secrets);
        // One that changed is another hand-off.
        *places(&mut policy).remove(other) = "canary-of-another".into();
        prop_assert_ne!(hash(&live(policy).encode()), hash(&data));
    }
}
