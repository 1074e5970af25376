//! The `Cookie` header: reading ours, and passing on the rest.
//!
//! Names are compared exactly (RFC 6265bis, 4.1.3): a look-alike in another case is never ours, and
//! never reaches the app either. A name that occurs twice is no cookie at all.

use http::HeaderMap;
use http::header::COOKIE;

/// The prefix of the login transaction cookies.
pub const LOGIN_COOKIE_PREFIX: &str = "__Host-bff-login-";

/// The cookies of one request, over any number of `Cookie` fields (RFC 6265bis, 4.2.1).
#[derive(Clone, Debug, Default)]
pub struct Cookies {
    pairs: Vec<(String, String)>,
}

impl Cookies {
    /// Reads every `Cookie` field. Text that is no pair is dropped.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut pairs = Vec::new();
        for field in headers.get_all(COOKIE) {
            for pair in field.as_bytes().split(|byte| *byte == b';') {
                // One odd cookie of another app must not cost the rest.
                let Ok(pair) = std::str::from_utf8(pair) else { continue };
                if let Some((name, value)) = pair.split_once('=') {
                    pairs.push((trim(name).to_owned(), trim(value).to_owned()));
                }
            }
        }
        Self { pairs }
    }

    /// The value of the one cookie of this name; `None` where there is none or more than one.
    #[must_use]
    pub fn one(&self, name: &str) -> Option<&str> {
        let mut found = self.pairs.iter().filter(|(n, _)| n == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    /// The names that begin with `prefix`.
    pub fn names_with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().map(|(name, _)| name.as_str()).filter(move |n| n.starts_with(prefix))
    }

    /// The `Cookie` header for the app: all but the session cookie and the login cookies, compared
    /// without case so that no look-alike passes either. Empty where nothing is left.
    #[must_use]
    pub fn without_ours(&self, session_cookie: &str) -> String {
        let ours = |name: &str| {
            name.eq_ignore_ascii_case(session_cookie)
                || name
                    .get(..LOGIN_COOKIE_PREFIX.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(LOGIN_COOKIE_PREFIX))
        };
        let rest: Vec<String> = self
            .pairs
            .iter()
            .filter(|(name, _)| !ours(name))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        rest.join("; ")
    }
}

/// Takes off what browsers take off, and no more: a name behind another space, such as U+2003, is
/// no `__Host-` name to a browser, so any sibling host could set it.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(field: &[u8]) -> Cookies {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, http::HeaderValue::from_bytes(field).unwrap());
        Cookies::from_headers(&headers)
    }

    #[test]
    fn a_name_behind_another_kind_of_space_is_not_ours() {
        for space in ["\u{2003}", "\u{a0}", "\u{85}", "\u{3000}", "\u{feff}"] {
            let planted = cookies(format!("{space}__Host-bff=x; a=b").as_bytes());
            assert_eq!(planted.one("__Host-bff"), None, "{space:?}");
            assert_eq!(planted.without_ours("__Host-bff"), format!("{space}__Host-bff=x; a=b"));
        }
        assert_eq!(cookies(b" \t__Host-bff = x ").one("__Host-bff"), Some("x"));
    }

    #[test]
    fn a_cookie_that_is_no_text_costs_only_itself() {
        let mixed = cookies(b"odd=\xe4; __Host-bff=x; theme=dark");
        assert_eq!(mixed.one("__Host-bff"), Some("x"));
        assert_eq!(mixed.without_ours("__Host-bff"), "theme=dark");
    }
}
