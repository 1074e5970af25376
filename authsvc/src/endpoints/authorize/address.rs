//! The one parameter that a refused elevation adds to the address which the browser comes back to.
//!
//! Why it exists: the app shows it, and whoever sends browsers to an authority's endpoint knows by it that
//! sending this one again would not help. Pure.

use percent_encoding::percent_decode_str;

/// The parameter of a refusal.
pub const ERROR: &str = "mediation_error";
/// Whether path and query say that an elevation failed.
#[must_use]
pub fn has_error(path_and_query: &str) -> bool {
    let query = path_and_query.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(is_error)
}

/// Path and query without what says that an elevation failed; all else byte for byte.
#[must_use]
pub fn without_error(path_and_query: &str) -> String {
    let Some((path, query)) = path_and_query.split_once('?') else {
        return path_and_query.to_owned();
    };
    if !query.split('&').any(is_error) {
        return path_and_query.to_owned();
    }
    let rest: Vec<&str> = query.split('&').filter(|pair| !is_error(pair)).collect();
    if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) }
}

/// Path and query with this code, of letters and `_`, as the one that says why an elevation failed.
#[must_use]
pub fn with_error(path_and_query: &str, code: &str) -> String {
    let mut address = without_error(path_and_query);
    match address.split_once('?') {
        None => address.push('?'),
        Some((_, query)) if query.is_empty() || query.ends_with('&') => {}
        Some(_) => address.push('&'),
    }
    address.push_str(ERROR);
    address.push('=');
    address.push_str(code);
    address
}

/// Whatever an app might read as that name.
fn is_error(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or_default();
    percent_decode_str(name).decode_utf8_lossy() == ERROR
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_refusal_is_one_parameter_however_often_it_comes() {
        for (before, after) in [
            ("/", "/?mediation_error=expired"),
            ("/a?", "/a?mediation_error=expired"),
            ("/a?x=1", "/a?x=1&mediation_error=expired"),
            ("/a?x=1&", "/a?x=1&mediation_error=expired"),
            ("/a?mediation_error=access_denied", "/a?mediation_error=expired"),
            ("/a?mediation_error", "/a?mediation_error=expired"),
            ("/a?mediation%5ferror=x&y=2", "/a?y=2&mediation_error=expired"),
            ("/a?mediation_error=x&y=2&mediation_error=z", "/a?y=2&mediation_error=expired"),
            ("/a?MEDIATION_ERROR=x", "/a?MEDIATION_ERROR=x&mediation_error=expired"),
            ("/mediation_error=x?y", "/mediation_error=x?y&mediation_error=expired"),
        ] {
            assert_eq!(with_error(before, "expired"), after);
            assert!(has_error(after) && !has_error(&without_error(after)));
        }
        assert!(!has_error("/mediation_error=x") && !has_error("/a?x=mediation_error=y"));
        assert_eq!(without_error("/a?x=%20+&&y"), "/a?x=%20+&&y", "byte for byte");
    }

    proptest! {
        #[test]
        fn a_refusal_changes_nothing_but_its_own_parameter(query in "[a-z%&=_+.]{0,40}") {
            let before = format!("/a?{query}");
            let after = with_error(&before, "expired");
            prop_assert!(has_error(&after));
            prop_assert!(with_error(&after, "expired").len() <= after.len(), "it does not grow");
            let others = |address: &str| -> Vec<String> {
                let query = address.split_once('?').unwrap().1.to_owned();
                let pairs = query.split('&').filter(|pair| !pair.is_empty() && !is_error(pair));
                pairs.map(str::to_owned).collect()
            };
            prop_assert_eq!(others(&after), others(&before));
        }
    }
}
