//! What the kernel says of processes: processor time, memory, connections. It must not estimate.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Processor time that the kernel accounted to a process: all its threads, and those of its children and
/// theirs. Zero where there is no such process. What ended is not in it: for the time that a stretch took,
/// use a [`Meter`].
#[must_use]
pub fn cpu_of(pid: u32) -> Duration {
    let mut threads = BTreeMap::new();
    collect(pid, &mut threads);
    threads.values().sum()
}

/// Processor time since it was started, of processes and their children. A thread that ends meanwhile
/// takes its time with it; one that begins is counted.
#[derive(Debug)]
pub struct Meter {
    pids: Vec<u32>,
    before: BTreeMap<u32, Duration>,
}

impl Meter {
    /// Starts it.
    #[must_use]
    pub fn start(pids: &[u32]) -> Self {
        Self { pids: pids.to_vec(), before: threads_of(pids) }
    }

    /// The time since.
    #[must_use]
    pub fn spent(&self) -> Duration {
        let now = threads_of(&self.pids);
        let since = now.iter().map(|(thread, time)| {
            time.saturating_sub(self.before.get(thread).copied().unwrap_or_default())
        });
        since.sum()
    }
}

fn threads_of(pids: &[u32]) -> BTreeMap<u32, Duration> {
    let mut threads = BTreeMap::new();
    for pid in pids {
        collect(*pid, &mut threads);
    }
    threads
}

/// Adds each thread's time. The first field of `schedstat` is nanoseconds on a processor.
fn collect(pid: u32, threads: &mut BTreeMap<u32, Duration>) {
    for (thread, dir) in tasks(pid) {
        let schedstat = fs::read_to_string(dir.join("schedstat")).unwrap_or_default();
        let time = schedstat.split(' ').next().and_then(|field| field.parse().ok());
        threads.insert(thread, Duration::from_nanos(time.unwrap_or_default()));
    }
    for child in children(pid) {
        collect(child, threads);
    }
}

/// The threads of a process, each with its folder.
fn tasks(pid: u32) -> impl Iterator<Item = (u32, PathBuf)> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
}

fn children(pid: u32) -> Vec<u32> {
    let lists = tasks(pid).filter_map(|(_, dir)| fs::read_to_string(dir.join("children")).ok());
    lists.flat_map(|list| numbers(&list)).collect()
}

fn numbers(list: &str) -> Vec<u32> {
    list.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// How many TCP connections were accepted on this machine since it booted (`PassiveOpens`).
#[must_use]
pub fn tcp_accepts() -> u64 {
    let text = fs::read_to_string("/proc/net/snmp").expect("/proc is there");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = lines.next().zip(lines.next()).expect("two lines of Tcp");
    let mut fields = names.split(' ').zip(values.split(' '));
    let field = fields.find(|(name, _)| *name == "PassiveOpens");
    field.and_then(|(_, value)| value.parse().ok()).expect("a number of PassiveOpens")
}

/// The memory of a process that is in RAM (`VmRSS`), in bytes; zero where there is no such process.
#[must_use]
pub fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

/// The same of a process and its children; what they share is counted for each.
#[must_use]
pub fn resident_with_children(pid: u32) -> u64 {
    resident(pid) + children(pid).into_iter().map(resident_with_children).sum::<u64>()
}
