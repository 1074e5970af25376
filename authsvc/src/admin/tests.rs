//! Readiness, and who is shown what.

use axum::body::Body;
use http::Request;
use http::header::AUTHORIZATION;
use tower::ServiceExt as _;

use super::*;
use crate::clock::{ManualClock, Timestamp};
use crate::metrics::Metrics;
use crate::oidc::Providers;
use crate::policies::Policies;
use crate::random::SeededRandom;
use crate::session::keyring::Keyring;
use crate::session::memory::MemoryStore;
use crate::session::service::Sessions;

pub(super) const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub(super) fn app() -> Arc<App> {
    let clock = Arc::new(ManualClock::new(Timestamp(1_800_000_000)));
    let random = Arc::new(SeededRandom::default());
    let store = Arc::new(MemoryStore::new(clock.clone()));
    Arc::new(App {
        policies: Arc::new(Policies::new(Providers::new(clock.clone(), random.clone()))),
        sessions: Sessions::new(store, clock.clone(), random.clone()),
        clock,
        random,
        metrics: Metrics::new(),
        overload: crate::overload::Overload::default(),
    })
}

/// The router with a token, and the file of it.
pub(super) fn with_token(
    app: &Arc<App>,
    draining: &watch::Sender<bool>,
) -> (Router, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{TOKEN}\n")).unwrap();
    let token = AdminToken::open(file.path().to_owned()).unwrap();
    (router(Arc::clone(app), draining.subscribe(), Some(token), Access::Nobody), file)
}

pub(super) async fn ask(router: &Router, path: &str, authorization: &[&str]) -> Response {
    let mut request = Request::get(path);
    for value in authorization {
        request = request.header(AUTHORIZATION, *value);
    }
    router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn status(router: &Router, path: &str) -> u16 {
    ask(router, path, &[]).await.status().as_u16()
}

#[tokio::test]
async fn it_is_ready_from_the_first_load_until_it_drains_and_healthy_all_the_time() {
    let app = app();
    let draining = watch::Sender::new(false);
    let router = router(Arc::clone(&app), draining.subscribe(), None, Access::Nobody);
    assert_eq!(status(&router, "/readyz").await, 503);
    assert_eq!(status(&router, "/healthz").await, 200);
    app.policies.install(Vec::new(), &Arc::new(Keyring::ephemeral(&*app.random)));
    assert_eq!(status(&router, "/readyz").await, 200);
    draining.send_replace(true);
    assert_eq!(status(&router, "/readyz").await, 503);
    assert_eq!(status(&router, "/healthz").await, 200);
    assert_eq!(status(&router, "/metrics").await, 200);
}

#[tokio::test]
async fn t107_what_runs_is_shown_to_the_admin_token_alone() {
    let app = app();
    let draining = watch::Sender::new(false);
    let without = router(Arc::clone(&app), draining.subscribe(), None, Access::Nobody);
    assert_eq!(status(&without, "/policies").await, 404, "there is no such path without a token");
    let (router, file) = with_token(&app, &draining);
    let bearer = format!("Bearer {TOKEN}");
    for refused in [
        &[][..],
        &[""],
        &["Bearer"],
        &["Bearer "],
        &[TOKEN],
        &[&format!("Basic {TOKEN}")],
        &[&format!("Bearer {}", &TOKEN[1..])],
        &[&format!("Bearer {TOKEN}0")],
        &[&format!("Bearer  {TOKEN}")],
        &[&format!("Bearer {}", TOKEN.to_uppercase())],
        &[&bearer, &bearer],
    ] {
        let answer = ask(&router, "/policies", refused).await;
        assert_eq!(answer.status(), 401, "{refused:?}");
        assert!(answer.headers().contains_key("www-authenticate"));
    }
    assert_eq!(ask(&router, "/policies", &[&bearer]).await.status(), 200);
    // Another token counts at once, and no token is no way in.
    let next = TOKEN.replace('0', "f");
    std::fs::write(file.path(), &next).unwrap();
    assert_eq!(ask(&router, "/policies", &[&bearer]).await.status(), 401);
    assert_eq!(ask(&router, "/policies", &[&format!("bearer {next}")]).await.status(), 200);
    std::fs::write(file.path(), "").unwrap();
    assert_eq!(ask(&router, "/policies", &["Bearer "]).await.status(), 503);
    // What is open names no policy.
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert!(matches!(status(&router, path).await, 200 | 503), "{path}");
    }
}

#[test]
fn a_file_without_a_token_is_no_start() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for text in ["", "\n", "short", &TOKEN[..31], &format!("{TOKEN} {TOKEN}"), &"x".repeat(5000)] {
        std::fs::write(file.path(), text).unwrap();
        let error = AdminToken::open(file.path().to_owned()).unwrap_err().to_string();
        assert!(error.contains("openssl rand"), "{error}");
        assert!(text.trim().is_empty() || !error.contains(text.trim()), "{error}");
    }
    assert!(AdminToken::open("/nowhere".into()).is_err());
}
