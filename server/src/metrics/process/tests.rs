//! The kernel's line read with a hostile name, and sane values of the test's own process.
#![allow(clippy::unwrap_used)]

use super::{Stat, render, start_time_s};
use crate::metrics::page::Page;

#[test]
fn a_name_with_brackets_does_not_shift_the_fields() {
    let line = "1 (a) b) ( c) S 0 1 1 0 -1 4194560 1 2 3 4 70 30 5 6 20 0 9 0 123 4096 55 1844";
    let stat = Stat::parse(line).unwrap();
    let expected = Stat {
        cpu_ticks: 100,
        threads: 9,
        start_ticks: 123,
        virtual_bytes: 4096,
        resident_pages: 55,
    };
    assert_eq!(stat, expected);
    assert_eq!(Stat::parse("1 (x) S 0"), None);
    assert_eq!(Stat::parse(""), None);
}

#[test]
fn this_process_has_memory_files_and_a_past() {
    let mut page = Page::default();
    render(start_time_s(), &mut page);
    let text = page.finish();
    let value = |name: &str| -> f64 {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("{name} is missing"))
            .parse()
            .unwrap()
    };
    assert!(value("process_resident_memory_bytes") > 100_000.0);
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_max_fds") >= value("process_open_fds"));
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let started = value("process_start_time_seconds");
    // The kernel rounds the time of boot to seconds.
    assert!(
        started > 1.6e9 && started <= now.as_secs_f64() + 2.0,
        "{started}"
    );
}
