//! House rules that a compiler does not know, over the whole repository.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                files(&path, ending, found);
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

fn rust_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root(), ".rs", &mut found);
    assert!(found.len() > 30, "the sources are found");
    found
}

#[test]
fn every_file_opens_with_why_it_exists() {
    let silent: Vec<_> = rust_files()
        .into_iter()
        .filter(|path| !std::fs::read_to_string(path).unwrap().starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "open each with a `//!` line: {silent:?}");
}

#[test]
fn nine_files_in_ten_are_under_450_lines() {
    let files = rust_files();
    let long: Vec<_> = files
        .iter()
        .filter(|path| std::fs::read_to_string(path).unwrap().lines().count() >= 450)
        .collect();
    assert!(long.len() * 10 <= files.len(), "split by meaning: {long:?}");
}

#[test]
fn dependencies_point_downward() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let allowed = |package: &str| -> &[&str] {
        match package {
            "vestibule-policy" | "vestibule-e2e" => &["vestibule-crds"],
            "vestibule-authsvc" | "vestibule-operator" => &["vestibule-crds", "vestibule-policy"],
            "vestibule-cli" => &["vestibule-authsvc", "vestibule-policy"],
            // What the programs that measure begin with is made by the code that reads it.
            "vestibule-e2e-seed" => &["vestibule-crds", "vestibule-authsvc", "vestibule-policy"],
            _ => &[],
        }
    };
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let target = dependency["name"].as_str().unwrap();
            let ours = target.starts_with("vestibule-");
            assert!(!ours || allowed(name).contains(&target), "{name} must not use {target}");
            let client = ["kube-client", "kube-runtime"].contains(&target)
                || dependency["features"].as_array().unwrap().iter().any(|f| f == "client")
                    && target == "kube";
            let talks =
                ["vestibule-authsvc", "vestibule-cli", "vestibule-operator", "vestibule-e2e"];
            assert!(!client || talks.contains(&name), "{name} must not know a Kubernetes client");
            let server = ["axum", "redis", "tokio", "kube"].contains(&target);
            assert!(name != "vestibule-policy" || !server, "the pure core must not use {target}");
        }
    }
}

#[test]
fn generated_and_written_files_name_no_machine_path() {
    let mut found = Vec::new();
    for ending in [".rs", ".md", ".yaml", ".toml", ".sh", ".mjs", ".json", ".conf"] {
        files(&root(), ending, &mut found);
    }
    let telling = [["/root", "/"].concat(), ["/home", "/"].concat(), ["/work", "/"].concat()];
    for path in found {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        for path_part in &telling {
            assert!(!text.contains(path_part.as_str()), "{} names a machine path", path.display());
        }
    }
}
