//! How large a cookie may be, to the byte, and what its size tells.

use super::*;

/// A policy whose first authority has a base of so many bytes.
fn policy_of(base_bytes: usize) -> (std::sync::Arc<LivePolicy>, String) {
    let base = format!("/{}", "b".repeat(base_bytes - 1));
    let rename = |compiled: &mut CompiledPolicy| compiled.authorities[0].base.clone_from(&base);
    (policy_with("shop", &keyring(&[("k1", 1)]), rename), base)
}

fn write_with(
    policy: &LivePolicy,
    base: &str,
    access: usize,
    refresh: usize,
) -> Result<Vec<String>, TooLarge> {
    let authority = policy.authority(base).expect("is there");
    let token = elevated(&"a".repeat(access), Some(&"r".repeat(refresh)));
    write(policy, authority, &caller(1), &token, &SeededRandom::default())
}

#[test]
fn four_thousand_bytes_fit_and_one_more_does_not() {
    let mut sizes = std::collections::BTreeSet::new();
    for base_bytes in 2..6 {
        let (policy, base) = policy_of(base_bytes);
        for length in 2_600..2_850 {
            match write_with(&policy, &base, length, 9) {
                Ok(set) => {
                    assert!(set.iter().all(|cookie| cookie.len() <= MAX_BYTES));
                    sizes.insert(set[0].len());
                }
                Err(too_large) => {
                    assert!(too_large.bytes > MAX_BYTES, "{too_large}");
                    assert_eq!((too_large.cookie, too_large.limit), ("access", MAX_BYTES));
                    sizes.insert(too_large.bytes);
                }
            }
        }
    }
    assert!(sizes.contains(&MAX_BYTES), "one that just fits was tried");
    assert!(sizes.contains(&(MAX_BYTES + 1)), "one that just does not was tried");
}

#[test]
fn a_refresh_token_that_does_not_fit_is_told_apart_and_no_cookie_is_set() {
    let (policy, base) = policy_of(6);
    let refused = write_with(&policy, &base, 9, 4_000).expect_err("too large");
    assert_eq!(refused.cookie, "refresh");
    let text = refused.to_string();
    for part in ["refresh token", &refused.bytes.to_string(), "4000"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn the_greatest_that_is_written_is_read_again() {
    let (policy, base) = policy_of(6);
    let fits = |length: &usize| write_with(&policy, &base, *length, 9).is_ok();
    let greatest = (2_000..3_000).rev().find(fits).expect("some fit");
    let set = write_with(&policy, &base, greatest, 9).expect("fits");
    let authority = policy.authority(&base).expect("is there");
    let read = read(&policy, authority, &caller(1), Cookies::from_headers(&sent_back(&set)), START)
        .expect("opens");
    assert_eq!(read.access_token.expose().len(), greatest);
}

#[test]
fn the_size_of_a_cookie_tells_how_long_its_token_is_and_nothing_of_what_is_in_it() {
    let policy = policy();
    let sizes = |token: &str| {
        let set = written_with(&policy, token, Some(token));
        [set[0].len(), set[1].len()]
    };
    let scattered: String =
        (0..1_000_u32).map(|i| char::from(b'a' + u8::try_from(i * i * 7 % 26).unwrap())).collect();
    assert_eq!(sizes(&"a".repeat(1_000)), sizes(&scattered), "nothing is compressed");
}
