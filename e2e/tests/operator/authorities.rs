//! What a policy's authorities and decision points name is read, watched and told by its field; and
//! their endpoints get routes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vestibule_e2e::process::eventually;

use crate::bench::{Bench, LIMIT, condition, envelope, is_live, is_of, policy_of, policy_path};

const APP: &str = "authorities";
const BASES: [&str; 2] = ["/production", "/api/v1.2"];

fn secret(name: &str, text: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": APP},
        "data": {"value": STANDARD.encode(text)},
    })
}

fn policy() -> Value {
    let reference = |name: &str| json!({"name": name, "key": "value"});
    let mut policy = policy_of(APP);
    policy["spec"]["authorities"] = json!([
        {
            "base": BASES[0], "scopes": [{"name": "production:read"}],
            "client": {"id": "production", "secretRef": reference("production")},
        },
        {"base": BASES[1], "scopes": [{"name": "api"}], "storage": "Cookie"},
    ]);
    policy["spec"]["openFga"] = json!({
        "server": {"url": "https://fga.example.com", "tokenRef": reference("fga")},
        "storeId": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    });
    policy
}

/// Waits until the condition says this, and returns its message.
fn told(bench: &Bench, [kind, status, reason]: [&str; 3], fields: &[&str]) -> String {
    let found = eventually(LIMIT, || {
        let said = condition(bench, APP, kind);
        let message = said["message"].as_str()?.to_owned();
        let met = said["status"] == status && said["reason"] == reason;
        (met && fields.iter().all(|field| message.contains(field))).then_some(message)
    });
    found.unwrap_or_else(|| panic!("{}\n{}", condition(bench, APP, kind), bench.tail()))
}

fn hash(bench: &Bench) -> String {
    let compiled = bench.compiled(APP).unwrap();
    assert!(is_live(&compiled), "{}\n{}", condition(bench, APP, "Accepted"), bench.tail());
    compiled["metadata"]["annotations"]["vestibule.dev/hash"].as_str().unwrap().to_owned()
}

/// Every path that leads to the browser port, with its type, class by class.
fn paths(bench: &Bench) -> Vec<(String, String, String)> {
    let all = bench.api.object("/apis/networking.k8s.io/v1/namespaces/vestibule/ingresses");
    let routes = all["items"].as_array().unwrap().iter().filter(|route| is_of(route, APP));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for route in routes {
        let class = text(&route["spec"]["ingressClassName"]);
        for path in route["spec"]["rules"][0]["http"]["paths"].as_array().unwrap() {
            assert_eq!(path["backend"]["service"]["port"]["name"], "browser", "{path}");
            found.push((class.clone(), text(&path["path"]), text(&path["pathType"])));
        }
    }
    found.sort();
    found
}

fn endpoints(bench: &Bench, class: &str) -> Vec<String> {
    let all = paths(bench);
    let of_class = all.iter().filter(|(its, path, _)| its == class && !path.starts_with("/bff"));
    of_class.map(|(_, path, _)| path.clone()).collect()
}

#[test]
fn t051_secrets_of_authorities_are_told_by_their_field_and_watched() {
    let bench = Bench::start();
    bench.app(APP);
    bench.api.apply(&policy());
    let missing = ["ResolvedRefs", "False", "SecretNotFound"];
    let (client, token) =
        ("spec.authorities[0].client.secretRef: ", "spec.openFga.server.tokenRef: ");
    told(&bench, missing, &[client, token]);
    assert!(!is_live(&bench.compiled(APP).unwrap()));

    bench.api.apply(&secret("production", "canary-of-production"));
    let one = eventually(LIMIT, || {
        let message = told(&bench, missing, &[token]);
        (!message.contains(client)).then_some(())
    });
    assert!(one.is_some(), "{}", bench.tail());
    bench.api.apply(&secret("fga", "canary-of-fga"));
    told(&bench, ["ResolvedRefs", "True", "ResolvedRefs"], &[]);
    bench.settle(APP);
    let first = hash(&bench);

    // Each of them is watched.
    for name in ["production", "fga"] {
        let before = hash(&bench);
        bench.api.apply(&secret(name, "rotated"));
        let changed = eventually(LIMIT, || (hash(&bench) != before).then_some(()));
        assert!(changed.is_some(), "{name}: {}", bench.tail());
    }
    assert_ne!(hash(&bench), first);
    let compiled = bench.compiled(APP).unwrap();
    assert!(!envelope(&compiled).to_string().contains("rotated"), "only the credential has it");

    // One that no policy names wakes nobody.
    let before = bench.compiled(APP).unwrap()["metadata"]["resourceVersion"].clone();
    bench.api.apply(&secret("unnamed", "anything"));
    bench.api.delete(&format!("/api/v1/namespaces/{APP}/secrets/fga"));
    told(&bench, missing, &[token]);
    assert_ne!(bench.compiled(APP).unwrap()["metadata"]["resourceVersion"], before);

    the_endpoints_have_routes(&bench);
}

/// They are there while the policy is refused, too, and go with the authority.
fn the_endpoints_have_routes(bench: &Bench) {
    let all: Vec<String> = {
        let of = |base: &&str| {
            [format!("{base}/authorize"), format!("/.well-known/oauth-protected-resource{base}")]
        };
        let mut all: Vec<String> = BASES.iter().flat_map(of).collect();
        all.sort();
        all
    };
    for class in ["nginx", "traefik"] {
        assert_eq!(endpoints(bench, class), all, "{class}");
    }
    let exact = paths(bench).into_iter().filter(|(_, path, _)| *path == all[3]);
    let types: Vec<String> = exact.map(|(class, _, kind)| format!("{class}: {kind}")).collect();
    assert!(types.contains(&"traefik: Exact".to_owned()), "{types:?}");

    bench.api.apply(&secret("fga", "there-again"));
    told(bench, ["ResolvedRefs", "True", "ResolvedRefs"], &[]);
    bench.api.merge(&policy_path(APP), &json!({"spec": {"authorities": []}}));
    let gone = eventually(LIMIT, || endpoints(bench, "traefik").is_empty().then_some(()));
    assert!(gone.is_some(), "{:?}\n{}", paths(bench), bench.tail());
    bench.settle(APP);
    assert!(is_live(&bench.compiled(APP).unwrap()));
}
