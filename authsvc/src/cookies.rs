//! The `Cookie` header: reading ours, and passing on the rest.
//!
//! Names are compared exactly (RFC 6265bis, 4.1.3): a look-alike in another case is never ours, and
//! never reaches the app either. A name that occurs twice is no cookie at all.

use http::HeaderMap;
use http::header::COOKIE;

/// The prefix of the login transaction cookies.
pub const LOGIN_COOKIE_PREFIX: &str = "__Host-bff-login-";
/// The prefix of the cookies with elevated access tokens.
pub const ACCESS_COOKIE_PREFIX: &str = "__Secure-bff-at-";
/// The prefix of the cookies with elevated refresh tokens.
pub const REFRESH_COOKIE_PREFIX: &str = "__Secure-bff-rt-";
/// All that names of our cookies begin with, but for the session cookie.
const OUR_PREFIXES: [&str; 3] = [LOGIN_COOKIE_PREFIX, ACCESS_COOKIE_PREFIX, REFRESH_COOKIE_PREFIX];

/// The cookies of one request, over any number of `Cookie` fields (RFC 6265bis, 4.2.1). They are read
/// anew for each question, of which a check has two: that costs less than to keep them.
#[derive(Clone, Copy, Debug)]
pub struct Cookies<'a> {
    headers: &'a HeaderMap,
}

impl<'a> Cookies<'a> {
    /// Those of every `Cookie` field.
    #[must_use]
    pub fn from_headers(headers: &'a HeaderMap) -> Self {
        Self { headers }
    }

    /// Names and values. Text that is no pair is dropped.
    fn pairs(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.headers
            .get_all(COOKIE)
            .into_iter()
            .flat_map(|field| field.as_bytes().split(|byte| *byte == b';'))
            // One odd cookie of another app must not cost the rest.
            .filter_map(|pair| std::str::from_utf8(pair).ok()?.split_once('='))
            .map(|(name, value)| (trim(name), trim(value)))
    }

    /// The value of the one cookie of this name; `None` where there is none or more than one.
    #[must_use]
    pub fn one(&self, name: &str) -> Option<&'a str> {
        let mut found = self.pairs().filter(|(n, _)| *n == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    /// The names that begin with `prefix`.
    pub fn names_with_prefix(&self, prefix: &str) -> impl Iterator<Item = &'a str> {
        self.pairs().map(|(name, _)| name).filter(move |name| name.starts_with(prefix))
    }

    /// The `Cookie` header for the app: all but the session cookie and those of logins and elevated
    /// tokens, compared without case so that no look-alike passes either. Empty where nothing is left.
    #[must_use]
    pub fn without_ours(&self, session_cookie: &str) -> String {
        let mut rest = String::new();
        for (name, value) in self.pairs().filter(|(name, _)| !is_ours(name, session_cookie)) {
            if !rest.is_empty() {
                rest.push_str("; ");
            }
            for part in [name, "=", value] {
                rest.push_str(part);
            }
        }
        rest
    }
}

/// Whether a cookie is one that no app sees.
fn is_ours(name: &str, session_cookie: &str) -> bool {
    let begins = |prefix: &str| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    name.eq_ignore_ascii_case(session_cookie) || OUR_PREFIXES.iter().any(|prefix| begins(prefix))
}

/// Takes off what browsers take off, and no more: a name behind another space, such as U+2003, is
/// no `__Host-` name to a browser, so any sibling host could set it.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The headers of a browser with these cookies.
    struct Browser(HeaderMap);

    impl Browser {
        fn one(&self, name: &str) -> Option<&str> {
            Cookies::from_headers(&self.0).one(name)
        }

        fn without_ours(&self, session_cookie: &str) -> String {
            Cookies::from_headers(&self.0).without_ours(session_cookie)
        }
    }

    fn cookies(field: &[u8]) -> Browser {
        let value = http::HeaderValue::from_bytes(field).unwrap();
        Browser(HeaderMap::from_iter([(COOKIE, value)]))
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

    #[test]
    fn the_app_sees_none_of_our_cookies_in_any_case_spelling() {
        for ours in [
            "__Host-bff",
            "__host-BFF",
            "__Host-bff-login-1",
            "__HOST-bff-LOGIN-",
            "__Secure-bff-at-aB3_-xyzaB3_-xyz",
            "__Secure-bff-rt-aB3_-xyzaB3_-xyz",
            "__secure-bff-AT-x",
            "__SECURE-BFF-RT-X",
            "__Secure-bff-at-",
        ] {
            let mixed = cookies(format!("a=b; {ours}=canary; {ours}=canary;c=d").as_bytes());
            assert_eq!(mixed.without_ours("__Host-bff"), "a=b; c=d", "{ours}");
        }
    }

    #[test]
    fn cookies_of_the_app_with_names_like_ours_pass() {
        for theirs in [
            "__Secure-bff",
            "__Secure-bff-at",
            "__Secure-bff-xt-1",
            "__Secure-bff_at-1",
            "Secure-bff-at-1",
            "x__Secure-bff-at-1",
            "__Host-bff-at-1",
            // Whose prefix ends within a character.
            "__Secure-bff-at\u{20ac}",
        ] {
            let mixed = cookies(format!("{theirs}=b").as_bytes());
            assert_eq!(mixed.without_ours("__Host-bff"), format!("{theirs}=b"), "{theirs}");
        }
    }

    #[test]
    fn a_look_alike_of_an_elevated_token_is_never_read() {
        let name = format!("{ACCESS_COOKIE_PREFIX}aB");
        for planted in ["__secure-bff-at-aB", "__Secure-bff-AT-aB", "__Secure-bff-at-ab"] {
            assert_eq!(cookies(format!("{planted}=x").as_bytes()).one(&name), None, "{planted}");
        }
        let twice = cookies(format!("{name}=x; {name}=x").as_bytes());
        assert_eq!(twice.one(&name), None);
        let beside = cookies(format!("__Secure-bff-AT-aB=x; {name}=y").as_bytes());
        assert_eq!(beside.one(&name), Some("y"));
    }
}
