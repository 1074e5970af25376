//! Which core runs what, by `taskset`: a program must be started on its core, as it counts the cores
//! it may use when it starts.

use std::process::Command;

/// Keeps this thread, and all that it starts from now on, on one core.
pub fn pin_to(core: u32) {
    let link = std::fs::read_link("/proc/thread-self").expect("/proc is there");
    let thread = link.file_name().expect("PID/task/TID").to_owned();
    let output = Command::new("taskset")
        .args(["--pid", "--cpu-list", &core.to_string()])
        .arg(thread)
        .output()
        .expect("taskset runs (util-linux)");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "taskset cannot pin to core {core}: {said}");
}

/// Starts something on `core`, and keeps this thread on `back` after that: what `start` spawns stays on
/// `core`, whatever way it is spawned.
pub fn on_core<T>(core: u32, back: u32, start: impl FnOnce() -> T) -> T {
    pin_to(core);
    let started = start();
    pin_to(back);
    started
}
