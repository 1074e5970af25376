//! One operator behind a proxy, apps for it, and what it made of them, in a form that two apps share.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vestibule_e2e::apiserver::{ApiServer, FaultProxy, NAMESPACE, Operator, Shared};
use vestibule_e2e::process::eventually;

use crate::history::History;

pub const LIMIT: Duration = Duration::from_secs(40);
pub const SECRETS: &str = "/api/v1/namespaces/vestibule/secrets";

/// An operator behind a proxy.
pub struct Bench {
    operator: Option<Operator>,
    /// Further arguments of the operator.
    pub more: Vec<String>,
    pub proxy: FaultProxy,
    pub api: Shared,
}

impl Bench {
    /// Starts an operator on the shared API.
    pub fn start() -> Self {
        let mut bench = Self::prepare();
        bench.begin();
        bench
    }

    /// Everything but the operator.
    pub fn prepare() -> Self {
        let api = ApiServer::shared();
        api.apply(&namespace(NAMESPACE));
        for (name, controller) in
            [("nginx", "k8s.io/ingress-nginx"), ("traefik", "traefik.io/ingress-controller")]
        {
            api.apply(&json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
                "metadata": {"name": name}, "spec": {"controller": controller},
            }));
        }
        let proxy = FaultProxy::start(api.plain());
        Self { operator: None, more: Vec::new(), proxy, api }
    }

    /// Starts the operator and waits until its caches are filled.
    pub fn begin(&mut self) {
        let kubeconfig = self.api.kubeconfig_by(self.proxy.address());
        let more: Vec<&str> = self.more.iter().map(String::as_str).collect();
        self.operator = Some(Operator::start(&kubeconfig, self.api.dir(), &more));
    }

    /// Starts the operator and waits for nothing.
    pub fn launch(&mut self) {
        let kubeconfig = self.api.kubeconfig_by(self.proxy.address());
        self.operator = Some(Operator::begin(&kubeconfig, self.api.dir(), &[]));
    }

    /// Ends the operator as a crash would.
    pub fn crash(&mut self) {
        self.operator.take().unwrap().kill();
    }

    /// Everything of an app but its policy: one Ingress of each class.
    pub fn app(&self, name: &str) {
        self.api.apply(&namespace(name));
        self.api.apply(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "oidc", "namespace": name},
            "data": {"secret": STANDARD.encode("canary")},
        }));
        self.api.apply(&json!({
            "apiVersion": "vestibule.dev/v1alpha1", "kind": "BffProvider",
            "metadata": {"name": "corp", "namespace": name},
            "spec": {"issuer": "https://id.example.com"},
        }));
        self.api.apply(&ingress(name, "web", "nginx", &format!("{name}.example.com")));
        self.api.apply(&ingress(name, "side", "traefik", &format!("side.{name}.example.com")));
    }

    /// Applies the app's policy and gives it.
    pub fn policy(&self, name: &str) -> Value {
        self.api.apply(&policy_of(name))
    }

    /// Makes the app's policy stricter: its public route is denied. Gives the policy.
    pub fn close_the_door(&self, name: &str) -> Value {
        let routes = json!([{"path": "/door", "access": "Deny"}]);
        self.api.merge(&policy_path(name), &json!({"spec": {"routes": routes}}))
    }

    /// Makes the app's policy one that cannot be enforced. Gives the policy.
    pub fn break_policy(&self, name: &str) -> Value {
        let patch = json!({"spec": {"providerRef": {"name": "nothing"}}});
        self.api.merge(&policy_path(name), &patch)
    }

    /// Whether everything of the newest generation is written, as far as that goes without authsvc.
    pub fn is_settled(&self, name: &str) -> bool {
        let policy = self.api.object(&policy_path(name));
        let conditions = policy["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|condition| {
            condition["type"] == "Programmed"
                && condition["observedGeneration"] == policy["metadata"]["generation"]
                && (condition["reason"] == "Refused"
                    || condition["message"] == "No replica of authsvc is ready.")
        })
    }

    /// Whether that is so of every policy, those of earlier tests too.
    pub fn all_are_settled(&self) -> bool {
        let all = self.api.object("/apis/vestibule.dev/v1alpha1/bffpolicies");
        let all = all["items"].as_array().into_iter().flatten();
        all.filter_map(|policy| policy["metadata"]["namespace"].as_str())
            .all(|name| self.is_settled(name))
    }

    /// Waits for that.
    pub fn settle(&self, name: &str) {
        let settled = eventually(LIMIT, || self.is_settled(name).then_some(()));
        assert!(settled.is_some(), "{}\n{}", self.api.object(&policy_path(name)), self.tail());
    }

    /// The compiled Secret of an app; `None` where there is none.
    pub fn compiled(&self, name: &str) -> Option<Value> {
        let all = self.api.object(SECRETS);
        all["items"].as_array()?.iter().find(|secret| is_of(secret, name)).cloned()
    }

    /// What the operator made of an app, without what differs between two apps of the same kind.
    pub fn made_of(&self, name: &str) -> Value {
        let policy = self.api.object(&policy_path(name));
        let secret = self.compiled(name).unwrap();
        let meta = &secret["metadata"];
        let id = meta["labels"]["vestibule.dev/policy-id"].as_str().unwrap().to_owned();
        let hash = meta["annotations"]["vestibule.dev/hash"].as_str().unwrap().to_owned();
        let uid = policy["metadata"]["uid"].as_str().unwrap().to_owned();
        let conditions: Vec<Value> = policy["status"]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|condition| {
                let mut condition = condition.clone();
                condition["lastTransitionTime"] = json!(null);
                condition
            })
            .collect();
        let all = self.api.object("/apis/networking.k8s.io/v1/namespaces/vestibule/ingresses");
        let routes = all["items"].as_array().unwrap();
        let routes = routes.iter().filter(|route| is_of(route, name)).map(essence);
        let middleware =
            format!("/apis/traefik.io/v1alpha1/namespaces/{name}/middlewares/vestibule-shop");
        let made = json!({
            "conditions": conditions,
            "origins": policy["status"]["origins"],
            "secret": essence(&secret),
            "compiled": envelope(&secret),
            "credential": secret["data"]["credential"],
            "routes": routes.collect::<Vec<_>>(),
            "middleware": self.api.get(&middleware).as_ref().map(essence),
            "web": essence(&self.api.object(&ingress_path(name, "web"))),
            "side": essence(&self.api.object(&ingress_path(name, "side"))),
        });
        let text = made.to_string().replace(&id, "ID").replace(&hash, "HASH").replace(&uid, "UID");
        serde_json::from_str(&text.replace(name, "APP")).unwrap()
    }

    /// What happened since that number.
    pub fn history(&self, since: u64) -> History {
        History::read(&self.api, since)
    }

    /// The end of the operator's log.
    pub fn tail(&self) -> String {
        let log = self.operator.as_ref().map(Operator::log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// An app's policy.
pub fn policy_of(name: &str) -> Value {
    json!({
        "apiVersion": "vestibule.dev/v1alpha1", "kind": "BffPolicy",
        "metadata": {"name": "shop", "namespace": name},
        "spec": {
            "targetRefs": [
                {"group": "networking.k8s.io", "kind": "Ingress", "name": "web"},
                {"group": "networking.k8s.io", "kind": "Ingress", "name": "side"},
            ],
            "providerRef": {"name": "corp"},
            "client": {"id": "shop", "secretRef": {"name": "oidc", "key": "secret"}},
            "routes": [
                {"path": "/door", "access": "Public"},
                {"path": "/api", "upstream": {"headers": [{"name": "X-User", "value": "claims.sub"}]}},
            ],
        },
    })
}

/// The path of an app's policy.
pub fn policy_path(name: &str) -> String {
    format!("/apis/vestibule.dev/v1alpha1/namespaces/{name}/bffpolicies/shop")
}

/// The path of one of its Ingresses.
pub fn ingress_path(name: &str, ingress: &str) -> String {
    format!("/apis/networking.k8s.io/v1/namespaces/{name}/ingresses/{ingress}")
}

/// A condition of an app's policy.
pub fn condition(bench: &Bench, name: &str, kind: &str) -> Value {
    let policy = bench.api.object(&policy_path(name));
    let conditions = policy["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
}

/// The number of an object's version.
pub fn number(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

/// What a compiled Secret says.
pub fn envelope(secret: &Value) -> Value {
    let text = secret["data"]["policy.json"].as_str().unwrap();
    serde_json::from_slice(&STANDARD.decode(text).unwrap()).unwrap()
}

/// Whether a compiled Secret lets anybody in.
pub fn is_live(secret: &Value) -> bool {
    envelope(secret)["state"]["Live"].is_object()
}

/// Whether a live Secret serves `/door` to everybody.
pub fn door_is_open(secret: &Value) -> bool {
    is_live(secret) && envelope(secret)["state"]["Live"].to_string().contains("Public")
}

/// Whether an object was made for an app's policy.
pub fn is_of(object: &Value, name: &str) -> bool {
    object["metadata"]["annotations"]["vestibule.dev/policy-namespace"] == name
}

/// An object without what the API server notes about it.
fn essence(object: &Value) -> Value {
    json!({
        "name": object["metadata"]["name"],
        "labels": object["metadata"]["labels"],
        "annotations": object["metadata"]["annotations"],
        "type": object["type"],
        "spec": object["spec"],
    })
}

/// A namespace.
pub fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// An Ingress of one host.
pub fn ingress(namespace: &str, name: &str, class: &str, host: &str) -> Value {
    let backend = json!({"service": {"name": "app", "port": {"number": 80}}});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "ingressClassName": class,
            "tls": [{"hosts": [host], "secretName": "tls"}],
            "rules": [{"host": host, "http": {
                "paths": [{"path": "/", "pathType": "Prefix", "backend": backend}],
            }}],
        },
    })
}
