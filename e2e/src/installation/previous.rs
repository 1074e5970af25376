//! The charts as they were before the present ones, from the repository's history: what users
//! upgrade from. It must not change the repository.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::tools::repository;

/// What Helm makes objects of. A change of a README alone is no upgrade.
const RENDERED: [&str; 3] =
    ["charts/*/templates/**", "charts/*/Chart.yaml", "charts/*/values.yaml"];
/// Both charts must be there.
const CHARTS: [&str; 2] = ["vestibule-crds", "vestibule"];
/// How far it looks back.
const COMMITS: &str = "--max-count=300";

/// Earlier charts, in a folder that goes with it.
#[derive(Debug)]
pub struct Previous {
    commit: String,
    folder: TempDir,
}

impl Previous {
    /// Those of the newest commit whose charts render otherwise than the files in the repository;
    /// `None` where the clone has no such commit.
    #[must_use]
    pub fn find() -> Option<Self> {
        let commits = git(&["rev-list", COMMITS, "HEAD"])?;
        let commits = String::from_utf8_lossy(&commits.stdout).into_owned();
        let commit = commits.lines().find(|commit| differs(commit))?;
        // An earlier one still has no charts either.
        let complete = CHARTS.iter().all(|name| {
            let chart = format!("{commit}:charts/{name}/Chart.yaml");
            git(&["cat-file", "-e", &chart]).is_some()
        });
        complete.then(|| Self { commit: commit.to_owned(), folder: extracted(commit) })
    }

    /// The commit.
    #[must_use]
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// The folder of the charts.
    #[must_use]
    pub fn charts(&self) -> std::path::PathBuf {
        self.folder.path().join("charts")
    }
}

fn differs(commit: &str) -> bool {
    let mut command = command(&["diff", "--quiet", commit, "--"]);
    // 0: the same; 1: not the same; more: it cannot tell.
    command.args(RENDERED.map(|path| format!(":(glob){path}")));
    command.status().is_ok_and(|status| status.code() == Some(1))
}

fn extracted(commit: &str) -> TempDir {
    let folder = TempDir::with_prefix("vestibule-charts-").expect("a temporary folder");
    let archive = folder.path().join("charts.tar").display().to_string();
    let output = git(&["archive", "--format=tar", "--output", &archive, commit, "charts"]);
    assert!(output.is_some(), "git archive of {commit} fails");
    let tar = Command::new("tar").args(["-xf", &archive, "-C"]).arg(folder.path()).status();
    assert!(tar.is_ok_and(|status| status.success()), "tar fails");
    folder
}

/// What git says, if it succeeds.
fn git(arguments: &[&str]) -> Option<Output> {
    command(arguments).output().ok().filter(|output| output.status.success())
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    let repository: &Path = &repository();
    command.arg("-C").arg(repository).args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
    command
}
