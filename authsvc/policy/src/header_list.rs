//! Names the list of headers that a gateway takes from the check.
//!
//! Why it exists: a header that is not in the gateway's list passes as the client sent it. So the
//! operator writes beside the list, into the check's address, which list it is, and authsvc compares
//! that with the policy's. It must not know how an address is made or read.

use aws_lc_rs::digest::{SHA256, digest as sha256};

use crate::handoff::hex;

/// What comes before the name of a list in the query of a check's address.
const PARAMETER: &str = "headers=";
/// Enough that no list is taken for another by accident; a client cannot choose it.
const DIGITS: usize = 8;

/// The name of the list that holds these headers, in whatever order and case they are given:
/// eight hexadecimal digits of SHA-256.
#[must_use]
pub fn digest(names: &[String]) -> String {
    let mut names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    names.dedup();
    // No name of a header holds a line's end.
    hex(&sha256(&SHA256, names.join("\n").as_bytes()), DIGITS)
}

/// The query of the check's address for a gateway that takes these headers from it.
#[must_use]
pub fn query(names: &[String]) -> String {
    format!("{PARAMETER}{}", digest(names))
}

/// Whether that is the query of some list.
#[must_use]
pub fn is_query(text: &str) -> bool {
    text.strip_prefix(PARAMETER).is_some_and(|digits| {
        digits.len() == DIGITS && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_list_has_one_name_whatever_its_order_and_case() {
        let list = query(&names("x-groups x-user"));
        assert_eq!(list, "headers=53d8f6c8");
        for same in ["x-user x-groups", "X-User X-Groups", "x-user x-groups x-user"] {
            assert_eq!(query(&names(same)), list, "{same}");
        }
        for other in ["", "x-user", "x-groups x-user x-name", "x-groupsx-user", "x-group sx-user"] {
            assert_ne!(query(&names(other)), list, "{other}");
            assert!(is_query(&query(&names(other))), "{other}");
        }
    }

    #[test]
    fn only_what_is_written_is_the_name_of_a_list() {
        for text in [
            "",
            "headers=",
            "headers=4a2f6c1",
            "headers=4a2f6c1d0",
            "headers=4A2F6C1D",
            "headers=4a2f6c1g",
            "header=4a2f6c1d",
            "?headers=4a2f6c1d",
            "headers=4a2f6c1d&x=y",
            "headers=é2f6c1d",
        ] {
            assert!(!is_query(text), "{text}");
        }
    }
}
