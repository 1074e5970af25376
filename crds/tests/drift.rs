//! The generated files are what the types say; a run that finds drift mends it and fails.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn ensure(path: &Path, content: &str) {
    if std::fs::read_to_string(path).is_ok_and(|committed| committed == content) {
        return;
    }
    std::fs::write(path, content).unwrap();
    panic!("{} had drifted from the types; it was rewritten: commit it", path.display());
}

const HEADER: &str = "# Generated from crds/src/v1alpha1 by crds/tests/drift.rs; do not edit.\n";

fn yaml(crd: &impl serde::Serialize) -> String {
    // Through JSON, so that key order does not depend on the YAML writer.
    serde_saphyr::to_string(&serde_json::to_value(crd).unwrap()).unwrap()
}

#[test]
fn the_crd_yaml_is_what_the_types_say() {
    for (file, crd) in vestibule_crds::generate::crds() {
        ensure(&root().join("crds").join(file), &format!("{HEADER}{}", yaml(&crd)));
    }
}

#[test]
fn the_chart_of_the_crds_is_what_the_types_say() {
    for (file, crd) in vestibule_crds::generate::crds() {
        let template = vestibule_crds::generate::chart_template(&yaml(&crd));
        assert_eq!(template.matches("helm.sh/resource-policy: keep").count(), 1, "{file}");
        assert_eq!(template.matches("  labels:\n    {{- include").count(), 1, "{file}");
        let path = root().join("charts/vestibule-crds/templates").join(file);
        ensure(&path, &format!("{HEADER}{template}"));
    }
}

#[test]
fn the_policy_reference_is_what_the_types_say() {
    ensure(&root().join("docs/policy-reference.md"), &vestibule_crds::generate::reference());
}
