//! `require.permission`, asked of a real OpenFGA by its own API and by AuthZEN, behind real gateways.
//! What its answers mean is tested in authsvc (`tests/openfga`).
#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use vestibule_e2e::browser::{Browser, parse};
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::openfga::{KEY, OpenFga};
use vestibule_e2e::stack::{Plan, Stack};

/// Makes each function a test of its own through each gateway.
macro_rules! through_each_gateway {
    ($($test:ident),+ $(,)?) => {
        through_each_gateway!(@ nginx, Nginx, $($test),+);
        through_each_gateway!(@ traefik, Traefik, $($test),+);
    };
    (@ $module:ident, $kind:ident, $($test:ident),+) => {
        mod $module {
            $(
                #[test]
                fn $test() {
                    super::$test(vestibule_e2e::gateway::Kind::$kind);
                }
            )+
        }
    };
}

through_each_gateway!(
    a_user_reaches_the_documents_that_a_tuple_names_and_no_others,
    a_deleted_tuple_shuts_its_user_out_within_the_bound,
    who_wants_to_know_every_write_is_shut_out_at_once,
    a_server_that_stands_still_or_ended_refuses_and_never_lets_in,
    the_same_is_asked_by_authzen,
);

const ROUTES: &str = r"
    - path: /documents
      require:
        permission:
          openFga: {relation: viewer, object: {type: document, id: '{id}', path: '/documents/{id}'}}
    - path: /records
      require:
        permission:
          authZen: {action: viewer, resource: {type: document, id: '{id}', path: '/records/{id}'}}
    - {path: /}
";

/// A stack with an OpenFGA in which alice views document 1.
struct Permissions {
    fga: OpenFga,
    store: String,
    stack: Stack,
    _dir: TempDir,
}

impl Permissions {
    /// `server` is how it is asked, `open_fga` what else is said of it.
    fn start(kind: Kind, server: &str, open_fga: &str) -> Self {
        let dir = TempDir::with_prefix("vestibule-openfga-").expect("a temporary folder");
        let fga = OpenFga::start(dir.path());
        let store = fga.create_store("shop");
        let viewers = json!({"viewer": {"directly_related_user_types": [{"type": "user"}]}});
        let model = json!({
            "schema_version": "1.1",
            "type_definitions": [
                {"type": "user"},
                {
                    "type": "document",
                    "relations": {"viewer": {"this": {}}},
                    "metadata": {"relations": viewers},
                },
            ],
        });
        let model = fga.write_model(&store, &model);
        fga.write(&store, "user:alice", "viewer", "document:1");
        let server = |path: &str| {
            let url = format!("{}{path}", fga.url());
            format!("{{url: '{url}', tokenRef: {{name: fga, key: token}}, {server}}}")
        };
        let plan = Plan::new(kind);
        let stack = Plan {
            spec: format!(
                "  openFga:\n    server: {}\n    storeId: {store}\n    modelId: {model}\n{open_fga}  \
                 authZen:\n    server: {}",
                server(""),
                server(&format!("/stores/{store}")),
            ),
            routes: ROUTES.to_owned(),
            secrets: vec![("default/fga/token".to_owned(), KEY.to_owned())],
            ..plan
        }
        .start();
        Self { fga, store, stack, _dir: dir }
    }

    fn status(&self, browser: &mut Browser, path: &str) -> u16 {
        browser.fetch(&self.stack.origin, &self.stack.url(path)).status
    }

    fn delete(&self) {
        self.fga.delete(&self.store, "user:alice", "viewer", "document:1");
    }

    fn unavailable(&self) -> u16 {
        self.stack.gateway.kind.unavailable()
    }
}

impl Drop for Permissions {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(!self.stack.authsvc.log().contains(KEY), "the key is in the log");
            assert!(!self.stack.authsvc.metrics().contains(KEY), "the key is in the metrics");
        }
    }
}

fn a_user_reaches_the_documents_that_a_tuple_names_and_no_others(kind: Kind) {
    let all = Permissions::start(kind, "cacheFor: 0s", "");
    let (mut alice, mut bob) = (all.stack.logged_in("alice"), all.stack.logged_in("bob"));
    for path in ["/documents/1", "/documents/1/", "/documents/1/pages/2?x=/documents/2"] {
        assert_eq!(all.status(&mut alice, path), 200, "{path}");
        assert_eq!(all.status(&mut bob, path), 403, "{path}");
    }
    all.stack.app.forget();
    let longer = format!("/documents/{}", "1".repeat(129));
    for path in [
        "/documents",
        "/documents/",
        "/documents/2",
        "/documents/11",
        "/documents/01",
        "/documents/2/documents/1",
        "/documents/*",
        "/documents/2:1",
        "/documents/document:1",
        "/documents/1%23viewer",
        "/documents/2%2F..%2F1",
        "/documents/2%20document:1",
        "/documents/%31%00",
        &longer,
    ] {
        let status = all.status(&mut alice, path);
        assert!(matches!(status, 400 | 403), "{path}: {status}");
    }
    assert_eq!(all.stack.app.seen().len(), 0);
    // Without a session nobody is asked: that is a login.
    let mut nobody = all.stack.browser();
    assert_eq!(all.status(&mut nobody, "/documents/1"), 401);
    let metrics = all.stack.authsvc.metrics();
    for outcome in ["granted", "denied"] {
        let line = format!("source=\"openfga\",outcome=\"{outcome}\"");
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
}

fn a_deleted_tuple_shuts_its_user_out_within_the_bound(kind: Kind) {
    let all = Permissions::start(kind, "cacheFor: 2s", "");
    let bound = Duration::from_secs(2);
    let mut alice = all.stack.logged_in("alice");
    assert_eq!(all.status(&mut alice, "/documents/1"), 200);
    all.delete();
    let deleted = Instant::now();
    loop {
        let begun = Instant::now();
        match all.status(&mut alice, "/documents/1") {
            // What is asked all the time is remembered no longer.
            200 => assert!(begun < deleted + bound, "{:?} after the deletion", begun - deleted),
            status => break assert_eq!(status, 403),
        }
    }
}

fn who_wants_to_know_every_write_is_shut_out_at_once(kind: Kind) {
    let all = Permissions::start(kind, "cacheFor: 1m", "    consistency: HigherConsistency\n");
    let mut alice = all.stack.logged_in("alice");
    assert_eq!(all.status(&mut alice, "/documents/1"), 200);
    all.delete();
    assert_eq!(all.status(&mut alice, "/documents/1"), 403);
    all.fga.write(&all.store, "user:alice", "viewer", "document:1");
    assert_eq!(all.status(&mut alice, "/documents/1"), 200);
}

fn a_server_that_stands_still_or_ended_refuses_and_never_lets_in(kind: Kind) {
    let mut all = Permissions::start(kind, "cacheFor: 0s, timeout: 1s", "");
    let mut alice = all.stack.logged_in("alice");
    for path in ["/documents/1", "/records/1"] {
        assert_eq!(all.status(&mut alice, path), 200, "{path}");
    }
    all.stack.app.forget();
    all.fga.freeze();
    for path in ["/documents/1", "/records/1"] {
        let begun = Instant::now();
        assert_eq!(all.status(&mut alice, path), all.unavailable(), "{path}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{path}: {:?}", begun.elapsed());
    }
    let page = alice.open(&all.stack.url("/documents/1"));
    assert_eq!(page.response.status, all.unavailable(), "no login helps: {page}");
    assert_eq!(all.stack.app.seen().len(), 0);
    // What needs no permission is not concerned.
    assert_eq!(all.status(&mut alice, "/page/home"), 200);
    all.fga.thaw();
    for path in ["/documents/1", "/records/1"] {
        assert_eq!(all.status(&mut alice, path), 200, "{path}");
    }
    all.stack.app.forget();
    all.fga.stop();
    for path in ["/documents/1", "/records/1", "/documents/2"] {
        assert_eq!(all.status(&mut alice, path), all.unavailable(), "{path}");
    }
    assert_eq!(all.stack.app.seen().len(), 0);
    let metrics = all.stack.authsvc.metrics();
    assert!(metrics.contains("source=\"openfga\",outcome=\"unavailable\""), "{metrics}");
}

fn the_same_is_asked_by_authzen(kind: Kind) {
    let all = Permissions::start(kind, "cacheFor: 2s", "");
    let (mut alice, mut bob) = (all.stack.logged_in("alice"), all.stack.logged_in("bob"));
    assert_eq!(all.status(&mut alice, "/records/1"), 200);
    assert_eq!(all.status(&mut alice, "/records/2"), 403);
    assert_eq!(all.status(&mut bob, "/records/1"), 403);
    let page = bob.open(&all.stack.url("/records/1"));
    assert_eq!(page.response.status, 403, "{page}");
    assert_eq!(page.url, parse(&all.stack.url("/records/1")), "no login helps");
    all.delete();
    let deleted = Instant::now();
    loop {
        let begun = Instant::now();
        match all.status(&mut alice, "/records/1") {
            200 => assert!(begun < deleted + Duration::from_secs(2), "{:?}", begun - deleted),
            status => break assert_eq!(status, 403),
        }
    }
}
