//! The watch against an API server that a test makes misbehave: over the wire, by the real client.

use std::collections::HashMap;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::tests::{OURS, live, shown};
use super::*;

/// Longer than the client waits after its first errors.
const SOON: Duration = Duration::from_secs(20);

type Question = HashMap<String, String>;

/// Questions of the client, to be answered by the test.
struct ApiServer {
    asked: mpsc::UnboundedReceiver<(Question, tokio::sync::oneshot::Sender<Response>)>,
}

impl ApiServer {
    async fn start() -> (Self, Client) {
        let (ask, asked) = mpsc::unbounded_channel();
        let path = format!("/api/v1/namespaces/{OURS}/secrets");
        let router = Router::new().route(&path, get(question)).with_state(ask);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (Self { asked }, Client::try_from(Config::new(url)).unwrap())
    }

    /// Answers the next question, which must be of this kind.
    async fn answer(&mut self, kind: &str, answer: Response) {
        let asked = tokio::time::timeout(SOON, self.asked.recv()).await.unwrap();
        let (question, reply) = asked.unwrap();
        assert_eq!(question["labelSelector"], "vestibule.dev/compiled-policy=true");
        let seen = if question.contains_key("watch") { "watch" } else { "list" };
        assert_eq!(seen, kind, "{question:?}");
        reply.send(answer).unwrap();
    }
}

type Asking = mpsc::UnboundedSender<(Question, tokio::sync::oneshot::Sender<Response>)>;

async fn question(State(ask): State<Asking>, Query(question): Query<Question>) -> Response {
    let (reply, answer) = tokio::sync::oneshot::channel();
    ask.send((question, reply)).unwrap();
    answer.await.unwrap()
}

fn failure(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
           "message": "no", "reason": "None", "code": code})
}

fn refusal(code: u16) -> Response {
    (StatusCode::from_u16(code).unwrap(), failure(code).to_string()).into_response()
}

fn versioned(mut secret: Secret, version: u32) -> Value {
    secret.metadata.resource_version = Some(version.to_string());
    serde_json::to_value(secret).unwrap()
}

fn list(secrets: Vec<Secret>) -> Response {
    let items: Vec<Value> = secrets.into_iter().map(|secret| versioned(secret, 1)).collect();
    let list = json!({"kind": "SecretList", "apiVersion": "v1",
                      "metadata": {"resourceVersion": "10"}, "items": items});
    list.to_string().into_response()
}

/// Lines of a watch that goes on after them, or ends.
fn events(lines: &[Value], goes_on: bool) -> Response {
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    let text = lines.join("\n") + "\n";
    let begun = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(text)]);
    if goes_on {
        Body::from_stream(begun.chain(futures_util::stream::pending())).into_response()
    } else {
        Body::from_stream(begun).into_response()
    }
}

async fn next(source: &mut KubernetesSource) -> Vec<String> {
    shown(&tokio::time::timeout(SOON, source.next()).await.unwrap())
}

#[tokio::test]
async fn a_lost_watch_and_an_expired_version_change_nothing_until_there_is_a_whole_list() {
    let (mut server, client) = ApiServer::start().await;
    let mut source = KubernetesSource::of(client, OURS.to_owned());
    server.answer("list", list(vec![live("a", 1, "/bff"), live("b", 1, "/bff")])).await;
    assert_eq!(next(&mut source).await, ["a /bff Live 1", "b /bff Live 1"]);
    // The connection ends; the client goes on where it was.
    let edit = json!({"type": "MODIFIED", "object": versioned(live("a", 2, "/two"), 11)});
    server.answer("watch", events(&[edit], false)).await;
    assert_eq!(next(&mut source).await, ["+ a /two Live 2"]);
    // What it knows is too old, and the API server has no list to give at first.
    let expired = json!({"type": "ERROR", "object": failure(410)});
    server.answer("watch", events(&[expired], false)).await;
    server.answer("list", refusal(500)).await;
    assert!(source.next().now_or_never().is_none());
    server.answer("list", list(vec![live("b", 3, "/bff")])).await;
    assert_eq!(next(&mut source).await, ["b /bff Live 3"]);
    let gone = json!({"type": "DELETED", "object": versioned(live("b", 3, "/bff"), 12)});
    server.answer("watch", events(&[gone], true)).await;
    assert_eq!(next(&mut source).await, ["b is gone"]);
}
