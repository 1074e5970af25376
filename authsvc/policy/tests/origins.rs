//! Origins and Host values: the corpus, and that a host has one spelling.

#![expect(clippy::unwrap_used, reason = "a helper that fails, fails the test that called it")]

mod corpus;

use proptest::prelude::*;
use vestibule_policy::origin::{Origin, canonical_host};

#[test]
fn t050_host_spellings_are_canonicalised_or_refused() {
    for row in corpus::rows(include_str!("../testdata/corpora/hosts.txt")) {
        let [expected, value] = row.as_slice() else { panic!("two columns: {row:?}") };
        let expected = std::str::from_utf8(expected).unwrap();
        let Ok(value) = std::str::from_utf8(value) else {
            assert_eq!(expected, "refuse");
            continue;
        };
        let found = match canonical_host(value) {
            None => "refuse".to_owned(),
            Some((host, None)) => host,
            Some((host, Some(port))) => format!("{host}:{port}"),
        };
        assert_eq!(found, expected, "{value:?}");
        if expected == "refuse" {
            let origin = Origin::parse("https://shop.example.com").unwrap();
            assert!(!origin.matches_host(value));
        } else {
            assert!(Origin::parse(&format!("http://{value}")).unwrap().matches_host(value));
        }
    }
}

#[test]
fn origins_are_made_canonical() {
    for (text, canonical, port, loopback) in [
        ("https://shop.example.com", "https://shop.example.com", 443, false),
        ("HTTPS://Shop.Example.com.:443", "https://shop.example.com", 443, false),
        ("https://shop.example.com:8443", "https://shop.example.com:8443", 8443, false),
        ("https://shop.example.com:80", "https://shop.example.com:80", 80, false),
        ("http://localhost", "http://localhost", 80, true),
        ("http://app.localhost:8080", "http://app.localhost:8080", 8080, true),
        ("http://127.0.0.1:80", "http://127.0.0.1", 80, true),
        ("http://127.9.9.9:443", "http://127.9.9.9:443", 443, true),
        ("http://[::1]:3000", "http://[::1]:3000", 3000, true),
        ("https://[2001:DB8:0::1]", "https://[2001:db8::1]", 443, false),
        ("https://Bücher.example", "https://xn--bcher-kva.example", 443, false),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example", 443, false),
        ("https://localhost.evil.example", "https://localhost.evil.example", 443, false),
        ("https://notlocalhost", "https://notlocalhost", 443, false),
    ] {
        let origin = Origin::parse(text).expect(text);
        assert_eq!(origin.to_string(), canonical);
        assert_eq!(origin.port(), port, "{text}");
        assert_eq!(origin.is_loopback(), loopback, "{text}");
        assert_eq!(Origin::parse(canonical).unwrap(), origin);
        let json = serde_json::to_string(&origin).unwrap();
        assert_eq!(json, format!("\"{canonical}\""));
        assert_eq!(serde_json::from_str::<Origin>(&json).unwrap(), origin);
        // Our spelling is the one that browsers put into the Origin header.
        assert_eq!(url::Url::parse(text).unwrap().origin().ascii_serialization(), {
            let dotted = text.contains(".:");
            if dotted { canonical.replace(".com", ".com.") } else { canonical.to_owned() }
        });
    }
}

#[test]
fn what_is_more_or_less_than_an_origin_is_refused() {
    for text in [
        "",
        "shop.example.com",
        "https:",
        "https://",
        "https:shop.example.com",
        "https:/shop.example.com",
        "ftp://shop.example.com",
        "ws://shop.example.com",
        "https://shop.example.com/",
        "https://shop.example.com/a",
        "https://shop.example.com?x",
        "https://shop.example.com#x",
        "https://u@shop.example.com",
        "https://u:p@shop.example.com",
        "https://*.example.com",
        "*",
        "https://*",
        "https://shop.example.com:",
        "https://shop.example.com:0",
        "https://shop.example.com:65536",
        "https://shop.example.com:0443",
        "https://shop.example.com:x",
        " https://shop.example.com",
        "https://shop.example.com ",
        "https://shop example.com",
        "https://shop\t.example.com",
        "https://shop.example.com\n",
        "https://shop.example.com..",
        "https://shop_a.example.com",
        "https://shop.example.com\\a",
        "https://shop%2eexample.com",
        "https://127.1",
        "https://0x7f.0.0.1",
        "https://[::1",
        "https://[::1%25eth0]",
        "null",
        "https://a,b",
        "https://ex\u{ad}_ample.com",
        "https://１２７.0.0.1",
        "https://-a.example",
        "https://\u{200d}.example",
        "data:text/plain,x",
        "https://bücher.example/",
    ] {
        let message = Origin::parse(text).expect_err(text);
        assert!(message.contains("write an origin"), "{text}: {message}");
    }
}

#[test]
fn t010_a_host_matches_by_name_and_port() {
    let origin = Origin::parse("https://shop.example.com").unwrap();
    for host in
        ["shop.example.com", "SHOP.example.com", "shop.example.com.", "shop.example.com:443"]
    {
        assert!(origin.matches_host(host), "{host}");
    }
    for host in [
        "shop.example.com:80",
        "shop.example.com:8443",
        "example.com",
        "xshop.example.com",
        "evilshop.example.com",
        "shop.example.com.evil.example",
        "a.shop.example.com",
        "shop.example.com@evil.example",
        "",
        "shop-example.com",
    ] {
        assert!(!origin.matches_host(host), "{host}");
    }
    let origin = Origin::parse("http://localhost:8080").unwrap();
    assert!(origin.matches_host("localhost:8080"));
    assert!(!origin.matches_host("localhost"));
    let origin = Origin::parse("http://shop.example.com").unwrap();
    assert!(origin.matches_host("shop.example.com:80") && origin.matches_host("shop.example.com"));
    assert!(!origin.matches_host("shop.example.com:443"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2048) })]

    #[test]
    fn a_canonical_host_stays_as_it_is(value in "\\PC{0,20}|[A-Za-z0-9.:\\[\\]-]{0,24}") {
        if let Some((host, port)) = canonical_host(&value) {
            prop_assert_eq!(canonical_host(&host), Some((host.clone(), None)));
            let with_port = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
            prop_assert_eq!(canonical_host(&with_port), Some((host.clone(), port)));
            prop_assert!(host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-[]:".contains(&b)));
            let origin = Origin::parse(&format!("https://{value}"));
            prop_assert_eq!(origin.map(|origin| origin.host().to_owned()), Ok(host));
        }
    }
}

#[test]
fn an_origin_has_its_scheme_and_no_space_or_control_character() {
    assert_eq!(Origin::parse("https://a.example").unwrap().scheme(), "https");
    assert_eq!(Origin::parse("http://a.example").unwrap().scheme(), "http");
    for text in ["https://a .example", "https://a\u{7f}.example", "https://a\u{2003}.example"] {
        let error = Origin::parse(text).unwrap_err();
        assert!(error.contains("space or a control character"), "{error}");
    }
}

#[test]
fn t050_a_host_is_at_most_253_characters_in_labels_of_at_most_63() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    assert_eq!(longest.len(), 253);
    assert_eq!(canonical_host(&longest), Some((longest.clone(), None)));
    assert_eq!(canonical_host(&format!("{longest}b")), None);
    assert_eq!(canonical_host(&format!("{label}a.example")), None);
    // Reads as a number only where all of it does.
    assert_eq!(canonical_host("a.0xg"), Some(("a.0xg".to_owned(), None)));
    assert_eq!(canonical_host("a.0xf"), None);
    assert_eq!(canonical_host("a.1xf"), Some(("a.1xf".to_owned(), None)));
}

#[test]
fn t084_an_issuer_on_loopback_is_known_in_every_spelling() {
    use vestibule_policy::compile::is_loopback_issuer;
    for issuer in [
        "http://localhost:8082/x",
        "https://LOCALHOST",
        "http://a.localhost/",
        "http://127.0.0.1",
        "http://127.1:8082",
        "http://0x7f.1",
        "http://2130706433/realms/corp",
        "http://user@127.0.0.1/",
        "http://[::1]:3000",
    ] {
        assert!(is_loopback_issuer(issuer), "{issuer}");
    }
    for issuer in ["https://id.example.com", "https://localhost.evil.example", "no URL", ""] {
        assert!(!is_loopback_issuer(issuer), "{issuer}");
    }
}
