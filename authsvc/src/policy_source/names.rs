//! Which names objects, namespaces and keys may have.
//!
//! Why it exists: names become parts of file paths and URLs, so nothing but these characters may be
//! in them (T-63).

/// What a name of an object must be, for error messages.
pub const SUBDOMAIN_RULE: &str = "use lower-case letters, digits, `-` and `.`, at most 253, beginning and ending with a letter or digit";
/// What a namespace must be, for error messages.
pub const LABEL_RULE: &str = "use lower-case letters, digits and `-`, at most 63, beginning and ending with a letter or digit";

/// Whether `text` is a DNS label (RFC 1123, section 2.1), as namespaces are.
#[must_use]
pub fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_part(text)
}

/// Whether `text` is a DNS subdomain as Kubernetes has it, as names of objects are: the whole is
/// bounded, its labels are not.
#[must_use]
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_part)
}

fn is_part(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
}

/// Whether `text` may be a key of a Secret: no path separator, and no name that a path treats
/// specially or that a mounted Secret uses itself (`..data`).
#[must_use]
pub fn is_key(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && !text.starts_with("..")
        && text != "."
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t063_names_never_are_parts_of_a_path() {
        for bad in ["", ".", "..", "../a", "a/b", "/a", "a\\b", "a\0", "..data", "a..b", "-a", "A"]
        {
            assert!(!is_subdomain(bad), "{bad:?}");
            assert!(!is_label(bad), "{bad:?}");
        }
        for bad in ["", ".", "..", "../a", "a/b", "/a", "a\\b", "a\0", "..data", "ä"] {
            assert!(!is_key(bad), "{bad:?}");
        }
        for good in ["a", "a.b", "shop-1", "1"] {
            assert!(is_subdomain(good), "{good:?}");
        }
        for good in ["client-secret", "tls.crt", ".dot", "A_b"] {
            assert!(is_key(good), "{good:?}");
        }
    }
}
