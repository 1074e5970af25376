//! What the contenders of one run share: the provider, Redis, sessions, which core runs what, and how a
//! browser asks. It must not know a contender.

use std::cell::{Cell, OnceCell};
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;

use super::ours::Ours;
use crate::browser::Browser;
use crate::load::{Ask, on_core, pin_to};
use crate::process::free_port;
use crate::provider::Provider;
use crate::redis::Redis;

/// The core of the servers that are measured.
pub const SERVER: u32 = 0;
/// The core of the load, and of what is not measured.
pub const CLIENT: u32 = 1;
/// So many sessions have turns, so that no single one's memory is always at hand.
pub const SESSIONS: usize = 64;
/// More than the contenders need.
const ORIGINS: usize = 16;

/// What the contenders of one run share.
#[derive(Debug)]
pub struct Lab {
    /// The provider, which knows every [`Lab::origin`] with the redirect URI `/bff/callback`. Its tokens
    /// outlive the run.
    pub provider: Provider,
    origins: Vec<String>,
    taken: Cell<usize>,
    redis: OnceCell<Redis>,
    ours: OnceCell<[Ours; 2]>,
    dir: TempDir,
}

impl Lab {
    /// Starts the provider, and keeps this thread and what it starts on the load's core.
    #[must_use]
    pub fn start() -> Self {
        pin_to(CLIENT);
        let dir = TempDir::with_prefix("vestibule-bench-").expect("a temporary folder");
        let origins: Vec<String> =
            (0..ORIGINS).map(|_| format!("http://localhost:{}", free_port())).collect();
        let names: Vec<&str> = origins.iter().map(String::as_str).collect();
        let provider = Provider::start(dir.path(), &names, None);
        provider.set(&json!({"accessTokenTtl": 24 * 3600}));
        Self {
            provider,
            origins,
            taken: Cell::new(0),
            redis: OnceCell::new(),
            ours: OnceCell::new(),
            dir,
        }
    }

    /// An origin `http://localhost:PORT` that no one else was given.
    #[must_use]
    pub fn origin(&self) -> String {
        let taken = self.taken.replace(self.taken.get() + 1);
        self.origins.get(taken).expect("ORIGINS is greater").clone()
    }

    /// A folder for files of that name.
    #[must_use]
    pub fn dir(&self, name: &str) -> PathBuf {
        let dir = self.dir.path().join(name);
        std::fs::create_dir_all(&dir).expect("a writable folder");
        dir
    }

    /// Starts something whose processor time counts: all that is spawned within is on the server's core
    /// from its first moment.
    pub fn on_server<T>(&self, start: impl FnOnce() -> T) -> T {
        on_core(SERVER, CLIENT, start)
    }

    /// The one Redis, on the load's core.
    pub fn redis(&self) -> &Redis {
        self.redis.get_or_init(|| Redis::start_quick(self.dir.path()))
    }

    /// The replicas of authsvc on [`Lab::redis`], with the same sessions: the first keeps sessions in
    /// memory, the second reads each from Redis every time.
    pub fn on_redis(&self) -> &[Ours; 2] {
        self.ours.get_or_init(|| Ours::start_two(self))
    }
}

/// The port of an origin that [`Lab::origin`] gave.
#[must_use]
pub fn port_of(origin: &str) -> u16 {
    origin.rsplit(':').next().and_then(|port| port.parse().ok()).expect("http://localhost:PORT")
}

/// Logs a user in at `path` of an origin that is served at `address`, for real: to the provider's form and
/// back. The browser has the cookies after that.
#[must_use]
pub fn log_in(origin: &str, address: SocketAddr, path: &str, user: &str) -> Browser {
    let mut browser = Browser::default();
    browser.resolve(origin, address);
    let form = browser.open(&format!("{origin}{path}"));
    assert!(form.url.path().starts_with("/interaction/"), "not the provider's form: {form}");
    let end = browser.submit(&form, &[("login", user), ("password", "any")]);
    assert!(end.url.as_str().starts_with(origin), "the login does not come back: {end}");
    browser
}

/// The users of the sessions.
pub fn users() -> impl Iterator<Item = String> {
    (0..SESSIONS).map(|number| format!("user-{number}"))
}

/// Adds the headers of a browser whose page asks its own API.
#[must_use]
pub fn as_script(ask: Ask, origin: &str) -> Ask {
    as_browser(ask, "*/*")
        .header("Referer", &format!("{origin}/"))
        .header("Sec-Fetch-Site", "same-origin")
        .header("Sec-Fetch-Mode", "cors")
        .header("Sec-Fetch-Dest", "empty")
}

/// Adds the headers of a browser that opens a page.
#[must_use]
pub fn as_navigation(ask: Ask) -> Ask {
    as_browser(ask, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
        .header("Upgrade-Insecure-Requests", "1")
        .header("Sec-Fetch-Site", "none")
        .header("Sec-Fetch-Mode", "navigate")
        .header("Sec-Fetch-User", "?1")
        .header("Sec-Fetch-Dest", "document")
}

fn as_browser(ask: Ask, accept: &str) -> Ask {
    ask.header(
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    )
    .header("Accept", accept)
    .header("Accept-Language", "en-US,en;q=0.5")
    .header("Accept-Encoding", "gzip, deflate, br, zstd")
}
