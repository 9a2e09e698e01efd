//! What the kernel says of this process, under the names of Prometheus' process collector.
//! `etcdctl check datascale` reads `process_resident_memory_bytes`. Reads `/proc/self`, which is
//! memory and does not wait for a disk; what cannot be read is left out.

use super::page::Page;

/// When this process began, Unix seconds; 0 if that cannot be read.
pub fn start_time_s() -> f64 {
    let ticks_per_s = rustix::param::clock_ticks_per_second() as f64;
    let begun = read("/proc/self/stat")
        .and_then(|text| Stat::parse(&text))
        .map(|s| s.start_ticks);
    let booted = read("/proc/stat").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
        line.trim().parse::<f64>().ok()
    });
    match (begun, booted) {
        (Some(ticks), Some(booted)) => booted + ticks as f64 / ticks_per_s,
        _ => 0.0,
    }
}

/// Writes what can be read.
pub fn render(started_s: f64, page: &mut Page) {
    let ticks_per_s = rustix::param::clock_ticks_per_second() as f64;
    let page_bytes = rustix::param::page_size() as u64;
    if let Some(stat) = read("/proc/self/stat").and_then(|text| Stat::parse(&text)) {
        page.head(
            "process_cpu_seconds_total",
            "CPU time used, seconds.",
            "counter",
        );
        page.sample(
            "process_cpu_seconds_total",
            &[],
            stat.cpu_ticks as f64 / ticks_per_s,
        );
        let resident = stat.resident_pages * page_bytes;
        page.gauge(
            "process_resident_memory_bytes",
            "Memory in use, bytes.",
            resident,
        );
        page.gauge(
            "process_virtual_memory_bytes",
            "Address space, bytes.",
            stat.virtual_bytes,
        );
        page.gauge("process_threads", "Threads.", stat.threads);
    }
    page.gauge(
        "process_start_time_seconds",
        "Start, Unix seconds.",
        started_s,
    );
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        // One of them is the directory being read.
        let open = entries.count().saturating_sub(1);
        page.gauge("process_open_fds", "Open files.", open);
        page.gauge("os_fd_used", "Open files.", open);
    }
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let most = most.unwrap_or(u64::MAX);
    page.gauge("process_max_fds", "Most files that may be open.", most);
    page.gauge("os_fd_limit", "Most files that may be open.", most);
}

/// The fields used of `/proc/self/stat` (see proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    /// Reads the line. The second field is the name in brackets and may itself hold brackets and
    /// blanks, so the fields are counted from the last bracket on.
    fn parse(text: &str) -> Option<Self> {
        let (_, after_name) = text.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: number(14)? + number(15)?,
            threads: number(20)?,
            start_ticks: number(22)?,
            virtual_bytes: number(23)?,
            resident_pages: number(24)?,
        })
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests;
