//! From the birth of an Ingress to the last word of the operator: at no moment does a client's own
//! identity header reach the app, through a real nginx as ingress-nginx renders those annotations.

use std::process::Command;

use serde_json::{Value, json};
use vestibule_e2e::apiserver::NAMESPACE;
use vestibule_e2e::authsvc::write_keyring;
use vestibule_e2e::echo::{Echo, Echoed as _};
use vestibule_e2e::gateway::{Gateway, Wiring};
use vestibule_e2e::http::{Request, Response};
use vestibule_e2e::nginx::Nginx;
use vestibule_e2e::process::{Process, eventually, free_port, loopback};
use vestibule_e2e::tools::{binary, repository};

use crate::bench::{Bench, LIMIT, ingress, ingress_path, policy_path};

const APP: &str = "newborn";
const HOST: &str = "rendered.newborn.example.com";
const CLASS: &str = "rendered";
const PREFIX: &str = "nginx.ingress.kubernetes.io/";
const CHECK: &str = "http://vestibule-check.vestibule.svc.cluster.local:8081";

/// An app on an API, with authsvc and a gateway for its Ingress.
struct Stage {
    bench: Bench,
    /// Kept to be dropped, which ends it.
    _authsvc: Process,
    wiring: Wiring,
    app: Echo,
    versions: usize,
}

impl Stage {
    /// Everything but the Ingress; the policy is live.
    fn prepare() -> Self {
        let mut bench = Bench::prepare();
        let class = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": CLASS}, "spec": {"controller": "k8s.io/ingress-nginx"},
        });
        bench.api.apply(&class);
        let entry = format!("{CLASS}=k8s.io/ingress-nginx:IngressNginx");
        bench.more = vec!["--ingress-class".to_owned(), entry];
        bench.begin();
        bench.app(APP);
        bench.policy(APP);
        bench.settle(APP);
        let app = Echo::start();
        let [check, browser, admin] = [(); 3].map(|()| loopback(free_port()));
        let keyring = bench.api.dir().join("keyring.yaml");
        write_keyring(&keyring, &["k1"]);
        let mut command = Command::new(binary("vestibule-authsvc"));
        command.args(["serve", "--kubernetes", "--namespace", NAMESPACE, "--drain-delay", "0s"]);
        command.args(["--check-addr", &check.to_string(), "--admin-addr", &admin.to_string()]);
        command.args(["--browser-addr", &browser.to_string()]).arg("--keyring").arg(keyring);
        command.arg("--allow-insecure-issuers").env("KUBECONFIG", bench.api.kubeconfig());
        let log = bench.api.dir().join("newborn-authsvc.log");
        let mut authsvc = Process::spawn("authsvc", &mut command, &log);
        authsvc.wait_ready(LIMIT, || {
            (Request::get("/readyz", "admin").try_send(admin)?.status == 200).then_some(())
        });
        let origin = format!("https://{HOST}");
        let listen = Gateway::free_address();
        let (app_address, hosted_backend) = (app.address, None);
        let wiring = Wiring { listen, origin, check, browser, app: app_address, hosted_backend };
        Self { bench, _authsvc: authsvc, wiring, app, versions: 0 }
    }

    fn fresh(&self) -> Value {
        self.bench.api.object(&ingress_path(APP, "fresh"))
    }

    /// The server that ingress-nginx makes of the Ingress as it is now.
    fn gateway(&mut self) -> Nginx {
        self.versions += 1;
        self.wiring.listen = Gateway::free_address();
        let folder = self.bench.api.dir().join(format!("gateway-{}", self.versions));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("ingress-nginx.conf");
        std::fs::write(&file, rendered(&self.fresh())).unwrap();
        Nginx::start(&folder, file.to_str().unwrap(), &self.wiring)
    }

    /// A browser's question, with one header of its own.
    fn ask(&self, header: (&str, &str)) -> Response {
        self.app.forget();
        let request = Request::get("/door", HOST).header(header.0, header.1);
        request.send(self.wiring.listen)
    }

    fn assert_passes_without(&self, name: &str) {
        let answer = self.ask((name, "root"));
        assert_eq!(answer.status, 200, "{name}: {answer}");
        let seen = self.app.seen();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].folded(name).concat(), "", "{name}: {}", seen[0]);
    }

    fn assert_is_refused(&self, name: &str) {
        let answer = self.ask((name, "root"));
        assert_eq!(answer.status, 403, "{name}: {answer}");
        assert_eq!(self.app.seen().len(), 0, "{name}");
    }
}

/// The tested server, with the check and the list of headers of these annotations.
fn rendered(ingress: &Value) -> String {
    let annotation =
        |name: &str| ingress["metadata"]["annotations"][format!("{PREFIX}{name}")].as_str();
    let server = std::fs::read_to_string(repository().join("e2e/gateways/ingress-nginx.conf"));
    let check = annotation("auth-url").unwrap().strip_prefix(CHECK).unwrap();
    let server = server.unwrap().replace("/check/nginx/default/shop", check);
    let server = server.replace("https://shop.example.com/bff", &format!("https://{HOST}/bff"));
    let (mut lines, mut listed) = (Vec::new(), false);
    for line in server.lines() {
        if !line.contains("$authHeader") {
            lines.push(line.to_owned());
        } else if !listed {
            listed = true;
            let names = annotation("auth-response-headers").unwrap_or_default();
            for (n, name) in names.split(',').filter(|name| !name.is_empty()).enumerate() {
                let variable = name.to_ascii_lowercase().replace('-', "_");
                lines.push(format!("auth_request_set $authHeader{n} $upstream_http_{variable};"));
                lines.push(format!("proxy_set_header '{name}' $authHeader{n};"));
            }
        }
    }
    assert!(listed, "the server lists no headers");
    lines.join("\n")
}

/// As the admission policies store it (`header_list_admission.rs`).
fn newborn(list: Option<&str>) -> Value {
    let mut object = ingress(APP, "fresh", CLASS, HOST);
    let mut annotations = json!({
        "vestibule.dev/policy": "shop",
        "nginx.ingress.kubernetes.io/auth-url": format!("{CHECK}/check/nginx/{APP}/shop"),
    });
    if let Some(list) = list {
        annotations[format!("{PREFIX}auth-response-headers")] = json!(list);
    }
    object["metadata"]["annotations"] = annotations;
    object
}

#[test]
fn t007_t030_no_identity_header_of_a_client_passes_a_new_ingress_of_a_live_policy() {
    let mut stage = Stage::prepare();
    // The policy must hold the host before, or it would be refused for that alone.
    stage.bench.api.apply(&newborn(None));
    stage.bench.settle(APP);
    let held = eventually(LIMIT, || {
        let origins = stage.bench.api.object(&policy_path(APP))["status"]["origins"].clone();
        origins.to_string().contains(HOST).then_some(())
    });
    assert!(held.is_some(), "{}", stage.bench.tail());
    stage.bench.crash();
    for list in [None, Some("Authorization,Cookie")] {
        stage.bench.api.delete(&ingress_path(APP, "fresh"));
        stage.bench.api.apply(&newborn(list));
        let _gateway = stage.gateway();
        let open = eventually(LIMIT, || (stage.ask(("X-Other", "1")).status == 200).then_some(()));
        assert!(open.is_some(), "{list:?}: {}", stage.ask(("X-Other", "1")));
        for name in ["X-User", "x-user", "Authorization"] {
            stage.assert_is_refused(name);
        }
    }

    stage.bench.begin();
    let key = format!("{PREFIX}auth-url");
    let address = |stage: &Stage| stage.fresh()["metadata"]["annotations"][&key].to_string();
    let named = eventually(LIMIT, || address(&stage).contains("?headers=").then_some(()));
    assert!(named.is_some(), "{}", stage.bench.tail());
    let _gateway = stage.gateway();
    for name in ["X-User", "x-user", "Authorization", "X-Team"] {
        if name == "X-Team" {
            // It is nobody's yet, and passes as any header does.
            assert_eq!(stage.ask((name, "root")).status, 200);
        } else {
            stage.assert_passes_without(name);
        }
    }

    // An edit of the policy: the gateway goes on with the list that it read last.
    let routes = json!([
        {"path": "/door", "access": "Public"},
        {"path": "/api", "upstream": {"headers": [
            {"name": "X-User", "value": "claims.sub"}, {"name": "X-Team", "value": "claims.sub"},
        ]}},
    ]);
    let before = address(&stage);
    stage.bench.api.merge(&policy_path(APP), &json!({"spec": {"routes": routes}}));
    let refused = eventually(LIMIT, || (stage.ask(("X-Team", "root")).status == 403).then_some(()));
    assert!(refused.is_some(), "{}", stage.bench.tail());
    stage.assert_is_refused("X-Team");
    stage.assert_is_refused("X-User");
    assert_eq!(stage.ask(("X-Other", "1")).status, 200, "others are in nobody's way");
    assert_eq!(stage.ask(("Authorization", "Basic YTpi")).status, 200, "every list has that");
    assert_ne!(address(&stage), before);
    let _gateway = stage.gateway();
    stage.assert_passes_without("X-Team");
    stage.assert_passes_without("X-User");
}
