//! Sessions for admins, by the plugin of kubectl: the cluster's roles decide, and who ended a session
//! is in the audit log.
#![expect(clippy::unwrap_used, reason = "what is not there fails the test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;
use vestibule_e2e::app::{App, LIMIT};
use vestibule_e2e::cluster::Cluster;
use vestibule_e2e::installation::{Guise, Installation, NAMESPACE};
use vestibule_e2e::process::eventually;
use vestibule_e2e::tools::binary;

const ONE: &str = "admin-one";
const TWO: &str = "admin-two";

/// `everywhere` may do everything; `one` may list the sessions of its namespace; `none` may only come
/// as far as authsvc.
fn admins(on: &Cluster) {
    let accounts = ["everywhere", "one", "none"]
        .map(|name| {
            format!(
                "apiVersion: v1
kind: ServiceAccount
metadata: {{name: {name}, namespace: {ONE}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: way-of-{name}, namespace: {NAMESPACE}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: vestibule-session-admin}}
subjects: [{{kind: ServiceAccount, name: {name}, namespace: {ONE}}}]
---
"
            )
        })
        .concat();
    on.apply(&format!(
        "{accounts}apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: sessions-everywhere}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: vestibule-session-admin.{NAMESPACE}}}
subjects: [{{kind: ServiceAccount, name: everywhere, namespace: {ONE}}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: see-sessions, namespace: {ONE}}}
rules: [{{apiGroups: [vestibule.dev], resources: [bffpolicies/sessions], verbs: [list]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: see-sessions, namespace: {ONE}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: see-sessions}}
subjects: [{{kind: ServiceAccount, name: one, namespace: {ONE}}}]
"
    ));
}

/// A kubeconfig of a service account, by its token.
fn kubeconfig(on: &Cluster, dir: &Path, account: &str) -> PathBuf {
    let token = on.kubectl(&["-n", ONE, "create", "token", account]);
    let view = on.kubectl(&["config", "view", "--raw", "-o", "json"]);
    let mut config: Value = serde_json::from_str(&view).unwrap();
    for user in config["users"].as_array_mut().unwrap() {
        user["user"] = json!({ "token": token.trim() });
    }
    let path = dir.join(account);
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// `kubectl vestibule sessions …`, as an admin types it.
struct Plugin<'a> {
    on: &'a Cluster,
    dir: &'a Path,
}

impl Plugin<'_> {
    fn run(&self, kubeconfig: &Path, arguments: &[&str]) -> Output {
        let mut command: Command = self.on.kubectl_command();
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.dir.display()));
        command.env("KUBECONFIG", kubeconfig);
        command.args(["vestibule", "sessions"]).args(arguments).args(["--namespace", NAMESPACE]);
        command.output().unwrap()
    }

    fn json(&self, kubeconfig: &Path, arguments: &[&str]) -> Value {
        let output = self.run(kubeconfig, &[arguments, &["-o", "json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn refusal(&self, kubeconfig: &Path, arguments: &[&str]) -> String {
        let output = self.run(kubeconfig, arguments);
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

fn users(listed: &Value) -> Vec<&str> {
    let sessions = listed["sessions"].as_array().unwrap();
    sessions.iter().map(|one| one["subject"].as_str().unwrap()).collect()
}

#[test]
fn the_clusters_roles_decide_who_lists_and_ends_sessions_by_kubectl() {
    let on = Installation::shared();
    let one = App::start(&on, ONE, Guise::Traefik);
    let two = App::start(&on, TWO, Guise::Traefik);
    admins(&on);
    let mut alice = one.logged_in(&on, "alice");
    let mut bob = two.logged_in(&on, "bob");
    let dir = TempDir::with_prefix("vestibule-admin-").unwrap();
    std::os::unix::fs::symlink(binary("vestibule"), dir.path().join("kubectl-vestibule")).unwrap();
    let plugin = Plugin { on: &on, dir: dir.path() };
    let of = |account: &str| kubeconfig(&on, dir.path(), account);
    let (everywhere, single, none) = (of("everywhere"), of("one"), of("none"));
    let (policy_one, policy_two) = (format!("--policy={ONE}/shop"), format!("--policy={TWO}/shop"));

    // Who may do everything.
    let all = plugin.json(&everywhere, &["list"]);
    assert!(users(&all).contains(&"alice") && users(&all).contains(&"bob"), "{all}");
    assert_eq!(users(&plugin.json(&everywhere, &["list", &policy_two])), ["bob"]);
    let table = plugin.run(&everywhere, &["list", &policy_one]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("alice"));

    // Who may list in one namespace.
    assert_eq!(users(&plugin.json(&single, &["list", &policy_one])), ["alice"]);
    for (arguments, told) in [
        (vec!["list", &policy_two], "403 You lack the right to list"),
        (vec!["list"], "in all namespaces"),
        (vec!["end", &policy_one, "--yes"], "403 You lack the right to delete"),
    ] {
        let refusal = plugin.refusal(&single, &arguments);
        assert!(refusal.contains(told), "{refusal}");
    }
    let refusal = plugin.refusal(&none, &["list", &policy_one]);
    assert!(refusal.contains("403 You lack the right to list"), "{refusal}");

    // Who has a certificate and no token.
    let certificate = PathBuf::from(on.kubeconfig());
    let refusal = plugin.refusal(&certificate, &["list"]);
    assert!(refusal.contains("--service-account"), "{refusal}");
    let account = format!("--service-account={ONE}/one");
    assert_eq!(users(&plugin.json(&certificate, &["list", &policy_one, &account])), ["alice"]);

    // An end counts at the gateway, and says who did it.
    let ended = plugin.json(&everywhere, &["end", &policy_two, "--yes"]);
    assert_eq!(ended["ended"], 1);
    let gone = eventually(LIMIT, || {
        (bob.fetch(&two.origin(), &two.url("/api")).status == 401).then_some(())
    });
    assert!(gone.is_some(), "the session goes on");
    assert_eq!(alice.fetch(&one.origin(), &one.url("/api")).status, 200);
    let by = format!("system:serviceaccount:{ONE}:everywhere");
    let logs: String = on.component("authsvc").iter().map(|pod| on.logs(NAMESPACE, pod)).collect();
    let line = logs.lines().find(|line| line.contains("session_ended") && line.contains(&by));
    assert!(line.is_some_and(|line| line.contains("vestibule::audit")), "no audit line of {by}");
}
