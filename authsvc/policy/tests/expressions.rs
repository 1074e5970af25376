//! Expressions: what they compute, what is refused, and that hostile ones are cheap.

#![expect(clippy::expect_used, reason = "a helper that fails, fails the test that called it")]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};
use vestibule_policy::claims::Claims;
use vestibule_policy::expression::{EvaluationError, Expression, Failure};

fn claims(value: Value) -> Claims {
    serde_json::from_value(value).expect("an object")
}

fn user() -> Claims {
    claims(json!({
        "sub": "u-1", "email": "ann@example.com", "name": "Ann Lee", "level": 3, "ratio": 0.5,
        "big": u64::MAX, "admin": true, "nothing": null, "groups": ["dev", "ops"],
        "realm_access": {"roles": ["reader", "writer"]}, "https://example.com/tenant": "t1",
        "levels": [1, 2], "nested": [[1]], "accent": "Zoë", "line": "a\nb", "padded": "ann ",
        "dn": ["cn=a,dc=b"], "odd": "a/b c%é", "empty": [], "two": ["a", " b"]
    }))
}

fn truth(source: &str) -> Result<bool, EvaluationError> {
    Expression::parse(source).expect(source).evaluate_bool(&user())
}

fn text(source: &str) -> Result<String, EvaluationError> {
    let text = Expression::parse(source).expect(source).evaluate_string(&user())?.into_owned();
    Ok(text)
}

#[test]
fn conditions_over_claims_are_evaluated() {
    for source in [
        "claims.admin",
        "claims.email.endsWith('@example.com') && !claims.email.contains('..')",
        "'dev' in claims.groups",
        "claims.groups.exists(g, g == 'ops') && claims.groups.all(g, size(g) == 3)",
        "claims.groups.exists_one(g, g.startsWith('d'))",
        "claims.realm_access.roles.filter(r, r in ['reader']).size() == 1",
        "claims['https://example.com/tenant'] == 't1'",
        "claims.level >= 3 && claims.level + 1 == 4 && claims.ratio < 1.0",
        "has(claims.sub) && !has(claims.absent) && !has(claims.realm_access.absent)",
        "claims.nothing == null",
        "claims.big > 1u",
        "size(claims) > 5",
        "claims.exists(name, name == 'sub')",
        "(has(claims.absent) ? claims.absent : 'none') == 'none'",
        "claims.groups.map(g, g + '!') == ['dev!', 'ops!']",
        "!('x' in claims)",
        "true",
    ] {
        assert_eq!(truth(source), Ok(true), "{source}");
    }
}

#[test]
fn whatever_is_not_true_or_false_is_an_error() {
    for (source, error) in [
        ("claims.sub", EvaluationError::NotBoolean),
        ("claims.absent", EvaluationError::Failed(Failure::NoSuchKey)),
        ("claims.absent == 'x'", EvaluationError::Failed(Failure::NoSuchKey)),
        ("claims.sub > 1", EvaluationError::Failed(Failure::WrongType)),
        ("claims.level / 0 == 1", EvaluationError::Failed(Failure::Arithmetic)),
        (
            "-(-9223372036854775807 - claims.levels[0]) > 0",
            EvaluationError::Failed(Failure::Arithmetic),
        ),
        ("claims.level * 9223372036854775807 > 0", EvaluationError::Failed(Failure::Arithmetic)),
        ("(-9223372036854775807 - 1) / -1 > 0", EvaluationError::Failed(Failure::Arithmetic)),
        ("(-9223372036854775807 - 1) % -1 > 0", EvaluationError::Failed(Failure::Arithmetic)),
    ] {
        assert_eq!(truth(source), Err(error), "{source}");
    }
    for source in [
        "claims.groups[9] == 'x'",
        "claims.groups[-1] == 'x'",
        "int(claims.sub) == 1",
        "int(1e300) == 1",
        "uint(-1) == 1u",
        "claims.sub.sub",
        "claims.sub()[0]",
        "bool('x')",
        "'' in 1",
        "size(1) == 1",
        "{'a': 1, 'a': 2} == {}",
        "claims.groups['x'] == ''",
    ] {
        if let Ok(expression) = Expression::parse(source) {
            assert!(expression.evaluate_bool(&user()).is_err(), "{source}");
        }
    }
}

#[test]
fn header_values_are_texts_of_claims() {
    for (source, expected) in [
        ("claims.sub", "u-1"),
        ("claims.name", "Ann Lee"),
        ("claims.level", "3"),
        ("claims.ratio", "0.5"),
        ("claims.big", "18446744073709551615"),
        ("claims.admin", "true"),
        ("claims.nothing", ""),
        ("claims.absent", ""),
        ("claims.realm_access.absent", ""),
        ("claims.groups", "dev,ops"),
        ("claims.levels", "1,2"),
        ("claims.empty", ""),
        ("claims.realm_access.roles.map(r, 'r:' + r)", "r:reader,r:writer"),
        ("claims.dn.map(g, percentEncode(g))", "cn%3Da%2Cdc%3Db"),
        ("percentEncode(claims.odd)", "a%2Fb%20c%25%C3%A9"),
        ("percentEncode(claims.absent)", ""),
        ("'literal'", "literal"),
        ("claims.groups[0]", "dev"),
    ] {
        assert_eq!(text(source).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn t081_header_values_that_would_change_on_the_way_refuse_the_request() {
    for (source, error) in [
        ("claims.line", EvaluationError::Unprintable),
        (r"'a\r\nX-Admin: 1'", EvaluationError::Unprintable),
        (r"'a\u0000'", EvaluationError::Unprintable),
        (r"'a\tb'", EvaluationError::Unprintable),
        (r"'a\u0085b'", EvaluationError::Unprintable),
        (r"'a\u007f'", EvaluationError::Unprintable),
        ("claims.padded", EvaluationError::Unprintable),
        ("claims.two", EvaluationError::Unprintable),
        ("claims.accent", EvaluationError::NotAscii),
        ("claims.dn", EvaluationError::CommaInElement),
        ("claims.realm_access", EvaluationError::NotText),
        ("claims.nested", EvaluationError::NotText),
        ("b'bytes'", EvaluationError::NotText),
        ("claims", EvaluationError::NotText),
    ] {
        assert_eq!(text(source), Err(error), "{source}");
    }
}

#[test]
fn only_claims_and_known_functions_may_be_used() {
    for (source, named) in [
        ("sub == 'x'", "`sub`"),
        ("request.path == '/'", "`request`"),
        ("claims.groups.exists(g, h == g)", "`h`"),
        ("claims.groups.map(g, g) == g", "`g`"),
        (".claims.sub == 'x'", "`.claims`"),
        ("int == int", "`int`"),
        ("claims.sub.matches('(a+)+$')", "`matches`"),
        ("matches(claims.sub, 'a')", "`matches`"),
        ("now() > 1", "`now`"),
        ("claims.sub.percentEncode()", "`percentEncode`"),
        ("claims.groups.exists(g)", "`exists`"),
        ("claims.groups.exists(claims, true)", "`claims`"),
        ("google.protobuf.Duration{}", "message"),
        ("optional.of(1)", "`of`"),
        ("", "empty"),
        ("  ", "empty"),
        ("claims.", "line 1"),
        ("claims.a ==", "line 1"),
        ("claims.`a`", "line 1"),
        ("@result", "line 1"),
        ("claims.?a", "line 1"),
        ("has(claims)", "CEL"),
        ("1 = 1", "line 1"),
    ] {
        let message = Expression::parse(source).expect_err(source);
        assert!(message.contains(named), "{source}: {message}");
    }
}

#[test]
fn an_error_never_quotes_a_claim() {
    let expression = Expression::parse("claims.secret > 1").unwrap();
    let error = expression.evaluate_bool(&claims(json!({"secret": "s3cr3t"}))).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("s3cr3t"));
}

fn repeat(before: &str, core: &str, after: &str, length: usize) -> String {
    let mut count = (length - core.len()) / (before.len() + after.len());
    if before.is_empty() && after.is_empty() {
        count = 0;
    }
    format!("{}{core}{}", before.repeat(count), after.repeat(count))
}

fn hostile_sources() -> Vec<String> {
    let mut sources = vec!["a".repeat(2000), "claims.groups.".to_owned() + &"map(x,x).".repeat(90)];
    for length in [64, 256, 1024] {
        for (before, core, after) in [
            ("(", "1", ")"),
            ("[", "1", "]"),
            ("{1:", "1", "}"),
            ("-", "1", ""),
            ("!", "true", ""),
            ("", "claims", ".a"),
            ("", "claims", "[0]"),
            ("claims[", "0", "]"),
            ("", "1", "+1"),
            ("", "claims.s", "+claims.s"),
            ("", "true", "&&true"),
            ("", "true", "||claims.a"),
            ("true?1:", "1", ""),
            ("true?", "1", ":1"),
            ("", "1", "<1"),
            ("size(", "'a'", ")"),
            ("string(", "'a'", ")"),
            ("percentEncode(", "claims.s", ")"),
            ("", "claims.g", ".map(x,x)"),
            ("", "claims.g", ".map(x,x+x)"),
            ("", "[claims.s]", ".map(x,x+x)"),
            ("", "claims.g", ".map(x,[x,x])"),
            ("", "claims.g", ".map(x,claims)"),
            ("", "claims.g", ".filter(x,true)"),
            ("claims.g.exists(x,", "x=='q'", ")"),
            ("claims.g.map(x,", "x", ")"),
            ("claims.g.all(x,", "x!='q'", ")"),
            ("[1,2,3,4,5,6,7,8,9].map(x,", "x", ")"),
            ("", "claims.g.exists(x,x=='q')", "||claims.g.exists(x,x=='q')"),
            ("", "(claims.g+claims.g)", ".map(x,x)"),
            ("(", "", ""),
            (")", "", ""),
            ("'", "", ""),
            ("\\", "", ""),
            ("?:", "", ""),
            ("a.b(", "", ""),
            ("é", "", ""),
            ("\u{0}", "", ""),
        ] {
            sources.push(repeat(before, core, after, length));
        }
    }
    sources
}

/// Debug builds of the interpreter are some twenty times slower than what we ship.
const LIMIT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 10 });

#[test]
#[expect(clippy::disallowed_methods, reason = "the test is about real time")]
fn hostile_expressions_neither_panic_nor_take_long() {
    let group = |count: usize, size: usize| json!({"g": vec!["x".repeat(size); count], "s": "x".repeat(size), "a": {"a": 1}});
    let mut users = vec![claims(group(0, 0)), claims(group(1, 60_000))];
    // Whatever an expression's limit is, some user comes near it.
    for doubling in 3..16 {
        users.extend([0, 40].map(|size| claims(group((1 << doubling) * 5 / 6, size))));
    }
    let mut slowest = Duration::ZERO;
    let mut accepted = 0;
    let mut worst = String::new();
    for source in hostile_sources() {
        let start = Instant::now();
        let parsed = Expression::parse(&source);
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "parsing took {:?}: {source}",
            start.elapsed()
        );
        let Ok(expression) = parsed else { continue };
        accepted += 1;
        for user in &users {
            let start = Instant::now();
            let _ = expression.evaluate_bool(user);
            let taken = start.elapsed();
            if taken > slowest {
                slowest = taken;
                worst.clone_from(&source);
            }
            assert!(taken < LIMIT, "{taken:?}: {source}");
        }
    }
    println!("{accepted} accepted, slowest {slowest:?} {worst}");
    assert!(accepted > 20);
}

#[test]
fn ordinary_expressions_afford_ordinary_claims() {
    let groups: Vec<String> = (0..1_000).map(|n| format!("/org/unit/team-{n:04}")).collect();
    let many = claims(json!({"groups": groups, "roles": ["a", "b", "c"]}));
    for source in [
        "claims.groups.exists(g, g == '/org/unit/team-0999')",
        "claims.groups.exists(g, g.startsWith('/org/') && g.endsWith('-0999'))",
        "'/org/unit/team-0999' in claims.groups",
        "claims.roles.exists(r, r == 'c') && 'a' in claims.roles",
        "claims.roles.all(r, ['a', 'b', 'c'].exists(x, x == r))",
    ] {
        assert_eq!(Expression::parse(source).unwrap().evaluate_bool(&many), Ok(true), "{source}");
    }
    let nested =
        Expression::parse("claims.groups.all(g, claims.groups.exists(x, x == g))").unwrap();
    assert_eq!(nested.evaluate_bool(&many), Err(EvaluationError::TooLarge));
}

#[test]
fn claims_that_are_not_named_cost_nothing() {
    let mut user = user();
    user.insert("huge", json!(vec!["x"; 100_000]));
    let expression = Expression::parse("claims.sub == 'u-1'").unwrap();
    assert_eq!(expression.evaluate_bool(&user), Ok(true));
    let expression = Expression::parse("size(claims.huge) > 1").unwrap();
    assert_eq!(expression.evaluate_bool(&user), Err(EvaluationError::TooLarge));
    let mut deep = json!(1);
    for _ in 0..500 {
        deep = json!([deep]);
    }
    user.insert("deep", deep);
    let expression = Expression::parse("claims.deep == 1").unwrap();
    assert_eq!(expression.evaluate_bool(&user), Err(EvaluationError::TooLarge));
}

#[test]
fn expressions_are_shared_between_threads_and_compared_by_source() {
    fn shared<T: Send + Sync>() {}
    shared::<Expression>();
    shared::<vestibule_policy::matching::RouteTable>();
    let expression = Expression::parse("claims.sub").unwrap();
    let json = serde_json::to_string(&expression).unwrap();
    assert_eq!(json, r#""claims.sub""#);
    assert_eq!(serde_json::from_str::<Expression>(&json).unwrap(), expression);
    assert_eq!(expression.source(), "claims.sub");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn one_claim_alone_is_what_it_is_within_a_larger_expression(
        value in prop_oneof![
            Just(json!(null)), any::<bool>().prop_map(|b| json!(b)), any::<i64>().prop_map(|n| json!(n)),
            ".{0,12}".prop_map(|text| json!(text)), "[ -~]{0,80}".prop_map(|text| json!(text)),
            prop::collection::vec("[a-z,]{0,3}", 0..3).prop_map(|list| json!(list)),
            Just(json!({"b": 1})),
        ],
        absent in any::<bool>(),
    ) {
        let user = if absent { claims(json!({})) } else { claims(json!({"a": value})) };
        let wrapped = Expression::parse("true ? claims.a : claims.a").unwrap();
        for alone in ["claims.a", "claims['a']"] {
            let alone = Expression::parse(alone).unwrap();
            prop_assert_eq!(alone.evaluate_string(&user), wrapped.evaluate_string(&user));
        }
    }

    #[test]
    fn no_source_and_no_claims_make_it_panic(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "claims", ".", "a", "g", "[", "]", "(", ")", "0", "1u", "-", "2.5", "'x'", "+", "*",
            "==", "<", "in", "&&", "||", "!", "?", ":", ",", "{", "}", "size", "string", ".map(x,",
            ".exists(x,", "x", "has(", "null", "b'a'", "9223372036854775807", "int(", "/", "%",
        ]), 0..24),
    ) {
        let source = tokens.concat();
        if let Ok(expression) = Expression::parse(&source) {
            let user = claims(json!({"a": 1, "g": ["x", 2, null, {"a": []}]}));
            let _ = expression.evaluate_bool(&user);
            let _ = expression.evaluate_string(&user);
        }
    }
}
