//! Lists of scopes, as providers write them (RFC 6749, section 3.3).
//!
//! Why it exists: what a token may do is decided by comparing scopes, so that a list that is not
//! understood must not be taken for a shorter one, or for none.

use serde_json::Value;

/// The greatest list that is looked at, in bytes.
const MAX_BYTES: usize = 8 * 1024;
/// The most scopes of a list.
const MAX_SCOPES: usize = 256;

/// The scopes of a JSON value: a string of them with spaces between, or an array with one in each
/// element, as some providers write. Each is given once. `None`: it is malformed, or too long.
pub(super) fn parse(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) if text.len() <= MAX_BYTES => {
            collect(text.split(' ').filter(|scope| !scope.is_empty()).map(Some))
        }
        Value::Array(list) => collect(list.iter().map(Value::as_str)),
        _ => None,
    }
}

fn collect<'a>(scopes: impl Iterator<Item = Option<&'a str>>) -> Option<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    let mut bytes = 0;
    for scope in scopes {
        let scope = scope.filter(|scope| is_scope(scope))?;
        bytes += scope.len();
        if bytes > MAX_BYTES {
            return None;
        }
        if !found.iter().any(|known| known == scope) {
            if found.len() == MAX_SCOPES {
                return None;
            }
            found.push(scope.to_owned());
        }
    }
    Some(found)
}

/// Visible ASCII without quotes and backslashes, so that it can stand in a list and in a challenge.
fn is_scope(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    !text.is_empty() && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_a_string_or_an_array() {
        for (value, scopes) in [
            (json!("a"), vec!["a"]),
            (
                json!("openid prod:read https://x.example/y"),
                vec!["openid", "prod:read", "https://x.example/y"],
            ),
            (json!(" a  b "), vec!["a", "b"]),
            (json!("a b a"), vec!["a", "b"]),
            (json!(["a", "b", "a"]), vec!["a", "b"]),
            (json!(""), vec![]),
            (json!([]), vec![]),
        ] {
            assert_eq!(parse(&value).unwrap(), scopes, "{value}");
        }
    }

    #[test]
    fn what_is_not_understood_is_no_list() {
        for value in [
            json!(null),
            json!(1),
            json!({"a": true}),
            json!(["a b"]),
            json!(["a", 1]),
            json!(["a", ""]),
            json!([["a"]]),
            json!("a\tb"),
            json!("a\nb"),
            json!("a \"b"),
            json!("a\\"),
            json!("\u{e4}"),
            json!("a\u{a0}b"),
            json!("a\0"),
        ] {
            assert_eq!(parse(&value), None, "{value}");
        }
    }

    #[test]
    fn a_list_is_bounded() {
        let names = |count: usize| (0..count).map(|one| one.to_string()).collect::<Vec<_>>();
        assert_eq!(parse(&json!(names(MAX_SCOPES))).unwrap().len(), MAX_SCOPES);
        assert_eq!(parse(&json!(names(MAX_SCOPES + 1))), None);
        assert_eq!(parse(&json!(names(MAX_SCOPES + 1).join(" "))), None);
        assert!(parse(&json!("a".repeat(MAX_BYTES))).is_some());
        assert_eq!(parse(&json!("a".repeat(MAX_BYTES + 1))), None);
        assert_eq!(parse(&json!(["a".repeat(MAX_BYTES), "b"])), None);
    }
}
