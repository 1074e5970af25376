//! The installation's secrets, and the keys derived from them.
//!
//! Why it exists: records, cookies and signatures of different policies and purposes must not share
//! a key, and keys must rotate without logging anybody out. It must not seal, sign or print: who
//! asks gets a key for one label and one policy, and no secret appears in an error or in `Debug`.

use std::collections::HashSet;
use std::sync::Arc;

use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_path_to_error::{Path, Segment};

use crate::random::Random;

/// Separates these derivations from any other use of the same secrets; never changed once released.
const SALT: &[u8] = b"vestibule keyring v1";

/// A key derived for one label and one policy.
pub(crate) type DerivedKey = Zeroizing<[u8; 32]>;

/// Installation secrets that every key is derived from, the active one first.
pub struct Keyring {
    keys: Arc<[RootKey]>,
}

/// What the keys of one policy are derived from, whenever they are asked for: most policies use few of
/// theirs in one process.
#[derive(Clone)]
pub struct PolicyRoots(Arc<(Arc<[RootKey]>, Box<str>)>);

impl PolicyRoots {
    /// The keyring's keys, the active one first; never empty.
    pub(crate) fn keys(&self) -> &[RootKey] {
        &self.0.0
    }

    /// The policy's uid.
    pub(crate) fn policy_uid(&self) -> &str {
        &self.0.1
    }

    /// The key of each of the keyring's for a label, in their order.
    pub(crate) fn derive(&self, label: &str) -> impl Iterator<Item = DerivedKey> {
        self.keys().iter().map(move |root| root.derive(label, self.policy_uid()))
    }
}

/// One secret of the keyring, kept as the pseudorandom key that HKDF extracts from it.
pub(crate) struct RootKey {
    id: String,
    extracted: Prk,
}

/// Why a keyring was refused.
#[derive(Debug, thiserror::Error)]
#[error("keyring: {0}")]
pub struct KeyringError(pub String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    keys: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    secret: SecretString,
}

impl Keyring {
    /// Parses the YAML `keys: [{id: k1, secret: BASE64 of 32 bytes}, …]`. Ids are 1 to 32 of
    /// `[A-Za-z0-9._-]`; ids and secrets are unique. The first key is the active one.
    pub fn parse(yaml: &str) -> Result<Self, KeyringError> {
        let file = read(yaml)?;
        if file.keys.is_empty() {
            return Err(KeyringError("keys: is empty; give at least one key".to_owned()));
        }
        let mut ids = HashSet::new();
        let mut secrets: Vec<Zeroizing<[u8; 32]>> = Vec::new();
        let mut keys = Vec::with_capacity(file.keys.len());
        for (index, entry) in file.keys.into_iter().enumerate() {
            let refuse =
                |field: &str, fix: &str| KeyringError(format!("keys[{index}].{field}: {fix}"));
            if !is_id(&entry.id) {
                return Err(refuse("id", "use 1 to 32 characters of A-Z a-z 0-9 . _ -"));
            }
            if !ids.insert(entry.id.clone()) {
                return Err(refuse(
                    "id",
                    "is also the id of an earlier key; give each key its own",
                ));
            }
            let Some(secret) = decode(&entry.secret) else {
                let fix = "is not 32 bytes in base64; make one with `openssl rand -base64 32`";
                return Err(refuse("secret", fix));
            };
            if secrets.contains(&secret) {
                return Err(refuse("secret", "is also that of an earlier key; make a new one"));
            }
            keys.push(RootKey::new(entry.id, &secret));
            secrets.push(secret);
        }
        Ok(Self { keys: keys.into() })
    }

    /// One random key, for a store that does not outlive the process.
    pub fn ephemeral(random: &dyn Random) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        random.fill(secret.as_mut_slice());
        Self { keys: Arc::new([RootKey::new("ephemeral".to_owned(), &secret)]) }
    }

    /// What the keys of a policy are derived from.
    #[must_use]
    pub fn of_policy(&self, policy_uid: &str) -> PolicyRoots {
        PolicyRoots(Arc::new((Arc::clone(&self.keys), policy_uid.into())))
    }

    /// All keys, the active one first; never empty.
    #[cfg(test)]
    pub(crate) fn keys(&self) -> &[RootKey] {
        &self.keys
    }
}

impl RootKey {
    fn new(id: String, secret: &[u8; 32]) -> Self {
        Self { id, extracted: Salt::new(HKDF_SHA256, SALT).extract(secret) }
    }

    /// The id that records carry: at most 32 ASCII characters.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// HKDF-SHA256 (RFC 5869); the info is the label and the policy's uid, each with its length.
    #[expect(clippy::expect_used, reason = "one hash length is always within HKDF's bounds")]
    pub(crate) fn derive(&self, label: &str, policy_uid: &str) -> DerivedKey {
        let info = length_prefixed(&[label.as_bytes(), policy_uid.as_bytes()]);
        let mut key = Zeroizing::new([0; 32]);
        self.extracted
            .expand(&[&info], HKDF_SHA256)
            .and_then(|material| material.fill(key.as_mut_slice()))
            .expect("HKDF-SHA256 gives 32 bytes");
        key
    }
}

/// The parts, each after its length in 8 bytes: no two lists share an encoding (T-71).
pub(crate) fn length_prefixed(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// The parser's own messages quote what they read, which may be a secret: only the place is kept.
fn read(yaml: &str) -> Result<File, KeyringError> {
    let mut field = String::new();
    let parsed = serde_saphyr::with_deserializer_from_str(yaml, |reader| {
        serde_path_to_error::deserialize(reader).map_err(|error| {
            field = known_path(error.path());
            error.into_inner()
        })
    });
    parsed.map_err(|error: serde_saphyr::Error| {
        let line = error.location().map_or(1, |location| location.line());
        KeyringError(format!(
            "{field}line {line}: expected `keys:` with a list of `{{id: NAME, secret: BASE64 of 32 \
             bytes}}` and nothing else"
        ))
    })
}

/// The path as far as its names are ours; a name that is not could be a misplaced secret.
fn known_path(path: &Path) -> String {
    let names = path.iter().map_while(|segment| match segment {
        Segment::Seq { index } => Some(format!("[{index}]")),
        Segment::Map { key } if key == "keys" => Some(key.clone()),
        Segment::Map { key } if key == "id" || key == "secret" => Some(format!(".{key}")),
        _ => None,
    });
    let text: String = names.collect();
    if text.is_empty() { text } else { text + ", " }
}

fn is_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=32).contains(&id.len()) && id.bytes().all(allowed)
}

fn decode(secret: &SecretString) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(STANDARD.decode(secret.expose_secret().trim()).ok()?);
    bytes.as_slice().try_into().ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{SeededRandom, SystemRandom};

    fn secret(seed: u8) -> String {
        STANDARD.encode([seed; 32])
    }

    fn error_of(yaml: &str) -> String {
        Keyring::parse(yaml).err().expect("the keyring is refused").to_string()
    }

    #[test]
    fn the_first_key_is_the_active_one() {
        let yaml = format!(
            "keys:\n- {{id: new.2, secret: {}}}\n- id: old_1\n  secret: |\n    {}\n",
            secret(1),
            secret(2)
        );
        let keyring = Keyring::parse(&yaml).expect("parses");
        let ids: Vec<_> = keyring.keys().iter().map(RootKey::id).collect();
        assert_eq!(ids, ["new.2", "old_1"]);
    }

    #[test]
    fn errors_name_the_key_and_the_fix_and_never_show_the_secret() {
        let good = secret(1);
        let short = STANDARD.encode([7; 31]);
        let long_id = "x".repeat(33);
        for (yaml, expected) in [
            ("keys: []".to_owned(), "keys: is empty"),
            (String::new(), "line 1"),
            (format!("keys: [{{id: a, secret: {short}}}]"), "keys[0].secret: is not 32 bytes"),
            (format!("keys: [{{id: a, secret: '{good}!'}}]"), "keys[0].secret: is not 32 bytes"),
            (format!("keys: [{{id: 'a b', secret: {good}}}]"), "keys[0].id: use 1 to 32"),
            (format!("keys: [{{id: '', secret: {good}}}]"), "keys[0].id: use 1 to 32"),
            (format!("keys: [{{id: {long_id}, secret: {good}}}]"), "keys[0].id: use 1 to 32"),
            (
                format!("keys: [{{id: a, secret: {good}}}, {{id: a, secret: {}}}]", secret(2)),
                "keys[1].id: is also the id",
            ),
            (
                format!("keys: [{{id: a, secret: {good}}}, {{id: b, secret: {good}}}]"),
                "keys[1].secret: is also that",
            ),
            (format!("keys: [{{id: a, secret: {good}, use: seal}}]"), "keys[0], line 1"),
            (format!("keys:\n- {{id: a}}\n- {good}\n"), "keys[0], line 2"),
            (format!("keys: {good}"), "keys, line 1"),
            (format!("keys: [{good}]"), "keys[0], line 1"),
            (format!("keys: [{{id: a, secret: [{good}]}}]"), "keys[0].secret, line 1"),
            (format!("{good}: 1"), "line 1"),
            (format!("keys: [{{id: a, id: b, secret: {good}}}]"), "line 1"),
        ] {
            let error = error_of(&yaml);
            assert!(error.contains(expected), "{yaml:?} gave {error:?}");
            for hidden in [&good, &short] {
                assert!(!error.contains(hidden.as_str()), "{error:?} shows a secret");
            }
        }
    }

    #[test]
    fn keys_differ_by_root_label_and_policy() {
        let random = SeededRandom::default();
        let roots = [Keyring::ephemeral(&random), Keyring::ephemeral(&random)];
        let mut seen = HashSet::new();
        for keyring in &roots {
            for label in ["seal/session", "seal/login", "sign"] {
                for uid in ["default/a", "default/b", ""] {
                    let key = keyring.keys()[0].derive(label, uid);
                    assert!(seen.insert(key.to_vec()), "{label} of {uid:?} repeats a key");
                }
            }
        }
    }

    #[test]
    fn t071_label_and_policy_cannot_be_shifted_into_each_other() {
        let keyring = Keyring::ephemeral(&SystemRandom);
        let root = &keyring.keys()[0];
        assert_ne!(root.derive("ab", "c"), root.derive("a", "bc"));
        assert_ne!(root.derive("", "abc"), root.derive("abc", ""));
    }

    #[test]
    fn derivations_never_change() {
        let keyring = Keyring::parse(&format!("keys: [{{id: k1, secret: {}}}]", secret(9)));
        let key = keyring.expect("parses").keys()[0].derive("seal/session", "default/shop");
        // By Python's hmac: HKDF-Extract with the salt, then one block of HKDF-Expand.
        let expected = [
            0xaa, 0x7f, 0x37, 0xfa, 0xcd, 0xc2, 0x42, 0x37, 0xa2, 0xa4, 0x90, 0xe4, 0x08, 0x10,
            0x49, 0x16, 0xd7, 0x7b, 0x1d, 0x69, 0x33, 0xe7, 0x6d, 0x19, 0x67, 0x43, 0xe1, 0x8a,
            0xac, 0x95, 0xcc, 0xfb,
        ];
        assert_eq!(*key, expected);
    }
}
