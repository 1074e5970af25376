//! The charts as they are rendered: lint, rights, and what wrong values are told.

use std::fs;
use std::path::PathBuf;

use vestibule_e2e::installation::{chart, helm};
use vestibule_e2e::tools::repository;

/// Helm without a cluster takes an old one for granted.
const CLUSTER: [&str; 2] = ["--kube-version", "1.35.4"];

fn values(name: &str) -> String {
    format!("{}/ci/{name}-values.yaml", chart("vestibule"))
}

fn rendered(values: &str) -> String {
    rendered_with(values, &[])
}

fn rendered_with(values: &str, more: &[&str]) -> String {
    let arguments = ["template", "vestibule", &chart("vestibule"), "-n", "vestibule", "-f", values];
    let output = helm(&[&arguments[..], &CLUSTER, more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn both_charts_pass_helms_strict_lint() {
    let crds = chart("vestibule-crds");
    let output = helm(&[&["lint", "--strict", &crds][..], &CLUSTER].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    for name in ["bare", "production", "scoped", "trial"] {
        let (chart, values) = (chart("vestibule"), values(name));
        let lint = ["lint", "--strict", &chart, "-f", &values];
        let output = helm(&[&lint[..], &CLUSTER].concat());
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

/// Every right that the chart gives is in these files, so that a wider one is seen in a review. With
/// `UPDATE=1` they are rewritten.
#[test]
fn t109_the_rights_are_those_of_the_snapshot() {
    for name in ["production", "scoped"] {
        let text = rendered(&values(name));
        let rights: String = text
            .split("\n---\n")
            .filter(|document| {
                ["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"]
                    .iter()
                    .any(|kind| document.lines().any(|line| line == format!("kind: {kind}")))
            })
            .flat_map(|document| ["---\n", document.trim_start_matches("---\n").trim(), "\n"])
            .collect();
        assert!(rights.contains("kind: ClusterRole\n"), "{rights}");
        let file: PathBuf = repository().join(format!("charts/vestibule/ci/{name}-rights.yaml"));
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, &rights).unwrap();
        }
        let known = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(rights, known, "{} differs: look, then run with UPDATE=1", file.display());
    }
}

#[test]
fn clients_are_told_apart_only_where_a_header_says_who_they_are() {
    let flags = |name: &str| -> Vec<String> {
        let text = rendered(&values(name));
        let lines = text.lines().map(|line| line.trim().trim_start_matches("- "));
        let ours = ["--logins", "--client-address"];
        let of_logins = lines.filter(|line| ours.iter().any(|flag| line.starts_with(flag)));
        of_logins.map(str::to_owned).collect()
    };
    assert_eq!(flags("trial"), ["--logins-per-policy=3000"]);
    assert_eq!(
        flags("production"),
        [
            "--logins-per-policy=1000000",
            "--client-address-header=X-Real-IP",
            "--logins-per-client=30"
        ]
    );
}

#[test]
fn t114_with_a_scope_nothing_has_rights_on_the_secrets_of_the_cluster() {
    let text = rendered(&values("scoped"));
    let cluster_wide =
        text.split("\n---\n").filter(|document| document.contains("kind: ClusterRole\n"));
    for role in cluster_wide {
        assert!(!role.contains("secrets"), "{role}");
    }
    assert!(text.contains("kind: Role\n") && text.contains("secrets"));
}

#[test]
fn wrong_values_are_refused_by_their_name() {
    for (set, says) in [
        ("ingressClasses.nginx.controller=k8s.io/ingress-nginx", "servedBy"),
        ("authsvc.replicas=many", "replicas"),
        ("logFormat=xml", "logFormat"),
        ("authsvc.logins.clientAddressHeader=a b", "clientAddressHeader"),
        ("nothing=1", "nothing"),
        ("admission.exclusiveHosts=maybe", "exclusiveHosts"),
        ("image.tag=latest", "tag"),
    ] {
        let arguments = ["template", "vestibule", &chart("vestibule"), "-f", &values("trial")];
        let output = helm(&[&arguments[..], &CLUSTER, &["--set", set]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(says), "{set}: {said}");
    }
}

#[test]
fn t064_nothing_of_ours_is_asked_at_admission() {
    for name in ["production", "scoped", "trial"] {
        let text = rendered(&values(name));
        assert!(!text.contains("WebhookConfiguration"), "a webhook could be asked by anybody");
    }
}

#[test]
fn routes_of_other_namespaces_are_refused_only_where_that_is_asked_for() {
    let kinds = ["--api-versions", "traefik.io/v1alpha1/IngressRoute"];
    let rules = |set: &str, more: &[&str]| {
        let text = rendered_with(&values("trial"), &[&["--set", set], more].concat());
        let named = |name: &str| text.matches(&format!("\n  name: {name}.vestibule\n")).count();
        // A policy and its binding have one name.
        [named("vestibule-exclusive"), named("vestibule-exclusive-routes")]
    };
    assert_eq!(rules("admission.enabled=true", &kinds), [0, 0], "the default");
    assert_eq!(rules("admission.exclusiveHosts=true", &kinds), [2, 2]);
    // A rule whose kind of parameter does not exist would refuse every Ingress of the cluster.
    assert_eq!(rules("admission.exclusiveHosts=true", &[]), [2, 0]);
    let off = "admission.exclusiveHosts=true,admission.enabled=false";
    assert_eq!(rules(off, &kinds), [0, 0]);
}
