//! The pure half over `testdata/*.in.yaml`; each result stands beside it as `*.out.yaml`.
//! Drift fails; with `UPDATE=1` it is written.

use std::path::Path;

use serde_json::{Value, json};
use vestibule_operator::reconcile::build::{
    self, BffRoute, Resources, TargetPatch, build, release_patch,
};
use vestibule_operator::reconcile::conditions::{
    ProviderState, Replica, ReplicaView, Running, conditions,
};
use vestibule_operator::reconcile::input::TargetObject;
use vestibule_operator::reconcile::validate::{Verdict, validate};
use vestibule_policy::handoff::Handoff;

use crate::support::{World, noon};

const CANARY: &str = "a-secret-that-no-golden-shows";

fn handoff(handoff: &Handoff) -> Value {
    json!({
        "state": handoff.state.name(),
        "origins": handoff.origins,
        "released": handoff.released,
        "generation": handoff.generation,
    })
}

/// The Secret, readable: its JSON as JSON, its credential not at all.
fn secret(secret: &k8s_openapi::api::core::v1::Secret) -> Value {
    let mut value = serde_json::to_value(secret).unwrap();
    let data = secret.data.clone().unwrap_or_default();
    value["data"] = data
        .into_iter()
        .map(|(key, bytes)| {
            let shown = if key == "policy.json" {
                serde_json::from_slice(&bytes.0).unwrap()
            } else {
                Value::from("(redacted)")
            };
            (key, shown)
        })
        .collect();
    value
}

fn patch(patch: &TargetPatch) -> Value {
    json!({
        "target": format!("{}/{}", patch.namespace, patch.name),
        "form": format!("{:?}", patch.form),
        "body": patch.body,
    })
}

fn resources(resources: &Resources) -> Value {
    let routes = resources.bff_routes.iter().map(|route| match route {
        BffRoute::Ingress(ingress) => serde_json::to_value(ingress).unwrap(),
        BffRoute::IngressRoute(route) => serde_json::to_value(route).unwrap(),
    });
    json!({
        "secret": secret(&resources.compiled_secret),
        "bffRoutes": routes.collect::<Vec<_>>(),
        "middleware": resources.middleware,
        "targetPatches": resources.target_patches.iter().map(patch).collect::<Vec<_>>(),
    })
}

/// One replica that runs what was handed over, as the usual end of a reconcile.
fn view(verdict: &Verdict) -> ReplicaView {
    let running = Running {
        uid: verdict.handoff.uid.clone(),
        generation: verdict.handoff.generation,
        hash: verdict.conditions.hash.clone(),
        problem: None,
        provider: Some(ProviderState::Ready),
    };
    let replica = Replica { name: "vestibule-authsvc-0".to_owned(), running: Some(running) };
    ReplicaView { replicas: vec![replica], ..ReplicaView::default() }
}

fn outcome(yaml: &str) -> Value {
    let world = World::parse(yaml);
    let installation = world.installation();
    let input = world.input();
    if world.of_kind("Release").next().is_some() {
        let patches = input.targets.iter().filter_map(|target| match &target.found {
            Some(TargetObject::Ingress { object, .. }) => release_patch(&world.id(), object),
            _ => None,
        });
        let released = build::released(&world.id());
        return json!({
            "patches": patches.map(|p| patch(&p)).collect::<Vec<_>>(),
            "deletes": format!("{released:?}"),
        });
    }
    let verdict = validate(&input, &installation, &world.claims());
    if world.of_kind("Tombstone").next().is_some() {
        return json!({
            "handoff": handoff(&build::tombstone(&verdict.handoff)),
            "secret": secret(&build::build_tombstone(&verdict.handoff, &installation)),
        });
    }
    let mut result = resources(&build(&verdict, &installation));
    result["handoff"] = handoff(&verdict.handoff);
    let found =
        conditions(&verdict.conditions, &view(&verdict), verdict.handoff.generation, &[], &noon());
    result["conditions"] = serde_json::to_value(found).unwrap();
    result["statusOrigins"] = json!(verdict.conditions.origins);
    result
}

#[test]
fn every_golden_input_gives_its_golden_output() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let update = std::env::var_os("UPDATE").is_some();
    let mut drifted = Vec::new();
    let mut cases: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().path().to_str().unwrap().strip_suffix(".in.yaml").map(str::to_owned)
        })
        .collect();
    cases.sort_unstable();
    for case in &cases {
        let yaml = std::fs::read_to_string(format!("{case}.in.yaml")).unwrap();
        let actual = serde_saphyr::to_string(&outcome(&yaml)).unwrap();
        assert!(!actual.contains(CANARY), "t110: {case} shows a secret");
        let golden = format!("{case}.out.yaml");
        if std::fs::read_to_string(&golden).ok().as_deref() != Some(actual.as_str()) {
            if update {
                std::fs::write(&golden, &actual).unwrap();
            }
            drifted.push(golden);
        }
    }
    assert!(cases.len() >= 20, "the goldens are there");
    assert!(update || drifted.is_empty(), "UPDATE=1 writes these, then look: {drifted:?}");
}
