//! Which texts may be written into objects of gateways.
//!
//! Why it exists: annotations and rules become configuration files of gateways (T-54, T-58 to T-63),
//! so only texts of these small alphabets are ever written. It must not repair anything: what does
//! not fit is refused.

/// A DNS label (RFC 1123): what namespaces are named with.
pub(crate) fn is_dns_label(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A DNS subdomain: what most objects are named with.
pub(crate) fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// A header name that no gateway reads differently (`vestibule_policy::compile` accepts no other).
pub(crate) fn is_header_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// A path such as `/bff` (`vestibule_policy::compile` accepts no other).
pub(crate) fn is_base_path(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    text.len() <= 256
        && text
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(|s| !s.is_empty() && s.bytes().all(plain)))
}

/// The base of an authority such as `/api/v1.2` (`vestibule_policy::compile` accepts no other).
pub(crate) fn is_authority_base(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    let segment = |s: &str| !matches!(s, "" | "." | "..") && s.bytes().all(plain);
    text.len() <= 256 && text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment))
}

/// A name within Traefik: of an entry point, a certificate resolver, options, or a middleware with
/// its provider (`shop-headers@kubernetescrd`).
pub(crate) fn is_traefik_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@');
    !text.is_empty() && text.len() <= 512 && text.bytes().all(plain)
}

/// A list of such names with commas, as annotations have it; `None` where one does not fit. Blanks
/// around a name and empty elements are no part of it.
pub(crate) fn traefik_names(text: &str) -> Option<Vec<String>> {
    let names: Vec<String> =
        text.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect();
    names.iter().all(|name| is_traefik_name(name)).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_texts_fit() {
        for text in ["a", "shop-1"] {
            assert!(is_dns_label(text) && is_dns_subdomain(text), "{text}");
        }
        for text in ["", "-a", "a-", "A", "a.b", "a/b", "a`", "a\n"] {
            assert!(!is_dns_label(text), "{text}");
        }
        assert!(is_dns_subdomain("a.b") && !is_dns_subdomain("a..b"));
        assert!(is_base_path("/bff") && is_base_path("/a/b_c-D"));
        for text in ["", "/", "bff", "/a/", "/a//b", "/a b", "/a`", "/..", "/a;b", "/$host"] {
            assert!(!is_base_path(text), "{text}");
        }
        assert!(is_authority_base("/api/v1.2~x") && is_authority_base("/a"));
        for text in ["", "/", "a", "/a/", "/a//b", "/a/../b", "/.", "/a`", "/a b", "/a%2f", "/a*"] {
            assert!(!is_authority_base(text), "{text}");
        }
        assert_eq!(traefik_names(" a@b , c,"), Some(vec!["a@b".to_owned(), "c".to_owned()]));
        for text in ["a b", "a`", "a\nb", "a;b", "#", "{}"] {
            assert_eq!(traefik_names(text), None, "{text}");
        }
    }
}
