//! Generated request targets: no spelling of a path is allowed more than its canonical form.

#![expect(clippy::unwrap_used, reason = "a helper that fails, fails the test that called it")]

use proptest::prelude::*;
use vestibule_crds::v1alpha1::{AdmittedEncoding, EncodingException, Paths};
use vestibule_policy::matching::{RouteKey, RouteTable};
use vestibule_policy::path::{Exceptions, PathError, Target, parse_target};

fn parse(target: &str) -> Result<Target<'_>, PathError> {
    parse_target(target, &Exceptions::default())
}

fn admitting(prefix: &str, encodings: &[AdmittedEncoding]) -> Exceptions {
    Exceptions::new(&Paths {
        admit: vec![EncodingException { prefix: prefix.to_owned(), encodings: encodings.to_vec() }],
    })
    .unwrap()
}

fn rule(path: &str, methods: &[&str]) -> RouteKey {
    RouteKey {
        path: path.to_owned(),
        exact: false,
        methods: methods.iter().map(|&method| method.to_owned()).collect(),
    }
}

/// Rules at every level, so that leaving a level by a trick changes the rule.
fn table() -> RouteTable {
    let mut keys = vec![rule("/", &[])];
    for a in ["a", "b", "c d", "é", "x@y"] {
        keys.push(rule(&format!("/{a}"), &[]));
        for b in ["a", "b", "c d", "é", "x@y"] {
            keys.push(rule(&format!("/{a}/{b}"), &[]));
        }
    }
    RouteTable::new(&keys)
}

/// Each with its canonical spelling.
const SEGMENTS: [(&str, &str); 5] =
    [("a", "a"), ("b", "b"), ("c d", "c%20d"), ("é", "%C3%A9"), ("x@y", "x@y")];

#[derive(Clone, Debug)]
enum Trick {
    Encode(usize, bool),
    Insert(usize, &'static str),
    HexCase,
}

fn respell(path: &str, tricks: &[Trick]) -> String {
    let mut path = path.to_owned();
    for trick in tricks {
        match trick {
            Trick::Encode(at, upper) => {
                let at = at % path.len();
                let byte = path.as_bytes()[at];
                let encoded = if *upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
                path.replace_range(at..=at, &encoded);
            }
            Trick::Insert(at, what) => path.insert_str(at % (path.len() + 1), what),
            Trick::HexCase => path = path.replace("%C3%A9", "%c3%a9").replace("%2F", "%2f"),
        }
    }
    path
}

/// What the most lenient app would make of a path: decoded until nothing changes, parameters cut
/// off, empty and dot segments resolved, backslashes taken for slashes.
fn lenient(path: &str) -> String {
    let mut path = path.split(['?', '#']).next().unwrap().to_owned();
    for _ in 0..4 {
        let mut decoded = Vec::new();
        let bytes = path.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let digits = path.get(at + 1..at + 3).and_then(|d| u8::from_str_radix(d, 16).ok());
            match (bytes[at], digits) {
                (b'%', Some(byte)) => {
                    decoded.push(byte);
                    at += 3;
                }
                (byte, _) => {
                    decoded.push(byte);
                    at += 1;
                }
            }
        }
        path = String::from_utf8_lossy(&decoded).replace('\\', "/");
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split(['?', '#', '\0']).next().unwrap().split('/') {
        match segment.split(';').next().unwrap() {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    format!("/{}", segments.join("/"))
}

fn trick() -> impl Strategy<Value = Trick> {
    prop_oneof![
        (any::<usize>(), any::<bool>()).prop_map(|(at, upper)| Trick::Encode(at, upper)),
        (
            any::<usize>(),
            prop::sample::select(vec![
                "/", "//", "/.", "/./", "/..", "/../", "/a/..", "/a/../", ";x", ";", "/;/", "..;/",
                "%2f", "%2F", "%2e", "%5c", "\\", "%00", "%23", "#", "%3f", "?", "%25", "%252f",
                "%", "%c0%af", ".", "%3b", "/%2e%2e/", "%20", "/a", "%09", "\t", "/b%2f..",
            ])
        )
            .prop_map(|(at, what)| Trick::Insert(at, what)),
        Just(Trick::HexCase),
    ]
}

fn encodings() -> impl Strategy<Value = Vec<AdmittedEncoding>> {
    prop::sample::subsequence(
        vec![
            AdmittedEncoding::EncodedSlash,
            AdmittedEncoding::Semicolon,
            AdmittedEncoding::EncodedPercent,
        ],
        0..=3,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2048) })]

    #[test]
    fn no_spelling_of_a_path_is_allowed_more_than_its_canonical_form(
        chosen in prop::collection::vec(0..SEGMENTS.len(), 1..4),
        tricks in prop::collection::vec(trick(), 0..4),
        prefix in prop::sample::select(vec!["/", "/a", "/b/a"]),
        encodings in encodings(),
    ) {
        let join = |form: fn((&'static str, &'static str)) -> &'static str| {
            chosen.iter().flat_map(|&at| ["/", form(SEGMENTS[at])]).collect::<String>()
        };
        let (plain, spelled) = (join(|segment| segment.0), join(|segment| segment.1));
        let table = table();
        let canonical = parse(&spelled).unwrap();
        prop_assert_eq!(canonical.path.as_str(), &plain);
        prop_assert_eq!(lenient(&spelled), plain);

        let other = respell(&spelled, &tricks);
        let exceptions = if encodings.is_empty() {
            Exceptions::default()
        } else {
            admitting(prefix, &encodings)
        };
        if let Ok(target) = parse_target(&other, &exceptions)
            && let Ok(found) = table.find_for("GET", &target)
        {
            // Whatever an app may take the path for has the same rule.
            prop_assert_eq!(found, table.find("GET", &lenient(&other)), "{}", other);
        }
    }

    #[test]
    fn t003_any_target_with_a_fragment_or_an_encoded_one_is_refused(
        before in "/[a-z/]{0,8}", after in "[a-z?]{0,8}", hash in prop::sample::select(vec!["#", "%23"]),
        encodings in encodings(),
    ) {
        let exceptions =
            if encodings.is_empty() { Exceptions::default() } else { admitting("/", &encodings) };
        let target = format!("{before}{hash}{after}");
        prop_assert!(parse_target(&target, &exceptions).is_err());
        let query = format!("/a?{after}#");
        prop_assert!(parse_target(&query, &exceptions).is_err());
    }

    #[test]
    fn t008_query_never_takes_part_in_matching(
        path in "(/[a-c]){1,3}", query in "[a-c/?%=&;.]{0,16}", method in "GET|POST",
    ) {
        let table = table();
        let target = format!("{path}?{query}");
        let with = parse(&target).unwrap();
        let without = parse(&path).unwrap();
        prop_assert_eq!(&with.path, &without.path);
        prop_assert_eq!(with.query, Some(query.as_str()));
        prop_assert_eq!(table.find_for(&method, &with), table.find_for(&method, &without));
    }

    #[test]
    fn any_text_is_parsed_or_refused_without_panic(target in "\\PC*|[/%.;?#a2fF5c\\\\]{0,24}") {
        let all = admitting("/", &[
            AdmittedEncoding::EncodedSlash,
            AdmittedEncoding::Semicolon,
            AdmittedEncoding::EncodedPercent,
        ]);
        for exceptions in [&Exceptions::default(), &all] {
            if let Ok(parsed) = parse_target(&target, exceptions) {
                prop_assert!(parsed.path.as_str().starts_with('/'));
                prop_assert!(!parsed.path.as_str().contains("//"));
                if !target.contains('%') {
                    prop_assert_eq!(parsed.path.as_str(), target.split('?').next().unwrap());
                }
            }
        }
    }
}
