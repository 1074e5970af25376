//! The cluster itself, before anything is installed: what every other test here builds on.

use std::time::Duration;

use vestibule_e2e::cluster::{Cluster, Image, NODE};
use vestibule_e2e::echo::Echoed as _;
use vestibule_e2e::http::Request;
use vestibule_e2e::process::eventually;

const LIMIT: Duration = Duration::from_mins(1);

/// Two replicas of the echo app behind a Service, in a namespace that allows only restricted pods.
fn echo_app(cluster: &Cluster, namespace: &str) {
    let image = Image::echo();
    cluster.import(&image);
    cluster.apply(&format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}, labels: {{pod-security.kubernetes.io/enforce: restricted}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: echo, namespace: {namespace}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: echo}}}}
  template:
    metadata: {{labels: {{app: echo}}}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}
      containers:
        - name: echo
          image: {image}
          imagePullPolicy: Never
          readinessProbe: {{tcpSocket: {{port: 8000}}, periodSeconds: 1}}
          securityContext:
            readOnlyRootFilesystem: true
            allowPrivilegeEscalation: false
            capabilities: {{drop: [ALL]}}
---
apiVersion: v1
kind: Service
metadata: {{name: echo, namespace: {namespace}}}
spec: {{selector: {{app: echo}}, ports: [{{port: 80, targetPort: 8000}}]}}
",
        image = image.reference()
    ));
    cluster.wait_for_rollout(namespace, "echo", LIMIT);
}

#[test]
fn its_node_is_ready_within_a_minute() {
    let cluster = Cluster::shared();
    let node = cluster.get(&["node", "node1"]);
    let ready = node["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|condition| condition["type"] == "Ready")
        .unwrap();
    assert_eq!(ready["status"], "True");
    assert!(cluster.ready_after() < LIMIT, "it took {:?}", cluster.ready_after());
}

#[test]
fn two_replicas_are_reached_through_their_service_from_this_machine() {
    let cluster = Cluster::shared();
    echo_app(&cluster, "harness-service");
    assert_eq!(cluster.pods("harness-service", "app=echo").len(), 2);
    let service = cluster.service("harness-service", "echo", 80);
    // A fresh Service reaches kube-proxy after its pods are ready.
    let answer = eventually(LIMIT, || Request::get("/hello", "echo").try_send(service)).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["target"], "/hello");
    assert_eq!(answer.json().values("host"), ["echo"]);
    for pod in cluster.pods("harness-service", "app=echo") {
        let address = std::net::SocketAddr::new(cluster.pod_ip("harness-service", &pod), 8000);
        assert_eq!(Request::get("/", "pod").send(address).status, 200);
    }
}

#[test]
fn names_resolve_in_a_pod() {
    let cluster = Cluster::shared();
    echo_app(&cluster, "harness-names");
    let pod = &cluster.pods("harness-names", "app=echo")[0];
    let resolve = |name: &str| cluster.exec("harness-names", pod, &["echo", "resolve", name]);
    let service = cluster.service("harness-names", "echo", 80).ip().to_string();
    for name in ["echo", "echo.harness-names", "echo.harness-names.svc.cluster.local"] {
        assert!(resolve(name).lines().any(|line| line == service), "{name}");
    }
    assert!(resolve("kubernetes.default.svc").contains("10.96.0.1"));
    // What runs beside the cluster.
    assert!(resolve("idp.test").contains(NODE));
    let outside = cluster.try_kubectl(&[
        "-n",
        "harness-names",
        "exec",
        pod,
        "--",
        "echo",
        "resolve",
        "example.com",
    ]);
    assert!(!outside.status.success(), "a pod resolves nothing of the internet");
}

#[test]
fn redis_and_traefik_run_as_pods() {
    let cluster = Cluster::shared();
    cluster.kubectl(&["create", "namespace", "harness-parts"]);
    for (name, image, arguments) in [
        ("redis", Image::redis(), vec!["redis-server", "--version"]),
        ("traefik", Image::traefik(), vec!["traefik", "version"]),
    ] {
        cluster.import(&image);
        let run =
            ["-n", "harness-parts", "run", name, "--restart=Never", "--image-pull-policy=Never"];
        let image = format!("--image={}", image.reference());
        cluster.kubectl(&[&run[..], &[&image, "--command", "--"], &arguments].concat());
        let pod = format!("pod/{name}");
        let done = "jsonpath={.status.phase}=Succeeded";
        cluster.wait_for(&["-n", "harness-parts", &pod], done, LIMIT);
        assert!(!cluster.logs("harness-parts", name).is_empty());
    }
}

#[test]
fn vestibules_image_runs() {
    let cluster = Cluster::shared();
    let image = Image::vestibule();
    cluster.import(&image);
    cluster.kubectl(&["create", "namespace", "harness-image"]);
    for program in ["vestibule-authsvc", "vestibule-operator", "vestibule"] {
        cluster.apply(&format!(
            "apiVersion: v1
kind: Pod
metadata: {{name: {program}, namespace: harness-image}}
spec:
  restartPolicy: Never
  securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
    - name: program
      image: {image}
      imagePullPolicy: Never
      command: [{program}, --help]
      securityContext: {{readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
",
            image = image.reference()
        ));
        let pod = format!("pod/{program}");
        let done = "jsonpath={.status.phase}=Succeeded";
        cluster.wait_for(&["-n", "harness-image", &pod], done, LIMIT);
        assert!(cluster.logs("harness-image", program).contains("Usage"), "{program}");
    }
}

#[test]
fn the_api_server_stops_and_starts_again_while_pods_go_on() {
    let cluster = Cluster::shared_alone();
    echo_app(&cluster, "harness-api");
    let service = cluster.service("harness-api", "echo", 80);
    let ask = || Request::get("/", "echo").try_send(service);
    eventually(LIMIT, ask).unwrap();
    cluster.stop_api_server();
    assert!(!cluster.try_kubectl(&["get", "nodes"]).status.success());
    assert_eq!(ask().unwrap().status, 200);
    cluster.start_api_server();
    assert_eq!(cluster.pods("harness-api", "app=echo").len(), 2);
    // Its controllers work again, too.
    cluster.kubectl(&["-n", "harness-api", "scale", "deployment/echo", "--replicas=3"]);
    cluster.wait_for_rollout("harness-api", "echo", LIMIT);
    assert_eq!(cluster.pods("harness-api", "app=echo").len(), 3);
}

#[test]
fn the_api_server_has_the_admission_policies() {
    let cluster = Cluster::shared();
    let groups = cluster.kubectl(&["api-resources", "--api-group=admissionregistration.k8s.io"]);
    assert!(groups.contains("mutatingadmissionpolicies"), "{groups}");
    assert!(groups.contains("validatingadmissionpolicies"), "{groups}");
}

#[test]
fn helm_reaches_the_cluster() {
    let cluster = Cluster::shared();
    assert!(cluster.helm(&["list", "--all-namespaces"]).contains("NAMESPACE"));
}
