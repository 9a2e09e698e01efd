//! The differential test with fixed seeds: the same random story to real etcds and to Stoa on one
//! shard, two and five, and the golden scripts to Stoa alone. For longer runs: the program
//! `differ`, or here `STOA_SAME_STEPS` and `STOA_SAME_SEED`.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::time::Duration;

use tests::client::run;
use tests::differ::peers::Entrant;
use tests::differ::{golden, shrink};
use tests::skip::{number, skip};

/// Runs that may be spent on making a failing story short.
const TRIES: usize = 40;

fn same(entrants: Vec<Entrant>, steps: u64, restart_every: u64) {
    let plan = shrink::Plan {
        entrants,
        seed: number("STOA_SAME_SEED", 1),
        steps: number("STOA_SAME_STEPS", steps) as usize,
        restart_every,
    };
    let Some(report) = run(shrink::run(&plan)).unwrap() else {
        return;
    };
    let steps = report.steps.len();
    eprintln!(
        "seed {}: {steps} steps to revision {}, {} refused",
        plan.seed, report.revision, report.refused
    );
    for (row, count) in &report.explained {
        eprintln!("explained {count} times: {row}");
    }
    if !report.differences.is_empty() {
        eprintln!("{}", report.differences.join("\n"));
        let limit = Duration::from_secs(300);
        let short = run(shrink::shrink(&plan.entrants, report, TRIES, limit));
        panic!("seed {} differs:\n{}", plan.seed, shrink::told(&short));
    }
    assert!(
        report.refused * 2 < steps,
        "the script mostly asks what is refused: it proves little"
    );
}

fn stoas() -> Vec<Entrant> {
    [1, 2, 5].map(Entrant::Stoa).to_vec()
}

/// An etcd and all Stoas; nothing, with a note, when that etcd is not on this machine.
fn beside(version: &str) -> Vec<Entrant> {
    let Some(etcd) = Entrant::etcd(version) else {
        skip(&format!("no etcd {version} found"));
        return Vec::new();
    };
    [vec![etcd], stoas()].concat()
}

/// Two etcds: shows that the comparison itself holds before anything is blamed on Stoa.
#[test]
fn etcd_answers_as_etcd() {
    let Some(etcd) = Entrant::etcd("3.5.") else {
        return skip("no etcd 3.5 found");
    };
    same(vec![etcd.clone(), etcd], 1_500, 500);
}

#[test]
fn one_two_and_five_shards_answer_alike() {
    same(stoas(), 4_000, 1_000);
}

#[test]
fn stoa_answers_as_etcd_3_5() {
    let entrants = beside("3.5.");
    if !entrants.is_empty() {
        same(entrants, 6_000, 1_500);
    }
}

#[test]
fn stoa_answers_as_etcd_3_4() {
    let entrants = beside("3.4.");
    if !entrants.is_empty() {
        same(entrants, 4_000, 1_500);
    }
}

#[test]
fn what_was_found_once_stays_mended() {
    let mut count = 0;
    for file in std::fs::read_dir(golden::dir()).unwrap() {
        let path = file.unwrap().path();
        let wanted = golden::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let (played, differences) = run(golden::play(&[1, 5].map(Entrant::Stoa), &wanted))
            .unwrap()
            .unwrap();
        assert_eq!(differences, Vec::<String>::new(), "{}", path.display());
        for (got, want) in played.iter().zip(&wanted) {
            assert_eq!(got.said, want.said, "{}: {}", path.display(), want.step);
        }
        assert_eq!(played.len(), wanted.len(), "{}", path.display());
        count += 1;
    }
    assert!(count > 0, "no golden script found");
}
