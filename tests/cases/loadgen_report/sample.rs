//! Made-up results that look like real ones.

use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::Histogram;
use loadgen::machine::Machine;
use loadgen::report::{Part, Plot, Report, Run, Table, Tone, number};
use serde_json::json;

/// Numbers that look random and are the same each time, from 0 to 1.
fn noise(n: u64) -> f64 {
    let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 40) as f64 / (1 << 24) as f64
}

/// `count` latencies around `typical` nanoseconds with a long tail.
fn latencies(typical: f64, count: u64, seed: u64) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).unwrap();
    for n in 0..count {
        let u = noise(seed * 1_000_003 + n).max(1e-7);
        let tail = if u < 0.002 { 0.002 / u } else { 0.0 };
        let value = typical * (0.7 + 0.6 * noise(n + seed) + 0.2 / (u + 0.05) + tail);
        histogram.record(value as u64).unwrap();
    }
    histogram
}

fn strings(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

/// The run that the reports tell of.
pub fn run() -> Run {
    Run {
        began: UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        seconds: 185.2,
        arguments: strings(&[
            "disk",
            "--dir",
            "/mnt/fast/etcd",
            "--dir",
            "/mnt/slow/etcd",
            "--duration",
            "60s",
            "--json",
            "disk.json",
            "--html",
            "disk.html",
            "--profile-out",
            "fast.toml",
        ]),
        machine: Machine {
            host: None,
            system: Some("Debian GNU/Linux 12 (bookworm)".to_owned()),
            kernel: "6.1.0-28-amd64".to_owned(),
            architecture: "x86_64".to_owned(),
            cpu_model: Some("AMD EPYC 7302P 16-Core Processor".to_owned()),
            cpus: 32,
            cpus_online: Some(32),
            cores: Some(16),
            memory_bytes: Some(128 << 30),
            is_virtual: Some(false),
            product: Some("Supermicro H11SSL-i".to_owned()),
            cpu_governor: Some("performance".to_owned()),
            booted: Some("2026-09-01T06:12:44Z".to_owned()),
        },
    }
}

fn syncs() -> Table {
    let columns = [
        "pattern", "block", "depth", "logs", "a second", "p50", "p99", "p99.9", "max",
    ];
    let mut rows = Vec::new();
    for (n, pattern) in [
        "append-fdatasync",
        "overwrite-fdatasync",
        "direct-dsync",
        "wal",
        "etcd",
    ]
    .into_iter()
    .enumerate()
    {
        for (depth, block) in [(1_u64, 4096_u64), (4, 4096), (8, 131_072)] {
            let micros = 90.0 + 25.0 * n as f64 + 8.0 * depth as f64;
            let nanos = |factor: f64| number::latency((micros * 1000.0 * factor) as u64);
            rows.push(vec![
                pattern.to_owned(),
                number::bytes(block),
                depth.to_string(),
                "1".to_owned(),
                number::rate(1e6 / micros * depth as f64),
                nanos(1.0),
                nanos(3.1),
                nanos(11.7),
                nanos(240.0),
            ]);
        }
    }
    Table {
        title: "Sync latency of /mnt/fast/etcd".to_owned(),
        columns: strings(&columns),
        rows,
    }
}

fn percentiles() -> Plot {
    let of = |name: &str, typical, count, seed| (name.to_owned(), latencies(typical, count, seed));
    Plot::Percentiles {
        title: "Sync latency, 4 KiB at depth 1".to_owned(),
        series: vec![
            of("/mnt/fast overwrite-fdatasync", 95_000.0, 300_000, 1),
            of("/mnt/fast direct-dsync", 60_000.0, 250_000, 2),
            of("/mnt/fast wal", 70_000.0, 220_000, 3),
            of("/mnt/slow overwrite-fdatasync", 6_700_000.0, 9_000, 4),
            of("/mnt/slow direct-dsync", 6_100_000.0, 9_500, 5),
        ],
    }
}

fn timelines() -> [Plot; 2] {
    let stalls = [
        (12.0, 12.6, 600),
        (31.2, 32.45, 1250),
        (33.1, 33.3, 200),
        (47.8, 48.1, 300),
    ];
    let is_stalled = |t: f64| stalls.iter().any(|(from, to, _)| t >= *from && t < *to);
    let points = |base: f64, spread: f64, stalled: f64, seed: u64| {
        let at = |n: u64| {
            let t = n as f64 / 10.0;
            let value = base + spread * (noise(n + seed) - 0.5);
            (t, if is_stalled(t) { stalled } else { value })
        };
        (0..600).map(at).collect::<Vec<_>>()
    };
    let marks = stalls.map(|(from, to, ms)| (from, to, format!("stall of {ms} ms")));
    [
        Plot::Timeline {
            title: "Throughput over time".to_owned(),
            label: "syncs a second".to_owned(),
            log: false,
            series: vec![
                ("/mnt/fast".to_owned(), points(10_200.0, 900.0, 0.0, 7)),
                ("/mnt/slow".to_owned(), points(148.0, 8.0, 147.0, 8)),
            ],
            marks: marks.to_vec(),
        },
        Plot::Timeline {
            title: "Latency over time".to_owned(),
            label: "p99 of each tenth of a second, ms (log)".to_owned(),
            log: true,
            series: vec![
                ("/mnt/fast".to_owned(), points(0.21, 0.06, 640.0, 9)),
                ("/mnt/slow".to_owned(), points(7.4, 1.8, 8.0, 10)),
            ],
            marks: marks.to_vec(),
        },
    ]
}

fn bars() -> Plot {
    let group = |name: &str, fast, slow| {
        let bars = vec![
            ("/mnt/fast".to_owned(), fast),
            ("/mnt/slow".to_owned(), slow),
        ];
        (name.to_owned(), bars)
    };
    Plot::Bars {
        title: "Durable writes a second".to_owned(),
        label: "writes a second, more is better".to_owned(),
        groups: vec![
            group("4 KiB, depth 1", 10_212.0, 149.2),
            group("4 KiB, depth 8", 45_634.0, 150.1),
            group("128 KiB, depth 1", 2_914.0, 143.7),
        ],
    }
}

/// A report of a comparison of two disks.
pub fn report() -> Report {
    let [throughput, latency] = timelines();
    let disk = [
        ("Device", "nvme0n1, NVMe, 1.8 TiB"),
        ("File system", "ext4 (rw,noatime)"),
        ("Write cache", "on, with FUA"),
        ("Scheduler", "none"),
        ("Sector", "512 B logical, 4 KiB physical"),
        ("Seed", "42"),
    ];
    let caveat = "The disk behind /mnt/slow says that it does not rotate, but behaves as one that \
        does: its verdict rests on what was measured.";
    Report {
        command: "disk",
        title: "Disks /mnt/fast/etcd and /mnt/slow/etcd".to_owned(),
        verdict: Some((
            Tone::Fair,
            "/mnt/fast carries a large cluster (p99 of a sync 300 µs); /mnt/slow carries none"
                .to_owned(),
        )),
        facts: disk.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec(),
        parts: vec![
            Part::Warning(caveat.to_owned()),
            Part::Heading("How long a sync takes".to_owned()),
            Part::Text(
                "A commit waits for one sync of the log of each member of a majority. The slowest \
                 of a thousand decides how short a heartbeat may be."
                    .to_owned(),
            ),
            Part::Plot(percentiles()),
            Part::Table(syncs()),
            Part::Heading("How even it is".to_owned()),
            Part::Plot(throughput),
            Part::Plot(latency),
            Part::Warning("Four stalls of more than 100 ms in a minute.".to_owned()),
            Part::Heading("Side by side".to_owned()),
            Part::Plot(bars()),
            Part::Plot(Plot::Bars {
                title: "Beside etcd".to_owned(),
                label: "Stoa's rate by etcd's".to_owned(),
                groups: [
                    ("put", 2.41),
                    ("get", 3.7),
                    ("range of 100", 1.2),
                    ("txn", 0.94),
                ]
                .map(|(name, v)| (name.to_owned(), vec![("ratio".to_owned(), v)]))
                .to_vec(),
            }),
        ],
        json: json!({"disks": []}),
    }
}

/// A report of all that might break one.
pub fn extreme() -> Report {
    let long = "/mnt/a-directory-with-a-name-as-long-as-nobody-would-give-one/but/some/program/may"
        .repeat(2);
    let evil = "<script>document.title='run'</script>&amp;\"'".to_owned();
    let many = |n: u64| {
        (
            format!("{evil} {n}"),
            latencies(1000.0 * 3f64.powi(n as i32), 500, n),
        )
    };
    let stalls = (0..300).map(|n| {
        let at = f64::from(n) * 11.9;
        (at, at + 0.02, format!("stall {n} {evil}"))
    });
    let spikes = |n: u64| {
        let value = if n.is_multiple_of(977) { 4e9 } else { noise(n) };
        (n as f64 / 5.0, value)
    };
    Report {
        command: "bench",
        title: long.clone(),
        verdict: Some((Tone::Bad, format!("{long} {evil}"))),
        facts: vec![(long.clone(), long.clone()), (evil.clone(), evil.clone())],
        parts: vec![
            Part::Text(long.clone()),
            Part::Table(Table {
                title: long.clone(),
                columns: vec![long.clone(), evil.clone()],
                rows: vec![vec![evil.clone(), long.clone()], vec![long.clone()]],
            }),
            Part::Plot(Plot::Percentiles {
                title: evil.clone(),
                series: (0..14).map(many).collect(),
            }),
            Part::Plot(Plot::Percentiles {
                title: "one measurement".to_owned(),
                series: vec![(long.clone(), latencies(5e9, 1, 1))],
            }),
            Part::Plot(Plot::Percentiles {
                title: "none".to_owned(),
                series: vec![("nothing".to_owned(), latencies(1.0, 0, 1))],
            }),
            Part::Plot(Plot::Timeline {
                title: long.clone(),
                label: long.clone(),
                log: true,
                series: vec![(long.clone(), (0..18_000).map(spikes).collect())],
                marks: stalls.collect(),
            }),
            Part::Plot(Plot::Timeline {
                title: "large".to_owned(),
                label: "bytes a second".to_owned(),
                log: false,
                series: vec![("a".to_owned(), vec![(0.0, 1.5e12), (1e5, 9.9e12)])],
                marks: vec![(9e4, 1e5, long.clone())],
            }),
            Part::Plot(Plot::Bars {
                title: long.clone(),
                label: long.clone(),
                groups: vec![
                    (
                        long.clone(),
                        vec![(long.clone(), 4e12), (evil.clone(), 1e-9)],
                    ),
                    (
                        evil.clone(),
                        vec![(evil.clone(), f64::NAN), ("zero".to_owned(), 0.0)],
                    ),
                ],
            }),
        ],
        json: json!({}),
    }
}
