//! Objects of permission questions: what a request says may fill a place in an id, and never make
//! another object of it.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use proptest::prelude::*;
use serde_json::{Value, json};
use vestibule_policy::claims::Claims;
use vestibule_policy::path::{Exceptions, parse_target};
use vestibule_policy::template::{Object, Template};

fn claims(value: Value) -> Claims {
    serde_json::from_value(value).unwrap()
}

fn template(id: &str, path: Option<&str>) -> Template {
    Template::parse("document", id, path).unwrap()
}

/// The id of an object, if there is one.
fn id(template: &Template, path: Option<&str>, of: Value) -> Option<String> {
    let object = template.object(path, &claims(of))?;
    assert_eq!(object.object_type, "document");
    Some(object.id)
}

#[test]
fn an_id_is_made_of_text_captures_and_claims() {
    let documents = template("{tenant}/doc-{id}|{claims.sub}", Some("/t/{tenant}/documents/{id}"));
    let of = |path: &str| id(&documents, Some(path), json!({"sub": "u-1"}));
    assert_eq!(of("/t/acme/documents/7").as_deref(), Some("acme/doc-7|u-1"));
    assert_eq!(of("/t/acme/documents/7/pages/2").as_deref(), Some("acme/doc-7|u-1"));
    for other in ["/t/acme/documents", "/t/acme/other/7", "/t/acme", "/", "", "/T/acme/documents/7"]
    {
        assert_eq!(of(other), None, "{other}");
    }
    assert!(documents.has_captures());
    assert_eq!(id(&documents, None, json!({"sub": "u-1"})), None);
}

#[test]
fn an_id_without_captures_needs_no_path() {
    let mine = template("{claims.sub}", None);
    assert!(!mine.has_captures());
    assert_eq!(id(&mine, None, json!({"sub": "u-1"})).as_deref(), Some("u-1"));
    assert_eq!(id(&mine, Some("/any"), json!({"sub": "u-1"})).as_deref(), Some("u-1"));
    let fixed = template("the/whole|plant", None);
    assert_eq!(id(&fixed, None, json!({})).as_deref(), Some("the/whole|plant"));
}

#[test]
fn a_claim_is_a_text_or_a_number() {
    let plant = template("{claims.plant}", None);
    let of = |value: Value| id(&plant, None, json!({ "plant": value }));
    assert_eq!(of(json!("p-1")).as_deref(), Some("p-1"));
    assert_eq!(of(json!(7)).as_deref(), Some("7"));
    for other in [json!(null), json!(true), json!(["p-1"]), json!({"p": 1}), json!("")] {
        assert_eq!(of(other.clone()), None, "{other}");
    }
    assert_eq!(id(&plant, None, json!({})), None);
}

/// Values that decision points or whoever decodes them could read as something else.
const HOSTILE: [&str; 30] = [
    "",
    ".",
    "..",
    "...",
    "*",
    "a:b",
    ":",
    "a#b",
    "#member",
    "user:a",
    "doc:1#viewer",
    "a b",
    " a",
    "a ",
    "a\tb",
    "a\nb",
    "a\u{0}b",
    "a/b",
    "a|b",
    "a\\b",
    "a%2Fb",
    "%2e%2e",
    "a;b",
    "a,b",
    "{id}",
    "é",
    "a\u{202e}b",
    "\u{ff0f}",
    "a\"b",
    "a?b",
];

#[test]
fn hostile_values_make_no_object() {
    let captured = template("{id}", Some("/documents/{id}"));
    let claimed = template("{claims.id}", None);
    let long = "a".repeat(129);
    for value in HOSTILE.into_iter().chain([long.as_str()]) {
        // A path with a slash in the value is another path, whose segment may well be usable.
        if !value.contains('/') {
            let path = format!("/documents/{value}");
            assert_eq!(id(&captured, Some(&path), json!({})), None, "{value:?}");
        }
        assert_eq!(id(&claimed, None, json!({ "id": value })), None, "{value:?}");
    }
    let longest = "a".repeat(128);
    for value in ["a", "A-1_b.c~d@e.f+g", ".a", "a.", longest.as_str()] {
        let path = format!("/documents/{value}");
        assert_eq!(id(&captured, Some(&path), json!({})).as_deref(), Some(value));
        assert_eq!(id(&claimed, None, json!({ "id": value })).as_deref(), Some(value));
    }
}

#[test]
fn an_object_has_at_most_256_bytes() {
    let three = template("{claims.a}/{claims.b}", None);
    let of =
        |length: usize| id(&three, None, json!({"a": "a".repeat(118), "b": "b".repeat(length)}));
    // `document:` has 9 and the slash 1.
    assert_eq!(of(128).map(|id| id.len() + 9), Some(256));
    let four = template("{claims.a}/{claims.b}/", None);
    let too_long = json!({"a": "a".repeat(118), "b": "b".repeat(128)});
    assert_eq!(id(&four, None, too_long), None);
}

#[test]
fn what_cannot_be_a_template_is_refused_with_what_to_write() {
    let refused = |id: &str, path: Option<&str>| Template::parse("document", id, path).unwrap_err();
    for (id, path, why) in [
        ("", None, "must not be empty"),
        ("a:b", None, "may have letters"),
        ("a#b", None, "may have letters"),
        ("*", None, "may have letters"),
        ("a b", None, "may have letters"),
        ("é", None, "may have letters"),
        ("a}", None, "may have letters"),
        ("{id", Some("/d/{id}"), "has no '}'"),
        ("{}", Some("/d/{id}"), "is no capture"),
        ("{id}", None, "is no capture"),
        ("{other}", Some("/d/{id}"), "is no capture"),
        ("{claims.}", None, "is no claim"),
        ("{claims.a.b}", None, "is no claim"),
        ("{a}{b}", Some("/{a}/{b}"), "put '/' or '|' before {b}"),
        ("{a}-{claims.b}", Some("/{a}"), "put '/' or '|' before {claims.b}"),
        ("{a}", Some("d/{a}"), "begins with '/'"),
        ("{a}", Some("/d//{a}"), "empty segment"),
        ("{a}", Some("/d/{a}/"), "empty segment"),
        ("{a}", Some("/{a}/{a}"), "is there twice"),
        ("{a}", Some("/d-{a}"), "a capture is a whole segment"),
        ("{a}", Some("/{a-b}"), "of letters, digits and '_'"),
        ("{a}", Some("/../{a}"), "dot segment"),
        ("{a}", Some("/%2F/{a}"), "write a canonical path"),
        ("{a}", Some("/d?x/{a}"), "write a canonical path"),
    ] {
        let reason = refused(id, path);
        assert!(reason.contains(why), "{id} {path:?}: {reason}");
    }
    assert!(refused(&"a".repeat(513), None).contains("at most 512"));
}

#[test]
fn a_path_is_compared_as_rules_are() {
    let cafe = template("{id}", Some("/caf%C3%A9/{id}"));
    let path = parse_target("/caf%c3%a9/7?x=1", &Exceptions::default()).unwrap().path;
    assert_eq!(id(&cafe, Some(path.as_str()), json!({})).as_deref(), Some("7"));
}

#[test]
fn a_template_fits_rules_at_or_above_its_path() {
    let documents = template("{id}", Some("/api/documents/{id}"));
    for path in ["/", "/api", "/api/", "/api/documents", "/api/documents/"] {
        assert!(documents.fits_route(path, false), "{path}");
    }
    for path in ["/ap", "/api/other", "/api/documents/7", "/api/documents/7/pages"] {
        assert!(!documents.fits_route(path, false), "{path}");
    }
    assert!(documents.fits_route("/api/documents/7", true));
    assert!(documents.fits_route("/api/documents/7/pages", true));
    assert!(!documents.fits_route("/api/documents", true));
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned),
        "[-a-z0-9_.~@+]{1,8}",
        "[-a-z0-9:#*|/%{} ]{0,8}",
        any::<String>(),
    ]
}

proptest! {
    /// Whatever is put in, the object is of the template's type, and its id taken apart at the
    /// template's own separators gives what was put in.
    #[test]
    fn no_value_changes_the_type_or_adds_a_separator(
        tenant in value(), document in value(), user in value()
    ) {
        let template = template("t-{tenant}/{document}|{claims.user}", Some("/d/{tenant}/{document}"));
        let path = format!("/d/{tenant}/{document}");
        let object = template.object(Some(&path), &claims(json!({ "user": user })));
        let Some(Object { object_type, id }) = object else { return Ok(()) };
        prop_assert_eq!(object_type, "document");
        let (before, claimed) = id.split_once('|').unwrap();
        prop_assert_eq!(claimed, &user);
        let (first, second) = before.strip_prefix("t-").unwrap().split_once('/').unwrap();
        let segments: Vec<&str> = path.split('/').skip(2).take(2).collect();
        prop_assert_eq!([first, second].to_vec(), segments);
        for part in [first, second, claimed] {
            prop_assert!(!part.is_empty() && part.len() <= 128);
            let separator = part.contains([':', '#', '*', '|', '/', '%', ' ', '\\', '{', '}']);
            prop_assert!(!separator);
            prop_assert!(part.chars().any(|c| c != '.') && part.is_ascii());
        }
    }

    /// Two requests that differ in a value ask about two objects.
    #[test]
    fn different_values_are_different_objects(
        one in prop::array::uniform3("[-a-z0-9_.~@+]{1,3}"),
        other in prop::array::uniform3("[-a-z0-9_.~@+]{1,3}")
    ) {
        let template = template("{a}-/-{b}|{claims.c}", Some("/{a}/{b}"));
        let object = |[a, b, c]: &[String; 3]| {
            template.object(Some(&format!("/{a}/{b}")), &claims(json!({ "c": c })))
        };
        if let (Some(first), Some(second)) = (object(&one), object(&other)) {
            prop_assert_eq!(first == second, one == other);
        }
    }

    #[test]
    fn reading_a_template_never_panics(id in any::<String>(), path in prop::option::of(any::<String>())) {
        if let Ok(template) = Template::parse("document", &id, path.as_deref()) {
            let _ = template.object(path.as_deref(), &Claims::new());
            let again: Template =
                serde_json::from_value(serde_json::to_value(&template).unwrap()).unwrap();
            prop_assert_eq!(again, template);
        }
    }
}
