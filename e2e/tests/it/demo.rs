//! The demo and its provider with known passwords are in `vestibule` alone, not in what one deploys.

use vestibule_e2e::tools::binary;

/// Texts of the demo provider's pages.
const TEXTS: [&str; 2] =
    ["You are logged out of the demo provider.", "<h2 id=\"users\">Demo users</h2>"];

#[test]
fn the_server_has_no_demo_provider_in_it() {
    let read = |name| std::fs::read(binary(name)).unwrap();
    let (demo, server) = (read("vestibule"), read("vestibule-authsvc"));
    for text in TEXTS {
        assert!(contains(&demo, text), "vestibule has other texts now: {text}");
        assert!(!contains(&server, text), "vestibule-authsvc has the demo provider: {text}");
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    let text = text.as_bytes();
    // Candidates by their first byte: comparing at every place takes seconds in a debug build.
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == text[0]) {
        if rest[at..].starts_with(text) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}
