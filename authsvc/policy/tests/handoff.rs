//! The hand-off from operator to authsvc: it comes back as it went, and nothing else is read.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use vestibule_crds::v1alpha1::{BffPolicy, BffProvider, SecretKeyRef};
use vestibule_policy::compile::{Input, compile};
use vestibule_policy::handoff::{
    COMPILED_KEY, CREDENTIAL_KEY, Handoff, MAX_SIZE, State, hash, policy_id_label, secret_name,
    size,
};
use vestibule_policy::model::{CompiledLogout, CompiledPolicy, Credential, PolicyId};

const CANARY: &str = "canary-client-secret";

type Data = BTreeMap<String, Vec<u8>>;

fn secret(reference: &SecretKeyRef) -> SecretString {
    match reference.key.as_str() {
        "key.pem" => include_str!("../testdata/p256-test-key.pem").into(),
        "ca.pem" => "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
        _ => CANARY.into(),
    }
}

/// What a golden input compiles to, if it does.
fn golden(path: &Path) -> Option<CompiledPolicy> {
    let text = std::fs::read_to_string(path).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let of_kind = |kind: &str| documents.iter().find(|d| d["kind"] == kind).cloned();
    let policy: BffPolicy = serde_json::from_value(of_kind("BffPolicy")?).unwrap();
    let provider: BffProvider = serde_json::from_value(of_kind("BffProvider")?).unwrap();
    let name = policy.metadata.name.clone().unwrap();
    compile(&Input {
        id: PolicyId { namespace: "default".to_owned(), name: name.clone() },
        uid: format!("uid-of-{name}"),
        spec: &policy.spec,
        provider: Some(&provider.spec),
        secrets: &|reference| Ok(secret(reference)),
        allow_insecure: false,
    })
    .ok()
}

fn goldens() -> Vec<CompiledPolicy> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/compile");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_str().unwrap().ends_with(".in.yaml"));
    paths.sort();
    let compiled: Vec<_> = paths.iter().filter_map(|path| golden(path)).collect();
    assert!(compiled.len() >= 3, "some goldens compile");
    compiled
}

fn live(policy: CompiledPolicy) -> Handoff {
    Handoff {
        id: policy.id.clone(),
        uid: policy.uid.clone(),
        generation: 7,
        origins: policy.origins.clone(),
        released: false,
        state: State::Live(Box::new(policy)),
    }
}

fn credential(policy: &CompiledPolicy) -> &SecretString {
    match &policy.client.credential {
        Credential::Secret { value, .. } => value,
        Credential::PrivateKey { pem, .. } => pem,
    }
}

fn set_credential(policy: &mut CompiledPolicy, text: &str) {
    match &mut policy.client.credential {
        Credential::Secret { value, .. } => *value = text.into(),
        Credential::PrivateKey { pem, .. } => *pem = text.into(),
    }
}

/// Everything that a hand-off says, the credential too.
fn whole(handoff: &Handoff) -> (Value, Option<String>) {
    let policy = match &handoff.state {
        State::Live(policy) => Some(policy),
        State::Refused | State::Tombstone => None,
    };
    let said = json!({
        "id": handoff.id, "uid": handoff.uid, "generation": handoff.generation,
        "origins": handoff.origins, "released": handoff.released,
        "state": handoff.state.name(), "policy": policy,
    });
    (said, policy.map(|policy| credential(policy).expose_secret().to_owned()))
}

fn handoffs() -> impl Strategy<Value = Handoff> {
    let goldens = goldens();
    let parts =
        (0..goldens.len(), ".{1,40}", "[a-z0-9-]{1,36}", any::<i64>(), any::<bool>(), 0..4_u8);
    parts.prop_map(move |(index, secret, uid, generation, released, state)| {
        let mut policy = goldens[index].clone();
        set_credential(&mut policy, &secret);
        policy.uid.clone_from(&uid);
        let mut handoff = Handoff { generation, released, ..live(policy) };
        match state {
            0 => handoff.state = State::Refused,
            1 => handoff.state = State::Tombstone,
            _ => {}
        }
        handoff
    })
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_written(handoff in handoffs()) {
        let data = handoff.encode();
        let read = Handoff::decode(&data).unwrap();
        prop_assert_eq!(whole(&read), whole(&handoff));
        prop_assert_eq!(hash(&read.encode()), hash(&data));
    }

    #[test]
    fn truncated_or_altered_data_is_refused_or_says_what_it_says_and_never_panics(
        handoff in handoffs(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()
    ) {
        let mut data = handoff.encode();
        let json = data.get_mut(COMPILED_KEY).unwrap();
        let at = at.index(json.len());
        if cut {
            json.truncate(at);
        } else {
            json[at] = byte;
        }
        let read = Handoff::decode(&data);
        prop_assert!(!cut || read.is_err());
    }

    #[test]
    fn garbage_is_refused(json in prop::collection::vec(any::<u8>(), 0..200)) {
        let data = Data::from([(COMPILED_KEY.to_owned(), json)]);
        prop_assert!(Handoff::decode(&data).is_err());
    }
}

fn refused(data: &Data) -> String {
    Handoff::decode(data).map(|handoff| whole(&handoff)).unwrap_err()
}

/// The data with its JSON altered.
fn altered(data: &Data, alter: impl FnOnce(&mut Value)) -> Data {
    let mut data = data.clone();
    let mut json = serde_json::from_slice(&data[COMPILED_KEY]).unwrap();
    alter(&mut json);
    data.insert(COMPILED_KEY.to_owned(), serde_json::to_vec(&json).unwrap());
    data
}

#[test]
fn a_reader_refuses_what_it_does_not_know() {
    for policy in goldens() {
        let data = live(policy).encode();
        let newer = altered(&data, |json| {
            json["format"] = json!(2);
            json["novelty"] = json!({"strict": true});
        });
        assert!(refused(&newer).contains("format 2, this version reads 1"), "{}", refused(&newer));
        // An unknown field at any depth may be a restriction that would not be enforced.
        let mut objects = 0;
        let json: Value = serde_json::from_slice(&data[COMPILED_KEY]).unwrap();
        for pointer in pointers(&json, String::new()) {
            let extended = altered(&data, |json| {
                json.pointer_mut(&pointer).unwrap()["novelty"] = json!(true);
            });
            if pointer.ends_with("/extra_parameters") {
                // Names of parameters are the author's; their values are text.
                assert!(refused(&extended).contains("expected a string"));
            } else {
                assert!(!refused(&extended).is_empty(), "{pointer}");
            }
            objects += 1;
        }
        assert!(objects > 5);
        let other = altered(&data, |json| json["state"] = json!("Paused"));
        assert!(refused(&other).contains("Paused"));
    }
}

#[test]
fn a_hand_off_from_before_the_settings_of_logout_means_all_of_them() {
    for policy in goldens() {
        let older = altered(&live(policy.clone()).encode(), |json| {
            let policy = json.pointer_mut("/state/Live").unwrap().as_object_mut().unwrap();
            assert!(policy.remove("logout").is_some());
        });
        let State::Live(read) = Handoff::decode(&older).unwrap().state else {
            panic!("it is live")
        };
        let all = CompiledLogout { revoke_tokens: true, back_channel: true, front_channel: true };
        assert_eq!(*read, CompiledPolicy { logout: all, ..policy });
    }
}

#[test]
fn what_two_hand_offs_have_in_common_is_one_in_memory() {
    for policy in goldens() {
        let other = CompiledPolicy { uid: "another".to_owned(), ..policy.clone() };
        let [one, two] = [policy, other].map(|policy| {
            let State::Live(read) = Handoff::decode(&live(policy).encode()).unwrap().state else {
                panic!("it is live")
            };
            read
        });
        assert_ne!(one, two);
        assert!(std::ptr::eq(&raw const *one.provider, &raw const *two.provider));
        assert!(std::ptr::eq(&raw const *one.login, &raw const *two.login));
        assert!(std::ptr::eq(&raw const *one.session, &raw const *two.session));
        assert!(std::ptr::eq(&raw const *one.routes, &raw const *two.routes));
    }
}

/// The pointers of all objects below a value.
fn pointers(value: &Value, at: String) -> Vec<String> {
    match value {
        Value::Object(members) => {
            let below: Vec<String> = members
                .iter()
                .flat_map(|(key, value)| pointers(value, format!("{at}/{key}")))
                .collect();
            [vec![at], below].concat()
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.flat_map(|(index, value)| pointers(value, format!("{at}/{index}"))).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn data_that_contradicts_itself_is_refused() {
    let data = live(goldens().remove(0)).encode();
    let with = |key: &str, value: &[u8]| {
        let mut data = data.clone();
        data.insert(key.to_owned(), value.to_vec());
        data
    };
    let without = |key: &str| {
        let mut data = data.clone();
        data.remove(key);
        data
    };
    for (broken, why) in [
        (Data::new(), "has no policy.json"),
        (without(CREDENTIAL_KEY), "has no credential"),
        (with(CREDENTIAL_KEY, b""), "is empty"),
        (with(CREDENTIAL_KEY, b"\xff\xfe"), "is not UTF-8"),
        (with("more", b""), "unknown key \"more\""),
        (altered(&data, |json| json["state"] = json!("Refused")), "is not live"),
        (altered(&data, |json| json["uid"] = json!("another")), "of another"),
        (altered(&data, |json| json["id"]["name"] = json!("another")), "of another"),
        (altered(&data, |json| json["origins"] = json!([])), "is enforced, but not held"),
        (altered(&data, |json| json["origins"] = json!(["https://*.example.com"])), "wildcard"),
        (altered(&data, |json| json["format"] = json!("1")), "cannot be read"),
        (
            altered(&data, |json| {
                json["state"]["Live"]["provider"]["request_timeout"] = json!(-1.0);
            }),
            "cannot be read",
        ),
    ] {
        let reason = refused(&broken);
        assert!(reason.contains(why), "{why}: {reason}");
        assert!(!reason.contains(CANARY), "{reason}");
    }
}

#[test]
fn an_expression_is_compiled_anew_and_refused_like_any_other() {
    let full = goldens()
        .into_iter()
        .find(|policy| policy.routes.iter().any(|route| route.require.expression.is_some()));
    let data = live(full.unwrap()).encode();
    let broken = altered(&data, |json| {
        let routes = json["state"]["Live"]["routes"].as_array_mut().unwrap();
        let rule = routes.iter_mut().find(|r| r["require"]["expression"].is_string()).unwrap();
        rule["require"]["expression"] = json!("claims.sub ==");
    });
    assert!(refused(&broken).contains("is no CEL expression"), "{}", refused(&broken));
}

#[test]
fn what_is_too_large_is_refused_before_it_is_parsed() {
    let mut data = live(goldens().remove(0)).encode();
    let json = data.get_mut(COMPILED_KEY).unwrap();
    json.resize(MAX_SIZE, b' ');
    assert!(size(&data) > MAX_SIZE);
    assert!(refused(&data).contains("larger than"));
}

#[test]
fn t052_the_credential_is_in_its_own_key_alone_and_never_in_debug() {
    for mut policy in goldens() {
        set_credential(&mut policy, CANARY);
        let handoff = live(policy);
        let data = handoff.encode();
        assert_eq!(data[CREDENTIAL_KEY], CANARY.as_bytes());
        assert!(!String::from_utf8(data[COMPILED_KEY].clone()).unwrap().contains(CANARY));
        assert!(!format!("{handoff:?}").contains(CANARY));
        assert!(!format!("{:?}", Handoff::decode(&data).unwrap()).contains(CANARY));
    }
}

#[test]
fn the_hash_tells_keys_from_values_and_where_one_ends() {
    let data = |parts: &[(&str, &str)]| {
        parts.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    };
    let all: Vec<Data> = vec![
        data(&[]),
        data(&[("ab", "c")]),
        data(&[("a", "bc")]),
        data(&[("abc", "")]),
        data(&[("a", "b"), ("c", "")]),
        data(&[("a", ""), ("b", "c")]),
        data(&[("a", ""), ("bc", "")]),
    ];
    let hashes: std::collections::BTreeSet<String> = all.iter().map(hash).collect();
    assert_eq!(hashes.len(), all.len());
    assert!(hashes.iter().all(|hash| hash.len() == 32));
    // By Python: sha256(8-byte length, "a", 8-byte length, "bc").
    assert_eq!(hash(&data(&[("a", "bc")])), "3fafa1cf2f19a7c1129beb20cf0983f7");
}

#[test]
fn t053_no_two_policies_share_a_name() {
    let pairs = [("a-b", "c"), ("a", "b-c"), ("a", "b"), ("ab", "c"), ("b", "a"), ("a.b", "c")];
    let labels: std::collections::BTreeSet<String> =
        pairs.iter().map(|(namespace, name)| policy_id_label(namespace, name)).collect();
    assert_eq!(labels.len(), pairs.len());
    assert!(labels.iter().all(|label| label.len() == 40));
    // By Python: sha256(b"shop/web").hexdigest()[:40].
    assert_eq!(policy_id_label("shop", "web"), "97375646b1deb3d2d5c406cd15750035f52a38be");
    assert_eq!(
        secret_name("shop", "web"),
        "vestibule-policy-97375646b1deb3d2d5c406cd15750035f52a38be"
    );
}
