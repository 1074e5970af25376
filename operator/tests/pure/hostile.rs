//! Whatever users write, only plain texts reach the objects of gateways (T-54, T-58 to T-63).

use proptest::prelude::*;
use serde_json::{Value, json};
use vestibule_operator::reconcile::build::{BffRoute, Resources, build};
use vestibule_operator::reconcile::validate::{Verdict, validate};

use crate::support::World;

/// Plain words, words with one hostile piece in them, and anything.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "`",
        "\"",
        "'",
        "\n",
        "\r",
        "#",
        ";",
        "{}",
        "{{",
        "$",
        "${host}",
        "\\",
        " ",
        "`) || Host(`",
        "\nauth_request off;",
        "*/",
        "<",
        "\u{0}",
        "é",
        "%0a",
        "@",
        "..",
        "//",
        "?",
        "&&",
        "!",
    ]);
    prop_oneof![
        2 => "[a-z][a-z0-9.-]{0,8}",
        4 => ("[a-z/]{0,4}", pieces, "[a-z/]{0,4}").prop_map(|(a, b, c)| format!("{a}{b}{c}")),
        1 => any::<String>(),
    ]
}

/// What annotations and settings of gateways may hold. `$` only as in our two variables.
fn is_plain(text: &str) -> bool {
    let text = text.replace("$host", "").replace("$escaped_request_uri", "");
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/?=@,".contains(&b))
}

/// A rule of ours: one plain host, and plain paths or what is below them.
fn is_our_rule(rule: &str) -> bool {
    let Some((host, paths)) = rule.split_once(" && ") else { return false };
    let quoted = |text: &str, matcher: &str| {
        let inner = text.strip_prefix(matcher).and_then(|rest| rest.strip_prefix("(`"));
        inner.and_then(|rest| rest.strip_suffix("`)")).is_some_and(is_plain)
    };
    let Some(paths) = paths.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else {
        return false;
    };
    let is_path = |text: &str| quoted(text, "Path") || quoted(text, "PathPrefix");
    quoted(host, "Host") && paths.split(" || ").all(is_path)
}

fn check(value: &Value, key: &str) {
    match value {
        Value::String(text) if key == "match" => assert!(is_our_rule(text), "{text}"),
        Value::String(text) => assert!(is_plain(text), "{key}: {text:?}"),
        Value::Array(list) => list.iter().for_each(|item| check(item, key)),
        Value::Object(map) => map.iter().for_each(|(key, item)| {
            assert!(is_plain(key), "{key:?}");
            check(item, key);
        }),
        _ => {}
    }
}

fn check_all(resources: &Resources) {
    for patch in &resources.target_patches {
        check(&patch.body, "");
    }
    for route in &resources.bff_routes {
        let value = match route {
            BffRoute::Ingress(ingress) => serde_json::to_value(ingress).unwrap(),
            BffRoute::IngressRoute(route) => serde_json::to_value(route).unwrap(),
        };
        check(&value, "");
    }
    check(&serde_json::to_value(&resources.middleware).unwrap(), "");
    check(&serde_json::to_value(&resources.compiled_secret.metadata).unwrap(), "");
}

fn documents(texts: &[String; 10], class: &str) -> String {
    let [base_path, header, host, first, second, third, fourth, fifth, base, hosted] = texts;
    let documents = [
        json!({"kind": "Installation", "classes": {
            "nginx": {"controller": "k8s.io/ingress-nginx", "servedBy": "IngressNginx"},
            "both": {"controller": "k8s.io/ingress-nginx", "servedBy": "Traefik"},
            "traefik": {"controller": "traefik.io/ingress-controller"},
        }}),
        json!({"kind": "IngressClass", "metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"}}),
        json!({"kind": "IngressClass", "metadata": {"name": "both"}, "spec": {"controller": "k8s.io/ingress-nginx"}}),
        json!({"kind": "IngressClass", "metadata": {"name": "traefik"}, "spec": {"controller": "traefik.io/ingress-controller"}}),
        json!({"kind": "BffProvider", "metadata": {"name": "corp", "namespace": "shop"}, "spec": {"issuer": "https://id.example.com"}}),
        json!({"kind": "Secret", "metadata": {"name": "oidc", "namespace": "shop"}, "stringData": {"key": "value"}}),
        json!({
            "apiVersion": "vestibule.dev/v1alpha1", "kind": "BffPolicy",
            "metadata": {"name": "shop", "namespace": "shop", "uid": "u"},
            "spec": {
                "targetRefs": [
                    {"group": "networking.k8s.io", "kind": "Ingress", "name": "shop"},
                    {"group": "traefik.io", "kind": "IngressRoute", "name": "shop"},
                ],
                "origins": ["https://shop.example.com", format!("https://{host}")],
                "providerRef": {"name": "corp"},
                "client": {"id": "shop", "secretRef": {"name": "oidc", "key": "key"}},
                "basePath": base_path,
                "hostedBackend": {"flavor": "FusionAuth", "path": hosted},
                "authorities": [
                    {"base": base, "scopes": [{"name": "read"}]},
                    {"base": format!("/api/{base}"), "scopes": [{"name": "write"}]},
                ],
                "routes": [{"path": "/", "upstream": {"headers": [{"name": header, "value": "claims.sub"}]}}],
            },
        }),
        json!({"kind": "Previous", "origins": ["https://shop.example.com"]}),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "shop", "namespace": "shop", "annotations": {
                "traefik.ingress.kubernetes.io/router.middlewares": first,
                "traefik.ingress.kubernetes.io/router.entrypoints": second,
                "traefik.ingress.kubernetes.io/router.tls.options": third,
                "traefik.ingress.kubernetes.io/router.tls": fourth,
                "traefik.ingress.kubernetes.io/router.priority": fifth,
                "nginx.ingress.kubernetes.io/ssl-redirect": first,
                "nginx.ingress.kubernetes.io/auth-url": second,
                "nginx.ingress.kubernetes.io/satisfy": third,
                "vestibule.dev/replaced": fourth,
            }},
            "spec": {"ingressClassName": class, "rules": [{"host": "shop.example.com"}, {"host": host}]},
        }),
        json!({
            "apiVersion": "traefik.io/v1alpha1", "kind": "IngressRoute",
            "metadata": {"name": "shop", "namespace": "shop", "annotations": {"kubernetes.io/ingress.class": fifth}},
            "spec": {
                "entryPoints": [first, "web"],
                "routes": [{"match": format!("Host(`shop.example.com`) || Host(`{host}`)"), "middlewares": [{"name": second}]}],
                "tls": {"certResolver": third, "options": {"name": fourth, "namespace": fifth}},
            },
        }),
    ];
    documents.map(|document| document.to_string()).join("\n---\n")
}

fn verdict_of(yaml: &str) -> (Verdict, Resources) {
    let world = World::parse(yaml);
    let verdict = validate(&world.input(), &world.installation(), &world.claims());
    let resources = build(&verdict, &world.installation());
    (verdict, resources)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn t054_t059_t060_t061_t062_only_plain_texts_reach_a_gateway(
        texts in prop::array::uniform10(hostile()),
        class in prop::sample::select(vec!["nginx", "both", "traefik", "gone"]),
    ) {
        let (verdict, resources) = verdict_of(&documents(&texts, class));
        check_all(&resources);
        // T-66: whatever was refused, the target asks us.
        prop_assert_eq!(resources.target_patches.len(), 1);
        prop_assert!(verdict.conditions.accepted.message.len() <= 2048);
        prop_assert!(!verdict.conditions.accepted.message.chars().any(char::is_control));
    }
}

#[test]
fn plain_texts_are_accepted_so_that_the_property_says_something() {
    let texts = [
        "/bff",
        "x-user",
        "www.example.com",
        "a-b@file",
        "web",
        "a-o@file",
        "true",
        "7",
        "/v1.2~x",
        "/app",
    ]
    .map(str::to_owned);
    let yaml = documents(&texts, "traefik")
        .replace("\"vestibule.dev/replaced\":\"true\"", "\"x\":\"\"")
        .replace("/api//v1.2~x", "/api/v1.2~x");
    let (verdict, resources) = verdict_of(&yaml);
    assert!(verdict.conditions.accepted.ok, "{}", verdict.conditions.accepted.message);
    assert_eq!(resources.bff_routes.len(), 2);
    check_all(&resources);
    let made = format!("{:?}", resources.bff_routes);
    for path in ["/v1.2~x/authorize", "/.well-known/oauth-protected-resource/api/v1.2~x", "/app"] {
        assert!(made.contains(path), "{path}: {made}");
    }
}
