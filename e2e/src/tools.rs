//! Where the real parts are: what `e2e/setup.sh` installed, and the programs under test. It must not
//! install anything itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The end-to-end folder of the repository.
#[must_use]
pub fn e2e_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The repository.
#[must_use]
pub fn repository() -> PathBuf {
    e2e_dir().parent().expect("e2e/ is below the repository").to_owned()
}

/// The version that `e2e/tools.env` names.
#[must_use]
pub fn version(name: &str) -> &'static str {
    include_str!("../tools.env")
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("{name} is not in e2e/tools.env"))
}

/// The folder that outlives the tests: tools, and what the tests make once.
#[must_use]
pub fn cache() -> PathBuf {
    std::env::var_os("VESTIBULE_CACHE").map_or_else(
        || {
            let home = std::env::var_os("HOME").expect("HOME is set");
            Path::new(&home).join(".cache/vestibule")
        },
        PathBuf::from,
    )
}

/// A tool that `e2e/setup.sh` put into the cache.
#[must_use]
pub fn cached(path: &str) -> PathBuf {
    let tool = cache().join("tools").join(path);
    assert!(tool.exists(), "{} is missing: run e2e/setup.sh", tool.display());
    tool
}

/// A program of one of the repository's Go modules, keyed by what it is made of, as `e2e/setup.sh` keys
/// it. `module` and `program` are files below `e2e/`.
#[must_use]
pub fn built(name: &str, module: &str, program: &str) -> PathBuf {
    let files = [e2e_dir().join(module), e2e_dir().join(program)];
    cached(&format!("{name}-{}/{name}", digest_of(&[&files[0], &files[1]])))
}

/// SHA-256 of the files' bytes, one after the other.
pub(crate) fn digest_of(files: &[&Path]) -> String {
    let mut cat = Command::new("cat").args(files).stdout(Stdio::piped()).spawn().expect("cat runs");
    let bytes = cat.stdout.take().expect("a pipe");
    let output = Command::new("sha256sum").stdin(bytes).output().expect("sha256sum runs");
    assert!(cat.wait().expect("cat ends").success(), "cannot read {files:?}");
    String::from_utf8_lossy(&output.stdout)[..64].to_owned()
}

/// A program of this workspace: in `VESTIBULE_BIN_DIR`, else beside the test binary.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let folder = std::env::var_os("VESTIBULE_BIN_DIR").map_or_else(
        || {
            let test = std::env::current_exe().expect("the test binary has a path");
            let deps = test.parent().expect("the test binary is in a folder");
            deps.parent().expect("target/PROFILE/deps").to_owned()
        },
        PathBuf::from,
    );
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing: run `make binaries`", path.display());
    path
}
