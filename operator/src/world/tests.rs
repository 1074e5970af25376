//! Which policies an event wakes. No cluster: objects are made here.

use serde_json::json;
use tokio::time::{Duration, timeout};

use super::*;
use kube::runtime::watcher::Event;

fn world() -> World {
    World::new("vestibule", Arc::new(Queue::new(|| 0.5)))
}

async fn woken(world: &World) -> Vec<String> {
    let mut names = Vec::new();
    while let Ok((id, _)) = timeout(Duration::from_millis(1), world.queue.next()).await {
        world.queue.finish(&id, Work::Full, crate::queue::Outcome::Done);
        names.push(id.to_string());
    }
    names.sort();
    names
}

fn id(namespace: &str, name: &str) -> PolicyId {
    PolicyId { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn ingress(version: &str, name: &str, host: &str, annotations: &serde_json::Value) -> Ingress {
    serde_json::from_value(json!({
        "metadata": {
            "name": name, "namespace": "shop", "resourceVersion": version,
            "annotations": annotations
        },
        "spec": {"rules": [{"host": host}]}
    }))
    .unwrap()
}

fn seen(world: &World, event: Event<Ingress>) {
    let mut part = cache::Part::new(Arc::clone(&world.caches.ingresses), None);
    for change in part.apply(event) {
        world.route_changed(Kind::Ingress, &change, routes::of_ingress);
    }
}

#[tokio::test(start_paused = true)]
async fn an_ingress_wakes_the_policy_it_names_and_the_one_it_named_before() {
    let world = world();
    let named = |name: &str| json!({"vestibule.dev/policy": name});
    seen(&world, Event::Apply(ingress("1", "web", "a.example", &named("one"))));
    assert_eq!(woken(&world).await, ["shop/one"]);
    seen(&world, Event::Apply(ingress("2", "web", "a.example", &named("two"))));
    assert_eq!(woken(&world).await, ["shop/one", "shop/two"]);
    seen(&world, Event::Delete(ingress("3", "web", "a.example", &named("two"))));
    assert_eq!(woken(&world).await, ["shop/two"]);
}

#[tokio::test(start_paused = true)]
async fn a_route_of_another_namespace_wakes_the_policy_whose_host_it_takes() {
    let world = world();
    world.depends(&id("bank", "app"), &HashSet::from([Dependency::Host("a.example".to_owned())]));
    seen(&world, Event::Apply(ingress("1", "web", "b.example", &json!({}))));
    assert!(woken(&world).await.is_empty());
    seen(&world, Event::Apply(ingress("2", "web", "A.example", &json!({}))));
    assert_eq!(woken(&world).await, ["bank/app"]);
    assert_eq!(world.routes_of_host("a.example").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn our_own_write_wakes_nobody_and_a_hand_edit_after_it_does() {
    let world = world();
    let named = json!({"vestibule.dev/policy": "one"});
    world.wrote("Ingress", "shop", "web", Some("5".to_owned()));
    seen(&world, Event::Apply(ingress("5", "web", "a.example", &named)));
    assert!(woken(&world).await.is_empty());
    seen(&world, Event::Apply(ingress("6", "web", "a.example", &named)));
    assert_eq!(woken(&world).await, ["shop/one"]);
}

#[tokio::test(start_paused = true)]
async fn a_status_wakes_nobody_and_a_new_generation_or_release_does() {
    let world = world();
    let policy = |version: &str, generation: i64, annotations: serde_json::Value| {
        let text = json!({
            "metadata": {
                "name": "app", "namespace": "shop", "uid": "u", "resourceVersion": version,
                "generation": generation, "annotations": annotations
            },
            "spec": "not readable"
        });
        serde_json::from_value::<Guarded<BffPolicy>>(text).unwrap()
    };
    let mut part = cache::Part::new(Arc::clone(&world.caches.policies), None);
    let mut apply = |event| {
        for change in part.apply(event) {
            world.policy_changed(&change);
        }
    };
    apply(Event::Apply(policy("1", 1, json!({}))));
    assert_eq!(woken(&world).await, ["shop/app"], "an object that cannot be read is worked on too");
    apply(Event::Apply(policy("2", 1, json!({}))));
    assert!(woken(&world).await.is_empty());
    apply(Event::Apply(policy("3", 2, json!({}))));
    assert_eq!(woken(&world).await, ["shop/app"]);
    apply(Event::Apply(policy("4", 2, json!({"vestibule.dev/release": "true"}))));
    assert_eq!(woken(&world).await, ["shop/app"]);
    apply(Event::Delete(policy("5", 2, json!({}))));
    assert_eq!(woken(&world).await, ["shop/app"]);
}

#[tokio::test(start_paused = true)]
async fn a_secret_wakes_who_names_it_and_its_loss_is_noticed_in_a_new_listing() {
    let world = world();
    let secret = |version: &str| Secret {
        metadata: serde_json::from_value(json!({
            "name": "oidc", "namespace": "shop", "resourceVersion": version
        }))
        .unwrap(),
        ..Secret::default()
    };
    let key = Dependency::Secret("shop".to_owned(), "oidc".to_owned());
    world.depends(&id("shop", "app"), &HashSet::from([key]));
    world.noted(&secret("1"));
    let mut part = cache::Part::new(Arc::clone(&world.caches.secrets), None);
    part.apply(Event::Init);
    for change in part.apply(Event::InitDone) {
        world.secret_changed(&change);
    }
    assert_eq!(woken(&world).await, ["shop/app"]);
}

#[test]
fn an_objects_owner_is_believed_only_where_label_and_annotations_agree() {
    let object_of = |namespace: &str, label: &str| Secret {
        metadata: serde_json::from_value(json!({
            "name": "x",
            "namespace": namespace,
            "labels": {"vestibule.dev/policy-id": label},
            "annotations": {
                "vestibule.dev/policy-namespace": "shop", "vestibule.dev/policy-name": "app"
            }
        }))
        .unwrap(),
        ..Secret::default()
    };
    let label = handoff::policy_id_label("shop", "app");
    let world = world();
    assert_eq!(world.owner(&object_of("vestibule", &label)), Some(id("shop", "app")));
    assert_eq!(world.owner(&object_of("vestibule", "other")), None);
    assert_eq!(world.owner(&object_of("evil", &label)), None, "anybody can write that");
}

/// A route of `/bff` as the operator makes it.
fn made(name: &str, label: &str, spec: &serde_json::Value) -> serde_json::Value {
    json!({
        "metadata": {
            "name": name, "namespace": "vestibule", "resourceVersion": "1",
            "labels": {"vestibule.dev/policy-id": label},
            "annotations": {
                "vestibule.dev/policy-namespace": "shop", "vestibule.dev/policy-name": "app"
            }
        },
        "spec": spec
    })
}

#[test]
fn what_a_policy_held_is_known_by_its_routes_where_its_secret_cannot_be_read() {
    let world = world();
    let label = handoff::policy_id_label("shop", "app");
    let rules = |host: &str| json!({"rules": [{"host": host}]});
    for (name, label, host) in [("one", label.as_str(), "a.example"), ("forged", "x", "b.example")]
    {
        let object = serde_json::from_value(made(name, label, &rules(host))).unwrap();
        seen(&world, Event::Apply(object));
    }
    let rule = json!({"routes": [{"match": "Host(`c.example`) && (Path(`/bff`))"}]});
    let route: DynamicObject = serde_json::from_value(made("two", &label, &rule)).unwrap();
    let mut part = cache::Part::new(Arc::clone(&world.caches.ingress_routes), None);
    for change in part.apply(Event::Apply(route)) {
        world.route_changed(Kind::IngressRoute, &change, routes::of_ingress_route);
    }
    // What is the app's own is not ours.
    let named = json!({"vestibule.dev/policy": "app"});
    seen(&world, Event::Apply(ingress("2", "web", "d.example", &named)));
    assert_eq!(
        world.hosts_made_for(&id("shop", "app")).into_iter().collect::<Vec<_>>(),
        ["a.example", "c.example"]
    );
    let held = crate::reconcile::lost::lost(&world, &id("shop", "app"));
    assert_eq!(held.state, handoff::State::Refused);
    let hosts: Vec<&str> =
        held.origins.iter().map(vestibule_policy::origin::Origin::host).collect();
    assert_eq!(hosts, ["a.example", "c.example"]);
    assert!(!held.released);
    assert!(crate::reconcile::lost::lost(&world, &id("shop", "other")).origins.is_empty());
}
