//! A cookie belongs to one policy, base, caller and kind, and opens nowhere else.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Policies that share a keyring.
static POLICIES: LazyLock<[Arc<LivePolicy>; 2]> = LazyLock::new(|| {
    ["shop", "desk"].map(|name| policy_with(name, &keyring(&[("k1", 1)]), |_| {}))
});

/// Where a cookie belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    policy: usize,
    base: usize,
    caller: StoreKey,
    kind: Kind,
}

impl Place {
    fn policy(&self) -> &LivePolicy {
        &POLICIES[self.policy]
    }

    fn authority(&self) -> &LiveAuthority {
        self.policy().authority(BASES[self.base]).expect("is there")
    }

    fn cookie_name(&self) -> String {
        self.kind.cookie_name(self.authority())
    }

    /// The value of the cookie that is written here.
    fn value(&self) -> String {
        let token = elevated(ACCESS, Some(REFRESH));
        let (policy, random) = (self.policy(), SeededRandom::default());
        let set = write(policy, self.authority(), &self.caller, &token, &random).expect("fits");
        let cookie = &set[usize::from(self.kind == Kind::Refresh)];
        assert_eq!(pair_of(cookie).0, self.cookie_name());
        pair_of(cookie).1.to_owned()
    }

    /// Whether a value opens here, whatever kind of record it is.
    fn opens(&self, value: &str) -> bool {
        let cookies = cookies(&format!("{}={value}", self.cookie_name()));
        opened::<Value>(self.kind, self.authority(), &self.caller, Cookies::from_headers(&cookies))
            .is_some()
    }
}

/// Few letters and the separators of naive encodings, so that collisions would be found.
fn part() -> impl Strategy<Value = String> {
    "[a:/|\u{0}]{0,3}"
}

fn any_caller() -> impl Strategy<Value = StoreKey> {
    prop_oneof![
        (0..3_u8).prop_map(caller),
        (part(), part(), part())
            .prop_map(|(uid, issuer, subject)| { StoreKey::of_bearer(&uid, &issuer, &subject) }),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    let kind = prop_oneof![Just(Kind::Access), Just(Kind::Refresh)];
    (0..POLICIES.len(), 0..BASES.len(), any_caller(), kind)
        .prop_map(|(policy, base, caller, kind)| Place { policy, base, caller, kind })
}

proptest! {
    #[test]
    fn a_cookie_opens_where_it_was_written_and_nowhere_else(one in place(), other in place()) {
        let value = one.value();
        prop_assert!(one.opens(&value));
        prop_assert_eq!(other.opens(&value), one == other);
        // One difference alone is enough.
        let differences = [
            Place { policy: other.policy, ..one.clone() },
            Place { base: other.base, ..one.clone() },
            Place { caller: other.caller, ..one.clone() },
            Place { kind: other.kind, ..one.clone() },
        ];
        for place in differences {
            prop_assert_eq!(place.opens(&value), place == one, "{:?}", place);
        }
    }

    #[test]
    fn altered_cookies_are_nothing_and_never_panic(
        place in place(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), "[A-Za-z0-9_=%\"-]"), 1..5),
        cut in any::<prop::sample::Index>(),
    ) {
        let value = place.value();
        let mut altered = value.clone();
        for (index, letter) in mutations {
            let at = index.index(value.len());
            altered.replace_range(at..=at, &letter);
        }
        if altered != value {
            prop_assert!(!place.opens(&altered));
        }
        prop_assert!(!place.opens(&value[..cut.index(value.len())]));
    }

    #[test]
    fn what_was_written_is_read_again(
        access in "[!-~]{1,600}",
        refresh in prop::option::of("[!-~]{1,600}"),
        granted in prop::sample::subsequence(vec!["read", "write", "stop"], 0..=3),
        not_granted in prop::collection::vec("[a-z:]{1,9}", 0..3),
        expires_at in prop::option::of(any::<u64>().prop_map(Timestamp)),
        subject in "\\PC{0,40}",
    ) {
        let policy = &POLICIES[0];
        let granted: Vec<String> = granted.into_iter().map(str::to_owned).collect();
        let fresh = not_granted.into_iter().filter(|scope| !granted.contains(scope));
        let asked = granted.iter().cloned().chain(fresh).collect();
        let token = Session {
            access_token_expires_at: expires_at,
            subject,
            grant: Some(Box::new(Grant { asked, granted })),
            ..elevated(&access, refresh.as_deref())
        };
        let random = SeededRandom::default();
        let authority = production(policy);
        let set = write(policy, &authority, &caller(1), &token, &random).expect("fits");
        let read = read_back(policy, &sent_back(&set)).expect("opens");
        prop_assert_eq!(&read.access_token, &token.access_token);
        prop_assert_eq!(read.access_token_expires_at, expires_at);
        prop_assert_eq!(&read.subject, &token.subject);
        prop_assert_eq!(&read.grant, &token.grant);
        let pair = both_read_back(policy, &sent_back(&set));
        prop_assert_eq!(pair.and_then(|pair| pair.refresh_token), token.refresh_token);
    }
}
