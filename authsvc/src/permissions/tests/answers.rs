//! What is sent, and what is no answer.

use http::header::AUTHORIZATION;
use wiremock::matchers::path;

use super::*;

#[tokio::test]
async fn openfga_is_asked_for_a_batch_by_store_model_and_consistency() {
    let fga = Fga::start().await;
    fga.write("user:auth0|abc", "viewer", "document:1");
    let points = fga.points(|config| config.consistency = Consistency::HigherConsistency);
    let checks = [viewer_of("1", None), viewer_of("2", None)];
    assert_eq!(ask(&points, &checks, "auth0|abc").await, Ok(vec![true, false]));

    let requests = fga.server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].url.path(), format!("/stores/{STORE}/batch-check"));
    assert_eq!(requests[0].headers[AUTHORIZATION], format!("Bearer {TOKEN}"));
    let key = |id: &str| json!({"user": "user:auth0|abc", "relation": "viewer", "object": format!("document:{id}")});
    let expected = json!({
        "authorization_model_id": MODEL,
        "consistency": "HIGHER_CONSISTENCY",
        "checks": [
            {"tuple_key": key("1"), "correlation_id": "0"},
            {"tuple_key": key("2"), "correlation_id": "1"},
        ],
    });
    assert_eq!(requests[0].body_json::<Value>().unwrap(), expected);
}

#[tokio::test]
async fn without_a_model_openfga_takes_the_latest() {
    let fga = Fga::start().await;
    let points = fga.points(|config| config.model_id = None);
    assert_eq!(ask(&points, &[viewer_of("1", None)], "alice").await, Ok(vec![false]));
    let requests = fga.server.received_requests().await.unwrap();
    let body: Value = requests[0].body_json().unwrap();
    assert_eq!(body.get("authorization_model_id"), None);
    assert_eq!(body["consistency"], "MINIMIZE_LATENCY");
}

#[tokio::test]
async fn one_question_is_an_evaluation_and_several_are_evaluations_in_their_order() {
    let server = MockServer::start().await;
    let single = ResponseTemplate::new(200).set_body_json(json!({"decision": true}));
    let on = |at: &str| Mock::given(path(at.to_owned()));
    on("/pdp/access/v1/evaluation").respond_with(single).mount(&server).await;
    let several = json!({"evaluations": [{"decision": false}, {"decision": true}]});
    let several = ResponseTemplate::new(200).set_body_json(several);
    on("/pdp/access/v1/evaluations").respond_with(several).mount(&server).await;
    let points = auth_zen(&format!("{}/pdp", server.uri()), |_| {});
    assert_eq!(ask(&points, &[reading("1")], "alice").await, Ok(vec![true]));
    let two = [reading("2"), reading("1")];
    assert_eq!(ask(&points, &two, "alice").await, Ok(vec![false, true]));

    let evaluation = |id: &str| {
        json!({
            "subject": {"type": "user", "id": "alice"},
            "action": {"name": "can_read"},
            "resource": {"type": "document", "id": id},
        })
    };
    let requests = server.received_requests().await.unwrap();
    let bodies: Vec<Value> = requests.iter().map(|one| one.body_json().unwrap()).collect();
    assert_eq!(bodies[0], evaluation("1"));
    let options = json!({"evaluations_semantic": "execute_all"});
    let evaluations = [evaluation("2"), evaluation("1")];
    assert_eq!(bodies[1], json!({"evaluations": evaluations, "options": options}));
    assert!(requests.iter().all(|one| one.headers[AUTHORIZATION] == format!("Bearer {TOKEN}")));
}

#[tokio::test]
async fn a_batch_is_bounded_and_so_is_all_that_is_asked_at_once() {
    let fga = Fga::start().await;
    for id in 0..120 {
        if id % 3 == 0 {
            fga.write("user:alice", "viewer", &format!("document:{id}"));
        }
    }
    let points = fga.points(|_| {});
    let checks = |count: usize| -> Vec<CompiledCheck> {
        (0..count).map(|id| viewer_of(&id.to_string(), None)).collect()
    };
    let expected: Vec<bool> = (0..120).map(|id| id % 3 == 0).collect();
    assert_eq!(ask(&points, &checks(120), "alice").await, Ok(expected));
    let sizes: Vec<usize> = fga.requests().await.iter().map(Vec::len).collect();
    assert_eq!(sizes, [50, 50, 20]);

    fga.server.reset().await;
    let refused = ask(&points, &checks(251), "alice").await;
    assert_eq!(refused, Err(DecisionError::TooMany(251)));
    assert!(fga.server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_same_question_is_asked_once_and_sources_may_be_mixed() {
    let fga = Fga::start().await;
    fga.write("user:alice", "viewer", "document:1");
    let points = fga.points(|_| {});
    let checks = [
        viewer_of("1", None),
        expression("1 == 1"),
        viewer_of("2", None),
        expression("claims.missing"),
        viewer_of("1", None),
    ];
    assert_eq!(ask(&points, &checks, "alice").await, Ok(vec![true, true, false, false, true]));
    let sizes: Vec<usize> = fga.requests().await.iter().map(Vec::len).collect();
    assert_eq!(sizes, [2]);
}

/// What a server may say instead of an answer to one question.
fn nonsense() -> Vec<(&'static str, ResponseTemplate)> {
    let ok = |body: &str| ResponseTemplate::new(200).set_body_raw(body, "application/json");
    let yes_of_fga = r#"{"result":{"0":{"allowed":true}}}"#;
    let yes_of_zen = r#"{"decision":true}"#;
    let large = |yes: &str| ok(&format!("{yes}{}", " ".repeat(1 << 20)));
    let status =
        |code: u16, body: &str| ResponseTemplate::new(code).set_body_raw(body, "application/json");
    vec![
        ("empty", ok("")),
        ("a page", ok("<html>true</html>")),
        ("partial", ok(r#"{"result":{"0":{"allowed":true"#)),
        ("nothing", ok("{}")),
        ("an extra answer", ok(r#"{"result":{"0":{"allowed":true},"1":{"allowed":true}}}"#)),
        ("another answer", ok(r#"{"result":{"7":{"allowed":true}}}"#)),
        ("a text", ok(r#"{"result":{"0":{"allowed":"true"}},"decision":"true"}"#)),
        ("an error", ok(r#"{"result":{"0":{"error":{"message":"m"}}},"error":"e"}"#)),
        ("too large", large(yes_of_fga)),
        ("too large", large(yes_of_zen)),
        ("created", status(201, yes_of_fga)),
        ("created", status(201, yes_of_zen)),
        ("no content", ResponseTemplate::new(204)),
        ("unauthorised", status(401, yes_of_fga)),
        ("a refusal", status(403, yes_of_zen)),
        ("not found", status(404, r#"{"code":"store_id_not_found","message":"canary"}"#)),
        ("too many requests", status(429, yes_of_fga)),
        ("an error of the server", status(500, yes_of_fga)),
        ("unavailable", status(503, yes_of_zen)),
        ("a redirect", status(307, "").insert_header("location", "/yes")),
        ("a redirect", status(302, "").insert_header("location", "/yes")),
        ("late", ok(yes_of_fga).set_delay(Duration::from_mins(1))),
        ("late", ok(yes_of_zen).set_delay(Duration::from_mins(1))),
    ]
}

#[tokio::test]
async fn what_is_no_answer_is_never_an_allowance() {
    for (what, response) in nonsense() {
        let server = MockServer::start().await;
        let yes = json!({"result": {"0": {"allowed": true}}, "decision": true});
        let yes = ResponseTemplate::new(200).set_body_json(yes);
        Mock::given(path("/yes")).respond_with(yes).mount(&server).await;
        Mock::given(any()).respond_with(response).mount(&server).await;
        let timeout = Duration::from_millis(500);
        let fga = open_fga(&server.uri(), |config| config.server.timeout = timeout);
        let zen = auth_zen(&server.uri(), |config| config.server.timeout = timeout);
        for (points, check) in [(fga, viewer_of("1", None)), (zen, reading("1"))] {
            let answer = ask(&points, &[check], "alice").await;
            let Err(DecisionError::Unavailable { reason, .. }) = &answer else {
                panic!("{what}: {answer:?}");
            };
            assert!(!reason.contains("canary"), "{what}: {reason}");
        }
        assert_eq!(server.received_requests().await.unwrap().len(), 2, "{what}: asked once each");
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_no_answer_and_one_that_is_back_is_asked_again() {
    let fga = Fga::start().await;
    fga.write("user:alice", "viewer", "document:1");
    let down = open_fga("http://127.0.0.1:1", |config| {
        config.server.cache_for = Duration::from_mins(1);
    });
    let answer = ask(&down, &[viewer_of("1", None)], "alice").await;
    assert!(matches!(answer, Err(DecisionError::Unavailable { .. })), "{answer:?}");

    // What failed is not remembered.
    let error = ResponseTemplate::new(503);
    let flaky = MockServer::start().await;
    Mock::given(any()).respond_with(error).up_to_n_times(1).mount(&flaky).await;
    let yes = json!({"result": {"0": {"allowed": true}}});
    let yes = ResponseTemplate::new(200).set_body_json(yes);
    Mock::given(any()).respond_with(yes).mount(&flaky).await;
    let points = open_fga(&flaky.uri(), |config| {
        config.server.cache_for = Duration::from_mins(1);
    });
    let first = ask(&points, &[viewer_of("1", None)], "alice").await;
    assert!(matches!(first, Err(DecisionError::Unavailable { .. })), "{first:?}");
    assert_eq!(ask(&points, &[viewer_of("1", None)], "alice").await, Ok(vec![true]));
}

#[tokio::test]
async fn one_failed_request_of_several_leaves_no_answer_at_all() {
    let server = MockServer::start().await;
    let all = |request: &Request| {
        let body: Value = request.body_json().unwrap();
        let count = body["checks"].as_array().unwrap().len();
        if count < 50 {
            return ResponseTemplate::new(500);
        }
        let result: serde_json::Map<String, Value> =
            (0..count).map(|id| (id.to_string(), json!({"allowed": true}))).collect();
        ResponseTemplate::new(200).set_body_json(json!({"result": result}))
    };
    Mock::given(any()).respond_with(all).mount(&server).await;
    let points = open_fga(&server.uri(), |_| {});
    let checks: Vec<CompiledCheck> = (0..60).map(|id| viewer_of(&id.to_string(), None)).collect();
    let answer = ask(&points, &checks, "alice").await;
    let expected = DecisionError::Unavailable { point: "openfga", reason: "status 500".to_owned() };
    assert_eq!(answer, Err(expected));
}

#[tokio::test]
async fn without_a_decision_point_only_expressions_are_answered() {
    let none = DecisionPoints::of(None, None, &Connections::default()).unwrap();
    assert_eq!(size_of_val(&none), size_of::<usize>());
    assert!(none.0.is_none());
    assert_eq!(ask(&none, &[expression("true")], "alice").await, Ok(vec![true]));
    for check in [viewer_of("1", None), reading("1")] {
        let answer = ask(&none, &[check], "alice").await;
        assert!(matches!(answer, Err(DecisionError::Unavailable { .. })), "{answer:?}");
    }
    assert_eq!(ask(&none, &[], "alice").await, Ok(Vec::new()));
}

#[test]
fn what_cannot_be_set_up_is_named_by_its_field() {
    let of = |change: &dyn Fn(&mut CompiledDecisionPoint)| {
        let mut server = server("https://fga.example.com");
        change(&mut server);
        let zen = CompiledAuthZen { server, subject_type: "user".to_owned() };
        DecisionPoints::of(None, Some(&zen), &Connections::default()).err()
    };
    assert_eq!(of(&|_| {}), None);
    let field = |error: Option<String>, field: &str| {
        let error = error.unwrap();
        assert!(error.starts_with(&format!("authZen.server: {field}: ")), "{error}");
        assert!(!error.contains("canary"), "{error}");
    };
    field(of(&|server| server.url = "http://fga.example.com".to_owned()), "url");
    field(of(&|server| server.url = "https://169.254.169.254".to_owned()), "url");
    field(of(&|server| server.ca_bundle = Some("canary".to_owned())), "caBundleRef");
    for token in ["", "canary\n", "canary canary", "canary\u{e9}"] {
        field(of(&|server| server.token = Some(SecretString::from(token))), "tokenRef");
    }
}

#[test]
fn those_who_are_set_up_alike_share_a_client_and_no_others_do() {
    let connections = Connections::default();
    let to = |change: &dyn Fn(&mut CompiledDecisionPoint)| {
        let mut server = server("https://fga.example.com");
        change(&mut server);
        connections.to(&server).unwrap()
    };
    let first = to(&|_| {});
    for alike in [
        to(&|server| server.url = "https://other.example.com/fga".to_owned()),
        to(&|server| server.token = None),
        to(&|server| server.cache_for = Duration::from_secs(9)),
    ] {
        assert!(Arc::ptr_eq(&first, &alike));
    }
    let authorities = include_str!("../../../tests/login/tls/ca.pem");
    for other in [
        to(&|server| server.url = "https://localhost".to_owned()),
        to(&|server| server.timeout = Duration::from_secs(9)),
        to(&|server| server.allow_insecure = true),
        to(&|server| server.ca_bundle = Some(authorities.to_owned())),
    ] {
        assert!(!Arc::ptr_eq(&first, &other));
    }
}
