//! What a cluster has made on this machine, in a folder that outlives the process: from it anybody
//! who holds the lock can remove the cluster, however its maker ended. It must be written before the
//! thing it names is made.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The fixed folder of the lock, of who holds it, and of where the cluster's files are.
pub(super) const HOME: &str = "/run/vestibule-cluster";

/// One line of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// A process, with its start time, so that another one with its number is left alone.
    Process { id: u32, start: u64, name: String },
    /// A kernel setting and its value before.
    Setting { path: String, before: String },
    /// Rules that let pods through where the machine's firewall drops forwarded packets.
    Forward,
}

/// The record of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// The cluster's files.
    pub dir: PathBuf,
}

impl Record {
    /// Of the cluster that is there, or was when its maker ended.
    pub fn existing() -> Option<Self> {
        let dir = fs::read_to_string(Path::new(HOME).join("dir")).ok()?;
        Some(Self { dir: PathBuf::from(dir.trim()) })
    }

    /// A new one, with a folder of its own.
    pub fn create() -> Self {
        let dir = std::env::temp_dir().join(format!("vestibule-cluster-{}", std::process::id()));
        fs::write(Path::new(HOME).join("dir"), dir.display().to_string()).expect("writable");
        fs::create_dir_all(&dir).expect("a writable temporary folder");
        Self { dir }
    }

    /// Notes what was made.
    pub fn note(&self, made: &Made) {
        let line = match made {
            Made::Process { id, start, name } => format!("process {id} {start} {name}"),
            Made::Setting { path, before } => format!("setting {path} {before}"),
            Made::Forward => "forward".to_owned(),
        };
        let mut file = File::options().create(true).append(true).open(self.file()).expect("open");
        writeln!(file, "{line}").expect("writable");
    }

    /// All that was made, latest first.
    pub fn made(&self) -> Vec<Made> {
        let text = fs::read_to_string(self.file()).unwrap_or_default();
        text.lines().rev().filter_map(parse).collect()
    }

    /// Marks it as left running on purpose.
    pub fn keep(&self) {
        fs::write(self.dir.join("kept"), "").expect("writable");
    }

    /// Whether it was left running on purpose, and runs.
    pub fn is_kept(&self) -> bool {
        let running = |made: &Made| matches!(made, Made::Process { id, start, .. } if start_time(*id) == Some(*start));
        self.dir.join("kept").exists() && self.made().iter().any(running)
    }

    /// Forgets it, once everything is removed.
    pub fn forget(&self) {
        let _ = fs::remove_dir_all(&self.dir);
        let _ = fs::remove_file(Path::new(HOME).join("dir"));
    }

    fn file(&self) -> PathBuf {
        self.dir.join("made")
    }
}

fn parse(line: &str) -> Option<Made> {
    let mut words = line.splitn(4, ' ');
    Some(match words.next()? {
        "process" => Made::Process {
            id: words.next()?.parse().ok()?,
            start: words.next()?.parse().ok()?,
            name: words.next()?.to_owned(),
        },
        "setting" => {
            Made::Setting { path: words.next()?.to_owned(), before: words.next()?.to_owned() }
        }
        "forward" => Made::Forward,
        _ => return None,
    })
}

/// When a process started, in the kernel's ticks; `None` where there is none, or only its remains.
pub(super) fn start_time(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name is in brackets and may hold anything; the state follows it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}
