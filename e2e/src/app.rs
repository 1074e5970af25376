//! An app as its team deploys it: a namespace, the app, its TLS certificate, a provider of its own, a
//! `BffPolicy` and an Ingress. What differs between tests is in its fields.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::browser::Browser;
use crate::cluster::{Cluster, Image, NODE};
use crate::http::{Request, Response};
use crate::installation::Guise;
use crate::process::eventually;
use crate::provider::{CLIENT_SECRET, Provider};

/// How long a policy may take until it is in force everywhere, and a gateway to follow.
pub const LIMIT: Duration = Duration::from_secs(90);

/// The usual routes.
pub const ROUTES: &str = r#"
    - {path: /public, access: Public}
    - {path: /denied, access: Deny}
    - path: /staff
      require: {expression: 'claims.groups.exists(g, g == "staff")'}
    - path: /
      upstream:
        authorization: AccessToken
        headers: [{name: X-User, value: claims.sub}, {name: X-Groups, value: claims.groups}]
"#;

/// A deployed app.
#[derive(Debug)]
pub struct App {
    /// Its namespace, and the first label of its host.
    pub namespace: String,
    /// How its Ingress is served.
    pub guise: Guise,
    /// Its public host.
    pub host: String,
    /// Where its users log in.
    pub provider: Provider,
    /// Its files.
    pub dir: TempDir,
}

impl App {
    /// Deploys everything but the policy and the Ingress.
    #[must_use]
    pub fn deploy(on: &Cluster, namespace: &str, guise: Guise) -> Self {
        let dir = TempDir::with_prefix("vestibule-app-").expect("a temporary folder");
        let host = format!("{namespace}.example.test");
        let provider = Provider::start_at(NODE, dir.path(), &[&format!("https://{host}")], None);
        on.apply(&format!(
            "apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: echo, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: echo}}}}
  template:
    metadata: {{labels: {{app: echo}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{{name: echo, image: '{image}', imagePullPolicy: Never, readinessProbe: {{tcpSocket: {{port: 8000}}, periodSeconds: 1}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: echo, namespace: {namespace}}}
spec: {{selector: {{app: echo}}, ports: [{{port: 80, targetPort: 8000}}]}}
---
apiVersion: v1
kind: Secret
metadata: {{name: shop-oidc, namespace: {namespace}}}
stringData: {{client-secret: {CLIENT_SECRET}}}
---
apiVersion: vestibule.dev/v1alpha1
kind: BffProvider
metadata: {{name: idp, namespace: {namespace}}}
spec: {{issuer: '{issuer}'}}
",
            image = Image::echo().reference(),
            issuer = provider.issuer,
        ));
        certificate(on, namespace, &host, dir.path());
        on.wait_for_rollout(namespace, "echo", LIMIT);
        Self { namespace: namespace.to_owned(), guise, host, provider, dir }
    }

    /// Deploys everything and waits until the policy is in force and the gateway asks.
    #[must_use]
    pub fn start(on: &Cluster, namespace: &str, guise: Guise) -> Self {
        let app = Self::deploy(on, namespace, guise);
        on.apply(&app.policy(ROUTES));
        on.apply(&app.ingress(""));
        app.wait_until_protected(on);
        app
    }

    /// Waits until the policy is in force and the gateway serves the app by it.
    pub fn wait_until_protected(&self, on: &Cluster) {
        on.wait_for(&["-n", &self.namespace, "bffpolicy/shop"], "condition=Programmed", LIMIT);
        let served = eventually(LIMIT, || {
            let answer = self.ask(on, "/bff/session");
            (answer.status == 401).then_some(())
        });
        assert!(served.is_some(), "/bff is not served: {}", self.ask(on, "/bff/session"));
        let served = eventually(LIMIT, || (self.ask(on, "/").status == 401).then_some(()));
        assert!(served.is_some(), "the app is not protected: {}", self.ask(on, "/"));
    }

    /// The policy, with these routes.
    #[must_use]
    pub fn policy(&self, routes: &str) -> String {
        self.policy_of("shop", &format!("  routes: {routes}"))
    }

    /// A policy of that name with these lines of its `spec`.
    #[must_use]
    pub fn policy_of(&self, name: &str, spec: &str) -> String {
        format!(
            "apiVersion: vestibule.dev/v1alpha1
kind: BffPolicy
metadata: {{name: {name}, namespace: {}}}
spec:
  providerRef: {{name: idp}}
  client: {{id: shop, secretRef: {{name: shop-oidc, key: client-secret}}}}
{spec}
",
            self.namespace
        )
    }

    /// The Ingress, with these further annotations, each a line such as `key: value`.
    #[must_use]
    pub fn ingress(&self, annotations: &str) -> String {
        let more = annotations.lines().fold(String::new(), |all, line| all + "\n    " + line);
        format!(
            "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  namespace: {namespace}
  annotations:
    vestibule.dev/policy: shop
    # Tests of single requests come in plain HTTP, as from a load balancer that ends TLS.
    nginx.ingress.kubernetes.io/ssl-redirect: 'false'{more}
spec:
  ingressClassName: {class}
  tls: [{{hosts: [{host}], secretName: shop-tls}}]
  rules:
    - host: {host}
      http:
        paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: echo, port: {{number: 80}}}}}}}}]
",
            namespace = self.namespace,
            class = self.guise.class(),
            host = self.host,
        )
    }

    /// An `IngressRoute` called `shop-ENTRYPOINT` with these annotations and middlewares: in plain
    /// HTTP for `web`, with TLS for `websecure`.
    #[must_use]
    pub fn ingress_route(
        &self,
        entry_point: &str,
        annotations: &str,
        middlewares: &[&str],
    ) -> String {
        let named: Vec<_> = middlewares.iter().map(|name| format!("{{name: {name}}}")).collect();
        let tls = if entry_point == "web" { "" } else { "  tls: {secretName: shop-tls}\n" };
        format!(
            "apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata:
  name: shop-{entry_point}
  namespace: {namespace}
  annotations: {{{annotations}}}
spec:
  entryPoints: [{entry_point}]
{tls}  routes:
    - kind: Rule
      match: Host(`{host}`)
      middlewares: [{middlewares}]
      services: [{{name: echo, port: 80}}]
",
            namespace = self.namespace,
            host = self.host,
            middlewares = named.join(", "),
        )
    }

    /// The public origin.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("https://{}", self.host)
    }

    /// The public URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.host)
    }

    /// What the gateway answers to a script's GET without a session.
    #[must_use]
    pub fn ask(&self, on: &Cluster, path: &str) -> Response {
        let request = Request::get(path, &self.host).header("Accept", "application/json");
        request.try_send(on.gateway(self.guise, 8000)).unwrap_or_default()
    }

    /// The status of a check of the policy at each of these replicas, as a gateway asks for a GET
    /// without a session; 0 where there is no answer.
    #[must_use]
    pub fn check(&self, replicas: &[IpAddr], path: &str) -> Vec<u16> {
        let ask = Request::get(format!("/check/traefik/{}/shop", self.namespace), "check")
            .header("X-Forwarded-Method", "GET")
            .header("X-Forwarded-Host", &self.host)
            .header("X-Forwarded-Uri", path);
        let answer = |address: &IpAddr| ask.try_send((*address, 8081).into());
        replicas.iter().map(|one| answer(one).map_or(0, |answer| answer.status)).collect()
    }

    /// A browser that finds the app, as behind a load balancer that ends TLS.
    #[must_use]
    pub fn browser(&self, on: &Cluster) -> Browser {
        let mut browser = Browser::default();
        browser.resolve(&self.origin(), on.gateway(self.guise, 8000));
        browser
    }

    /// A browser that is logged in as `user`.
    #[must_use]
    pub fn logged_in(&self, on: &Cluster, user: &str) -> Browser {
        let mut browser = self.browser(on);
        let page = browser.log_in(&self.url("/api"), user);
        assert_eq!(page.response.status, 200, "{page}");
        browser
    }

    /// Asks the API with `browser` all the while that `change` runs, and sees that no request fails.
    ///
    /// # Panics
    /// Where one does, or where too few were made to tell.
    pub fn under_load(&self, mut browser: Browser, change: impl FnOnce()) {
        let done = AtomicBool::new(false);
        let (count, failures) = std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                let (mut count, mut failures) = (0_u32, Vec::new());
                while !done.load(Ordering::Acquire) {
                    let answer = browser.fetch(&self.origin(), &self.url("/api"));
                    count += 1;
                    if answer.status != 200 {
                        failures.push(answer.to_string());
                    }
                }
                (count, failures)
            });
            // The load ends also where the change fails.
            let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(change));
            done.store(true, Ordering::Release);
            let loaded = load.join().expect("the load ends");
            if let Err(panic) = changed {
                std::panic::resume_unwind(panic);
            }
            loaded
        });
        println!("{}: {} of {count} requests failed", self.namespace, failures.len());
        assert!(count > 20, "{count} requests are no load");
        assert_eq!(failures, Vec::<String>::new(), "of {count}");
    }

    /// The policy object, as the API server has it.
    #[must_use]
    pub fn status(&self, on: &Cluster, policy: &str) -> Value {
        on.get(&["-n", &self.namespace, &format!("bffpolicy/{policy}")])["status"].clone()
    }

    /// A condition of a policy.
    #[must_use]
    pub fn condition(&self, on: &Cluster, policy: &str, kind: &str) -> Option<Value> {
        let status = self.status(on, policy);
        let conditions = status["conditions"].as_array()?;
        conditions.iter().find(|condition| condition["type"] == kind).cloned()
    }

    /// Waits until a condition has this status and reason, and returns its message.
    pub fn wait_for_condition(
        &self,
        on: &Cluster,
        policy: &str,
        [kind, status, reason]: [&str; 3],
    ) -> String {
        let found = eventually(LIMIT, || {
            let condition = self.condition(on, policy, kind)?;
            let met = condition["status"] == status && condition["reason"] == reason;
            met.then(|| condition["message"].as_str().unwrap_or_default().to_owned())
        });
        found
            .unwrap_or_else(|| panic!("no {kind}={status} {reason}: {:#}", self.status(on, policy)))
    }
}

fn certificate(on: &Cluster, namespace: &str, host: &str, dir: &Path) {
    let (key, cert) = (dir.join("tls.key"), dir.join("tls.crt"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", &format!("/CN={host}")])
        .args(["-addext", &format!("subjectAltName=DNS:{host}")])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (cert, key) = (format!("--cert={}", cert.display()), format!("--key={}", key.display()));
    on.kubectl(&["-n", namespace, "create", "secret", "tls", "shop-tls", &cert, &key]);
}
