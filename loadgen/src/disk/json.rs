//! The results as JSON: the keys that `docs/disk.md` lists.

use serde_json::{Value, json};

use super::judged::Judged;
use super::measure::Measurement;
use super::offsets;
use super::stalls;
use super::verdict::Judgement;
use crate::report::Latency;

/// `{"disks":[…]}`.
#[must_use]
pub fn disks(disks: &[Judged], interrupted: bool) -> Value {
    json!({
        "interrupted": interrupted,
        "seed": offsets::SEED,
        "disks": disks.iter().map(disk).collect::<Vec<_>>(),
    })
}

fn disk(disk: &Judged) -> Value {
    let results = &disk.results;
    let (beside, quiet): (Vec<_>, Vec<_>) = results
        .measurements
        .iter()
        .partition(|one| one.case.background);
    let measurements =
        |all: Vec<&Measurement>| all.into_iter().map(measurement).collect::<Vec<_>>();
    let failure = |failure: &super::results::Failure| {
        json!({
            "pattern": failure.case.pattern.name(),
            "block_bytes": failure.case.block_bytes,
            "depth": failure.case.depth,
            "logs": failure.case.logs,
            "background": failure.case.background,
            "unsupported": failure.is_unsupported,
            "why": failure.why,
        })
    };
    let profile = disk.advice.as_ref().map(|advice| {
        json!({
            "name": advice.name,
            "settings": advice.profile,
            "reasons": advice.reasons,
        })
    });
    json!({
        "dir": results.dir.display().to_string(),
        "verdict": disk.class(),
        "reason": disk.reason(),
        "complete": !results.is_partial,
        "device": results.device,
        "attention": results.attention(),
        "measurements": measurements(quiet),
        "measurements_beside_checkpoint": measurements(beside),
        "not_measured": results.failures.iter().map(failure).collect::<Vec<_>>(),
        "left_out": results.left_out,
        "etcd": judgement(disk.etcd.as_ref()),
        "stoa": judgement(disk.stoa.as_ref()),
        "findings": disk.findings,
        "stalls": disk.stalls,
        "timeouts": disk.timeouts,
        "profile": profile,
        "exhaustion": results.exhaustion,
    })
}

fn judgement(judgement: Option<&Judgement>) -> Value {
    serde_json::to_value(judgement).unwrap_or_default()
}

fn measurement(measured: &Measurement) -> Value {
    let case = &measured.case;
    json!({
        "pattern": case.pattern.name(),
        "block_bytes": case.block_bytes,
        "depth": case.depth,
        "logs": case.logs,
        "began_seconds": measured.recorder.began().as_secs_f64(),
        "seconds": measured.recorder.length().as_secs_f64(),
        "per_second": measured.per_second(),
        "latency_us": Latency::from(&measured.recorder.histogram),
        "stalls": stalls::count(&measured.recorder.slow),
    })
}
