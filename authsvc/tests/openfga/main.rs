//! Permissions asked of a real OpenFGA, by its own API and by AuthZEN, which it speaks as well. Needs the
//! program that `e2e/setup.sh` builds; without it the tests say so and pass, unless
//! `VESTIBULE_REQUIRE_REAL` is set.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod models;
mod server;

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use vestibule_authsvc::permissions::{Connections, DecisionError, DecisionPoints, Question};
use vestibule_authsvc::session::Claims;
use vestibule_policy::model::{
    CompiledAuthZen, CompiledCheck, CompiledDecisionPoint, CompiledOpenFga, Consistency,
};
use vestibule_policy::template::Template;

use models::{Asked, Case};
use server::{OpenFga, Tuple};

const CASES: usize = 1_000;

/// By OpenFGA's own API.
fn by_openfga(server: CompiledDecisionPoint, store: &str, model: Option<&str>) -> DecisionPoints {
    let config = CompiledOpenFga {
        server,
        store_id: store.to_owned(),
        model_id: model.map(str::to_owned),
        user_type: "user".to_owned(),
        consistency: Consistency::MinimizeLatency,
    };
    DecisionPoints::of(Some(&config), None, &Connections::default()).unwrap()
}

/// By AuthZEN: a store is a decision point of its own, that goes by its latest model.
fn by_authzen(server: CompiledDecisionPoint, store: &str) -> DecisionPoints {
    let url = format!("{}/stores/{store}", server.url);
    let server = CompiledDecisionPoint { url, ..server };
    let config = CompiledAuthZen { server, subject_type: "user".to_owned() };
    DecisionPoints::of(None, Some(&config), &Connections::default()).unwrap()
}

fn openfga_check(asked: &Asked) -> CompiledCheck {
    let object = Template::parse(asked.object_type, &asked.object_id, None).unwrap();
    CompiledCheck::OpenFga { relation: asked.relation.clone(), object }
}

fn authzen_check(asked: &Asked) -> CompiledCheck {
    let resource = Template::parse(asked.object_type, &asked.object_id, None).unwrap();
    CompiledCheck::AuthZen { action: asked.relation.clone(), resource }
}

async fn ask(
    points: &DecisionPoints,
    asked: &[Asked],
    check: fn(&Asked) -> CompiledCheck,
) -> Result<Vec<bool>, DecisionError> {
    let claims = Claims::new();
    let checks: Vec<CompiledCheck> = asked.iter().map(check).collect();
    let questions: Vec<Question<'_>> = asked
        .iter()
        .zip(&checks)
        .map(|(asked, check)| Question { check, subject: &asked.user, claims: &claims, path: None })
        .collect();
    points.ask(&questions).await
}

/// A store with a case's model and tuples; its id and the model's. `None`: OpenFGA does not want the model.
/// It takes a relation that is reached in two ways for a loop in some intersections and exclusions.
async fn store_of(fga: &OpenFga, case: &Case) -> Option<(String, String)> {
    let store = fga.create_store().await;
    let model = match fga.write_model(&store, &case.model()).await {
        Ok(model) => model,
        Err(reason) => {
            let known = ["potential loop", "no entrypoints defined"];
            assert!(known.iter().any(|one| reason.contains(one)), "{reason}\n{case:#?}");
            return None;
        }
    };
    fga.write(&store, &case.tuples()).await;
    Some((store, model))
}

/// A model in which a document has viewers.
fn viewers() -> Value {
    serde_json::json!({
        "schema_version": "1.1",
        "type_definitions": [
            {"type": "user"},
            {
                "type": "document",
                "relations": {"viewer": {"this": {}}},
                "metadata": {
                    "relations": {"viewer": {"directly_related_user_types": [{"type": "user"}]}},
                },
            },
        ],
    })
}

fn viewing(user: &str, id: &str) -> Asked {
    Asked {
        user: user.to_owned(),
        relation: "viewer".to_owned(),
        object_type: "document",
        object_id: id.to_owned(),
    }
}

fn tuple(user: &str, id: &str) -> Tuple {
    Tuple {
        user: format!("user:{user}"),
        relation: "viewer".to_owned(),
        object: format!("document:{id}"),
    }
}

#[tokio::test]
async fn a_thousand_random_models_are_answered_as_a_reference_evaluates_them() {
    let Some(fga) = OpenFga::start().await else { return };
    let (mut cases, mut allowed, mut all) = (0, 0, 0);
    for seed in 0..2 * CASES {
        if cases == CASES {
            break;
        }
        let case = Case::random(seed as u64);
        let Some((store, model)) = store_of(&fga, &case).await else { continue };
        cases += 1;
        let asked = case.questions(24);
        let expected: Vec<bool> = asked.iter().map(|asked| case.allows(asked)).collect();
        let points = by_openfga(fga.decision_point(), &store, Some(&model));
        let told = |by: &str| format!("seed {seed}, by {by}: {asked:#?}\n{case:#?}");
        let answers = ask(&points, &asked, openfga_check).await;
        assert_eq!(answers, Ok(expected.clone()), "{}", told("OpenFGA"));
        if cases % 10 == 0 {
            let points = by_authzen(fga.decision_point(), &store);
            let answers = ask(&points, &asked, authzen_check).await;
            assert_eq!(answers, Ok(expected.clone()), "{}", told("AuthZEN"));
            let one = ask(&points, &asked[..1], authzen_check).await;
            assert_eq!(one, Ok(expected[..1].to_vec()), "{}", told("AuthZEN, one"));
        }
        allowed += expected.iter().filter(|answer| **answer).count();
        all += expected.len();
    }
    assert_eq!(cases, CASES);
    // The reference says both, or the models would be about nothing.
    assert!(allowed * 10 > all && allowed * 10 < all * 9, "{allowed} of {all}");
}

#[tokio::test]
async fn more_questions_than_a_batch_has_are_answered_in_their_order() {
    let Some(fga) = OpenFga::start().await else { return };
    let store = fga.create_store().await;
    let model = fga.write_model(&store, &viewers()).await.unwrap();
    let is_viewer = |index: usize| index.is_multiple_of(3) || index > 110;
    let ids: Vec<usize> = (0..120).filter(|index| is_viewer(*index)).collect();
    let tuples: Vec<Tuple> = ids.iter().map(|id| tuple("alice", &id.to_string())).collect();
    fga.write(&store, &tuples).await;
    let asked: Vec<Asked> = (0..120).map(|id| viewing("alice", &id.to_string())).collect();
    let expected: Vec<bool> = (0..120).map(is_viewer).collect();
    let points = by_openfga(fga.decision_point(), &store, Some(&model));
    assert_eq!(ask(&points, &asked, openfga_check).await, Ok(expected.clone()));
    let points = by_authzen(fga.decision_point(), &store);
    assert_eq!(ask(&points, &asked, authzen_check).await, Ok(expected));
}

#[tokio::test]
async fn a_deleted_tuple_counts_no_longer_than_the_bound_of_the_memory() {
    let Some(fga) = OpenFga::start().await else { return };
    let store = fga.create_store().await;
    fga.write_model(&store, &viewers()).await.unwrap();
    let bound = Duration::from_secs(1);
    let server = CompiledDecisionPoint { cache_for: bound, ..fga.decision_point() };
    for (points, check) in [
        (by_openfga(server.clone(), &store, None), openfga_check as fn(&Asked) -> _),
        (by_authzen(server, &store), authzen_check),
    ] {
        let (asked, tuples) = ([viewing("alice", "1")], [tuple("alice", "1")]);
        fga.write(&store, &tuples).await;
        assert_eq!(ask(&points, &asked, check).await, Ok(vec![true]));
        fga.delete(&store, &tuples).await;
        let deleted = Instant::now();
        let mut from_memory = 0;
        loop {
            let begun = Instant::now();
            if ask(&points, &asked, check).await.unwrap() == [false] {
                break;
            }
            assert!(begun < deleted + bound, "{:?} after the deletion", begun - deleted);
            from_memory += 1;
            tokio::task::yield_now().await;
        }
        assert!(from_memory > 0, "there is a memory");
    }
}

#[tokio::test]
async fn what_the_server_does_not_know_or_refuses_is_no_answer() {
    let Some(fga) = OpenFga::start().await else { return };
    let store = fga.create_store().await;
    let model = fga.write_model(&store, &viewers()).await.unwrap();
    fga.write(&store, &[tuple("alice", "1")]).await;
    let asked = [viewing("alice", "1")];
    let reason = |answer: Result<Vec<bool>, DecisionError>| match answer {
        Err(DecisionError::Unavailable { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };

    let unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let points = by_openfga(fga.decision_point(), unknown, None);
    let answer = ask(&points, &asked, openfga_check).await;
    assert!(reason(answer).starts_with("status 4"));
    let points = by_openfga(fga.decision_point(), &store, Some(unknown));
    let answer = reason(ask(&points, &asked, openfga_check).await);
    assert_eq!(answer, "status 400, authorization_model_not_found");

    // Of two questions one is about a relation that the model does not have.
    let wrong = Asked { relation: "owner".to_owned(), ..viewing("alice", "1") };
    let points = by_openfga(fga.decision_point(), &store, Some(&model));
    let mixed = [viewing("alice", "1"), wrong];
    let answer = reason(ask(&points, &mixed, openfga_check).await);
    assert_eq!(answer, "an error instead of an answer: validation_error");
    let zen = by_authzen(fga.decision_point(), &store);
    let answer = reason(ask(&zen, &mixed, authzen_check).await);
    assert_eq!(answer, "an error instead of a decision");

    for token in [None, Some("wrong".into())] {
        let server = CompiledDecisionPoint { token, ..fga.decision_point() };
        let answer =
            reason(ask(&by_openfga(server.clone(), &store, None), &asked, openfga_check).await);
        assert!(answer.starts_with("status 401"), "{answer}");
        let answer = reason(ask(&by_authzen(server, &store), &asked, authzen_check).await);
        assert!(answer.starts_with("status 401"), "{answer}");
    }
    assert_eq!(ask(&points, &asked, openfga_check).await, Ok(vec![true]));
}

#[tokio::test]
async fn users_with_unusual_names_are_themselves() {
    let Some(fga) = OpenFga::start().await else { return };
    let store = fga.create_store().await;
    fga.write_model(&store, &viewers()).await.unwrap();
    let points = by_openfga(fga.decision_point(), &store, None);
    let long = "a".repeat(256);
    let names =
        ["auth0|65f1", "alice@example.com", "CgYxMjM=", "a\"b\\c", "a,b/c", "~a.b+c%2F", &long];
    for name in names {
        let asked = [viewing(name, "1")];
        assert_eq!(ask(&points, &asked, openfga_check).await, Ok(vec![false]), "{name}");
        fga.write(&store, &[tuple(name, "1")]).await;
        assert_eq!(ask(&points, &asked, openfga_check).await, Ok(vec![true]), "{name}");
    }
    // These would be others, or no users at all, and are refused before anyone is asked.
    fga.write(&store, &[tuple("alice", "1")]).await;
    for name in ["*", "user:alice", "alice#viewer", "alice ", "group:1#member", ""] {
        let asked = [viewing(name, "1")];
        assert_eq!(ask(&points, &asked, openfga_check).await, Ok(vec![false]), "{name}");
    }
}

#[tokio::test]
async fn a_server_that_stands_still_or_ended_is_no_answer() {
    let Some(mut fga) = OpenFga::start().await else { return };
    let store = fga.create_store().await;
    fga.write_model(&store, &viewers()).await.unwrap();
    fga.write(&store, &[tuple("alice", "1")]).await;
    let asked = [viewing("alice", "1")];
    let server = CompiledDecisionPoint { timeout: Duration::from_secs(1), ..fga.decision_point() };
    let points = by_openfga(server, &store, None);
    assert_eq!(ask(&points, &asked, openfga_check).await, Ok(vec![true]));
    fga.signal("STOP");
    let begun = Instant::now();
    let answer = ask(&points, &asked, openfga_check).await;
    assert!(matches!(answer, Err(DecisionError::Unavailable { .. })), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    fga.signal("CONT");
    assert_eq!(ask(&points, &asked, openfga_check).await, Ok(vec![true]));
    fga.stop();
    let answer = ask(&points, &asked, openfga_check).await;
    assert!(matches!(answer, Err(DecisionError::Unavailable { .. })), "{answer:?}");
}
