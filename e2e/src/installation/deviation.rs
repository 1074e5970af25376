//! The installation with other charts or values than the usual ones, for as long as one test needs
//! them. It must not outlive that test: the others expect the usual form.

use std::path::Path;
use std::process::Output;

use super::{LIMIT, NAMESPACE, charts, values};
use crate::cluster::Cluster;

/// Brings the present charts and the usual values back when it is dropped, also where a test fails.
#[derive(Debug)]
pub struct Deviation<'a> {
    on: &'a Cluster,
}

impl<'a> Deviation<'a> {
    /// Of an installation that no other test uses meanwhile.
    #[must_use]
    pub fn of(on: &'a Cluster) -> Self {
        Self { on }
    }

    /// Upgrades to the charts in that folder and to these values, as the docs say: first the kinds,
    /// then what uses them. It returns when the pods are those of the new form.
    ///
    /// # Panics
    /// Where Helm fails, or the pods do not start.
    pub fn upgrade(&self, charts: &Path, values: &str) {
        for output in self.try_upgrade(charts, values) {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "helm upgrade: {said}");
        }
        for component in ["authsvc", "operator"] {
            self.on.wait_for_rollout(NAMESPACE, &format!("vestibule-{component}"), LIMIT);
        }
    }

    fn try_upgrade(&self, charts: &Path, values: &str) -> [Output; 2] {
        let file = self.on.dir().join("deviation.yaml");
        std::fs::write(&file, values).expect("a writable folder");
        let file = file.display().to_string();
        ["vestibule-crds", "vestibule"].map(|name| {
            let chart = charts.join(name).display().to_string();
            let mut upgrade = vec!["upgrade", name, &chart, "-n", NAMESPACE, "--wait"];
            if name == "vestibule" {
                upgrade.extend(["-f", &file]);
            }
            upgrade.push("--timeout=3m");
            self.on.try_helm(&upgrade)
        })
    }
}

impl Drop for Deviation<'_> {
    fn drop(&mut self) {
        // A panic here would hide the test's own.
        for output in self.try_upgrade(&charts(), &values()) {
            if !output.status.success() {
                eprintln!("it stays as it is: {}", String::from_utf8_lossy(&output.stderr));
            }
        }
    }
}
