//! `make scale`: what many policies cost, on a bare API server with one operator and two authsvc. It
//! prints the table of `docs/performance.md`. The arguments are the numbers of policies.
//!
//! The pods of authsvc are objects only; their addresses are loopback addresses of this machine,
//! where the real programs listen.
#![expect(clippy::expect_used, reason = "a measurement whose parts fail ends, with the reason")]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vestibule_e2e::apiserver::{ApiServer, FaultProxy, NAMESPACE, Operator};
use vestibule_e2e::capacity::{Replica, Usage};
use vestibule_e2e::http::Request;
use vestibule_e2e::process::{eventually, free_port};
use vestibule_e2e::provider::{CLIENT_SECRET, Provider};

const LIMIT: Duration = Duration::from_mins(30);
const REPLICAS: [&str; 2] = ["127.0.0.2", "127.0.0.3"];
const PER_NAMESPACE: usize = 100;
const EDITS: usize = 100;
/// After this time without a write a resync has written what it would.
const QUIET: Duration = Duration::from_secs(20);

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|n| n.parse().ok()).collect();
    assert!(!sizes.is_empty(), "usage: scale POLICIES…");
    println!(
        "| policies | all `Programmed` after | operator: memory (most), CPU | authsvc: memory, CPU | API server and etcd: CPU | edit to enforced on both: p50, p99 | resync without a change: took, status writes, other writes |"
    );
    println!("|---|---|---|---|---|---|---|");
    for policies in sizes {
        println!("{}", measure(policies));
    }
}

/// One line of the table.
fn measure(policies: usize) -> String {
    let bench = Bench::start(policies);
    let operator = bench.operator(&bench.api.kubeconfig());
    let start = Instant::now();
    bench.wait_until_programmed();
    let programmed = start.elapsed();
    let own = Usage::of(operator.id());
    let authsvc: Vec<Usage> = bench.authsvc.iter().map(|one| Usage::of(one.id())).collect();
    let servers: f64 = bench.api.processes().map(|id| Usage::of(id).cpu).iter().sum();
    let mut times: Vec<Duration> = (0..EDITS).map(|round| bench.edit(round)).collect();
    times.sort();
    bench.wait_until_programmed();
    operator.kill();
    let (took, status, others) = bench.resync();
    format!(
        "| {policies} | {:.1} s | {} MiB ({} MiB), {:.1} s | {} | {servers:.0} s | {} ms, {} ms | {:.1} s, {status}, {others} |",
        programmed.as_secs_f64(),
        own.memory,
        own.most,
        own.cpu,
        authsvc
            .iter()
            .map(|usage| format!("{} MiB, {:.1} s", usage.memory, usage.cpu))
            .collect::<Vec<_>>()
            .join("; "),
        times[EDITS / 2].as_millis(),
        times[EDITS * 99 / 100].as_millis(),
        took.as_secs_f64(),
    )
}

/// The API with all policies in it, and two authsvc that run. No operator runs.
struct Bench {
    authsvc: Vec<Replica>,
    admin_port: u16,
    policies: usize,
    _provider: Provider,
    api: ApiServer,
}

impl Bench {
    fn start(policies: usize) -> Self {
        let api = ApiServer::start();
        let provider = Provider::start(api.dir(), &[], None);
        api.apply(&object("v1", "Namespace", "", NAMESPACE));
        let mut class = object("networking.k8s.io/v1", "IngressClass", "", "traefik");
        class["spec"] = json!({"controller": "traefik.io/ingress-controller"});
        api.apply(&class);
        let mut corp = object("vestibule.dev/v1alpha1", "ClusterBffProvider", "", "corp");
        corp["spec"] = json!({"issuer": provider.issuer});
        api.apply(&corp);
        let bench = Self {
            authsvc: Vec::new(),
            admin_port: free_port(),
            policies,
            _provider: provider,
            api,
        };
        bench.write_keys();
        bench.create_all();
        bench.with_authsvc()
    }

    /// The operator makes the keys; a volume would bring them to authsvc.
    fn write_keys(&self) {
        let operator = self.operator(&self.api.kubeconfig());
        let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/vestibule-keys");
        let keys = eventually(LIMIT, || self.api.get(&path)).expect("the operator makes keys");
        for key in ["keyring.yaml", "admin-token"] {
            let text = keys["data"][key].as_str().expect("a key");
            let bytes = STANDARD.decode(text).expect("base64");
            std::fs::write(self.api.dir().join(key), bytes).expect("writable");
        }
        operator.kill();
    }

    fn create_all(&self) {
        let start = Instant::now();
        let namespaces = self.policies.div_ceil(PER_NAMESPACE);
        std::thread::scope(|scope| {
            for worker in 0..4 {
                scope.spawn(move || {
                    (worker..namespaces).step_by(4).for_each(|number| self.create(number));
                });
            }
        });
        eprintln!("{} policies created in {:?}", self.policies, start.elapsed());
    }

    /// One namespace with its policies.
    fn create(&self, number: usize) {
        let namespace = namespace_of(number * PER_NAMESPACE);
        self.api.apply(&object("v1", "Namespace", "", &namespace));
        let mut secret = object("v1", "Secret", &namespace, "oidc");
        secret["data"] = json!({"secret": STANDARD.encode(CLIENT_SECRET)});
        self.api.apply(&secret);
        let first = number * PER_NAMESPACE;
        for index in first..(first + PER_NAMESPACE).min(self.policies) {
            self.api.apply(&ingress(index));
            self.api.apply(&policy(index));
        }
    }

    fn with_authsvc(mut self) -> Self {
        for address in REPLICAS {
            let ip: IpAddr = address.parse().expect("an address");
            let token = self.api.dir().join("admin-token").display().to_string();
            let arguments = ["--admin-token-file", &token];
            let authsvc = Replica::start(&self.api, ip, self.admin_port, &arguments);
            self.authsvc.push(authsvc);
            let name = format!("authsvc-{}", self.authsvc.len());
            let mut pod = object("v1", "Pod", NAMESPACE, &name);
            pod["metadata"]["labels"] = json!({
                "app.kubernetes.io/name": "vestibule", "app.kubernetes.io/component": "authsvc",
            });
            pod["spec"] = json!({"containers": [{"name": "authsvc", "image": "here"}]});
            self.api.apply(&pod);
            let status = json!({
                "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
                "conditions": [{"type": "Ready", "status": "True"}],
            });
            let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}/status");
            self.api.merge(&path, &json!({ "status": status }));
        }
        self
    }

    fn operator(&self, kubeconfig: &str) -> Operator {
        let port = format!("--authsvc-admin-port={}", self.admin_port);
        Operator::start(kubeconfig, self.api.dir(), &[&port])
    }

    /// Asks one namespace after the other, so that asking costs little.
    fn wait_until_programmed(&self) {
        for number in 0..self.policies.div_ceil(PER_NAMESPACE) {
            let namespace = namespace_of(number * PER_NAMESPACE);
            let path = format!("/apis/vestibule.dev/v1alpha1/namespaces/{namespace}/bffpolicies");
            let mut last = Value::Null;
            let done = eventually(LIMIT, || {
                last = self.api.object(&path);
                let all = last["items"].as_array()?.iter().all(is_programmed);
                if !all {
                    std::thread::sleep(Duration::from_millis(200));
                }
                all.then_some(())
            });
            let waiting = last["items"].as_array().into_iter().flatten();
            let waiting: Vec<&Value> = waiting.filter(|one| !is_programmed(one)).take(1).collect();
            assert!(done.is_some(), "not Programmed: {waiting:?}");
        }
    }

    /// Opens or closes a route of one policy; the time from the API server's answer until both
    /// replicas answer so.
    fn edit(&self, round: usize) -> Duration {
        let index = (round / 2) * self.policies / EDITS;
        let (access, wanted) =
            if round.is_multiple_of(2) { ("Public", 200) } else { ("Deny", 403) };
        let patch = json!({"spec": {"routes": [{"path": "/door", "access": access}]}});
        let (namespace, name) = (namespace_of(index), name_of(index));
        let path =
            format!("/apis/vestibule.dev/v1alpha1/namespaces/{namespace}/bffpolicies/{name}");
        self.api.merge(&path, &patch);
        let start = Instant::now();
        let target = format!("/check/traefik/{namespace}/{name}");
        let ask = Request::get(target, "check")
            .header("X-Forwarded-Method", "GET")
            .header("X-Forwarded-Host", host_of(index))
            .header("X-Forwarded-Uri", "/door");
        let enforced = eventually(LIMIT, || {
            let answers = |one: &Replica| {
                ask.try_send(one.check).is_some_and(|answer| answer.status == wanted)
            };
            self.authsvc.iter().all(answers).then_some(())
        });
        assert!(enforced.is_some(), "{access} is not enforced");
        start.elapsed()
    }

    /// Starts an operator that finds everything done: how long it looks, and what it writes.
    fn resync(&self) -> (Duration, usize, usize) {
        let proxy = FaultProxy::start(self.api.plain());
        let kubeconfig = self.api.kubeconfig_by(proxy.address());
        let start = Instant::now();
        let operator = self.operator(&kubeconfig);
        let compiled = format!("/{NAMESPACE}/secrets/vestibule-policy-");
        let looked = eventually(LIMIT, || {
            std::thread::sleep(Duration::from_millis(200));
            let calls = proxy.calls();
            let looks =
                calls.iter().filter(|call| call.method == "GET" && call.target.contains(&compiled));
            (looks.count() >= self.policies).then_some(())
        });
        assert!(looked.is_some(), "it does not look at every policy");
        let took = start.elapsed();
        std::thread::sleep(QUIET);
        operator.kill();
        let calls = proxy.take_calls();
        let writes =
            calls.iter().filter(|call| call.method != "GET" && !call.target.contains("/leases"));
        let (status, others): (Vec<_>, Vec<_>) =
            writes.partition(|call| call.target.contains("/status"));
        for call in status.iter().chain(&others).take(5) {
            let body = String::from_utf8_lossy(&call.body);
            eprintln!("written on the resync: {} {} {body}", call.method, call.target);
        }
        (took, status.len(), others.len())
    }
}

fn is_programmed(policy: &Value) -> bool {
    let conditions = policy["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| {
        condition["type"] == "Programmed"
            && condition["status"] == "True"
            && condition["observedGeneration"] == policy["metadata"]["generation"]
    })
}

fn namespace_of(index: usize) -> String {
    format!("team-{}", index / PER_NAMESPACE)
}

fn name_of(index: usize) -> String {
    format!("app-{index}")
}

fn host_of(index: usize) -> String {
    format!("app-{index}.example.com")
}

fn ingress(index: usize) -> Value {
    let (name, host) = (name_of(index), host_of(index));
    let mut ingress = object("networking.k8s.io/v1", "Ingress", &namespace_of(index), &name);
    let backend = json!({"service": {"name": "app", "port": {"number": 80}}});
    let paths = json!([{"path": "/", "pathType": "Prefix", "backend": backend}]);
    ingress["spec"] = json!({
        "ingressClassName": "traefik",
        "tls": [{"hosts": [host], "secretName": "tls"}],
        "rules": [{"host": host, "http": {"paths": paths}}],
    });
    ingress
}

fn policy(index: usize) -> Value {
    let name = name_of(index);
    let mut policy = object("vestibule.dev/v1alpha1", "BffPolicy", &namespace_of(index), &name);
    policy["spec"] = json!({
        "targetRefs": [{"group": "networking.k8s.io", "kind": "Ingress", "name": name}],
        "providerRef": {"kind": "ClusterBffProvider", "name": "corp"},
        "client": {"id": "shop", "secretRef": {"name": "oidc", "key": "secret"}},
        "routes": [{"path": "/door", "access": "Deny"}],
    });
    policy
}

fn object(version: &str, kind: &str, namespace: &str, name: &str) -> Value {
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}});
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}
