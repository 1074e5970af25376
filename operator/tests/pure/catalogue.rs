//! Rows of the security catalogue that concern deciding and building.

use std::collections::BTreeSet;
use std::path::Path;

use secrecy::SecretString;
use serde_json::json;
use vestibule_crds::conditions::{self as all, reasons};
use vestibule_crds::v1alpha1::{BffPolicy, TargetRef};
use vestibule_operator::reconcile::build::{build, build_tombstone, middleware_reference};
use vestibule_operator::reconcile::conditions::{
    ProviderState, Replica, ReplicaView, Running, conditions,
};
use vestibule_operator::reconcile::input::{Input, ProviderLookup, SecretProblem, TargetObject};
use vestibule_operator::reconcile::validate::{Verdict, unclaimed, validate};
use vestibule_policy::handoff::{self, State};
use vestibule_policy::model::PolicyId;

use crate::support::{World, from, noon};

const CANARY: &str = "a-secret-that-no-golden-shows";

fn world(case: &str) -> World {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/{case}.in.yaml"));
    World::parse(&std::fs::read_to_string(path).unwrap())
}

fn judged(world: &World, input: &Input) -> Verdict {
    validate(input, &world.installation(), &world.claims())
}

fn refused(world: &World, input: &Input) -> Verdict {
    let verdict = judged(world, input);
    assert!(matches!(verdict.handoff.state, State::Refused));
    assert!(verdict.conditions.is_refused());
    verdict
}

fn cases() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let names = std::fs::read_dir(folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".in.yaml").map(str::to_owned)).collect()
}

#[test]
fn t051_a_secret_that_goes_or_becomes_garbage_refuses_and_stays_wired() {
    let world = world("nginx");
    for problem in [SecretProblem::Missing("gone".into()), SecretProblem::Unusable("no".into())] {
        let mut input = world.input();
        for value in input.secrets.values_mut() {
            *value = Err(problem.clone());
        }
        let verdict = refused(&world, &input);
        let live = build(&judged(&world, &world.input()), &world.installation());
        let closed = build(&verdict, &world.installation());
        assert_eq!(closed.target_patches, live.target_patches, "the wiring is the same");
    }
}

#[test]
fn t051_each_secret_that_a_policy_names_is_told_by_its_field_when_it_is_not_there() {
    let world = world("authorities");
    let spec = world.policy().spec;
    let named = spec.secret_refs();
    assert_eq!(named.len(), 3);
    for (field, reference) in named {
        let mut input = world.input();
        let key = (reference.name.clone(), reference.key.clone());
        assert!(input.secrets.remove(&key).is_some(), "{field} is looked up");
        let told = refused(&world, &input).conditions.resolved_refs;
        assert_eq!(told.reason, reasons::SECRET_NOT_FOUND);
        assert!(told.message.starts_with(&format!("{field}: ")), "{}", told.message);
    }
}

#[test]
fn a_refused_policy_keeps_the_routes_of_its_authorities() {
    let world = world("authorities");
    let of = |input: &Input| {
        format!("{:?}", build(&judged(&world, input), &world.installation()).bff_routes)
    };
    let mut input = world.input();
    let live = of(&input);
    assert!(live.contains("/production/authorize"), "{live}");
    input.secrets.clear();
    input.previous = Some(judged(&world, &world.input()).handoff);
    assert_eq!(of(&input), live);
}

#[test]
fn t052_t106_a_reference_has_no_namespace_to_abuse() {
    let spec = world("nginx").policy().spec;
    let target = serde_json::to_value(&spec.target_refs[0]).unwrap();
    let secret = serde_json::to_value(spec.client.secret_ref.unwrap()).unwrap();
    let provider = serde_json::to_value(&spec.provider_ref).unwrap();
    for reference in [target, secret, provider] {
        assert!(reference.get("namespace").is_none(), "{reference}");
    }
    let smuggled = json!({"group": "g", "kind": "k", "name": "n", "namespace": "bank"});
    let read: TargetRef = from(smuggled);
    assert!(serde_json::to_value(read).unwrap().get("namespace").is_none());
}

#[test]
fn t052_t083_t109_a_secret_of_another_namespace_is_refused() {
    let world = world("refused-secret-of-another-namespace");
    let verdict = refused(&world, &world.input());
    assert_eq!(verdict.conditions.resolved_refs.reason, reasons::SECRET_NOT_FOUND);
}

#[test]
fn t053_ids_of_different_policies_differ() {
    let pairs = [("a", "b-c"), ("a-b", "c"), ("a", "b"), ("ab", "c"), ("a", "bc")];
    let ids: BTreeSet<String> =
        pairs.iter().map(|(namespace, name)| handoff::secret_name(namespace, name)).collect();
    assert_eq!(ids.len(), pairs.len());
}

#[test]
fn t053_a_host_is_never_shared_by_the_later_of_two() {
    let world = world("refused-host-of-another-namespace");
    let verdict = refused(&world, &world.input());
    assert_eq!(verdict.conditions.accepted.reason, reasons::CONFLICTED);
    assert!(verdict.handoff.origins.is_empty());
    assert!(!verdict.conditions.accepted.message.contains("its-secret-project"));
    assert!(!verdict.conditions.accepted.message.contains("bank"));
}

#[test]
fn an_edit_that_adds_anothers_host_is_refused_and_keeps_only_its_own() {
    let world = world("refused-edited-to-steal");
    let verdict = refused(&world, &world.input());
    let held: Vec<String> = verdict.handoff.origins.iter().map(ToString::to_string).collect();
    assert_eq!(held, ["https://shop.example.com"]);
}

#[test]
fn t058_t108_there_is_no_field_for_code_of_gateways_and_we_write_no_snippet() {
    for case in cases() {
        let world = world(&case);
        let resources = build(&judged(&world, &world.input()), &world.installation());
        for patch in resources.target_patches {
            assert!(!patch.body.to_string().contains("snippet"), "{case}: {}", patch.body);
        }
    }
    for kind in ["bffpolicies", "bffproviders", "clusterbffproviders", "bffhostgrants"] {
        let path = format!("{}/../crds/{kind}.yaml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let fields = text.lines().map(str::trim).filter_map(|line| line.strip_suffix(':'));
        // Scopes and permissions are described in words.
        let fields = fields.filter(|field| !field.contains(' ') && *field != "description");
        for field in fields.map(str::to_lowercase) {
            let code = ["snippet", "script", "template", "plugin", "lua", "wasm"];
            assert!(!code.iter().any(|word| field.contains(word)), "{kind}: {field}");
        }
    }
}

#[test]
fn t063_names_of_secrets_never_become_paths() {
    let world = world("nginx");
    let mut value = serde_json::to_value(world.policy()).unwrap();
    value["spec"]["client"]["secretRef"] = json!({"name": "../../etc", "key": "../passwd"});
    let policy: BffPolicy = from(value);
    let verdict = refused(&world, &Input { policy, ..world.input() });
    assert_eq!(verdict.conditions.resolved_refs.reason, reasons::SECRET_NOT_FOUND);
}

#[test]
fn t066_every_target_that_is_there_stays_wired_whatever_is_refused() {
    for case in cases() {
        let world = world(&case);
        let input = world.input();
        let verdict = judged(&world, &input);
        let resources = build(&verdict, &world.installation());
        let ingresses = input
            .targets
            .iter()
            .filter(|target| matches!(target.found, Some(TargetObject::Ingress { .. })))
            .count();
        // That one is wired by the policy that it names.
        let expected = if case == "refused-target-of-another-policy" { 0 } else { ingresses };
        assert_eq!(resources.target_patches.len(), expected, "{case}");
        let ours = middleware_reference(&world.id());
        for patch in &resources.target_patches {
            let annotations = &patch.body["metadata"]["annotations"];
            let asks_us = annotations["nginx.ingress.kubernetes.io/auth-url"]
                .as_str()
                .is_some_and(|url| url.starts_with("http://vestibule-check.vestibule.svc."))
                || annotations["traefik.ingress.kubernetes.io/router.middlewares"]
                    .as_str()
                    .is_some_and(|list| list.split(',').next() == Some(ours.as_str()));
            assert!(asks_us, "{case}: {annotations}");
        }
        assert_eq!(
            case.starts_with("refused-")
                || case == "ingressroute-hostile"
                || case == "traefik-insecure-middlewares"
                || case == "derived-origins-without-tls",
            matches!(verdict.handoff.state, State::Refused),
            "{case}: {:?}",
            verdict.conditions
        );
    }
}

#[test]
fn t066_an_ingress_that_names_a_policy_which_is_not_there_is_wired_to_its_refusal() {
    let world = world("nginx");
    let policy = PolicyId { namespace: "shop".to_owned(), name: "soon".to_owned() };
    let wiring = unclaimed(&policy, &world.input().targets, &world.installation());
    let patches =
        vestibule_operator::reconcile::build::target_patches(&wiring, &world.installation());
    assert!(patches[0].body.to_string().contains("/check/nginx/shop/soon"));
}

#[test]
fn t067_t113_what_does_not_fit_into_a_secret_is_refused() {
    let world = world("nginx");
    let mut input = world.input();
    let ProviderLookup::Found { spec, ca_bundle } = &mut input.provider else { panic!("found") };
    spec.ca_bundle_ref = world.policy().spec.client.secret_ref;
    let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    *ca_bundle = Some(Ok(SecretString::from(pem.repeat(20_000))));
    let verdict = refused(&world, &input);
    assert!(verdict.conditions.accepted.message.starts_with("spec: "));
    assert!(handoff::size(&verdict.handoff.encode()) < 10_000);
}

#[test]
fn t105_an_external_name_service_is_refused_and_named() {
    let world = world("refused-external-name");
    let verdict = refused(&world, &world.input());
    assert_eq!(verdict.conditions.accepted.reason, reasons::TARGET_REFUSED);
    assert!(verdict.conditions.accepted.message.starts_with("spec.targetRefs[0]: "));
}

#[test]
fn t107_t110_t112_a_secret_is_in_the_secret_and_nowhere_else() {
    for case in cases() {
        let world = world(&case);
        let mut input = world.input();
        // Garbage that the compiler complains about is not quoted either.
        for garbage in [false, true] {
            if garbage {
                let mut value = serde_json::to_value(&input.policy).unwrap();
                let reference = value["spec"]["client"]["secretRef"].take();
                value["spec"]["client"] =
                    json!({"id": "shop", "privateKeyJwt": {"keyRef": reference}});
                input.policy = from(value);
            }
            let verdict = judged(&world, &input);
            let resources = build(&verdict, &world.installation());
            let mut shown = resources.clone();
            let data = shown.compiled_secret.data.take().unwrap_or_default();
            let json = data.get("policy.json").map(|j| String::from_utf8(j.0.clone()).unwrap());
            let old = conditions(&verdict.conditions, &ReplicaView::default(), 1, &[], &noon());
            for text in [
                format!("{verdict:?}"),
                format!("{shown:?}"),
                format!("{input:?}"),
                serde_json::to_string(&old).unwrap(),
                json.unwrap_or_default(),
            ] {
                assert!(!text.contains(CANARY), "{case} shows a secret");
            }
        }
    }
}

#[test]
fn t111_the_operator_calls_nothing_a_tenant_names() {
    // The issuer goes into the hand-off for authsvc, which has no right in any tenant's namespace;
    // here nothing of it becomes an address of ours.
    let world = world("nginx");
    let resources = build(&judged(&world, &world.input()), &world.installation());
    for patch in &resources.target_patches {
        assert!(!patch.body.to_string().contains("id.example.com"));
    }
    let made = format!("{:?}{:?}", resources.bff_routes, resources.middleware);
    assert!(made.contains("vestibule-browser") && !made.contains("id.example.com"), "{made}");
}

#[test]
fn t114_a_grant_is_by_the_name_that_the_api_server_gives() {
    let world = world("refused-host-not-granted");
    let mut input = world.input();
    let label = "kubernetes.io/metadata.name".to_owned();
    input.namespace_labels.insert(label, "bank".to_owned());
    let verdict = refused(&world, &input);
    assert_eq!(verdict.conditions.accepted.reason, reasons::HOST_NOT_GRANTED);
}

#[test]
fn a_host_that_was_granted_to_others_is_let_go_and_one_without_a_grant_is_not() {
    let kept = |case: &str| {
        let world = world(case);
        refused(&world, &world.input()).handoff.origins.len()
    };
    assert_eq!(kept("refused-host-not-granted"), 1);
    assert_eq!(kept("refused-host-granted-to-others"), 0);
}

#[test]
fn a_tombstone_keeps_its_hosts_and_holds_no_secret() {
    let world = world("nginx");
    let verdict = judged(&world, &world.input());
    let secret = build_tombstone(&verdict.handoff, &world.installation());
    let data = secret.data.unwrap().into_iter().map(|(key, value)| (key, value.0)).collect();
    let handoff = handoff::Handoff::decode(&data).unwrap();
    assert!(matches!(handoff.state, State::Tombstone));
    assert_eq!(handoff.origins, verdict.handoff.origins);
    assert!(!data.contains_key("credential"));
}

#[test]
fn every_reason_that_is_written_is_documented() {
    for case in cases() {
        let world = world(&case);
        let verdict = judged(&world, &world.input());
        for condition in conditions(&verdict.conditions, &ReplicaView::default(), 1, &[], &noon()) {
            let type_ = all::ALL.iter().find(|t| t.name == condition.type_).unwrap();
            let known = type_
                .reasons
                .iter()
                .any(|reason| reason.name == condition.reason && reason.status == condition.status);
            assert!(known, "{case}: {} {} {}", condition.type_, condition.status, condition.reason);
        }
    }
}

fn replica(verdict: &Verdict, provider: ProviderState) -> Replica {
    let running = Running {
        uid: verdict.handoff.uid.clone(),
        generation: verdict.handoff.generation,
        hash: verdict.conditions.hash.clone(),
        problem: None,
        provider: Some(provider),
    };
    Replica { name: "a".to_owned(), running: Some(running) }
}

fn reason_of(verdict: &Verdict, view: &ReplicaView, type_: &str) -> String {
    let found = conditions(&verdict.conditions, view, 3, &[], &noon());
    found.into_iter().find(|condition| condition.type_ == type_).unwrap().reason
}

#[test]
fn programmed_is_true_only_when_every_replica_runs_what_was_handed_over() {
    let world = world("nginx");
    let verdict = judged(&world, &world.input());
    let good = replica(&verdict, ProviderState::Ready);
    let mut behind = good.clone();
    behind.running.as_mut().unwrap().hash = "older".to_owned();
    let mut stuck = good.clone();
    stuck.running.as_mut().unwrap().problem = Some("cannot be read".to_owned());
    let silent = Replica { name: "b".to_owned(), running: None };
    let of = |replicas: Vec<Replica>| {
        let view = ReplicaView { replicas, ..ReplicaView::default() };
        reason_of(&verdict, &view, all::PROGRAMMED)
    };
    assert_eq!(of(vec![good.clone(), good.clone()]), reasons::PROGRAMMED);
    for other in [behind, stuck, silent] {
        assert_eq!(of(vec![good.clone(), other]), reasons::RECONCILING);
    }
    assert_eq!(of(vec![]), reasons::RECONCILING);
}

#[test]
fn the_provider_is_ready_when_every_replica_says_so() {
    let world = world("nginx");
    let verdict = judged(&world, &world.input());
    let of = |states: Vec<ProviderState>| {
        let replicas = states.into_iter().map(|state| replica(&verdict, state)).collect();
        let view = ReplicaView { replicas, ..ReplicaView::default() };
        reason_of(&verdict, &view, all::PROVIDER_READY)
    };
    let failed = ProviderState::Failed("connection refused".to_owned());
    assert_eq!(of(vec![ProviderState::Ready, ProviderState::Ready]), reasons::READY);
    assert_eq!(of(vec![ProviderState::Ready, ProviderState::Pending]), reasons::PENDING);
    assert_eq!(of(vec![ProviderState::Ready, failed]), reasons::DISCOVERY_FAILED);
    assert_eq!(of(vec![]), reasons::PENDING);
}

#[test]
fn a_status_that_says_the_same_is_the_same() {
    let world = world("nginx");
    let verdict = judged(&world, &world.input());
    let at = |now: &str, old: &[_], view: &ReplicaView| {
        conditions(&verdict.conditions, view, 3, old, &from(json!(now)))
    };
    let nobody = ReplicaView::default();
    let first = at("2026-01-01T12:00:00Z", &[], &nobody);
    assert_eq!(at("2026-01-01T13:00:00Z", &first, &nobody), first);
    let replicas = vec![replica(&verdict, ProviderState::Ready)];
    let view = ReplicaView { replicas, ..nobody };
    let second = at("2026-01-01T14:00:00Z", &first, &view);
    for (before, after) in first.iter().zip(&second) {
        let moved = before.last_transition_time != after.last_transition_time;
        assert_eq!(moved, before.status != after.status, "{}", after.type_);
    }
}

#[test]
fn wiring_that_is_contested_or_not_written_is_said() {
    let world = world("nginx");
    let verdict = judged(&world, &world.input());
    let view = ReplicaView {
        replicas: vec![replica(&verdict, ProviderState::Ready)],
        contested: Some("Ingress shop".to_owned()),
        pending: None,
    };
    assert_eq!(reason_of(&verdict, &view, all::PROGRAMMED), reasons::WIRING_CONTESTED);
    let view = ReplicaView { contested: None, pending: Some("Ingress shop".to_owned()), ..view };
    assert_eq!(reason_of(&verdict, &view, all::PROGRAMMED), reasons::RECONCILING);
}
