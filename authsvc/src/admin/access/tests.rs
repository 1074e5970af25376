//! Who is let in: the matrix of both ways, what the API server is asked, and for how long it counts.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Mutex;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use http::Request;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;
use crate::admin::tests::TOKEN;
use crate::admin::token::MAX_BEARER;

/// A cluster whose users are `alice` (all rights), `shop-only` (in the namespace `shop`, listing) and
/// `nobody` (none).
#[derive(Default)]
pub(in crate::admin) struct FakeCluster {
    /// How often it was asked.
    asked: Arc<Mutex<usize>>,
    broken: Option<ReviewError>,
}

impl Reviews for FakeCluster {
    fn identify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<User>, ReviewError>> {
        *self.asked.lock().unwrap() += 1;
        let known = ["alice", "shop-only", "nobody"].into_iter().find(|name| *name == token);
        let user = known.map(|name| User { name: name.to_owned(), ..User::default() });
        let answer = self.broken.clone().map_or(Ok(user), Err);
        std::future::ready(answer).boxed()
    }

    fn permits<'a>(
        &'a self,
        user: &'a User,
        verb: Verb,
        policy: Option<&'a PolicyId>,
    ) -> BoxFuture<'a, Result<bool, ReviewError>> {
        let in_shop = policy.is_some_and(|id| id.namespace == "shop");
        let permitted = match user.name.as_str() {
            "alice" => true,
            "shop-only" => in_shop && verb == Verb::List,
            _ => false,
        };
        std::future::ready(Ok(permitted)).boxed()
    }
}

fn headers(values: &[&str]) -> HeaderMap {
    let values = values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_str(value).unwrap()));
    let mut headers = HeaderMap::new();
    for (name, value) in values {
        headers.append(name, value);
    }
    headers
}

fn policy(namespace: &str) -> PolicyId {
    PolicyId { namespace: namespace.to_owned(), name: "web".to_owned() }
}

async fn status(access: &Access, given: &[&str], verb: Verb, policy: Option<&PolicyId>) -> u16 {
    match access.admit(&headers(given), verb, policy).await {
        Ok(_) => 200,
        Err(refused) => {
            assert_eq!(refused.headers()["content-type"], "application/problem+json");
            refused.status().as_u16()
        }
    }
}

#[tokio::test]
async fn the_cluster_decides_by_user_verb_and_namespace() {
    let access = Access::cluster(Box::new(FakeCluster::default()));
    let (shop, desk) = (policy("shop"), policy("desk"));
    for (user, verb, place, expected) in [
        ("alice", Verb::List, None, 200),
        ("alice", Verb::Delete, None, 200),
        ("shop-only", Verb::List, Some(&shop), 200),
        ("shop-only", Verb::List, Some(&desk), 403),
        ("shop-only", Verb::List, None, 403),
        ("shop-only", Verb::Delete, Some(&shop), 403),
        ("nobody", Verb::List, Some(&shop), 403),
        ("stranger", Verb::List, Some(&shop), 401),
    ] {
        // The second time the answer is remembered, and the same.
        for _ in 0..2 {
            let given = format!("Bearer {user}");
            assert_eq!(status(&access, &[&given], verb, place).await, expected, "{user} {verb:?}");
        }
    }
    let name = access.admit(&headers(&["bearer alice"]), Verb::List, None).await.unwrap();
    assert_eq!(&*name, "alice");
}

#[tokio::test]
async fn what_is_no_bearer_token_is_not_even_asked_about() {
    let fake = FakeCluster::default();
    let asked = Arc::clone(&fake.asked);
    let access = Access::cluster(Box::new(fake));
    let long = format!("Bearer {}", "x".repeat(MAX_BEARER + 1));
    for given in [
        &[][..],
        &["alice"],
        &["Basic alice"],
        &["Bearer "],
        &["Bearer  alice"],
        &["Bearer alice "],
        &["Bearer alice", "Bearer alice"],
        &[&long],
    ] {
        assert_eq!(status(&access, given, Verb::List, None).await, 401, "{given:?}");
    }
    assert_eq!(*asked.lock().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_counts_for_ten_seconds_and_a_failure_not_at_all() {
    let fake = FakeCluster::default();
    let asked = Arc::clone(&fake.asked);
    let access = Access::cluster(Box::new(fake));
    for (seconds, expected) in [(0, 1), (9, 1), (2, 2)] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        assert_eq!(status(&access, &["Bearer nobody"], Verb::List, None).await, 403);
        assert_eq!(*asked.lock().unwrap(), expected);
    }
    let broken = Some(ReviewError::Unavailable("down".to_owned()));
    let fake = FakeCluster { broken, ..FakeCluster::default() };
    let asked = Arc::clone(&fake.asked);
    let access = Access::cluster(Box::new(fake));
    for expected in [1, 2] {
        assert_eq!(status(&access, &["Bearer alice"], Verb::List, None).await, 503);
        assert_eq!(*asked.lock().unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_are_bounded_and_room_comes_with_time() {
    let answers = Answers::default();
    let question = |number: usize| Answers::question(&number.to_string(), Verb::List, None);
    for number in 0..=answers::MAX_ANSWERS {
        answers.put(question(number), Answer::Unknown);
    }
    assert_eq!(answers.get(&question(0)), Some(Answer::Unknown));
    assert_eq!(answers.get(&question(answers::MAX_ANSWERS)), None, "there is no room for it");
    tokio::time::advance(answers::COUNTS_FOR).await;
    assert_eq!(answers.get(&question(0)), None, "its time is over");
    answers.put(question(answers::MAX_ANSWERS), Answer::Unknown);
    assert_eq!(answers.get(&question(answers::MAX_ANSWERS)), Some(Answer::Unknown));
}

#[tokio::test]
async fn without_a_right_to_ask_it_says_what_to_set() {
    let broken = Some(ReviewError::NotAllowed("forbidden".to_owned()));
    let access = Access::cluster(Box::new(FakeCluster { broken, ..FakeCluster::default() }));
    let refused = access.admit(&headers(&["Bearer alice"]), Verb::List, None).await.unwrap_err();
    assert_eq!(refused.status(), 503);
    let body = axum::body::to_bytes(refused.into_body(), 10_000).await.unwrap();
    assert!(String::from_utf8_lossy(&body).contains("admin.sessions.enabled"));
    assert_eq!(status(&Access::Nobody, &["Bearer x"], Verb::List, None).await, 503);
}

#[tokio::test]
async fn standalone_the_admin_token_alone_is_let_in() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), TOKEN).unwrap();
    let access = Access::Token(AdminToken::open(file.path().to_owned()).unwrap());
    let good = format!("Bearer {TOKEN}");
    for verb in [Verb::List, Verb::Delete] {
        assert_eq!(status(&access, &[&good], verb, None).await, 200);
        assert_eq!(status(&access, &["Bearer alice"], verb, None).await, 401);
        assert_eq!(status(&access, &[], verb, None).await, 401);
    }
    std::fs::write(file.path(), "").unwrap();
    assert_eq!(status(&access, &[&good], Verb::List, None).await, 503);
}

/// A token whose `aud` is this; nobody has signed it.
fn token_for(audience: &Value) -> String {
    let payload = json!({ "aud": audience }).to_string();
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
}

#[test]
fn a_token_for_us_is_told_by_its_audience() {
    assert!(kubernetes::is_for_us(&token_for(&json!("vestibule.dev"))));
    assert!(kubernetes::is_for_us(&token_for(&json!(["other", "vestibule.dev"]))));
    for other in [json!("other"), json!(["other"]), json!(1), Value::Null] {
        assert!(!kubernetes::is_for_us(&token_for(&other)), "{other}");
    }
    for text in ["", "a.b", "a.b.c", "opaque", &format!("{}.x", token_for(&json!("vestibule.dev")))]
    {
        assert!(!kubernetes::is_for_us(text), "{text}");
    }
}

/// An API server with these answers by kind; it also gives what it was asked.
fn api_server(
    answers: HashMap<&'static str, (u16, Value)>,
) -> (ClusterReviews, Arc<Mutex<Vec<Value>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let answers = Arc::new(answers);
    let service = service_fn(move |request: Request<kube::client::Body>| {
        let (seen, answers) = (Arc::clone(&seen), Arc::clone(&answers));
        async move {
            let body = request.into_body().collect_bytes().await.unwrap();
            let asked: Value = serde_json::from_slice(&body).unwrap();
            let (status, mut answer) = answers[asked["kind"].as_str().unwrap()].clone();
            if status == 201 {
                answer = json!({
                    "apiVersion": asked["apiVersion"],
                    "kind": asked["kind"],
                    "spec": asked["spec"],
                    "status": answer,
                });
            }
            seen.lock().unwrap().push(asked);
            let answer = Body::from(answer.to_string());
            Ok::<_, Infallible>(http::Response::builder().status(status).body(answer).unwrap())
        }
    });
    (ClusterReviews::of(kube::Client::new(service, "default")), asked)
}

#[tokio::test]
async fn the_api_server_is_asked_who_it_is_and_what_they_may_do() {
    let user = json!({
        "username": "alice", "uid": "u1", "groups": ["staff"], "extra": {"from": ["here"]},
    });
    let (reviews, asked) = api_server(HashMap::from([
        ("TokenReview", (201, json!({"authenticated": true, "user": user}))),
        ("SubjectAccessReview", (201, json!({"allowed": true}))),
    ]));
    let alice = reviews.identify("opaque").await.unwrap().unwrap();
    assert!(reviews.permits(&alice, Verb::Delete, Some(&policy("shop"))).await.unwrap());
    assert!(reviews.permits(&alice, Verb::List, None).await.unwrap());
    let asked = asked.lock().unwrap();
    assert_eq!(asked[0]["spec"], json!({"token": "opaque"}));
    let wanted = json!({
        "user": "alice", "uid": "u1", "groups": ["staff"], "extra": {"from": ["here"]},
        "resourceAttributes": {
            "group": "vestibule.dev", "resource": "bffpolicies", "subresource": "sessions",
            "verb": "delete", "namespace": "shop", "name": "web",
        },
    });
    assert_eq!(asked[1]["spec"], wanted);
    let everywhere = &asked[2]["spec"]["resourceAttributes"];
    assert_eq!(everywhere["verb"], "list");
    assert!(everywhere.get("namespace").is_none() && everywhere.get("name").is_none());
}

#[tokio::test]
async fn a_token_that_the_api_server_does_not_take_for_us_is_nobodys() {
    let ours = token_for(&json!("vestibule.dev"));
    let user = json!({"username": "alice"});
    for (token, answer, known) in [
        ("opaque", json!({"authenticated": true, "user": user}), true),
        ("opaque", json!({"authenticated": false, "user": user}), false),
        ("opaque", json!({"authenticated": true}), false),
        ("opaque", json!({"authenticated": true, "user": {"username": ""}}), false),
        (&ours, json!({"authenticated": true, "user": user}), false),
        (&ours, json!({"authenticated": true, "user": user, "audiences": ["other"]}), false),
        (&ours, json!({"authenticated": true, "user": user, "audiences": ["vestibule.dev"]}), true),
    ] {
        let (reviews, asked) = api_server(HashMap::from([("TokenReview", (201, answer.clone()))]));
        let found = reviews.identify(token).await.unwrap();
        assert_eq!(found.is_some(), known, "{token} {answer}");
        let audiences = &asked.lock().unwrap()[0]["spec"]["audiences"];
        assert_eq!(audiences.is_array(), token == ours);
    }
}

#[tokio::test]
async fn an_api_server_that_fails_lets_nobody_in() {
    let status = |code: u16| {
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
               "reason": "x", "message": "because", "metadata": {}})
    };
    let alice = User { name: "alice".to_owned(), ..User::default() };
    for (code, not_allowed) in [(403, true), (401, true), (500, false), (429, false)] {
        let (reviews, _) = api_server(HashMap::from([
            ("TokenReview", (code, status(code))),
            ("SubjectAccessReview", (code, status(code))),
        ]));
        let errors = [
            reviews.identify("token").await.unwrap_err(),
            reviews.permits(&alice, Verb::List, None).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(matches!(error, ReviewError::NotAllowed(_)), not_allowed, "{error}");
        }
    }
    for answer in [json!({"allowed": false}), json!({"allowed": true, "denied": true})] {
        let (reviews, _) = api_server(HashMap::from([("SubjectAccessReview", (201, answer))]));
        assert!(!reviews.permits(&alice, Verb::List, None).await.unwrap());
    }
}
