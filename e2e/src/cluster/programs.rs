//! Where the cluster's programs are, keyed as `e2e/setup.sh` keys them.

use std::path::PathBuf;

use crate::tools::{built, cached, digest_of, e2e_dir, version};

/// Every Kubernetes component in one program, see `e2e/cluster/main.go`.
pub(crate) fn hyperkube() -> PathBuf {
    built("hyperkube", "cluster/go.mod", "cluster/main.go")
}

/// The program of a pod's sandbox.
pub(super) fn pause() -> PathBuf {
    built("pause", "cluster/go.mod", "cluster/pause/main.go")
}

/// The cluster's DNS.
pub(super) fn coredns() -> PathBuf {
    built("coredns", "cluster/coredns/go.mod", "cluster/coredns/main.go")
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

fn source(file: &str) -> PathBuf {
    e2e_dir().join("cluster").join(file)
}
