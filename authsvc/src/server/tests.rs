//! The whole service on real ports and a real folder: reloads, readiness, limits and draining.

mod refusals;

use std::fs;
use std::path::PathBuf;

use axum::Router;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::*;

/// Everything that is awaited comes within this time, or the test fails.
const SOON: Duration = Duration::from_secs(5);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

struct Folder {
    root: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let folder = Self { root: tempfile::tempdir().unwrap() };
        fs::create_dir_all(folder.secret().parent().unwrap()).unwrap();
        fs::create_dir(folder.policies()).unwrap();
        fs::write(folder.secret(), "canary-client-secret\n").unwrap();
        folder
    }

    fn policies(&self) -> PathBuf {
        self.root.path().join("policies")
    }

    fn secret(&self) -> PathBuf {
        self.root.path().join("secrets/default/shop-oidc/client-secret")
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.policies().join(file), text).unwrap();
    }

    fn settings(&self) -> Settings {
        Settings {
            secrets: Some(self.root.path().join("secrets")),
            ..Settings::embedded(self.policies())
        }
    }

    async fn start(&self) -> Running {
        let running = start(self.settings()).await.unwrap();
        eventually("it is ready", || async { running.is_ready() }).await;
        running
    }
}

/// A provider and a policy `shop` whose `/` has this access.
fn shop(access: &str) -> String {
    format!(
        "apiVersion: vestibule.dev/v1alpha1
kind: BffProvider
metadata: {{name: corp}}
spec: {{issuer: http://127.0.0.1:9}}
---
apiVersion: vestibule.dev/v1alpha1
kind: BffPolicy
metadata: {{name: shop}}
spec:
  origins: [http://localhost:8080]
  providerRef: {{name: corp}}
  client: {{id: shop, secretRef: {{name: shop-oidc, key: client-secret}}}}
  routes: [{{path: /, access: {access}}}]
"
    )
}

async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let waited = tokio::time::timeout(SOON, async {
        while !condition().await {
            ticks.tick().await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// Sends one request on a new connection; the whole answer as text.
async fn ask(addr: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn status_of(answer: &str) -> u16 {
    answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0)
}

async fn check(running: &Running, policy: &str) -> u16 {
    let head = format!(
        "GET /check/nginx/default/{policy} HTTP/1.1\r\nHost: authsvc\r\nX-Original-Method: GET\r\n\
         X-Original-URL: http://localhost:8080/\r\n"
    );
    status_of(&ask(running.check_addr, &head).await)
}

async fn check_becomes(running: &Running, policy: &str, status: u16) {
    eventually(&format!("{policy} answers {status}"), || async {
        check(running, policy).await == status
    })
    .await;
}

#[tokio::test]
async fn an_edit_is_live_and_a_broken_file_keeps_what_was_good() {
    let folder = Folder::new();
    folder.write("shop.yaml", &shop("Public"));
    let running = folder.start().await;
    assert_eq!(check(&running, "shop").await, 200);
    folder.write("shop.yaml", &shop("Session"));
    check_becomes(&running, "shop", 401).await;
    // The second file tells when the first was read again.
    folder.write("shop.yaml", &shop("Public").replace("routes:", "routs:"));
    folder.write("other.yaml", "kind: BffPolicy\nmetadata: {name: other}\n");
    let refused = |policy| {
        let app = Arc::clone(&running.app);
        async move { matches!(app.policies.find("default", policy), crate::policies::Lookup::Refused) }
    };
    eventually("the other is refused", || refused("other")).await;
    assert_eq!(check(&running, "other").await, 503);
    assert_eq!(check(&running, "shop").await, 401);
    fs::create_dir(folder.policies().join("team")).unwrap();
    fs::rename(folder.policies().join("shop.yaml"), folder.policies().join("team/shop.yaml"))
        .unwrap();
    folder.write("team/shop.yaml", &shop("Public"));
    check_becomes(&running, "shop", 200).await;
    fs::remove_dir_all(folder.policies().join("team")).unwrap();
    check_becomes(&running, "shop", 503).await;
    running.shutdown().await;
}

#[tokio::test]
async fn a_secret_that_comes_later_makes_the_policy_good() {
    let folder = Folder::new();
    fs::remove_dir_all(folder.root.path().join("secrets/default")).unwrap();
    folder.write("shop.yaml", &shop("Public"));
    let running = folder.start().await;
    assert_eq!(check(&running, "shop").await, 503);
    fs::create_dir_all(folder.secret().parent().unwrap()).unwrap();
    fs::write(folder.secret(), "canary-client-secret").unwrap();
    check_becomes(&running, "shop", 200).await;
    fs::remove_file(folder.secret()).unwrap();
    folder.write("late.yaml", "kind: BffPolicy\nmetadata: {name: late}\n");
    eventually("the folder was read again", || async { running.app.policies.count() == (1, 1) })
        .await;
    assert_eq!(check(&running, "shop").await, 200, "the last good form stays");
    running.shutdown().await;
}

#[tokio::test]
async fn a_mounted_config_map_is_followed_from_version_to_version() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    let policies = folder.policies();
    let version = |name: &str, access: &str| {
        fs::create_dir(policies.join(name)).unwrap();
        fs::write(policies.join(name).join("shop.yaml"), shop(access)).unwrap();
        symlink(name, policies.join("..data_tmp")).unwrap();
        fs::rename(policies.join("..data_tmp"), policies.join("..data")).unwrap();
    };
    version("..1", "Public");
    symlink("..data/shop.yaml", policies.join("shop.yaml")).unwrap();
    let running = folder.start().await;
    assert_eq!(check(&running, "shop").await, 200);
    version("..2", "Deny");
    fs::remove_dir_all(policies.join("..1")).unwrap();
    check_becomes(&running, "shop", 403).await;
    running.shutdown().await;
}

#[tokio::test]
async fn a_new_keyring_is_live_and_a_broken_one_is_no_start() {
    let folder = Folder::new();
    folder.write("shop.yaml", &shop("Public"));
    let file = folder.root.path().join("keyring.yaml");
    let keyring = |byte: u8| {
        use base64::Engine as _;
        let secret = base64::engine::general_purpose::STANDARD.encode([byte; 32]);
        format!("keys:\n  - {{id: k{byte}, secret: {secret}}}\n")
    };
    fs::write(&file, keyring(1)).unwrap();
    let settings = Settings { keyring: Some(file.clone()), ..folder.settings() };
    let running = start(settings.clone()).await.unwrap();
    let jwks =
        || ask(running.browser_addr, "GET /bff/jwks.json HTTP/1.1\r\nHost: localhost:8080\r\n");
    eventually("keys are shown", || async { status_of(&jwks().await) == 200 }).await;
    let keys_of = |answer: String| answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned();
    let first = keys_of(jwks().await);
    fs::write(&file, "keys: []\n").unwrap();
    fs::write(folder.root.path().join("next"), keyring(2)).unwrap();
    fs::rename(folder.root.path().join("next"), &file).unwrap();
    eventually("the keys change", || async { keys_of(jwks().await) != first }).await;
    running.shutdown().await;
    fs::write(&file, "keys: []\n").unwrap();
    let error = start(settings).await.err().unwrap();
    assert_eq!(error.exit_code(), 64);
    assert!(error.to_string().starts_with("--keyring: "), "{error}");
}

#[tokio::test]
async fn metrics_show_what_happened_and_no_text_of_a_request() {
    let folder = Folder::new();
    folder.write("shop.yaml", &shop("Session"));
    let running = folder.start().await;
    for head in [
        "GET /check/nginx/default/shop HTTP/1.1\r\nHost: canary\r\nCookie: __Host-bff=canary\r\n\
         X-Original-Method: CANARY\r\nX-Original-URL: http://localhost:8080/canary?code=canary\r\n",
        "GET /check/canary/canary/canary HTTP/1.1\r\nHost: canary\r\n",
        "GET /check/traefik/canary/canary HTTP/1.1\r\nHost: canary\r\n",
    ] {
        assert_ne!(status_of(&ask(running.check_addr, head).await), 200);
    }
    let login = "GET /bff/callback?code=canary&state=canary HTTP/1.1\r\nHost: localhost:8080\r\n";
    ask(running.browser_addr, login).await;
    let text = ask(running.admin_addr, "GET /metrics HTTP/1.1\r\nHost: admin\r\n").await;
    assert!(text.contains("vestibule_policies{state=\"live\"} 1"), "{text}");
    assert!(text.contains("vestibule_checks_total{dialect=\"nginx\""), "{text}");
    assert!(!text.to_lowercase().contains("canary"), "{text}");
    running.shutdown().await;
}

#[tokio::test]
async fn t004_health_and_metrics_are_on_the_admin_port_alone() {
    let folder = Folder::new();
    folder.write("shop.yaml", &shop("Public"));
    let running = folder.start().await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost:8080\r\n");
        assert_eq!(status_of(&ask(running.admin_addr, &head).await), 200);
        assert_ne!(status_of(&ask(running.check_addr, &head).await), 200);
        assert_ne!(status_of(&ask(running.browser_addr, &head).await), 200);
    }
    let head = "GET /check/nginx/default/shop HTTP/1.1\r\nHost: localhost:8080\r\n";
    assert_eq!(status_of(&ask(running.admin_addr, head).await), 404);
    running.shutdown().await;
}

#[tokio::test]
async fn while_it_drains_it_is_not_ready_and_still_answers() {
    let folder = Folder::new();
    folder.write("shop.yaml", &shop("Public"));
    let settings = Settings { drain_delay: Duration::from_mins(1), ..folder.settings() };
    let running = start(settings).await.unwrap();
    eventually("it is ready", || async { running.is_ready() }).await;
    let (admin, check) = (running.admin_addr, running.check_addr);
    let ending = tokio::spawn(running.shutdown());
    let ready = || ask(admin, "GET /readyz HTTP/1.1\r\nHost: admin\r\n");
    eventually("it is not ready", || async { status_of(&ready().await) == 503 }).await;
    let mut stream = TcpStream::connect(check).await.unwrap();
    let head = "GET /check/nginx/default/shop HTTP/1.1\r\nHost: a\r\nX-Original-Method: GET\r\n\
                X-Original-URL: http://localhost:8080/\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(status_of(&answer), 200);
    assert!(answer.contains("connection: close"), "{answer}");
    ending.abort();
}

fn listen(router: Router, limits: Limits) -> Listener {
    let (socket, addr) = listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    Listener::serve(socket, addr, Port::Check, router, limits)
}

#[tokio::test]
async fn a_request_under_way_is_finished_when_the_port_closes() {
    let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (seen, wait) = (Arc::clone(&arrived), Arc::clone(&go_on));
    let slow = get(move || async move {
        seen.notify_one();
        wait.notified().await;
        "done"
    });
    let listener = listen(Router::new().route("/", slow), Limits::USUAL);
    let addr = listener.addr;
    let answer = tokio::spawn(ask(addr, "GET / HTTP/1.1\r\nHost: a\r\n"));
    let _idle = TcpStream::connect(addr).await.unwrap();
    arrived.notified().await;
    let finished = tokio::spawn(listener.finish(SOON));
    eventually("the port is closed", || async { TcpStream::connect(addr).await.is_err() }).await;
    go_on.notify_one();
    assert!(answer.await.unwrap().ends_with("done"));
    tokio::time::timeout(SOON, finished).await.unwrap().unwrap();
}

#[tokio::test]
async fn slow_headers_end_a_connection_and_idle_time_does_not() {
    let limits = Limits {
        headers: Duration::from_millis(100),
        idle: Duration::from_mins(1),
        ..Limits::USUAL
    };
    let listener = listen(Router::new().route("/", get(|| async { "ok" })), limits);
    let mut slow = TcpStream::connect(listener.addr).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(SOON, slow.read_to_end(&mut rest)).await.unwrap().ok();
    assert!(!rest.starts_with(b"HTTP/1.1 200"));

    let mut kept = TcpStream::connect(listener.addr).await.unwrap();
    let mut buffer = [0; 512];
    for _ in 0..3 {
        kept.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let read = tokio::time::timeout(SOON, kept.read(&mut buffer)).await.unwrap().unwrap();
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200"));
        // Nothing comes, not even an end, for longer than headers may take.
        let idle = tokio::time::timeout(3 * limits.headers, kept.read(&mut buffer)).await;
        assert!(idle.is_err());
    }
    listener.finish(SOON).await;
}

#[tokio::test]
async fn a_client_that_asks_nothing_is_let_go_and_one_that_is_being_told_something_is_not() {
    let limits = Limits { idle: Duration::from_millis(100), ..Limits::USUAL };
    let news = get(|| async {
        let ticks = tokio::time::interval(Duration::from_millis(20));
        axum::body::Body::from_stream(futures_util::stream::unfold(ticks, |mut ticks| async {
            ticks.tick().await;
            Some((Ok::<_, io::Error>("news\n"), ticks))
        }))
    });
    let listener = listen(Router::new().route("/news", news), limits);
    let mut silent = TcpStream::connect(listener.addr).await.unwrap();
    let mut told = TcpStream::connect(listener.addr).await.unwrap();
    told.write_all(b"GET /news HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut end = Vec::new();
    tokio::time::timeout(SOON, silent.read_to_end(&mut end)).await.unwrap().ok();
    assert!(end.is_empty());
    let mut heard = 0;
    let mut buffer = [0; 512];
    // More than comes within the limit, even twice.
    while heard < 30 * "news\n".len() {
        let read = tokio::time::timeout(SOON, told.read(&mut buffer)).await.unwrap().unwrap();
        assert_ne!(read, 0, "cut off after {heard} bytes");
        heard += read;
    }
    drop(told);
    listener.finish(SOON).await;
}

#[tokio::test]
async fn an_answer_that_nobody_takes_ends_its_connection() {
    struct Sent(Arc<Notify>);
    impl Drop for Sent {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let ended = Arc::new(Notify::new());
    let sent = Arc::clone(&ended);
    let endless = get(move || async move {
        let chunk = |sent| async { Some((Ok::<_, io::Error>(vec![0_u8; 65_536]), sent)) };
        axum::body::Body::from_stream(futures_util::stream::unfold(Sent(sent), chunk))
    });
    let limits = Limits { write: Duration::from_millis(100), ..Limits::USUAL };
    let listener = listen(Router::new().route("/", endless), limits);
    let mut reader = TcpStream::connect(listener.addr).await.unwrap();
    reader.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::timeout(SOON, ended.notified()).await.unwrap();
    listener.finish(SOON).await;
}

#[tokio::test]
async fn a_defect_is_a_500_and_a_large_body_is_refused() {
    let folder = Folder::new();
    let running = folder.start().await;
    let routes = Router::new()
        .route("/defect", get(|| async { assert!(std::hint::black_box(false), "canary") }))
        .route("/body", post(|body: String| async move { body.len().to_string() }));
    let drained = running.draining.subscribe();
    let guarded = middleware::around(routes, Port::Browser, &running.app, &drained, true);
    let listener = listen(guarded, Limits::USUAL);
    let answer = ask(listener.addr, "GET /defect HTTP/1.1\r\nHost: a\r\n").await;
    assert_eq!(status_of(&answer), 500);
    assert!(!answer.contains("canary"));
    assert!(running.app.metrics.render().contains("vestibule_panics_total 1"));
    let head = "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n";
    assert_eq!(status_of(&ask(listener.addr, head).await), 413);
    listener.finish(SOON).await;
    running.shutdown().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let folder = Folder::new();
    let running = folder.start().await;
    let settings = Settings { check_addr: running.browser_addr, ..folder.settings() };
    let error = start(settings).await.err().unwrap();
    assert!(error.to_string().starts_with("--check-addr: "), "{error}");
    assert_eq!(error.exit_code(), 1);
    running.shutdown().await;
}
