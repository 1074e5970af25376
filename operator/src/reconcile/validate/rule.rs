//! The hosts that the rule of an `IngressRoute` matches literally.
//!
//! Why it exists: an origin must be a host of a target. A rule is read only as far as that needs, by
//! its tokens, so that text within quotes is never taken for a matcher. It must not guess: what is
//! not read is no host.

use vestibule_policy::origin::canonical_host;

/// The hosts of `Host(…)` that are not negated, canonical, sorted, each once.
pub(crate) fn hosts(rule: &str) -> Vec<String> {
    let mut hosts = Vec::new();
    let mut rest = rule;
    let mut negated = false;
    let mut host_call = false;
    while let Some(first) = rest.chars().next() {
        if matches!(first, '`' | '"' | '\'') {
            let Some((text, after)) = quoted(&rest[1..], first) else { break };
            if host_call
                && let Some(text) = text
                && let Some((host, None)) = canonical_host(text)
            {
                hosts.push(host);
            }
            rest = after;
        } else if first.is_ascii_alphabetic() {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            host_call = word == "Host" && !negated && after.trim_start().starts_with('(');
            negated = false;
            rest = after;
        } else {
            match first {
                '!' => negated = true,
                ')' => host_call = false,
                // What is negated in brackets as a whole cannot be told apart simply: none of it.
                '(' if negated => break,
                _ => {}
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

/// The text up to the closing quote and what follows; the text is `None` where it has escapes.
fn quoted(text: &str, quote: char) -> Option<(Option<&str>, &str)> {
    let mut escaped = false;
    let mut plain = true;
    for (index, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote != '`' {
            escaped = true;
            plain = false;
        } else if c == quote {
            return Some((plain.then_some(&text[..index]), &text[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_hosts_are_found_and_nothing_else() {
        for (rule, expected) in [
            ("Host(`shop.example.com`)", vec!["shop.example.com"]),
            ("Host(`b.example`, \"A.example\")&&PathPrefix(`/x`)", vec!["a.example", "b.example"]),
            (
                "(Host('a.example') || Host(`b.example`)) && Method(`GET`)",
                vec!["a.example", "b.example"],
            ),
            ("PathPrefix(`/Host(a.example)`)", vec![]),
            ("PathPrefix(`Host(\"a.example\")`)", vec![]),
            ("!Host(`a.example`) && Host(`b.example`)", vec!["b.example"]),
            ("!(Host(`a.example`))", vec![]),
            ("HostRegexp(`^a.example$`) || HostSNI(`b.example`)", vec![]),
            ("Host(`*.example.com`) || Host(`a.example:8443`)", vec![]),
            ("Host(\"a\\\".example\")", vec![]),
            ("Host(`a.example", vec![]),
            ("Header(`Host`, `a.example`)", vec![]),
        ] {
            assert_eq!(hosts(rule), expected, "{rule}");
        }
    }
}
