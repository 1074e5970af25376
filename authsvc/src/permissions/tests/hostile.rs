//! Users and requests that try to be about something else than they are.

use proptest::prelude::*;

use super::*;

/// What the server is asked about one user at one path; empty: it is not asked.
async fn seen(
    fga: &Fga,
    (id, template): (&str, Option<&str>),
    subject: &str,
    claims: Value,
    path: &str,
) -> Vec<Value> {
    let before = fga.requests().await.len();
    let points = fga.points(|_| {});
    let check = viewer_of(id, template);
    let claims = claims.as_object().unwrap().clone().into();
    let question = Question { check: &check, subject, claims: &claims, path: Some(path) };
    assert_eq!(points.ask(&[question]).await, Ok(vec![false]));
    fga.requests().await[before..].concat()
}

#[tokio::test]
async fn a_capture_never_makes_another_object_of_the_one_asked_about() {
    let fga = Fga::start().await;
    let template = ("d-{id}|{page}", Some("/documents/{id}/pages/{page}"));
    let of = async |path: &str| seen(&fga, template, "alice", json!({}), path).await;
    for path in ["/documents/7/pages/2", "/documents/7/pages/2/", "/documents/7/pages/2/x/y"] {
        let checks = of(path).await;
        assert_eq!(checks.len(), 1, "{path}");
        assert_eq!(checks[0]["tuple_key"]["object"], "document:d-7|2", "{path}");
    }
    for path in [
        "/documents/7",
        "/documents/7/pages",
        "/documents/7/pages/",
        "/documents//pages/2",
        "/Documents/7/pages/2",
        "/x/documents/7/pages/2",
        "/documents/7:8/pages/2",
        "/documents/group:1#member/pages/2",
        "/documents/*/pages/2",
        "/documents/7%3A8/pages/2",
        "/documents/7%2F8/pages/2",
        "/documents/../pages/2",
        "/documents/./pages/2",
        "/documents/7 8/pages/2",
        "/documents/7\"8/pages/2",
        "/documents/7\\8/pages/2",
        "/documents/7\u{0}/pages/2",
        "/documents/\u{ff17}/pages/2",
        &format!("/documents/{}/pages/2", "7".repeat(129)),
        "",
        "documents/7/pages/2",
    ] {
        assert_eq!(of(path).await, Vec::<Value>::new(), "{path}");
    }
}

#[tokio::test]
async fn a_claim_is_a_value_or_nothing() {
    let fga = Fga::start().await;
    let template = ("t-{claims.tenant}", None);
    let of =
        async |claim: Value| seen(&fga, template, "alice", json!({"tenant": claim}), "/").await;
    for (claim, object) in [(json!("acme"), "document:t-acme"), (json!(7), "document:t-7")] {
        assert_eq!(of(claim).await[0]["tuple_key"]["object"], object);
    }
    for claim in [
        json!("acme:1"),
        json!("acme#member"),
        json!("*"),
        json!(""),
        json!("a b"),
        json!(null),
        json!(true),
        json!(["acme"]),
        json!({"id": "acme"}),
        json!("a".repeat(129)),
    ] {
        assert_eq!(of(claim.clone()).await, Vec::<Value>::new(), "{claim}");
    }
}

#[tokio::test]
async fn a_subject_that_could_be_several_users_is_refused_unasked() {
    let fga = Fga::start().await;
    let of = async |subject: &str| seen(&fga, ("1", None), subject, json!({}), "/").await;
    for subject in ["*", "user:*", "group:1#member", "bob user:alice", "", &"a".repeat(257)] {
        assert_eq!(of(subject).await, Vec::<Value>::new(), "{subject}");
    }
    let checks = of("auth0|a\"b\\c/d,e").await;
    assert_eq!(checks[0]["tuple_key"]["user"], "user:auth0|a\"b\\c/d,e");
}

#[tokio::test]
async fn an_object_longer_than_any_is_refused_unasked() {
    let fga = Fga::start().await;
    let template = ("{a}|{b}", Some("/{a}/{b}"));
    let path = format!("/{}/{}", "a".repeat(128), "b".repeat(128));
    let checks = seen(&fga, template, "alice", json!({}), &path).await;
    assert_eq!(checks, Vec::<Value>::new());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_captured_the_object_is_of_the_rules_form_or_there_is_none(
        capture in "\\PC{0,12}|[a-z:#*@|/.% ]{0,12}",
        subject in "\\PC{0,12}|[a-z:#*@|/.% ]{0,12}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let path = format!("/documents/{capture}");
        let template = ("d-{id}", Some("/documents/{id}"));
        let checks = runtime.block_on(async {
            let fga = Fga::start().await;
            seen(&fga, template, &subject, json!({}), &path).await
        });
        prop_assert!(checks.len() <= 1);
        for check in checks {
            let key = |name: &str| check["tuple_key"][name].as_str().unwrap().to_owned();
            let first = capture.split('/').next().unwrap();
            prop_assert_eq!(key("object"), format!("document:d-{first}"));
            prop_assert_eq!(key("object").matches([':', '#', '*', ' ']).count(), 1);
            prop_assert_eq!(key("user"), format!("user:{subject}"));
            prop_assert_eq!(key("user").matches([':', '#', '*', ' ']).count(), 1);
            prop_assert_eq!(key("relation"), "viewer");
        }
    }
}
