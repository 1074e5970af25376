//! The `Cookie` header: reading ours, and passing on the rest.
//!
//! Names are compared exactly (RFC 6265bis, 4.1.3): a look-alike in another case is never ours, and
//! never reaches the app either. A name that occurs twice is no cookie at all.

use http::header::{COOKIE, ValueIter};
use http::{HeaderMap, HeaderValue};

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

    /// Names and values, trimmed. What is no pair is dropped.
    fn pairs(self) -> Pairs<'a> {
        Pairs { fields: self.headers.get_all(COOKIE).iter(), rest: b"" }
    }

    /// The value of the one cookie of this name; `None` where there is none or more than one.
    #[must_use]
    pub fn one(&self, name: &str) -> Option<&'a str> {
        let of_name = self.pairs().filter(|(own, _)| *own == name.as_bytes());
        let mut found = of_name.filter_map(|(_, value)| text(value));
        match (found.next(), found.next()) {
            (Some(value), None) => Some(value),
            _ => None,
        }
    }

    /// The names that begin with `prefix`.
    pub fn names_with_prefix(&self, prefix: &str) -> impl Iterator<Item = &'a str> {
        let texts = self.pairs().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
        texts.map(|(name, _)| name).filter(move |name| name.starts_with(prefix))
    }

    /// The `Cookie` header for the app: all but the session cookie and those of logins and elevated
    /// tokens, compared without case so that no look-alike passes either. Empty where nothing is left.
    #[must_use]
    pub fn without_ours(&self, session_cookie: &str) -> String {
        let mut rest = String::new();
        for (name, value) in self.pairs().filter(|(name, _)| !is_ours(name, session_cookie)) {
            // One odd cookie of another app must not cost the rest.
            let (Some(name), Some(value)) = (text(name), text(value)) else { continue };
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

/// The pairs of some `Cookie` fields, as bytes: most are looked at by their names alone.
struct Pairs<'a> {
    fields: ValueIter<'a, HeaderValue>,
    /// What is left of a field.
    rest: &'a [u8],
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                self.rest = self.fields.next()?.as_bytes();
            }
            let (pair, rest) = split_at(self.rest, b';').unwrap_or((self.rest, b""));
            self.rest = rest;
            if let Some((name, value)) = split_at(pair, b'=') {
                return Some((trim(name), trim(value)));
            }
        }
    }
}

/// What is before and behind the first such byte.
fn split_at(bytes: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let place = memchr::memchr(byte, bytes)?;
    Some((&bytes[..place], &bytes[place + 1..]))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Whether a cookie is one that no app sees.
fn is_ours(name: &[u8], session_cookie: &str) -> bool {
    let begins = |prefix: &str| {
        let start = name.get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    name.eq_ignore_ascii_case(session_cookie.as_bytes())
        || OUR_PREFIXES.iter().any(|prefix| begins(prefix))
}

/// Takes off what browsers take off, and no more: a name behind another space, such as U+2003, is
/// no `__Host-` name to a browser, so any sibling host could set it.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
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
        let value = HeaderValue::from_bytes(field).unwrap();
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
        let field = b"__Host-bff-login-a=\xe4; __Host-bff-login-b=x; __Host-bff=\xe4; __Host-bff=y";
        let mixed = cookies(field);
        let names: Vec<_> =
            Cookies::from_headers(&mixed.0).names_with_prefix(LOGIN_COOKIE_PREFIX).collect();
        assert_eq!((names, mixed.one("__Host-bff")), (vec!["__Host-bff-login-b"], Some("y")));
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
