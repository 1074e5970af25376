//! Debian's Chromium, driven by the Playwright scripts in `e2e/node/journeys`. Each script gets its
//! input as one JSON argument and prints its result as the last line.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::tools::e2e_dir;

/// Runs `journeys/NAME.mjs` and returns what it found; screenshots go to `dir`.
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
    input["profile"] = dir.join(format!("chromium-{name}")).display().to_string().into();
    let output = Command::new("timeout")
        .args(["--kill-after=5", "180", "node"])
        .arg(e2e_dir().join("node/journeys").join(format!("{name}.mjs")))
        .arg(input.to_string())
        .output()
        .expect("node runs");
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "journey {name} failed:\n{out}\n{err}");
    let last = out.lines().next_back().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{name} ({error}):\n{out}\n{err}"))
}
