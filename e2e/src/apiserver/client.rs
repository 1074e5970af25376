//! Objects as JSON: get, apply, patch, delete, and every version that a kind's objects ever had. It
//! must not know what they mean.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::ApiServer;
use crate::cluster::programs::tool;
use crate::http::{Request, Response};

/// One version of an object.
#[derive(Clone, Debug)]
pub struct Version {
    /// Whether the object is gone with it.
    pub deleted: bool,
    /// The object.
    pub object: Value,
}

impl Version {
    /// The number of the write, over all kinds.
    #[must_use]
    pub fn number(&self) -> u64 {
        number(&self.object)
    }
}

#[expect(clippy::must_use_candidate, reason = "a change is made for what it changes")]
impl ApiServer {
    /// What is at that path; `None` where there is nothing.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Value> {
        let answer = Request::get(path, "127.0.0.1").send(self.plain());
        if answer.status == 404 {
            return None;
        }
        assert_eq!(answer.status, 200, "GET {path}: {answer}");
        Some(answer.json())
    }

    /// The object at that path, which must be there.
    #[must_use]
    pub fn object(&self, path: &str) -> Value {
        self.get(path).unwrap_or_else(|| panic!("there is no {path}"))
    }

    /// Creates or changes an object; panics where it is refused.
    pub fn apply(&self, object: &Value) -> Value {
        let path = format!("{}?fieldManager=author&force=true", path_of(object));
        self.change("PATCH", &path, "application/apply-patch+yaml", object)
    }

    /// Creates or changes the objects of that YAML; panics where one is refused. `more` are flags.
    pub fn apply_yaml(&self, text: &str, more: &[&str]) {
        let mut kubectl = Command::new(tool("kubectl"));
        kubectl.args(["--kubeconfig", &self.kubeconfig(), "apply", "--server-side", "-f", "-"]);
        kubectl.args(more).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = kubectl.spawn().expect("kubectl runs");
        let mut input = running.stdin.take().expect("a pipe");
        input.write_all(text.as_bytes()).expect("it reads");
        drop(input);
        let output = running.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Changes an object by a merge patch.
    pub fn merge(&self, path: &str, patch: &Value) -> Value {
        let path = format!("{path}?fieldManager=author");
        self.change("PATCH", &path, "application/merge-patch+json", patch)
    }

    /// Changes an object by a list of JSON patches.
    pub fn patch(&self, path: &str, patch: &Value) -> Value {
        self.change("PATCH", path, "application/json-patch+json", patch)
    }

    /// Deletes an object.
    pub fn delete(&self, path: &str) {
        let answer = Request::new("DELETE", path, "127.0.0.1").send(self.plain());
        assert!(answer.status < 300, "DELETE {path}: {answer}");
    }

    /// Every version that the objects of a collection had since that number, in their order.
    #[must_use]
    pub fn history(&self, collection: &str, since: u64) -> Vec<Version> {
        let path = format!("{collection}?watch=true&resourceVersion={since}&timeoutSeconds=1");
        let answer = Request::get(&path, "127.0.0.1").send(self.plain());
        assert_eq!(answer.status, 200, "GET {path}: {answer}");
        let text = answer.text();
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        events
            .map(|mut event| {
                assert_ne!(event["type"], "ERROR", "{event}");
                Version { deleted: event["type"] == "DELETED", object: event["object"].take() }
            })
            .collect()
    }

    /// The number of the latest write.
    #[must_use]
    pub fn now(&self) -> u64 {
        number(&self.object("/api/v1/namespaces?limit=1"))
    }

    fn change(&self, method: &str, path: &str, media: &str, body: &Value) -> Value {
        let answer = self.try_change(method, path, media, body);
        assert!(answer.status < 300, "{method} {path} {body}: {answer}");
        answer.json()
    }

    /// Sends a change, which may be refused.
    #[must_use]
    pub fn try_change(&self, method: &str, path: &str, media: &str, body: &Value) -> Response {
        let mut request = Request::new(method, path, "127.0.0.1").header("Content-Type", media);
        request.body = body.to_string().into_bytes();
        request.send(self.plain())
    }
}

fn number(object: &Value) -> u64 {
    let text = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    text.parse().unwrap_or_else(|_| panic!("no version: {object}"))
}

/// Where an object is, by its own words.
fn path_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let root = if version.contains('/') { "/apis" } else { "/api" };
    let space = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("/namespaces/{namespace}"),
        None => String::new(),
    };
    let name = text(&object["metadata"]["name"]);
    format!("{root}/{version}{space}/{}/{name}", plural(&kind))
}

fn plural(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    match (kind.strip_suffix('y'), kind.ends_with('s')) {
        (Some(stem), _) => format!("{stem}ies"),
        (None, true) => format!("{kind}es"),
        (None, false) => format!("{kind}s"),
    }
}
