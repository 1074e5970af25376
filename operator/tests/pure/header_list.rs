//! What a check's address says of the list of headers that stands beside it.

use std::path::Path;

use serde_json::Value;
use vestibule_operator::reconcile::build::build;
use vestibule_operator::reconcile::validate::validate;
use vestibule_policy::handoff::State;
use vestibule_policy::header_list;

use crate::support::World;

const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// Address and list of everything that has either.
fn listed(patches: &[Value], middleware: Option<&Value>) -> Vec<(String, Vec<String>)> {
    let words = |text: &str| text.split(',').map(str::to_owned).collect();
    let on_targets = patches.iter().filter_map(|patch| {
        let annotations = &patch["metadata"]["annotations"];
        let address = annotations[format!("{PREFIX}auth-url")].as_str()?;
        let list = annotations[format!("{PREFIX}auth-response-headers")].as_str();
        Some((address.to_owned(), list.map(words).unwrap_or_default()))
    });
    let in_middleware = middleware.map(|middleware| {
        let auth = &middleware["spec"]["forwardAuth"];
        let list = auth["authResponseHeaders"].as_array().unwrap().iter();
        let list = list.map(|name| name.as_str().unwrap().to_owned()).collect();
        (auth["address"].as_str().unwrap().to_owned(), list)
    });
    on_targets.chain(in_middleware).collect()
}

#[test]
fn t030_every_address_says_which_headers_are_listed_beside_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let (mut live, mut plain) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_str().unwrap().ends_with(".in.yaml") {
            continue;
        }
        let case = path.display();
        let world = World::parse(&std::fs::read_to_string(&path).unwrap());
        let verdict = validate(&world.input(), &world.installation(), &world.claims());
        let resources = build(&verdict, &world.installation());
        let patches: Vec<Value> =
            resources.target_patches.iter().map(|patch| patch.body.clone()).collect();
        let middleware = resources.middleware.map(|m| serde_json::to_value(m).unwrap());
        for (address, list) in listed(&patches, middleware.as_ref()) {
            let Some((_, query)) = address.split_once('?') else {
                assert!(list.is_empty(), "{case}: a list without its name: {list:?}");
                plain += 1;
                continue;
            };
            assert_eq!(list[..2], ["Authorization", "Cookie"], "{case}");
            assert_eq!(query, header_list::query(&list[2..]), "{case}");
            // What authsvc compares it with.
            if let State::Live(policy) = &verdict.handoff.state {
                assert_eq!(query, header_list::query(&policy.upstream_headers), "{case}");
                live += 1;
            }
        }
    }
    assert!(live >= 10, "only {live} of live policies");
    assert!(plain >= 1, "a class that nobody serves has no list");
}
