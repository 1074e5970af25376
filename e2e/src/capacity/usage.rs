//! What a process uses, as the kernel accounts it.

use std::path::Path;

/// Processor time and memory of a process.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// MiB that are resident.
    pub memory: u64,
    /// The most that ever were.
    pub most: u64,
    /// Seconds of a processor.
    pub cpu: f64,
}

impl Usage {
    /// That of a process.
    #[must_use]
    pub fn of(process: u32) -> Self {
        let status = read(process, "status");
        // After the name in brackets, the 12th and 13th fields are times in hundredths of a second.
        let stat = read(process, "stat");
        let after = stat.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
        let ticks = after.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
        Self {
            memory: kibibytes(&status, "VmRSS:") / 1024,
            most: kibibytes(&status, "VmHWM:") / 1024,
            cpu: ticks.sum::<f64>() / 100.0,
        }
    }
}

/// Where the memory of a process is, in KiB; what it has open.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// All that is resident.
    pub resident: u64,
    /// What no file backs: heaps and stacks.
    pub anonymous: u64,
    /// Threads.
    pub threads: u64,
    /// Open files and sockets.
    pub files: u64,
}

impl Memory {
    /// That of a process.
    #[must_use]
    pub fn of(process: u32) -> Self {
        let rollup = read(process, "smaps_rollup");
        let folder = Path::new("/proc").join(process.to_string()).join("fd");
        let files = std::fs::read_dir(folder).expect("the process runs").count();
        Self {
            resident: kibibytes(&rollup, "Rss:"),
            anonymous: kibibytes(&rollup, "Anonymous:"),
            threads: kibibytes(&read(process, "status"), "Threads:"),
            files: files as u64,
        }
    }

    /// What a file backs: the program itself.
    #[must_use]
    pub fn of_files(&self) -> u64 {
        self.resident.saturating_sub(self.anonymous)
    }
}

fn read(process: u32, file: &str) -> String {
    let path = Path::new("/proc").join(process.to_string()).join(file);
    std::fs::read_to_string(path).expect("the process runs")
}

/// The number of a line.
fn kibibytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The value in the middle; the lower of two. 0 of none.
#[must_use]
pub fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}
