//! Where a run took place, for the page that shows its figures. No name of the machine is in it.

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::process::Command;

use super::results::Machine;
use crate::tools::repository;

/// This machine and this commit, with the versions of what took part.
#[must_use]
pub fn describe(versions: BTreeMap<String, String>) -> Machine {
    Machine {
        cpu: field("/proc/cpuinfo", "model name", ':'),
        cores: cores(),
        memory_gib: memory_gib(),
        kernel: read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        system: field("/etc/os-release", "PRETTY_NAME", '=').trim_matches('"').to_owned(),
        date: said("date", &["--utc", "+%Y-%m-%d"]),
        commit: commit(),
        versions,
    }
}

/// The version in what a program says when it is asked for it: the first word with a digit and a dot.
#[must_use]
pub fn version_of(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    let said = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).into_owned();
    let words = said.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.');
    let mut words = words.map(|word| word.trim_start_matches('v'));
    let is_version =
        |word: &&str| word.contains('.') && word.starts_with(|first: char| first.is_ascii_digit());
    words.find(is_version).unwrap_or_default().to_owned()
}

fn commit() -> String {
    let repository = repository().display().to_string();
    let commit = said("git", &["-C", &repository, "rev-parse", "--short", "HEAD"]);
    let status = said("git", &["-C", &repository, "status", "--porcelain"]);
    if status.is_empty() { commit } else { format!("{commit}, changed") }
}

/// All of the machine's, not those that this thread may use.
fn cores() -> usize {
    let text = read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines().filter(|line| line.starts_with("processor")).count()
}

fn memory_gib() -> u64 {
    let kibibytes = field("/proc/meminfo", "MemTotal", ':');
    let kibibytes = kibibytes.trim_end_matches(" kB").parse::<u64>().unwrap_or_default();
    (kibibytes + 512 * 1024) / (1024 * 1024)
}

/// The first value of that name in a file of names and values.
fn field(file: &str, name: &str, between: char) -> String {
    let text = read_to_string(file).unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.split_once(between));
    let found = lines.find(|(key, _)| key.trim() == name);
    found.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let said = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&said).trim().to_owned()
}
