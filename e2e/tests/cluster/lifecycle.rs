//! The charts over their life: refused objects, `helm test`, upgrade. The uninstall has a cluster of
//! its own (`cluster_uninstall`).

use std::path::Path;

use vestibule_e2e::app::{App, LIMIT};
use vestibule_e2e::installation::{
    self, Deviation, Guise, Installation, NAMESPACE, Previous, chart,
};
use vestibule_e2e::process::eventually;
use vestibule_e2e::tools::repository;

/// What a file of examples is about, as the first line of a refused one says.
fn expected(text: &str) -> Option<&str> {
    text.lines().next()?.strip_prefix("# expect: ")
}

#[test]
fn t067_t113_the_api_server_accepts_and_refuses_the_examples() {
    let on = Installation::shared();
    let folder = repository().join("crds/examples");
    let (mut accepted, mut refused, mut wrong) = (0, 0, Vec::new());
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let text = std::fs::read_to_string(&path).unwrap();
        let output = on.try_kubectl(&[
            "apply",
            "--dry-run=server",
            "--validate=strict",
            "-f",
            &path.display().to_string(),
        ]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match expected(&text) {
            None if output.status.success() => accepted += 1,
            Some(reason) if !output.status.success() && said.contains(reason) => refused += 1,
            _ => wrong.push(format!("{}: {said}", name(&path))),
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(accepted > 3 && refused > 30, "{accepted} accepted, {refused} refused");
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[test]
fn helm_test_passes() {
    let on = Installation::shared();
    let said = on.helm(&["test", "vestibule", "-n", NAMESPACE, "--timeout=2m"]);
    assert!(said.contains("Succeeded"), "{said}");
}

#[test]
fn an_upgrade_from_the_charts_before_fails_no_request() {
    let on = Installation::shared_alone();
    let deviation = Deviation::of(&on);
    if let Some(previous) = Previous::find() {
        println!("the upgrade is from the charts of commit {}", previous.commit());
        deviation.upgrade(&previous.charts(), &installation::values_for_earlier_charts());
    } else {
        println!("the history has no other charts: the upgrade is of values alone");
    }
    let apps = [("upgrade", Guise::Traefik), ("upgrade-nginx", Guise::NginxAnnotations)];
    let [one, two] = apps.map(|(namespace, guise)| App::start(&on, namespace, guise));
    let pods = || ["authsvc", "operator"].map(|component| on.component(component)).concat();
    let before = pods();
    // Both Deployments roll; the embedded Redis stays, or its sessions would go.
    let upgraded = installation::values()
        .replace("drainSeconds: 3", "drainSeconds: 3, podAnnotations: {upgraded: 'yes'}")
        + "operator: {podAnnotations: {upgraded: 'yes'}}\n";
    let upgrade = || deviation.upgrade(&installation::charts(), &upgraded);
    one.under_load(one.logged_in(&on, "alice"), || {
        two.under_load(two.logged_in(&on, "alice"), upgrade);
    });
    let rolled = eventually(LIMIT, || {
        let after = pods();
        (after.len() == 4 && !after.iter().any(|pod| before.contains(pod))).then_some(())
    });
    assert!(rolled.is_some(), "{before:?} stay: {:?}", pods());
    for app in [&one, &two] {
        app.wait_until_protected(&on);
        app.wait_for_condition(&on, "shop", ["Programmed", "True", "Programmed"]);
    }
    // What the upgraded installation is told arrives.
    let patch = r#"{"spec":{"routes":[{"path":"/new","access":"Public"}]}}"#;
    on.kubectl(&["-n", "upgrade", "patch", "bff/shop", "--type=merge", "-p", patch]);
    let served = eventually(LIMIT, || (one.ask(&on, "/new").status == 200).then_some(()));
    assert!(served.is_some(), "{}", one.ask(&on, "/new"));
}

#[test]
fn what_the_chart_renders_is_valid_to_the_api_server() {
    let on = Installation::shared();
    for namespace in ["shop", "desk"] {
        // What the scoped values name.
        let _ = on.try_kubectl(&["create", "namespace", namespace]);
    }
    for name in ["bare", "scoped", "trial"] {
        let values = format!("{}/ci/{name}-values.yaml", chart("vestibule"));
        let arguments =
            ["template", "rendered", &chart("vestibule"), "-n", NAMESPACE, "-f", &values];
        let api = "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy";
        let more = ["--kube-version", "1.35.4", "--api-versions", api];
        let text = on.helm(&[&arguments[..], &more].concat());
        let file = on.dir().join(format!("{name}.yaml"));
        std::fs::write(&file, text).unwrap();
        let file = file.display().to_string();
        let output =
            on.try_kubectl(&["apply", "--dry-run=server", "--validate=strict", "-f", &file]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{name}: {said}");
    }
}
