//! Debian's Chromium, driven by the Playwright scripts in `e2e/node/journeys`. Each script gets its
//! input as one JSON argument and prints its result as the last line.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::tools::e2e_dir;

/// What Chromium says when it gives its requests up because an interface of this machine came or
/// went, as with every pod of a cluster.
const NETWORK_CHANGED: &str = "ERR_NETWORK_CHANGED";
/// How often a journey is begun for that reason.
const ATTEMPTS: usize = 5;

/// Runs `journeys/NAME.mjs` and returns what it found; screenshots go to `dir`. Where the machine's
/// network changes meanwhile it begins again, with a browser that knows nothing of before.
///
/// # Panics
/// Where the script fails, with what it printed.
#[must_use]
pub fn journey(name: &str, dir: &Path, mut input: Value) -> Value {
    // Kept where a person wants to look at them.
    let screenshots =
        std::env::var_os("VESTIBULE_SCREENSHOTS").map_or_else(|| dir.to_owned(), Into::into);
    std::fs::create_dir_all(&screenshots).expect("a writable folder");
    input["screenshots"] = screenshots.display().to_string().into();
    let mut attempt = 1;
    loop {
        let profile = dir.join(format!("chromium-{name}-{attempt}"));
        input["profile"] = profile.display().to_string().into();
        let output = run(name, &input);
        let out = String::from_utf8_lossy(&output.stdout);
        let err = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            let last = out.lines().next_back().unwrap_or_default();
            return serde_json::from_str(last)
                .unwrap_or_else(|error| panic!("{name} ({error}):\n{out}\n{err}"));
        }
        let again = attempt < ATTEMPTS && err.contains(NETWORK_CHANGED);
        assert!(again, "journey {name} failed, try {attempt}:\n{out}\n{err}");
        eprintln!("journey {name} begins again: the machine's network changed");
        attempt += 1;
    }
}

fn run(name: &str, input: &Value) -> Output {
    Command::new("timeout")
        .args(["--kill-after=5", "180", "node"])
        .arg(e2e_dir().join("node/journeys").join(format!("{name}.mjs")))
        .arg(input.to_string())
        .output()
        .expect("node runs")
}
