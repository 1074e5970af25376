//! Where the cluster's programs are, keyed as `e2e/setup.sh` keys them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::tools::{cached, e2e_dir, version};

/// Every Kubernetes component in one program, see `e2e/cluster/main.go`.
pub(crate) fn hyperkube() -> PathBuf {
    built("hyperkube", "go.mod", "main.go")
}

/// The program of a pod's sandbox.
pub(super) fn pause() -> PathBuf {
    built("pause", "go.mod", "pause/main.go")
}

/// The cluster's DNS.
pub(super) fn coredns() -> PathBuf {
    built("coredns", "coredns/go.mod", "coredns/main.go")
}

fn built(name: &str, module: &str, program: &str) -> PathBuf {
    cached(&format!("{name}-{}/{name}", digest_of(&[&source(module), &source(program)])))
}

/// A root filesystem that `e2e/cluster/rootfs.sh` made.
pub(super) fn rootfs(name: &str) -> PathBuf {
    cached(&format!("rootfs-{}/{name}.tar", digest_of(&[&source("rootfs.sh")])))
}

/// A program whose version `e2e/tools.env` names.
pub(crate) fn tool(name: &str) -> PathBuf {
    let version = version(&format!("{}_VERSION", name.to_uppercase()));
    cached(&format!("{name}-{version}/{name}"))
}

/// SHA-256 of the files' bytes, one after the other.
pub(super) fn digest_of(files: &[&Path]) -> String {
    let mut cat = Command::new("cat").args(files).stdout(Stdio::piped()).spawn().expect("cat runs");
    let bytes = cat.stdout.take().expect("a pipe");
    let output = Command::new("sha256sum").stdin(bytes).output().expect("sha256sum runs");
    assert!(cat.wait().expect("cat ends").success(), "cannot read {files:?}");
    String::from_utf8_lossy(&output.stdout)[..64].to_owned()
}

fn source(file: &str) -> PathBuf {
    e2e_dir().join("cluster").join(file)
}
