//! Every refusal: its condition, reason and field; and that it refuses traffic while it lasts.

use vestibule_e2e::app::{App, LIMIT, ROUTES};
use vestibule_e2e::installation::{Guise, Installation, NAMESPACE};
use vestibule_e2e::process::eventually;

/// Applies a policy that must be refused, and sees that it is, and that its app is closed.
fn refused(on: &Installation, app: &App, policy: &str, [kind, reason]: [&str; 2], says: &[&str]) {
    on.apply(policy);
    let message = app.wait_for_condition(on, "shop", [kind, "False", reason]);
    for text in says {
        assert!(message.contains(text), "{reason}: {message:?} does not say {text:?}");
    }
    app.wait_for_condition(on, "shop", ["Programmed", "False", "Refused"]);
    closed(on, app);
}

/// Not even a public route is served.
fn closed(on: &Installation, app: &App) {
    let refused = eventually(LIMIT, || {
        let answer = app.ask(on, "/public");
        assert_ne!(answer.status, 200, "{answer}");
        (answer.status == 503).then_some(())
    });
    assert!(refused.is_some(), "{}", app.ask(on, "/public"));
}

#[test]
fn t051_t052_what_a_policy_refers_to_must_be_there_and_its_own() {
    let on = Installation::shared();
    let app = App::deploy(&on, "refs", Guise::Traefik);
    on.apply(&app.ingress(""));
    let with = |from: &str, to: &str| {
        let policy = app.policy(ROUTES);
        assert!(policy.contains(from), "{policy}");
        policy.replace(from, to)
    };
    let missing = with("name: shop-oidc", "name: nothing");
    refused(
        &on,
        &app,
        &missing,
        ["ResolvedRefs", "SecretNotFound"],
        &["spec.client.secretRef", "nothing"],
    );
    let no_key = with("key: client-secret", "key: nothing");
    refused(
        &on,
        &app,
        &no_key,
        ["ResolvedRefs", "SecretNotFound"],
        &["spec.client.secretRef", "nothing"],
    );
    let provider = with("providerRef: {name: idp}", "providerRef: {name: nobody}");
    refused(
        &on,
        &app,
        &provider,
        ["ResolvedRefs", "ProviderNotFound"],
        &["spec.providerRef", "nobody"],
    );
    // A Secret of another namespace cannot even be named: there is no field for it.
    let output =
        on.try_apply(&with("name: shop-oidc", "namespace: vestibule, name: vestibule-keys"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("namespace"), "{said}");

    on.apply(&app.policy(ROUTES));
    app.wait_until_protected(&on);
    assert_eq!(app.ask(&on, "/public").status, 200);
    // Deleted or emptied while it runs.
    on.kubectl(&["-n", "refs", "delete", "secret", "shop-oidc"]);
    app.wait_for_condition(&on, "shop", ["ResolvedRefs", "False", "SecretNotFound"]);
    closed(&on, &app);
    on.kubectl(&[
        "-n",
        "refs",
        "create",
        "secret",
        "generic",
        "shop-oidc",
        "--from-literal=client-secret=",
    ]);
    app.wait_for_condition(&on, "shop", ["ResolvedRefs", "False", "InvalidSecret"]);
    closed(&on, &app);
    on.kubectl(&["-n", "refs", "delete", "secret", "shop-oidc"]);
    let secret = format!("--from-literal=client-secret={}", vestibule_e2e::provider::CLIENT_SECRET);
    on.kubectl(&["-n", "refs", "create", "secret", "generic", "shop-oidc", &secret]);
    app.wait_until_protected(&on);
    // The provider goes.
    on.kubectl(&["-n", "refs", "delete", "bffprovider", "idp"]);
    app.wait_for_condition(&on, "shop", ["ResolvedRefs", "False", "ProviderNotFound"]);
    closed(&on, &app);
}

#[test]
fn a_policy_that_does_not_compile_names_the_field() {
    let on = Installation::shared();
    let app = App::deploy(&on, "compile", Guise::NginxAnnotations);
    on.apply(&app.ingress(""));
    let bad = app.policy("[{path: /x, require: {expression: 'claims.('}}]");
    refused(&on, &app, &bad, ["Accepted", "Invalid"], &["spec.routes[0].require.expression"]);
    let foreign = app.policy_of("shop", "  origins: ['https://elsewhere.example.test']");
    refused(
        &on,
        &app,
        &foreign,
        ["Accepted", "OriginNotOfTarget"],
        &["spec.origins[0]", "elsewhere.example.test"],
    );
    let missing = app.policy_of(
        "shop",
        "  targetRefs: [{group: networking.k8s.io, kind: Ingress, name: nothing}]",
    );
    refused(
        &on,
        &app,
        &missing,
        ["Accepted", "TargetNotFound"],
        &["spec.targetRefs[0]", "nothing"],
    );
}

#[test]
fn a_provider_that_is_not_for_the_namespace_is_refused() {
    let on = Installation::shared();
    let app = App::deploy(&on, "unpermitted", Guise::Traefik);
    on.apply(&app.ingress(""));
    on.apply(&format!(
        "apiVersion: vestibule.dev/v1alpha1
kind: ClusterBffProvider
metadata: {{name: corp-unpermitted}}
spec:
  issuer: '{}'
  namespaceSelector: {{matchLabels: {{team: corp}}}}
",
        app.provider.issuer
    ));
    let policy = app.policy(ROUTES).replace(
        "providerRef: {name: idp}",
        "providerRef: {kind: ClusterBffProvider, name: corp-unpermitted}",
    );
    refused(&on, &app, &policy, ["ResolvedRefs", "ProviderNotPermitted"], &["spec.providerRef"]);
    on.kubectl(&["label", "namespace", "unpermitted", "team=corp"]);
    app.wait_until_protected(&on);
    on.kubectl(&["label", "namespace", "unpermitted", "team-"]);
    app.wait_for_condition(&on, "shop", ["ResolvedRefs", "False", "ProviderNotPermitted"]);
    closed(&on, &app);
}

#[test]
fn an_issuer_that_does_not_answer_is_told() {
    let on = Installation::shared();
    let app = App::deploy(&on, "unreachable", Guise::Traefik);
    let dead = format!("http://{}:1", vestibule_e2e::cluster::NODE);
    let patch = format!(r#"{{"spec":{{"issuer":"{dead}"}}}}"#);
    on.kubectl(&["-n", "unreachable", "patch", "bffprovider/idp", "--type=merge", "-p", &patch]);
    on.apply(&app.policy(ROUTES));
    on.apply(&app.ingress(""));
    let message =
        app.wait_for_condition(&on, "shop", ["ProviderReady", "False", "DiscoveryFailed"]);
    assert!(message.contains("discovery"), "{message}");
    app.wait_until_protected(&on);
    let patch = format!(r#"{{"spec":{{"issuer":"{}"}}}}"#, app.provider.issuer);
    on.kubectl(&["-n", "unreachable", "patch", "bffprovider/idp", "--type=merge", "-p", &patch]);
    app.wait_for_condition(&on, "shop", ["ProviderReady", "True", "Ready"]);
    app.wait_until_protected(&on);
    assert_eq!(app.logged_in(&on, "alice").open(&app.url("/api")).response.status, 200);
}

#[test]
fn a_host_belongs_to_the_policy_that_was_accepted_first() {
    let on = Installation::shared();
    let first = App::start(&on, "host-first", Guise::Traefik);
    let second = App::deploy(&on, "host-second", Guise::Traefik);
    let own = second.ingress("");
    on.apply(&own);
    on.apply(&second.policy(ROUTES));
    second.wait_until_protected(&on);
    // An older object that adds another's host.
    let both = own.replace(
        "  rules:\n",
        &format!(
            "  rules:\n    - host: {}\n      http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: echo, port: {{number: 80}}}}}}}}]}}\n",
            first.host
        ),
    );
    on.apply(&both);
    let grabs = second
        .policy_of("shop", &format!("  origins: ['{}', '{}']", second.origin(), first.origin()));
    on.apply(&grabs);
    let message = second.wait_for_condition(&on, "shop", ["Accepted", "False", "Conflicted"]);
    assert!(message.contains("spec.origins[1]") && message.contains(&first.host), "{message}");
    assert!(!message.contains("host-first/"), "another team's names are not told: {message}");
    // Of its own host it gives nothing up, and serves nothing.
    closed(&on, &second);
    // Two routes of one host are the gateway's to order; whichever it asks, nobody gets in by it.
    first.wait_for_condition(&on, "shop", ["HostExclusive", "False", "ForeignRoute"]);
    assert_ne!(first.ask(&on, "/").status, 200);
    on.apply(&own);
    first.wait_for_condition(&on, "shop", ["HostExclusive", "True", "Exclusive"]);
    first.wait_until_protected(&on);
    assert_eq!(first.logged_in(&on, "alice").open(&first.url("/api")).response.status, 200);
    // A second policy of the same namespace is told whose the host is.
    on.apply(&first.policy_of("rival", &format!(
        "  origins: ['{}']\n  targetRefs: [{{group: networking.k8s.io, kind: Ingress, name: shop}}]",
        first.origin()
    )));
    let message = first.wait_for_condition(&on, "rival", ["Accepted", "False", "Conflicted"]);
    assert!(message.contains("shop"), "{message}");
    assert_eq!(first.ask(&on, "/public").status, 200);
}

#[test]
fn t058_t065_t066_an_annotated_ingress_that_undoes_us_is_not_even_stored() {
    let on = Installation::shared();
    let app = App::start(&on, "undo-annotated", Guise::NginxAnnotations);
    for (annotation, value) in UNDOING {
        let output = on.try_apply(&app.ingress(&format!("{annotation}: '{value}'")));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            // What admission lets through, the operator refuses.
            app.wait_for_condition(&on, "shop", ["Accepted", "False", "TargetRefused"]);
            closed(&on, &app);
            on.apply(&app.ingress(""));
            app.wait_until_protected(&on);
        } else {
            assert!(said.contains(annotation), "{said}");
        }
    }
    assert_eq!(app.ask(&on, "/").status, 401);
}

/// Annotations that would let requests pass without a check, or hide its answer.
const UNDOING: [(&str, &str); 4] = [
    ("nginx.ingress.kubernetes.io/auth-cache-key", "$cookie_x"),
    ("nginx.ingress.kubernetes.io/satisfy", "any"),
    ("nginx.ingress.kubernetes.io/custom-http-errors", "401,403"),
    ("nginx.ingress.kubernetes.io/auth-snippet", "return 200;"),
];

#[test]
fn t058_t065_a_target_that_undoes_us_is_refused_by_the_operator() {
    let on = Installation::shared();
    let app = App::deploy(&on, "undo-targeted", Guise::NginxAnnotations);
    let target = "  targetRefs: [{group: networking.k8s.io, kind: Ingress, name: shop}]";
    let unannotated =
        |more: &str| app.ingress(more).replace("    vestibule.dev/policy: shop\n", "");
    for (annotation, value) in UNDOING {
        on.apply(&unannotated(&format!("{annotation}: '{value}'")));
        on.apply(&app.policy_of("shop", target));
        let message = app.wait_for_condition(&on, "shop", ["Accepted", "False", "TargetRefused"]);
        assert!(message.contains(annotation), "{message}");
        let refused = eventually(LIMIT, || {
            let answers = app.check(&on.authsvc(), "/public");
            answers.iter().all(|status| *status == 503).then_some(())
        });
        assert!(refused.is_some(), "{annotation}: {:?}", app.check(&on.authsvc(), "/public"));
        on.kubectl(&["-n", "undo-targeted", "delete", "ingress/shop"]);
        app.wait_for_condition(&on, "shop", ["Accepted", "False", "TargetNotFound"]);
    }
}

#[test]
fn t105_a_backend_that_is_a_name_elsewhere_is_refused() {
    let on = Installation::shared();
    let app = App::start(&on, "external-name", Guise::Traefik);
    on.kubectl(&["-n", "external-name", "delete", "service", "echo"]);
    let target = "--external-name=kubernetes.default.svc";
    let create = ["-n", "external-name", "create", "service", "externalname", "echo"];
    on.kubectl(&[&create[..], &[target, "--tcp=80:80"]].concat());
    app.wait_for_condition(&on, "shop", ["Accepted", "False", "TargetRefused"]);
    // Traefik drops the route of such a backend by itself, sooner or later; whoever asks is refused.
    let replicas = on.authsvc();
    let refused = eventually(LIMIT, || {
        let answers = app.check(&replicas, "/public");
        answers.iter().all(|status| *status == 503).then_some(())
    });
    assert!(refused.is_some(), "{:?}", app.check(&replicas, "/public"));
    let answer = app.ask(&on, "/public");
    assert!([404, 503].contains(&answer.status), "{answer}");
}

#[test]
fn with_grants_a_host_must_be_granted() {
    // A grant changes what every policy may do.
    let on = Installation::shared_alone();
    let granted = App::start(&on, "granted", Guise::Traefik);
    let other = App::start(&on, "ungranted", Guise::Traefik);
    on.apply(
        "apiVersion: vestibule.dev/v1alpha1
kind: BffHostGrant
metadata: {name: granted}
spec:
  hosts: ['granted.example.test']
  namespaces: {matchLabels: {kubernetes.io/metadata.name: granted}}
",
    );
    let message = other.wait_for_condition(&on, "shop", ["Accepted", "False", "HostNotGranted"]);
    assert!(message.contains("ungranted.example.test"), "{message}");
    closed(&on, &other);
    assert_eq!(granted.ask(&on, "/public").status, 200);
    on.kubectl(&["delete", "bffhostgrant", "granted"]);
    other.wait_until_protected(&on);
}

#[test]
fn t110_t112_no_secret_is_in_what_the_operator_and_the_replicas_say() {
    let on = Installation::shared();
    let _app = App::start(&on, "canary", Guise::Traefik);
    for component in ["operator", "authsvc"] {
        for pod in on.component(component) {
            let logs = on.logs(NAMESPACE, &pod);
            assert!(logs.len() > 100, "{component} logs something");
            assert!(!logs.contains(vestibule_e2e::provider::CLIENT_SECRET), "{component}");
        }
    }
    let events = on.kubectl(&["get", "events", "-A", "-o", "yaml"]);
    assert!(!events.contains(vestibule_e2e::provider::CLIENT_SECRET));
}

#[test]
fn another_namespace_cannot_ask_a_policys_check_and_its_routes_on_the_host_are_told() {
    let on = Installation::shared();
    let app = App::start(&on, "asked", Guise::Traefik);
    on.kubectl(&["create", "namespace", "asking"]);
    let foreign = |annotation: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: foreign, namespace: asking, annotations: {{{annotation}}}}}
spec:
  ingressClassName: traefik
  rules:
    - host: {}
      http: {{paths: [{{path: /stolen, pathType: Prefix, backend: {{service: {{name: echo, port: {{number: 80}}}}}}}}]}}
",
            app.host
        )
    };
    for annotation in [
        "traefik.ingress.kubernetes.io/router.middlewares: asked-vestibule-shop@kubernetescrd",
        "nginx.ingress.kubernetes.io/auth-url: 'http://vestibule-check.vestibule.svc.cluster.local:8081/check/nginx/asked/shop'",
    ] {
        let output = on.try_apply(&foreign(annotation));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("another namespace"), "{said}");
    }
    // Without our check it is stored, and the policy says so; what a label claims changes nothing.
    let secret = on.compiled_secret("asked");
    let label = secret["metadata"]["labels"]["vestibule.dev/policy-id"].as_str().unwrap();
    let forged = "vestibule.dev/policy-namespace: asked, vestibule.dev/policy-name: shop";
    let forged = foreign(forged).replace(
        "{name: foreign,",
        &format!("{{name: foreign, labels: {{vestibule.dev/policy-id: '{label}'}},"),
    );
    on.apply(&forged);
    app.wait_for_condition(&on, "shop", ["HostExclusive", "False", "ForeignRoute"]);
    on.kubectl(&["-n", "asking", "delete", "ingress/foreign"]);
    app.wait_for_condition(&on, "shop", ["HostExclusive", "True", "Exclusive"]);
}

#[test]
fn a_patch_of_the_status_cannot_take_the_wiring_off() {
    let on = Installation::shared();
    let app = App::start(&on, "by-status", Guise::NginxAnnotations);
    let patch = r#"{"metadata":{"annotations":{"vestibule.dev/policy":null,"nginx.ingress.kubernetes.io/auth-url":null}}}"#;
    let arguments = ["-n", "by-status", "patch", "ingress/shop", "--subresource=status"];
    let output = on.try_kubectl(&[&arguments[..], &["--type=merge", "-p", patch]].concat());
    let ingress = on.get(&["-n", "by-status", "ingress/shop"]);
    assert_eq!(ingress["metadata"]["annotations"]["vestibule.dev/policy"], "shop", "{output:?}");
    assert_eq!(app.ask(&on, "/").status, 401);
}
