//! OpenFGA's batch check, over its HTTP API: what is sent, and what counts as an answer.
//!
//! It must not accept an answer to anything but exactly what was asked: one that lacks a question, has
//! one too many, or an error for any of them is none.

use std::fmt;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use vestibule_policy::model::{CompiledOpenFga, Consistency};

use super::object::JsonObject;
use super::questions::Asked;

/// The error codes that are worth repeating to who set the policy up. A server's own words never are.
const KNOWN_CODES: [&str; 14] = [
    "authorization_model_not_found",
    "authorization_model_resolution_too_complex",
    "auth_failed_invalid_bearer_token",
    "bearer_token_missing",
    "deadline_exceeded",
    "internal_error",
    "invalid_tuple",
    "latest_authorization_model_not_found",
    "relation_not_found",
    "store_id_invalid_length",
    "store_id_not_found",
    "type_not_found",
    "unauthenticated",
    "validation_error",
];

/// A store and a model of an OpenFGA server.
pub(super) struct OpenFga {
    url: String,
    model_id: Option<String>,
    user_type: String,
    consistency: Consistency,
}

#[derive(Serialize)]
struct Request<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_model_id: Option<&'a str>,
    consistency: &'static str,
    checks: Vec<Check<'a>>,
}

#[derive(Serialize)]
struct Check<'a> {
    tuple_key: TupleKey<'a>,
    correlation_id: String,
}

#[derive(Serialize)]
struct TupleKey<'a> {
    user: String,
    relation: &'a str,
    object: String,
}

#[derive(Deserialize)]
struct Answer {
    result: Results,
}

/// In their order, with those that are there twice: a map would keep one of them.
struct Results(Vec<(String, JsonObject<One>)>);

#[derive(Deserialize)]
struct One {
    #[serde(default)]
    allowed: Option<bool>,
    #[serde(default)]
    error: Option<Value>,
}

impl OpenFga {
    /// As metrics and errors name it.
    pub(super) const SOURCE: &'static str = "openfga";

    pub(super) fn new(config: &CompiledOpenFga) -> Self {
        Self {
            url: format!("{}/stores/{}/batch-check", config.server.url, config.store_id),
            model_id: config.model_id.clone(),
            user_type: config.user_type.clone(),
            consistency: config.consistency,
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn body(&self, asked: &[Arc<Asked>]) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Request {
            authorization_model_id: self.model_id.as_deref(),
            consistency: match self.consistency {
                Consistency::MinimizeLatency => "MINIMIZE_LATENCY",
                Consistency::HigherConsistency => "HIGHER_CONSISTENCY",
            },
            checks: asked.iter().enumerate().map(|(place, one)| self.check(place, one)).collect(),
        })
    }

    fn check<'a>(&self, place: usize, asked: &'a Asked) -> Check<'a> {
        Check {
            tuple_key: TupleKey {
                user: format!("{}:{}", self.user_type, asked.subject),
                relation: &asked.relation,
                object: format!("{}:{}", asked.object.object_type, asked.object.id),
            },
            correlation_id: place.to_string(),
        }
    }
}

/// The answers to so many questions.
pub(super) fn answers(body: &[u8], count: usize) -> Result<Vec<bool>, String> {
    let JsonObject(Answer { result: Results(results) }) =
        serde_json::from_slice(body).map_err(|_| "the answer is not one of a batch check")?;
    let mut answers = vec![None; count];
    for (id, JsonObject(one)) in results {
        let place = id.parse().ok().filter(|place: &usize| place.to_string() == id);
        let slot = place.and_then(|place| answers.get_mut(place));
        let slot = slot.ok_or("an answer to what was not asked")?;
        if slot.is_some() {
            return Err("two answers to one question".to_owned());
        }
        if let Some(error) = one.error {
            return Err(format!("an error instead of an answer: {}", item_code(&error)));
        }
        *slot = Some(one.allowed.ok_or("an answer that is neither true nor false")?);
    }
    let answers: Option<Vec<bool>> = answers.into_iter().collect();
    answers.ok_or_else(|| "a question is not answered".to_owned())
}

/// The code of a refused request, if it is one that is known.
pub(super) fn error_code(body: &[u8]) -> Option<&'static str> {
    let body: Value = serde_json::from_slice(body).ok()?;
    known(body.get("code")?)
}

fn item_code(error: &Value) -> &'static str {
    let code = error.get("input_error").or_else(|| error.get("internal_error"));
    code.and_then(known).unwrap_or("of an unknown kind")
}

fn known(code: &Value) -> Option<&'static str> {
    let code = code.as_str()?;
    KNOWN_CODES.into_iter().find(|known| *known == code)
}

impl<'de> Deserialize<'de> for Results {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Results;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of answers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Results, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Results(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_count_only_where_each_question_has_exactly_one() {
        let of = |body: &str| answers(body.as_bytes(), 2);
        let good = r#"{"result":{"1":{"allowed":false},"0":{"allowed":true,"more":1}},"more":2}"#;
        assert_eq!(of(good), Ok(vec![true, false]));
        let null = r#"{"result":{"0":{"allowed":true,"error":null},"1":{"allowed":true}}}"#;
        assert_eq!(of(null), Ok(vec![true, true]));
        for bad in [
            "",
            "null",
            "[]",
            "true",
            "<html>",
            "{}",
            r#"{"result":null}"#,
            r#"{"result":[]}"#,
            r#"{"result":{}}"#,
            r#"{"result":{"0":{"allowed":true}}}"#,
            r#"{"result":{"0":{"allowed":true},"1":{}}}"#,
            r#"{"result":{"0":{"allowed":true},"1":null}}"#,
            r#"{"result":{"0":{"allowed":true},"1":true}}"#,
            r#"{"result":{"0":{"allowed":true},"1":[true,null]}}"#,
            r#"[{"0":{"allowed":true},"1":{"allowed":true}}]"#,
            r#"{"result":{"0":{"allowed":true},"1":{"allowed":null}}}"#,
            r#"{"result":{"0":{"allowed":true},"1":{"allowed":"true"}}}"#,
            r#"{"result":{"0":{"allowed":true},"1":{"allowed":1}}}"#,
            r#"{"result":{"0":{"allowed":true},"1":{"allowed":false,"allowed":true}}}"#,
            r#"{"result":{"0":{"allowed":true},"1":{"allowed":true,"error":{}}}}"#,
            r#"{"result":{"0":{"allowed":true},"1":{"error":{"input_error":"validation_error"}}}}"#,
            r#"{"result":{"0":{"allowed":true},"1":{"allowed":true},"2":{"allowed":true}}}"#,
            r#"{"result":{"0":{"allowed":true},"1":{"allowed":false},"1":{"allowed":true}}}"#,
            r#"{"result":{"0":{"allowed":true},"01":{"allowed":true}}}"#,
            r#"{"result":{"0":{"allowed":true},"+1":{"allowed":true}}}"#,
            r#"{"result":{"0":{"allowed":true},"1":{"allowed":true}}} {}"#,
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
        assert!(answers(b"{\"result\":{\"0\":{\"allowed\":true}}}", 0).is_err());
    }

    #[test]
    fn only_known_codes_are_repeated() {
        let of = |body: &str| answers(body.as_bytes(), 1).unwrap_err();
        let known =
            of(r#"{"result":{"0":{"error":{"input_error":"invalid_tuple","message":"canary"}}}}"#);
        assert_eq!(known, "an error instead of an answer: invalid_tuple");
        let unknown =
            of(r#"{"result":{"0":{"error":{"input_error":"canary","message":"canary"}}}}"#);
        assert!(!unknown.contains("canary"), "{unknown}");
        let body = |code: &str| format!(r#"{{"code":"{code}","message":"canary"}}"#);
        assert_eq!(error_code(body("store_id_not_found").as_bytes()), Some("store_id_not_found"));
        assert_eq!(error_code(body("canary").as_bytes()), None);
        assert_eq!(error_code(b"<html>"), None);
    }
}
