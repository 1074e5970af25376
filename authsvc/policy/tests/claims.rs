//! Claims: as JSON they are what a map of JSON is, whatever is in them and however they were made.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use vestibule_policy::claims::Claims;

fn claims(value: Value) -> Claims {
    serde_json::from_value(value).unwrap()
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}", inner, 0..4)
                .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

/// Members as they may stand in an object, also several with one name.
fn members() -> impl Strategy<Value = Vec<(String, Value)>> {
    prop::collection::vec(("[a-dé\"\\\\]{0,2}", value()), 0..24)
}

proptest! {
    #[test]
    fn they_read_and_write_what_a_map_does(members in members()) {
        let text: Vec<String> =
            members.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
        let text = format!("{{{}}}", text.join(","));
        let map: Map<String, Value> = serde_json::from_str(&text).unwrap();
        let claims: Claims = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(serde_json::to_string(&claims).unwrap(), serde_json::to_string(&map).unwrap());
        prop_assert_eq!(&claims, &members.into_iter().collect::<Claims>());
        prop_assert_eq!(&claims, &Claims::from(map.clone()));
        prop_assert_eq!((claims.len(), claims.is_empty()), (map.len(), map.is_empty()));
        let same = claims.iter().eq(map.iter().map(|(name, value)| (name.as_str(), value)));
        prop_assert!(same);
        for (name, value) in &map {
            prop_assert_eq!(claims.get_key_value(name), Some((name.as_str(), value)));
            prop_assert_eq!(&claims[name.as_str()], value);
        }
        prop_assert!(!claims.contains_key("absent") && claims.get("absent").is_none());
    }

    #[test]
    fn they_are_set_and_completed_as_a_map_is(own in members(), more in members()) {
        let mut map: Map<String, Value> = own.iter().cloned().collect();
        let mut claims = Claims::new();
        for (name, value) in own {
            claims.insert(name, value);
        }
        prop_assert_eq!(&claims, &Claims::from(map.clone()));
        claims.complete(more.iter().cloned().collect());
        for (name, value) in more.into_iter().collect::<Map<_, _>>() {
            map.entry(name).or_insert(value);
        }
        prop_assert_eq!(claims, Claims::from(map));
    }
}

#[test]
fn what_is_no_object_is_no_claims() {
    for text in ["null", "[]", "[[\"a\", 1]]", "\"a\"", "1", "{\"a\": 1", "{\"a\": 1}{}"] {
        assert!(serde_json::from_str::<Claims>(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_absent_is_null_and_what_is_null_is_there() {
    let claims = claims(json!({"nothing": null}));
    assert_eq!((&claims["nothing"], &claims["absent"]), (&Value::Null, &Value::Null));
    assert!(claims.contains_key("nothing") && !claims.contains_key("absent"));
}
