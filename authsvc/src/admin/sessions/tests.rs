//! Listing and ending over the memory store: filters, pages, many policies, and what is never shown.

use std::collections::BTreeSet;

use axum::body::Body;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use tower::ServiceExt as _;

use super::*;
use crate::admin::access::tests::FakeCluster;
use crate::clock::ManualClock;
use crate::metrics::Metrics;
use crate::oidc::Providers;
use crate::policies::Lookup;
use crate::policies::tests::compiled;
use crate::policies::{Policies, PolicyEntry};
use crate::random::SystemRandom;
use crate::session::keyring::Keyring;
use crate::session::memory::MemoryStore;
use crate::session::service::Sessions;
use crate::session::{SecretId, Session};
use crate::token::Token;

const START: Timestamp = Timestamp(1_800_000_000);
const ISSUER: &str = "https://id.example.com";

/// The admin port of a service with policies `p0000`, `p0001`, ….
struct Port {
    app: Arc<App>,
    clock: Arc<ManualClock>,
    router: Router,
}

impl Port {
    fn new(policies: usize) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let random = Arc::new(SystemRandom);
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let live = Policies::new(Providers::new(clock.clone(), random.clone()));
        let app = Arc::new(App {
            policies: Arc::new(live),
            sessions: Sessions::new(store, clock.clone(), random.clone()),
            clock: clock.clone(),
            random,
            metrics: Metrics::new(),
            overload: crate::overload::Overload::default(),
        });
        let entries = (0..policies).map(|number| {
            let name = format!("p{number:04}");
            let policy = compiled(&name, &[&format!("https://{name}.example.com")]);
            PolicyEntry::accepted(Arc::new(policy))
        });
        let keyring = Arc::new(Keyring::ephemeral(&SystemRandom));
        assert!(app.policies.install(entries.collect(), &keyring).is_empty());
        let access = Access::cluster(Box::new(FakeCluster::default()));
        let router = router(Arc::clone(&app), access);
        Self { app, clock, router }
    }

    fn policy(&self, name: &str) -> Arc<LivePolicy> {
        match self.app.policies.find("default", name) {
            Lookup::Live(policy) => policy,
            Lookup::Refused | Lookup::Unknown => panic!("{name} is live"),
        }
    }

    async fn log_in(&self, policy: &str, user: &str) -> SecretId {
        self.log_in_at(policy, user, ISSUER).await
    }

    async fn log_in_at(&self, policy: &str, user: &str, issuer: &str) -> SecretId {
        let now = self.app.clock.now();
        let session = Session {
            subject: user.to_owned(),
            issuer: issuer.to_owned(),
            provider_session: None,
            id_token: Token::new("canary-id-token"),
            id_token_expires_at: now.plus(3600),
            access_token: Token::new("canary-access-token"),
            access_token_expires_at: None,
            refresh_token: Some(Token::new("canary-refresh-token")),
            tokens_issued_at: now,
            nonce: None,
            claims: json!({"sub": user, "email": "canary@example.com"})
                .as_object()
                .unwrap()
                .clone()
                .into(),
            acr: None,
            auth_time: now,
            created_at: now,
            touched_at: now,
            grant: None,
        };
        self.app.sessions.create(&self.policy(policy), &session).await.unwrap()
    }

    async fn is_there(&self, policy: &str, id: &SecretId) -> bool {
        self.app.sessions.load(&self.policy(policy), id).await.unwrap().is_some()
    }

    async fn send(&self, request: Request<Body>) -> (u16, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        let body = axum::body::to_bytes(response.into_body(), 10_000_000).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(!text.contains("canary"), "{text}");
        (status, serde_json::from_str(&text).unwrap())
    }

    async fn list_as(&self, user: &str, query: &str) -> (u16, Value) {
        let request = Request::get(format!("/sessions?{query}"))
            .header(AUTHORIZATION, format!("Bearer {user}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// The users of one listing, with all that follows.
    async fn users(&self, query: &str) -> (Vec<String>, usize) {
        let (mut users, mut after, mut requests) = (Vec::new(), String::new(), 0);
        loop {
            let (status, answer) = self.list_as("alice", &format!("{query}{after}")).await;
            assert_eq!(status, 200, "{answer}");
            requests += 1;
            let page = answer["sessions"].as_array().unwrap();
            users.extend(page.iter().map(|one| one["subject"].as_str().unwrap().to_owned()));
            assert_eq!(answer["more"], answer["next"].is_string());
            match answer["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return (users, requests),
            }
        }
    }

    async fn end_as(&self, user: &str, body: &Value) -> (u16, Value) {
        let request = Request::post("/sessions/end")
            .header(AUTHORIZATION, format!("Bearer {user}"))
            .header(CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Ends until nothing is left to do; how many, in how many requests.
    async fn end(&self, mut body: Value) -> (u64, usize) {
        let (mut ended, mut requests) = (0, 0);
        loop {
            let (status, answer) = self.end_as("alice", &body).await;
            assert_eq!(status, 200, "{answer}");
            ended += answer["ended"].as_u64().unwrap();
            requests += 1;
            match answer["next"].as_str() {
                Some(next) => body["after"] = json!(next),
                None => return (ended, requests),
            }
        }
    }
}

#[tokio::test]
async fn a_session_is_shown_with_its_times_and_nothing_secret() {
    let port = Port::new(1);
    port.log_in("p0000", "ada").await;
    port.clock.advance(60);
    let (status, answer) = port.list_as("alice", "").await;
    assert_eq!(status, 200);
    let mut session = answer["sessions"][0].clone();
    let name = session.as_object_mut().unwrap().remove("session").unwrap();
    assert_eq!(name.as_str().unwrap().len(), 43);
    let expected = json!({
        "policy": "default/p0000", "subject": "ada", "issuer": ISSUER,
        "createdAt": "2027-01-15T08:00:00Z", "lastUsedAt": "2027-01-15T08:00:00Z",
        "expiresAt": "2027-01-15T08:30:00Z",
    });
    assert_eq!(session, expected);
    // A listing is no use of a session.
    port.clock.advance(1740);
    assert_eq!(port.users("").await.0, Vec::<String>::new());
}

#[tokio::test]
async fn filters_narrow_and_all_must_fit() {
    let port = Port::new(2);
    let old = port.log_in("p0000", "ada").await;
    port.log_in_at("p0001", "ada", "https://old.example.com").await;
    port.clock.advance(100);
    port.log_in("p0001", "ada").await;
    port.log_in("p0001", "bob").await;
    let name = old.store_key(crate::session::Purpose::Session, "uid-of-p0000").name();
    for (query, expected) in [
        (String::new(), vec!["ada", "ada", "ada", "bob"]),
        ("policy=default/p0001".to_owned(), vec!["ada", "ada", "bob"]),
        ("user=ada".to_owned(), vec!["ada", "ada"]),
        (format!("provider={ISSUER}"), vec!["ada", "ada", "bob"]),
        ("provider=https://old.example.com&user=ada".to_owned(), vec!["ada"]),
        ("olderThan=100".to_owned(), vec!["ada", "ada"]),
        ("olderThan=101".to_owned(), vec![]),
        ("olderThan=100&policy=default/p0001".to_owned(), vec!["ada"]),
        (format!("session={name}"), vec!["ada"]),
        (format!("session={name}&user=bob"), vec![]),
        (format!("session={name}&policy=default/p0001"), vec![]),
        (format!("session={}", "A".repeat(43)), vec![]),
    ] {
        let mut users = port.users(&query).await.0;
        users.sort();
        assert_eq!(users, expected, "{query}");
    }
}

#[tokio::test]
async fn what_is_not_understood_is_refused_and_never_passed_over() {
    let port = Port::new(1);
    let id = port.log_in("p0000", "ada").await;
    for query in [
        "policies=default/p0000",
        "user=",
        "provider=",
        "policy=p0000",
        "policy=/p0000",
        "policy=default/gone",
        "olderThan=-1",
        "olderThan=2h",
        "session=short",
        "limit=0",
        "limit=501",
        "after=x",
        "after=default/p0000:x",
        "user=a&user=b",
    ] {
        let (status, answer) = port.list_as("alice", query).await;
        assert_eq!((status, &answer["status"]), (400, &json!(400)), "{query}: {answer}");
    }
    for body in [
        json!({}),
        json!({"usr": "ada"}),
        json!({"user": "ada", "limit": 1}),
        json!({"user": ["ada"]}),
        json!({"olderThan": "1"}),
        json!({"after": "default/p0000:0"}),
        json!([]),
        json!(null),
    ] {
        let (status, answer) = port.end_as("alice", &body).await;
        assert_eq!(status, 400, "{body}: {answer}");
    }
    assert!(port.is_there("p0000", &id).await);
}

#[tokio::test]
async fn who_may_not_is_refused_before_anything_is_looked_at() {
    let port = Port::new(1);
    let id = port.log_in("p0000", "ada").await;
    for (user, expected) in [("nobody", 403), ("shop-only", 403), ("stranger", 401)] {
        // Nor is it told which policies there are, or what is wrong with the rest.
        for query in ["", "policy=default/p0000", "policy=default/gone", "limit=0", "x=y"] {
            assert_eq!(port.list_as(user, query).await.0, expected, "{user} {query}");
        }
        let body = json!({"policy": "default/p0000"});
        assert_eq!(port.end_as(user, &body).await.0, expected, "{user}");
    }
    // One namespace's right is none to look beyond by a cursor.
    let (status, _) = port.list_as("shop-only", "policy=shop/web&after=default/p0000:0").await;
    assert_eq!(status, 400);
    assert!(port.is_there("p0000", &id).await);
}

#[tokio::test]
async fn pages_together_are_everything_once() {
    let port = Port::new(3);
    let mut expected = BTreeSet::new();
    for number in 0..250 {
        let user = format!("user-{number:03}");
        port.log_in(&format!("p000{}", number % 3), &user).await;
        expected.insert(user);
    }
    for limit in [1, 7, 100, 500] {
        let (users, requests) = port.users(&format!("limit={limit}")).await;
        assert_eq!(users.len(), 250);
        assert_eq!(BTreeSet::from_iter(users), expected, "{limit}");
        assert!(requests <= 250 / limit + 4, "{requests} requests of {limit}");
    }
}

#[tokio::test]
async fn r50_ended_sessions_are_those_that_were_meant_and_no_others() {
    let port = Port::new(2);
    let (mut adas, mut others) = (Vec::new(), Vec::new());
    for number in 0..300 {
        adas.push(port.log_in("p0000", "ada").await);
        others.push(port.log_in("p0000", &format!("user-{number}")).await);
    }
    let elsewhere = port.log_in("p0001", "ada").await;
    let (ended, _) = port.end(json!({"user": "ada", "policy": "default/p0000"})).await;
    assert_eq!(ended, 300);
    for id in &adas {
        assert!(!port.is_there("p0000", id).await);
    }
    for id in &others {
        assert!(port.is_there("p0000", id).await);
    }
    assert!(port.is_there("p0001", &elsewhere).await);
    assert_eq!(port.end(json!({"policy": "default/p0000"})).await.0, 300);
    assert_eq!(port.users("").await.0, ["ada"]);
    let name = elsewhere.store_key(crate::session::Purpose::Session, "uid-of-p0001").name();
    assert_eq!(port.end(json!({"session": name})).await, (1, 1));
    assert_eq!(port.end(json!({"session": name})).await, (0, 1));
    assert!(!port.is_there("p0001", &elsewhere).await);
}

#[tokio::test]
async fn of_ten_thousand_policies_one_request_looks_at_a_bounded_number() {
    let port = Port::new(10_000);
    for number in [0, 4_999, 9_999] {
        port.log_in(&format!("p{number:04}"), "ada").await;
    }
    let most = 10_000 / scan::MAX_READS;
    let (users, requests) = port.users("user=ada").await;
    assert_eq!(users.len(), 3);
    assert!((most..=most + 1).contains(&requests), "{requests}");
    let (ended, requests) = port.end(json!({"user": "ada"})).await;
    assert_eq!(ended, 3);
    assert!((most..=most + 2).contains(&requests), "{requests}");
    assert_eq!(port.users("policy=default/p4999").await, (vec![], 1));
}
