//! The tables of a report.

use std::time::Duration;

use super::name;
use crate::disk::case::{Case, Pattern};
use crate::disk::judged::Judged;
use crate::disk::measure::Measurement;
use crate::disk::plan::GROUPED;
use crate::disk::verdict::Number;
use crate::report::Table;

/// What stands side by side, when it was measured on one of the disks.
fn compared_cases() -> Vec<Case> {
    let one = Case::new;
    vec![
        one(Pattern::OverwriteFdatasync),
        one(Pattern::OverwriteFdatasync).depth(4),
        one(Pattern::AppendFdatasync),
        one(Pattern::DirectDsync),
        one(Pattern::DirectDsync).depth(4),
        one(Pattern::DirectDsync).logs(2),
        one(Pattern::LinkedFsync),
        one(Pattern::Etcd),
        one(Pattern::Etcd).with_background(),
        one(Pattern::Etcd).depth(GROUPED),
        one(Pattern::Wal),
        one(Pattern::Wal).with_background(),
        one(Pattern::Wal).depth(GROUPED),
        one(Pattern::SequentialWrite).block(128 << 10).depth(8),
        one(Pattern::SequentialRead).block(128 << 10).depth(8),
        one(Pattern::RandomWrite).depth(8),
        one(Pattern::RandomRead).depth(8),
    ]
}

/// A row for each pattern and disk.
pub(super) fn compared(disks: &[Judged]) -> Table {
    let mut rows = Vec::new();
    for case in compared_cases() {
        for disk in disks {
            let Some(measured) = disk.results.get(case) else {
                continue;
            };
            let mut row = vec![case.to_string()];
            if disks.len() > 1 {
                row.push(name(disk));
            }
            row.extend(numbers_of(measured));
            rows.push(row);
        }
    }
    let mut columns = vec!["pattern"];
    if disks.len() > 1 {
        columns.push("disk");
    }
    columns.extend(COLUMNS);
    Table {
        title: "Rates and latencies".to_owned(),
        columns: columns.into_iter().map(str::to_owned).collect(),
        rows,
    }
}

const COLUMNS: [&str; 5] = ["per second", "p50 us", "p99 us", "p99.9 us", "max us"];

fn numbers_of(measured: &Measurement) -> [String; 5] {
    [
        format!("{:.0}", measured.per_second()),
        us(measured.quantile(0.5)),
        us(measured.quantile(0.99)),
        us(measured.quantile(0.999)),
        us(measured.max()),
    ]
}

fn us(time: Duration) -> String {
    format!("{:.0}", time.as_secs_f64() * 1e6)
}

/// What the kernel knows of several disks, side by side.
pub(super) fn facts(disks: &[Judged]) -> Table {
    let of_each: Vec<_> = disks.iter().map(super::facts).collect();
    let names = of_each.first().into_iter().flatten();
    let row = |(i, (fact, _)): (usize, &(String, String))| {
        let values = of_each.iter().map(|facts| facts[i].1.clone());
        std::iter::once(fact.clone()).chain(values).collect()
    };
    Table {
        title: String::new(),
        columns: std::iter::once(String::new())
            .chain(disks.iter().map(name))
            .collect(),
        rows: names.enumerate().map(row).collect(),
    }
}

/// Every measurement of a disk.
pub(super) fn everything(disk: &Judged) -> Table {
    let row = |measured: &Measurement| {
        let mut row = vec![measured.case.to_string()];
        row.extend(numbers_of(measured));
        row
    };
    let columns = std::iter::once("measurement").chain(COLUMNS);
    Table {
        title: format!("All measurements on {}", name(disk)),
        columns: columns.map(str::to_owned).collect(),
        rows: disk.results.measurements.iter().map(row).collect(),
    }
}

/// The numbers that the classes rest on.
pub(super) fn numbers(disks: &[Judged]) -> Table {
    let mut rows = Vec::new();
    for disk in disks {
        for (server, judgement) in [("etcd", &disk.etcd), ("Stoa", &disk.stoa)] {
            for number in judgement.iter().flat_map(|one| &one.numbers) {
                let what = format!("{server}: {}", number.what);
                let mut row = vec![what];
                if disks.len() > 1 {
                    row.push(name(disk));
                }
                row.extend(cells(number));
                rows.push(row);
            }
        }
    }
    let mut columns = vec!["number"];
    if disks.len() > 1 {
        columns.push("disk");
    }
    columns.extend([
        "unit", "measured", "small", "medium", "large", "xlarge", "class",
    ]);
    Table {
        title: "The class is the least of these; what each class needs".to_owned(),
        columns: columns.into_iter().map(str::to_owned).collect(),
        rows,
    }
}

fn cells(number: &Number) -> Vec<String> {
    let sign = if number.is_limit { "<= " } else { ">= " };
    let measured = match number.measured {
        small if small < 100.0 => format!("{small:.2}"),
        large => format!("{large:.0}"),
    };
    let mut cells = vec![number.unit.to_owned(), measured];
    cells.extend(number.needed.iter().map(|need| format!("{sign}{need:.0}")));
    cells.push(number.class.to_string());
    cells
}
