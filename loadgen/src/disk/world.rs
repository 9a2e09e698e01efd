//! Made-up measurements, for the tests of what is concluded from them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::case::{Case, Pattern};
use super::measure::Measurement;
use super::recorder::Recorder;
use super::results::Results;
use crate::machine::device::{Device, Kind};

/// A device of which nothing is known.
pub fn device(kind: Kind) -> Device {
    Device {
        file_system: Some("ext4".into()),
        source: None,
        mount_options: Some("rw,relatime".into()),
        name: None,
        made_of: Vec::new(),
        kind,
        cloud: None,
        model: None,
        rotational: None,
        write_cache: None,
        fua: None,
        scheduler: None,
        logical_block_bytes: None,
        physical_block_bytes: None,
        queue_requests: None,
        size_bytes: None,
        unknown: Vec::new(),
    }
}

/// A measurement whose operations take so many microseconds each; as many as the case's depth are
/// under way at once.
pub fn measured(case: Case, took_us: &[u64]) -> Measurement {
    let zero = Instant::now();
    let mut recorder = Recorder::new(zero);
    let mut at = Duration::ZERO;
    for together in took_us.chunks(case.depth) {
        let times = together.iter().map(|us| Duration::from_micros(*us));
        for took in times.clone() {
            recorder.record(zero + at, zero + at + took);
        }
        at += times.max().unwrap_or_default();
    }
    Measurement { case, recorder }
}

/// A disk on which every durable write takes so long, in microseconds, with every hundredth
/// `tail_us`.
pub fn disk(kind: Kind, write_us: u64, tail_us: u64) -> Results {
    let mut times = vec![write_us; 980];
    times.extend([tail_us; 20]);
    let one = Case::new;
    let durable = [
        one(Pattern::OverwriteFdatasync),
        one(Pattern::DirectDsync),
        one(Pattern::DirectDsync).logs(2),
        one(Pattern::Etcd),
        one(Pattern::Etcd).depth(64),
        one(Pattern::Etcd).with_background(),
        one(Pattern::Wal),
        one(Pattern::Wal).depth(64),
        one(Pattern::Wal).with_background(),
        one(Pattern::WalWriteSync),
    ];
    let mut measurements: Vec<Measurement> = durable
        .into_iter()
        .map(|case| measured(case, &times))
        .collect();
    measurements.push(measured(one(Pattern::BufferedUnsynced), &[3; 1000]));
    measurements.push(measured(
        one(Pattern::SequentialWrite),
        &vec![write_us / 3; 1000],
    ));
    let stream = one(Pattern::SequentialWrite).block(128 << 10).depth(8);
    measurements.push(measured(stream, &[500; 1000]));
    Results {
        dir: PathBuf::from("/disk"),
        device: device(kind),
        measurements,
        failures: Vec::new(),
        left_out: Vec::new(),
        exhaustion: Vec::new(),
        is_partial: false,
        is_realtime: false,
    }
}

/// Puts other times in the place of a case's.
pub fn replace(results: &mut Results, case: Case, took_us: &[u64]) {
    results
        .measurements
        .retain(|known| !known.case.is_same(&case));
    results.measurements.push(measured(case, took_us));
}
