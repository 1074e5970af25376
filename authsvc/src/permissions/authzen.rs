//! OpenID AuthZEN's Authorization API 1.0: what is sent, and what counts as an answer.
//!
//! It must not act on a decision's context: what a decision point wants besides (obligations, advice) is
//! not ours to fulfil. Where the context says that there was an error, there is no decision.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vestibule_policy::model::CompiledAuthZen;

use super::object::JsonObject;
use super::questions::Asked;

/// A decision point.
pub(super) struct AuthZen {
    evaluation: String,
    evaluations: String,
    subject_type: String,
}

#[derive(Serialize)]
struct Entity<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
}

#[derive(Serialize)]
struct Action<'a> {
    name: &'a str,
}

/// Section 6.1 of the specification.
#[derive(Serialize)]
struct Evaluation<'a> {
    subject: Entity<'a>,
    action: Action<'a>,
    resource: Entity<'a>,
}

/// Section 7.1. Each one is whole, so that no default counts.
#[derive(Serialize)]
struct Evaluations<'a> {
    evaluations: Vec<Evaluation<'a>>,
    options: Options,
}

#[derive(Serialize)]
struct Options {
    evaluations_semantic: &'static str,
}

/// Section 6.2.
#[derive(Deserialize)]
struct Decision {
    decision: bool,
    #[serde(default)]
    context: Option<Value>,
}

/// Section 7.2: in the order of the questions.
#[derive(Deserialize)]
struct Decisions {
    evaluations: Vec<JsonObject<Decision>>,
}

impl AuthZen {
    /// As metrics and errors name it.
    pub(super) const SOURCE: &'static str = "authzen";

    pub(super) fn new(config: &CompiledAuthZen) -> Self {
        let base = format!("{}/access/v1/evaluation", config.server.url);
        Self {
            evaluations: format!("{base}s"),
            evaluation: base,
            subject_type: config.subject_type.clone(),
        }
    }

    pub(super) fn url(&self, count: usize) -> &str {
        if count == 1 { &self.evaluation } else { &self.evaluations }
    }

    pub(super) fn body(&self, asked: &[Arc<Asked>]) -> Result<Vec<u8>, serde_json::Error> {
        if let [one] = asked {
            return serde_json::to_vec(&self.evaluation(one));
        }
        serde_json::to_vec(&Evaluations {
            evaluations: asked.iter().map(|one| self.evaluation(one)).collect(),
            options: Options { evaluations_semantic: "execute_all" },
        })
    }

    fn evaluation<'a>(&'a self, asked: &'a Asked) -> Evaluation<'a> {
        Evaluation {
            subject: Entity { kind: &self.subject_type, id: &asked.subject },
            action: Action { name: &asked.relation },
            resource: Entity { kind: &asked.object.object_type, id: &asked.object.id },
        }
    }
}

/// The answers to so many questions.
pub(super) fn answers(body: &[u8], count: usize) -> Result<Vec<bool>, String> {
    let unusable = |_| "the answer is not one of the Authorization API".to_owned();
    let decisions = if count == 1 {
        vec![serde_json::from_slice(body).map_err(unusable)?]
    } else {
        let JsonObject(Decisions { evaluations }) =
            serde_json::from_slice(body).map_err(unusable)?;
        evaluations
    };
    if decisions.len() != count {
        return Err(format!("{} answers to {count} questions", decisions.len()));
    }
    decisions.iter().map(|JsonObject(decision)| decision.value()).collect()
}

impl Decision {
    fn value(&self) -> Result<bool, String> {
        let error = self.context.as_ref().and_then(|context| context.get("error"));
        if error.is_some_and(|error| !error.is_null()) {
            return Err("an error instead of a decision".to_owned());
        }
        Ok(self.decision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_a_boolean_and_nothing_else() {
        let one = |body: &str| answers(body.as_bytes(), 1);
        assert_eq!(one(r#"{"decision":true}"#), Ok(vec![true]));
        let advice = r#"{"decision":false,"context":{"reason_user":{"en":"no"},"error":null}}"#;
        assert_eq!(one(advice), Ok(vec![false]));
        for bad in [
            "",
            "true",
            "{}",
            "[]",
            "[true,null]",
            r#"{"decision":null}"#,
            r#"{"decision":"true"}"#,
            r#"{"decision":1}"#,
            r#"{"decision":false,"decision":true}"#,
            r#"{"decision":true}{"#,
            r#"{"decision":true,"context":{"error":{"status":500}}}"#,
            r#"{"decision":false,"context":{"error":{"status":404}}}"#,
            r#"{"evaluations":[{"decision":true}]}"#,
        ] {
            assert!(one(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn several_decisions_are_as_many_as_the_questions() {
        let two = |body: &str| answers(body.as_bytes(), 2);
        let good = r#"{"evaluations":[{"decision":true},{"decision":false}]}"#;
        assert_eq!(two(good), Ok(vec![true, false]));
        for bad in [
            r#"{"decision":true}"#,
            r#"{"evaluations":[]}"#,
            r#"{"evaluations":[{"decision":true}]}"#,
            r#"{"evaluations":[{"decision":true},{}]}"#,
            r#"{"evaluations":[{"decision":true},{"decision":"true"}]}"#,
            r#"{"evaluations":[{"decision":true},{"decision":true},{"decision":true}]}"#,
            r#"{"evaluations":[{"decision":true},{"decision":true,"context":{"error":{}}}]}"#,
            r#"{"evaluations":[[true,null],[true,null]]}"#,
            r#"{"evaluations":{"0":{"decision":true},"1":{"decision":true}}}"#,
        ] {
            assert!(two(bad).is_err(), "{bad}");
        }
    }
}
