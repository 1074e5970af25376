//! Decision points that a test makes say anything.

mod answers;
mod hostile;
mod lately;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use vestibule_policy::expression::Expression;
use vestibule_policy::model::{
    CompiledAuthZen, CompiledCheck, CompiledDecisionPoint, CompiledOpenFga, Consistency,
};
use vestibule_policy::template::Template;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::{Connections, DecisionError, DecisionPoints, Question};
use crate::session::Claims;

const TOKEN: &str = "canary-decision-token";
const STORE: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
const MODEL: &str = "01BX5ZZKBKACTAV9WEVGEMMVRZ";

/// An OpenFGA that knows tuples and no model.
struct Fga {
    server: MockServer,
    tuples: Arc<Mutex<BTreeSet<[String; 3]>>>,
}

impl Fga {
    async fn start() -> Self {
        let fga = Self { server: MockServer::start().await, tuples: Arc::default() };
        let tuples = Arc::clone(&fga.tuples);
        let answer = move |request: &Request| {
            let known = tuples.lock().unwrap();
            let of = |check: &Value| {
                let text = |key: &str| check["tuple_key"][key].as_str().unwrap().to_owned();
                let tuple = [text("user"), text("relation"), text("object")];
                let id = check["correlation_id"].as_str().unwrap().to_owned();
                (id, json!({"allowed": known.contains(&tuple)}))
            };
            let body: Value = request.body_json().unwrap();
            let result: serde_json::Map<String, Value> =
                body["checks"].as_array().unwrap().iter().map(of).collect();
            ResponseTemplate::new(200).set_body_json(json!({"result": result}))
        };
        Mock::given(any()).respond_with(answer).mount(&fga.server).await;
        fga
    }

    fn write(&self, user: &str, relation: &str, object: &str) {
        self.tuples.lock().unwrap().insert([user, relation, object].map(str::to_owned));
    }

    fn forget(&self) {
        self.tuples.lock().unwrap().clear();
    }

    fn points(&self, change: impl FnOnce(&mut CompiledOpenFga)) -> DecisionPoints {
        open_fga(&self.server.uri(), change)
    }

    /// The checks of each request, in order.
    async fn requests(&self) -> Vec<Vec<Value>> {
        let requests = self.server.received_requests().await.unwrap();
        let checks = |request: &Request| {
            let body: Value = request.body_json().unwrap();
            body["checks"].as_array().unwrap().clone()
        };
        requests.iter().map(checks).collect()
    }
}

fn server(url: &str) -> CompiledDecisionPoint {
    CompiledDecisionPoint {
        url: url.to_owned(),
        token: Some(SecretString::from(TOKEN)),
        ca_bundle: None,
        timeout: Duration::from_secs(5),
        cache_for: Duration::ZERO,
        allow_insecure: false,
    }
}

fn open_fga(url: &str, change: impl FnOnce(&mut CompiledOpenFga)) -> DecisionPoints {
    let mut config = CompiledOpenFga {
        server: server(url),
        store_id: STORE.to_owned(),
        model_id: Some(MODEL.to_owned()),
        user_type: "user".to_owned(),
        consistency: Consistency::MinimizeLatency,
    };
    change(&mut config);
    DecisionPoints::of(Some(&config), None, &Connections::default()).unwrap()
}

fn auth_zen(url: &str, change: impl FnOnce(&mut CompiledAuthZen)) -> DecisionPoints {
    let mut config = CompiledAuthZen { server: server(url), subject_type: "user".to_owned() };
    change(&mut config);
    DecisionPoints::of(None, Some(&config), &Connections::default()).unwrap()
}

fn viewer_of(id: &str, path: Option<&str>) -> CompiledCheck {
    let object = Template::parse("document", id, path).unwrap();
    CompiledCheck::OpenFga { relation: "viewer".to_owned(), object }
}

fn reading(id: &str) -> CompiledCheck {
    let resource = Template::parse("document", id, None).unwrap();
    CompiledCheck::AuthZen { action: "can_read".to_owned(), resource }
}

fn expression(text: &str) -> CompiledCheck {
    CompiledCheck::Expression(Expression::parse(text).unwrap())
}

/// Asks about a user without claims, at no path.
async fn ask(
    points: &DecisionPoints,
    checks: &[CompiledCheck],
    subject: &str,
) -> Result<Vec<bool>, DecisionError> {
    let claims = Claims::new();
    let question = |check| Question { check, subject, claims: &claims, path: None };
    let questions: Vec<Question<'_>> = checks.iter().map(question).collect();
    points.ask(&questions).await
}
