//! Tokens that passed lately, so that a caller's next requests cost no signature.
//!
//! It must not outlive a token, nor keep one that did not pass: whoever sends junk fills nothing.
//! What is remembered is bounded in number and in bytes: of two generations the older one goes when
//! the younger one is full.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use vestibule_policy::model::CompiledBearer;

use super::BearerToken;
use crate::clock::Timestamp;

/// For how long a token is not looked at again, in seconds: so long does a key count that the
/// provider took back.
const KEEP: u64 = 60;
/// The most tokens of a generation.
const MAX_TOKENS: usize = 5_000;
/// The most bytes of a generation's tokens; what is made of them takes a few times that.
const MAX_BYTES: usize = 8 << 20;

/// A token, and what was expected of it: policies with the same provider expect different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenKey([u8; 32]);

impl TokenKey {
    pub(super) fn of(token: &str, bearer: &CompiledBearer) -> Self {
        let mut hash = Context::new(&SHA256);
        for list in [&bearer.audiences, &bearer.token_types] {
            hash.update(&(list.len() as u64).to_be_bytes());
            for one in list {
                hash.update(&(one.len() as u64).to_be_bytes());
                hash.update(one.as_bytes());
            }
        }
        hash.update(token.as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(hash.finish().as_ref());
        Self(key)
    }
}

/// The tokens that passed lately at one provider.
#[derive(Default)]
pub(in super::super) struct VerifiedTokens(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<TokenKey, Kept>,
    /// Of the young ones' tokens.
    bytes: usize,
    /// Since when there are young ones.
    since: Timestamp,
    old: HashMap<TokenKey, Kept>,
}

struct Kept {
    token: Arc<BearerToken>,
    until: Timestamp,
}

impl VerifiedTokens {
    /// One that passed less than [`KEEP`] ago, and has not ended.
    pub(super) fn get(&self, key: &TokenKey, now: Timestamp) -> Option<Arc<BearerToken>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = all.young.get(key).or_else(|| all.old.get(key))?;
        (now < kept.until).then(|| Arc::clone(&kept.token))
    }

    /// Remembers one that has just passed.
    pub(super) fn put(&self, key: TokenKey, token: &Arc<BearerToken>, now: Timestamp) {
        let until = now.plus(KEEP).min(token.expires_at);
        if until <= now {
            return;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = token.token.expose().len();
        if all.young.len() >= MAX_TOKENS
            || all.bytes + bytes > MAX_BYTES
            || now.since(all.since) >= KEEP
        {
            // What was old is over by now, or makes room.
            all.old = std::mem::take(&mut all.young);
            (all.bytes, all.since) = (0, now);
        }
        let kept = Kept { token: Arc::clone(token), until };
        if all.young.insert(key, kept).is_none() {
            all.bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use vestibule_policy::model::OwnTokens;

    use super::*;
    use crate::session::Claims;
    use crate::token::Token;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn bearer(audiences: &[&str], types: &[&str]) -> CompiledBearer {
        let owned = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
        CompiledBearer {
            audiences: owned(audiences),
            token_types: owned(types),
            mediation_scope: "endpoint:mediate".to_owned(),
            own_tokens: OwnTokens::Pass,
        }
    }

    fn token(text: &str, expires_at: Timestamp) -> Arc<BearerToken> {
        Arc::new(BearerToken {
            token: Token::new(text),
            subject: "u-1".to_owned(),
            issuer: "https://id.example.com".to_owned(),
            scopes: Vec::new(),
            claims: Claims::new(),
            expires_at,
            client_id: None,
        })
    }

    fn key(text: &str) -> TokenKey {
        TokenKey::of(text, &bearer(&["api"], &["at+jwt"]))
    }

    #[test]
    fn a_token_is_remembered_for_a_minute_and_never_beyond_its_end() {
        for (lives, known_for) in [(300, 60), (60, 60), (30, 30), (1, 1), (0, 0)] {
            let tokens = VerifiedTokens::default();
            tokens.put(key("t"), &token("t", NOW.plus(lives)), NOW);
            if known_for > 0 {
                assert!(tokens.get(&key("t"), NOW.plus(known_for - 1)).is_some(), "{lives}");
            }
            assert!(tokens.get(&key("t"), NOW.plus(known_for)).is_none(), "{lives}");
        }
    }

    #[test]
    fn what_passed_one_policy_says_nothing_to_another() {
        let ones = [
            bearer(&["api"], &["at+jwt"]),
            bearer(&["api", "other"], &["at+jwt"]),
            bearer(&["other"], &["at+jwt"]),
            bearer(&["apiother"], &["at+jwt"]),
            bearer(&["api"], &["at+jwt", "jwt"]),
            bearer(&["api", "at+jwt"], &[]),
            bearer(&[], &["api", "at+jwt"]),
        ];
        let mut keys: Vec<[u8; 32]> = ones.iter().map(|one| TokenKey::of("t", one).0).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), ones.len());
        // What is asked of a verified token is no part of it.
        let mut refusing = bearer(&["api"], &["at+jwt"]);
        refusing.own_tokens = OwnTokens::Refuse;
        assert_eq!(TokenKey::of("t", &refusing), key("t"));
    }

    #[test]
    fn tokens_are_bounded_in_number() {
        let tokens = VerifiedTokens::default();
        let held = token("t", NOW.plus(300));
        for count in 0..3 * MAX_TOKENS {
            tokens.put(key(&count.to_string()), &held, NOW);
            let all = tokens.0.lock().unwrap();
            assert!(all.young.len() + all.old.len() <= 2 * MAX_TOKENS);
        }
        assert!(tokens.get(&key("0"), NOW).is_none());
        assert!(tokens.get(&key(&(3 * MAX_TOKENS - 1).to_string()), NOW).is_some());
        assert!(tokens.get(&key(&(2 * MAX_TOKENS).to_string()), NOW).is_some());
    }

    #[test]
    fn tokens_are_bounded_in_bytes() {
        let tokens = VerifiedTokens::default();
        let large = token(&"t".repeat(super::super::MAX_BEARER), NOW.plus(300));
        let fit = MAX_BYTES / super::super::MAX_BEARER;
        for count in 0..4 * fit {
            tokens.put(key(&count.to_string()), &large, NOW);
        }
        let all = tokens.0.lock().unwrap();
        assert!(all.bytes <= MAX_BYTES, "{}", all.bytes);
        assert_eq!(all.young.len() + all.old.len(), 2 * fit);
    }

    #[test]
    fn old_tokens_go_with_time() {
        let tokens = VerifiedTokens::default();
        tokens.put(key("a"), &token("a", NOW.plus(600)), NOW);
        tokens.put(key("b"), &token("b", NOW.plus(600)), NOW.plus(60));
        tokens.put(key("c"), &token("c", NOW.plus(600)), NOW.plus(120));
        let all = tokens.0.lock().unwrap();
        assert_eq!((all.young.len(), all.old.len()), (1, 1));
    }
}
