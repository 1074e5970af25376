//! `helm uninstall`, on a cluster of its own: what other tests need is gone afterwards.

use std::time::Duration;

use vestibule_e2e::app::{App, LIMIT};
use vestibule_e2e::installation::{self, Guise, Installation, NAMESPACE};
use vestibule_e2e::process::eventually;

#[test]
fn an_uninstall_keeps_apps_closed_and_leaves_nothing_but_what_closes_them() {
    let on = Installation::shared_alone();
    let app = App::start(&on, "uninstalled", Guise::Traefik);
    // Whoever uninstalls was told what stays, and how to release.
    let notes = on.helm(&["get", "notes", "vestibule", "-n", NAMESPACE]);
    for told in ["leaves what keeps the apps closed", "vestibule.dev/release=true", "kubectl -n"] {
        assert!(notes.contains(told), "{notes}");
    }
    let said = on.helm(&["uninstall", "vestibule", "-n", NAMESPACE, "--wait", "--timeout=2m"]);
    on.helm(&["uninstall", "vestibule-crds", "-n", NAMESPACE]);
    // While authsvc drains it goes on as before; what needs a session is never open.
    let closed = eventually(LIMIT, || {
        let answer = app.ask(&on, "/");
        assert_ne!(answer.status, 200, "{answer}");
        (app.ask(&on, "/public").status >= 500).then_some(())
    });
    assert!(closed.is_some(), "{}", app.ask(&on, "/public"));
    assert!(said.contains("uninstalled"), "{said}");
    for crd in ["bffpolicies", "bffproviders", "clusterbffproviders", "bffhostgrants"] {
        on.kubectl(&["get", "crd", &format!("{crd}.vestibule.dev")]);
    }
    // No finalizer holds anything.
    on.kubectl(&["-n", "uninstalled", "delete", "bff/shop", "--wait=true", "--timeout=20s"]);
    let kinds = "deployments,services,serviceaccounts,configmaps,roles,rolebindings,networkpolicies,poddisruptionbudgets,jobs";
    let left = eventually(Duration::from_mins(1), || {
        let label = ["-l", "app.kubernetes.io/part-of=vestibule", "-o", "name"];
        let left = on.kubectl(&[&["-n", NAMESPACE, "get", kinds], &label[..]].concat());
        left.trim().is_empty().then_some(())
    });
    assert!(left.is_some(), "objects of the chart are left");
    let global = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,mutatingadmissionpolicies,mutatingadmissionpolicybindings";
    let left =
        on.kubectl(&["get", global, "-l", "app.kubernetes.io/part-of=vestibule", "-o", "name"]);
    assert_eq!(left.trim(), "");
    let kept = on.kubectl(&["-n", NAMESPACE, "get", "secret", "-o", "name"]);
    assert!(kept.contains("vestibule-policy-") && kept.contains("vestibule-keys"), "{kept}");
    assert!(!kept.contains("helm.release"), "{kept}");

    // Installed again, it takes over what it left: here the deletion meanwhile.
    installation::install_charts(&on);
    on.apply(&app.policy(vestibule_e2e::app::ROUTES));
    app.wait_until_protected(&on);
}
