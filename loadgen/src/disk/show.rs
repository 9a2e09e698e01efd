//! The report of a run: a verdict for each disk, the numbers it rests on, what was measured, and
//! plots. Several disks stand side by side in the same tables and plots.

mod plots;
mod tables;

use super::findings::Gravity;
use super::json;
use super::judged::Judged;
use super::verdict::{Class, Judgement};
use crate::report::{Part, Report, Tone};

/// Builds it.
#[must_use]
pub fn report(disks: &[Judged], interrupted: bool) -> Report {
    let names: Vec<String> = disks.iter().map(name).collect();
    let mut parts = Vec::new();
    if interrupted {
        let text = "The run was ended early: this is what was measured until then.";
        parts.push(Part::Warning(text.to_owned()));
    }
    for disk in disks {
        summary(disk, disks.len() > 1, &mut parts);
    }
    if disks.len() > 1 {
        parts.push(Part::Heading("What they are".to_owned()));
        parts.push(Part::Table(tables::facts(disks)));
    }
    parts.push(Part::Heading("What it rests on".to_owned()));
    parts.push(Part::Table(tables::numbers(disks)));
    parts.push(Part::Heading("What was measured".to_owned()));
    parts.push(Part::Table(tables::compared(disks)));
    parts.push(Part::Plot(plots::percentiles(disks)));
    parts.push(Part::Plot(plots::rates(disks)));
    parts.push(Part::Plot(plots::over_time(disks)));
    for disk in disks {
        parts.extend(plots::exhaustion(disk).map(Part::Plot));
        parts.push(Part::Table(tables::everything(disk)));
        parts.extend(missing(disk).map(Part::Text));
    }
    Report {
        command: "disk",
        title: format!("Disk {}", names.join(" and ")),
        verdict: Some(verdict(disks)),
        facts: match disks {
            [one] => facts(one).into(),
            // Side by side in a table instead.
            _ => Vec::new(),
        },
        parts,
        json: json::disks(disks, interrupted),
    }
}

/// How a disk is called.
fn name(disk: &Judged) -> String {
    disk.results.dir.display().to_string()
}

fn verdict(disks: &[Judged]) -> (Tone, String) {
    let worst = disks.iter().map(Judged::class).min().flatten();
    let tone = match worst {
        None | Some(Class::Unfit) => Tone::Bad,
        Some(Class::Small | Class::Medium) => Tone::Fair,
        Some(Class::Large | Class::Xlarge) => Tone::Good,
    };
    let words: Vec<String> = disks
        .iter()
        .map(|disk| in_words(disk, disks.len() > 1))
        .collect();
    (tone, words.join(". "))
}

fn in_words(disk: &Judged, several: bool) -> String {
    let reason = disk.reason();
    let words = match disk.class() {
        None => format!("no verdict: {reason}"),
        Some(Class::Unfit) => format!("unfit, no log should be there: {reason}"),
        Some(class) => format!("fit for {} cluster: {reason}", class.with_article()),
    };
    match several {
        true => format!("{}: {words}", name(disk)),
        false => words,
    }
}

/// What a reader wants to know of one disk before any table.
fn summary(disk: &Judged, several: bool, parts: &mut Vec<Part>) {
    if several {
        parts.push(Part::Heading(name(disk)));
    }
    for finding in &disk.findings {
        parts.push(match finding.gravity {
            Gravity::Note => Part::Text(sentence(&finding.text)),
            Gravity::Warning | Gravity::Unfit => Part::Warning(sentence(&finding.text)),
        });
    }
    let servers = [("etcd", &disk.etcd), ("Stoa", &disk.stoa)];
    for (server, judgement) in servers {
        parts.extend(
            judgement
                .as_ref()
                .map(|one| Part::Text(commits(server, one))),
        );
    }
    if let Some(timeouts) = disk.timeouts {
        let mut text = format!(
            "Timeouts for its tail: heartbeat interval {} ms (twice what 999 of 1000 syncs stay \
             below), election timeout {} ms (ten heartbeats, or twice the longest sync and two \
             heartbeats). The way between members comes on top.",
            timeouts.heartbeat_ms, timeouts.election_ms
        );
        if timeouts.is_beyond {
            text.push_str(" Its longest sync asks for more than an election timeout may be.");
        }
        parts.push(Part::Text(text));
    }
    if let Some(advice) = &disk.advice {
        let text = format!(
            "Tuning profile: {}. {}",
            advice.name,
            sentence(&advice.reasons.join("; "))
        );
        parts.push(Part::Text(text));
    }
    for exhaustion in disk
        .results
        .exhaustion
        .iter()
        .filter(|one| one.fell_at.is_none())
    {
        parts.push(Part::Text(sentence(&exhaustion.to_string())));
    }
}

fn commits(server: &str, judgement: &Judgement) -> String {
    let class = match judgement.class {
        Class::Unfit => "no cluster".to_owned(),
        class => format!("{} cluster", class.with_article()),
    };
    format!(
        "Its speed allows {server} {class}: {:.0} commits a second of one client, {:.0} of 64 \
         clients.",
        judgement.commits_alone, judgement.commits_grouped
    )
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

/// What the kernel knows of a disk: the same facts in the same order of each.
fn facts(disk: &Judged) -> [(String, String); 9] {
    let device = &disk.results.device;
    let unknown = || "unknown".to_owned();
    let yes_no = |flag: Option<bool>| match flag {
        Some(true) => "yes".to_owned(),
        Some(false) => "no".to_owned(),
        None => unknown(),
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_else(unknown);
    let sectors = [
        device
            .logical_block_bytes
            .map(|size| format!("{size} logical")),
        device
            .physical_block_bytes
            .map(|size| format!("{size} physical")),
    ];
    let sectors: Vec<String> = sectors.into_iter().flatten().collect();
    let sectors = Some(sectors.join(", ")).filter(|text| !text.is_empty());
    [
        ("Device", device.summary()),
        ("Rotational, as the kernel says", yes_no(device.rotational)),
        ("Write cache", text(&device.write_cache)),
        ("FUA", yes_no(device.fua)),
        ("Scheduler", text(&device.scheduler)),
        ("Sector bytes", text(&sectors)),
        ("File system", text(&device.file_system)),
        ("Mount options", text(&device.mount_options)),
        ("Not found out", device.unknown.join("; ")),
    ]
    .map(|(fact, value)| (fact.to_owned(), value))
}

/// What was not measured, and why.
fn missing(disk: &Judged) -> Option<String> {
    let failed = disk
        .results
        .failures
        .iter()
        .filter(|failure| failure.is_unsupported);
    let mut why: Vec<(String, usize)> = Vec::new();
    for failure in failed {
        match why.iter_mut().find(|(known, _)| *known == failure.why) {
            Some((_, count)) => *count += 1,
            None => why.push((failure.why.clone(), 1)),
        }
    }
    let mut lines: Vec<String> = disk.results.left_out.clone();
    lines.extend(
        why.into_iter()
            .map(|(why, count)| format!("{count} patterns: {why}")),
    );
    (!lines.is_empty()).then(|| format!("Not measured on {}: {}.", name(disk), lines.join("; ")))
}

#[cfg(test)]
mod tests;
