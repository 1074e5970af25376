//! Request targets: the corpus, the exceptions, and that no spelling is allowed more than another.

#![expect(clippy::unwrap_used, reason = "a helper that fails, fails the test that called it")]

mod corpus;

use vestibule_crds::v1alpha1::{AdmittedEncoding, EncodingException, Paths};
use vestibule_policy::matching::{RouteKey, RouteTable};
use vestibule_policy::path::{
    CanonicalPath, Exceptions, MAX_PATH, MAX_QUERY, PathError, Target, parse_target,
};

fn parse(target: &str) -> Result<Target<'_>, PathError> {
    parse_target(target, &Exceptions::default())
}

fn admitting(prefix: &str, encodings: &[AdmittedEncoding]) -> Exceptions {
    Exceptions::new(&Paths {
        admit: vec![EncodingException { prefix: prefix.to_owned(), encodings: encodings.to_vec() }],
    })
    .unwrap()
}

fn check_corpus(admits: impl Fn(&str) -> bool) {
    let mut checked = 0;
    for row in corpus::rows(include_str!("../testdata/corpora/paths.txt")) {
        let [expected, target] = row.as_slice() else { panic!("two columns: {row:?}") };
        let expected = std::str::from_utf8(expected).unwrap();
        // Bytes that are no text never become a target.
        let Ok(target) = std::str::from_utf8(target) else {
            assert_eq!(expected, "refuse");
            continue;
        };
        if !admits(target) {
            continue;
        }
        checked += 1;
        match parse(target) {
            Ok(parsed) => {
                assert_eq!(parsed.path.as_str(), expected, "{target:?}");
                assert_eq!(parsed.raw, target);
                assert_eq!(parsed.decoded, None);
                let query = target.split_once('?').map(|(_, query)| query);
                assert_eq!(parsed.query, query, "{target:?}");
            }
            Err(why) => assert_eq!(expected, "refuse", "{target:?}: {why}"),
        }
    }
    assert!(checked > 5);
}

#[test]
fn t048_encoded_and_dotted_paths_are_refused() {
    check_corpus(|_| true);
}

#[test]
fn t079_dot_segments_and_encoded_slashes_are_refused() {
    check_corpus(|target| target.contains("..") || target.to_lowercase().contains("%2f"));
    for (target, why) in [
        ("/a/../b", PathError::DotSegment),
        ("/a/%2e%2e/b", PathError::NonCanonicalEncoding),
        ("/a%2Fb", PathError::NonCanonicalEncoding),
        ("/a%5cb", PathError::NonCanonicalEncoding),
        ("/a\\b", PathError::Backslash),
        ("//a", PathError::EmptySegment),
        ("/%c0%ae/", PathError::NotUtf8),
        ("/%zz", PathError::BadEncoding),
    ] {
        assert_eq!(parse(target), Err(why), "{target}");
    }
}

#[test]
fn t080_path_parameters_are_refused_and_never_next_to_dots() {
    assert_eq!(parse("/a;x=1"), Err(PathError::Semicolon));
    let admitted = admitting("/", &[AdmittedEncoding::Semicolon]);
    let ok = parse_target("/a;v=1;w/b", &admitted).unwrap();
    assert_eq!(ok.path.as_str(), "/a;v=1;w/b");
    assert_eq!(ok.decoded.unwrap().as_str(), "/a/b");
    for target in [
        "/a/..;/b",
        "/..;x=1/b",
        "/a/.;/b",
        "/a/;/b",
        "/;a",
        "/a;../b",
        "/a;x;../b",
        "/a;./b",
        "/a/..;",
        "/a;/../b",
        "/a;//b",
        "/a%3bb",
        "/a;x=%2f",
        "/a;x=%25",
        "/a/%2e%2e;/b",
    ] {
        assert!(parse_target(target, &admitted).is_err(), "{target}");
    }
    let all = admitting(
        "/",
        &[
            AdmittedEncoding::Semicolon,
            AdmittedEncoding::EncodedSlash,
            AdmittedEncoding::EncodedPercent,
        ],
    );
    for target in
        ["/a;x=%2f..%2fb", "/a%2f;x", "/a%2f..;x/b", "/a;x%25", "/a%2f;/b", "/..%2f;x", "/a%2f.;x"]
    {
        assert!(parse_target(target, &all).is_err(), "{target}");
    }
}

#[test]
fn t085_the_query_begins_at_the_first_question_mark() {
    let target = parse("/a?b?c=/d?").unwrap();
    assert_eq!(target.path.as_str(), "/a");
    assert_eq!(target.query, Some("b?c=/d?"));
    assert_eq!(parse("/a").unwrap().query, None);
    assert_eq!(parse("/a?").unwrap().query, Some(""));
}

#[test]
fn t087_both_cases_of_an_encoding_are_one_path() {
    assert_eq!(parse("/%c3%a9").unwrap().path, parse("/%C3%A9").unwrap().path);
    let admitted = admitting("/a", &[AdmittedEncoding::EncodedSlash]);
    let (lower, upper) = (
        parse_target("/a/b%2fc", &admitted).unwrap(),
        parse_target("/a/b%2Fc", &admitted).unwrap(),
    );
    assert_eq!((lower.path, lower.decoded), (upper.path, upper.decoded));
    assert_eq!(parse("/a%2fb"), parse("/a%2Fb"));
}

#[test]
fn t020_an_unparsable_target_is_refused() {
    for target in ["", "*", "a", "?", "http://h/a", "/%", "/%f", "/\u{0}", "/a b", "/é", "/%ff"] {
        assert!(parse(target).is_err(), "{target:?}");
    }
    let long = |length: usize| "/".to_owned() + &"a".repeat(length - 1);
    assert!(parse(&long(MAX_PATH)).is_ok());
    assert_eq!(parse(&long(MAX_PATH + 1)), Err(PathError::TooLong));
    assert!(parse(&format!("/?{}", "a".repeat(MAX_QUERY))).is_ok());
    assert_eq!(parse(&format!("/?{}", "a".repeat(MAX_QUERY + 1))), Err(PathError::TooLong));
}

#[test]
fn an_exception_admits_its_encodings_under_its_prefix_alone() {
    let slash = admitting("/objects", &[AdmittedEncoding::EncodedSlash]);
    let target = parse_target("/objects/a%2fb?x=%2f", &slash).unwrap();
    assert_eq!(target.path.as_str(), "/objects/a%2Fb");
    assert_eq!(target.decoded.unwrap().as_str(), "/objects/a/b");
    assert_eq!(target.query, Some("x=%2f"));
    assert_eq!(parse_target("/objects/a", &slash).unwrap().decoded, None);
    for target in [
        "/a%2fb",
        "/objectsx/a%2fb",
        "/objects%2fa",
        "/x%2fobjects/a%2fb",
        "/OBJECTS/a%2fb",
        "/objects/a%2f%2fb",
        "/objects/a%2f/b",
        "/objects/%2fa",
        "/objects/..%2fa",
        "/objects/a%2f..",
        "/objects/a%2f..%2f..%2fb",
        "/objects/%2e%2e%2fb",
        "/objects/a%5cb",
        "/objects/a;b",
        "/objects/a%25b",
        "/objects/a%252fb",
        "/objects/a%2f.%2fb",
        "/objects/../a%2fb",
    ] {
        assert!(parse_target(target, &slash).is_err(), "{target}");
    }
    let slash = admitting("/objects/", &[AdmittedEncoding::EncodedSlash]);
    assert!(parse_target("/objects/a%2fb", &slash).is_ok());
    let everywhere = admitting("/", &[AdmittedEncoding::EncodedSlash]);
    assert!(parse_target("/a%2fb", &everywhere).is_ok());
}

#[test]
fn an_encoded_percent_sign_never_hides_another_encoding() {
    let percent = admitting("/", &[AdmittedEncoding::EncodedPercent]);
    let target = parse_target("/100%25/x", &percent).unwrap();
    assert_eq!(target.path.as_str(), "/100%25/x");
    assert_eq!(target.decoded.unwrap().as_str(), "/100%/x");
    let both = admitting("/", &[AdmittedEncoding::EncodedPercent, AdmittedEncoding::EncodedSlash]);
    for target in [
        "/a%252fb",
        "/a%252Fb",
        "/a%252e",
        "/a%2541",
        "/a%25252f",
        "/%2500",
        "/a%25c3%25a9",
        "/a%2f%252e%252e",
    ] {
        assert!(parse_target(target, &percent).is_err(), "{target}");
        assert!(parse_target(target, &both).is_err(), "{target}");
    }
    assert!(parse_target("/a%25%2fb", &both).is_ok());
    assert!(parse_target("/a%25g", &both).is_ok());
}

#[test]
fn exceptions_with_a_prefix_that_is_not_canonical_are_refused() {
    let entry =
        |prefix: &str, encodings| EncodingException { prefix: prefix.to_owned(), encodings };
    let errors = Exceptions::new(&Paths {
        admit: vec![
            entry("/ok", vec![AdmittedEncoding::Semicolon]),
            entry("objects", vec![AdmittedEncoding::Semicolon]),
            entry("/a%2fb", vec![AdmittedEncoding::EncodedSlash]),
            entry("/a;b", vec![AdmittedEncoding::Semicolon]),
            entry("/a?b", vec![AdmittedEncoding::Semicolon]),
            entry("/empty", Vec::new()),
        ],
    })
    .unwrap_err();
    let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "spec.paths.admit[1].prefix",
            "spec.paths.admit[2].prefix",
            "spec.paths.admit[3].prefix",
            "spec.paths.admit[4].prefix",
            "spec.paths.admit[5].encodings",
        ]
    );
}

#[test]
fn an_admitted_encoding_must_not_lead_to_another_rule() {
    let exceptions = admitting("/", &[AdmittedEncoding::EncodedSlash, AdmittedEncoding::Semicolon]);
    let table = RouteTable::new(&[rule("/objects", &[]), rule("/objects/secret", &[])]);
    let find = |target: &str| table.find_for("GET", &parse_target(target, &exceptions).unwrap());
    assert_eq!(find("/objects/a%2fb"), Ok(Some(0)));
    assert_eq!(find("/objects/secret/a%2fb"), Ok(Some(1)));
    assert_eq!(find("/objects/secret%2fb"), Err(PathError::Ambiguous));
    assert_eq!(find("/objects/secret;x"), Err(PathError::Ambiguous));
    assert_eq!(find("/objects%2fa"), Err(PathError::Ambiguous));
    assert_eq!(find("/other%2fa"), Ok(None));
}

#[test]
fn t003_a_path_as_a_rule_writes_it_has_no_query_and_no_fragment() {
    assert_eq!(CanonicalPath::parse("/a%20b").unwrap().as_str(), "/a b");
    for path in ["/a?b", "/a#b", "/a%23", "a", "/a/..", "/a%2fb", "/a;b", ""] {
        assert!(CanonicalPath::parse(path).is_err(), "{path}");
    }
}

fn rule(path: &str, methods: &[&str]) -> RouteKey {
    RouteKey {
        path: path.to_owned(),
        exact: false,
        methods: methods.iter().map(|&method| method.to_owned()).collect(),
    }
}
