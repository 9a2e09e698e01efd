//! CPU time of chosen threads of this process, from the kernel's accounting.

use std::fs;

/// Nanoseconds of CPU used so far by all threads of this process whose name starts with one of
/// `names`. The kernel names its I/O workers after the thread that asked, `iou-wrk-<id>`; those of
/// a chosen thread count with it.
pub fn threads_ns(names: &[&str]) -> u64 {
    let mut workers = Vec::new();
    let mut sum = 0;
    let mut chosen = Vec::new();
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        return 0;
    };
    for task in tasks.flatten() {
        let Ok(comm) = fs::read_to_string(task.path().join("comm")) else {
            continue;
        };
        let ns = on_cpu_ns(&task.path().join("schedstat"));
        if names.iter().any(|name| comm.starts_with(name)) {
            sum += ns;
            chosen.push(task.file_name().to_string_lossy().into_owned());
        } else if let Some(owner) = comm.trim().strip_prefix("iou-wrk-") {
            workers.push((owner.to_string(), ns));
        }
    }
    sum + workers
        .iter()
        .filter(|(owner, _)| chosen.contains(owner))
        .map(|(_, ns)| ns)
        .sum::<u64>()
}

fn on_cpu_ns(path: &std::path::Path) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|ns| ns.parse().ok())
        .unwrap_or(0)
}
