//! Starts each server in turn, each time on fresh data, and has the load generator ask it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use loadgen::bench::keys::{Keys, Space};
use loadgen::bench::load::Operation;
use loadgen::bench::run::{Outcome, run};
use loadgen::progress::{Progress, Stop};
use loadgen::report::number;
use proto::etcdserverpb as pb;
use serde::Serialize;
use tests::target::{Kind, Launch, Target};
use tests::throttle::Throttle;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use super::beside::{Beside, Wrote};
use super::disk::Disk;
use super::results::Results;
use super::sample::Sample;
use super::workload::{KEYS, RANGE_KEYS, VALUE_BYTES, Workload};
use crate::client;

/// How long a server may take until it serves; on a throttled disk its files take long.
const START_LIMIT: Duration = Duration::from_secs(60);
const SLOW_START_LIMIT: Duration = Duration::from_secs(600);

/// One of the servers.
#[derive(Clone, Debug)]
pub struct Side {
    /// What it is called in tables.
    pub name: String,
    /// How it is started.
    pub kind: Kind,
    /// Its executable.
    pub program: PathBuf,
    /// Its version.
    pub version: String,
    /// More of its command line.
    pub extra: Vec<String>,
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The servers; ratios are the first's by the second's.
    pub sides: [Side; 2],
    /// Kinds of disk in their order, and what is measured on each.
    pub disks: Vec<(Disk, Vec<&'static Workload>)>,
    /// How each round is made.
    pub settings: Settings,
}

/// How rounds are made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many.
    pub rounds: usize,
    /// Measured time of each load.
    pub duration: Duration,
    /// Time before it.
    pub warm_up: Duration,
    /// Where chance begins in the first round.
    pub seed: u64,
    /// Where the data directories are made.
    pub dir: PathBuf,
    /// Writes a second of a throttled disk.
    pub throttle: u32,
}

/// One life of a server: a round on one kind of disk.
#[derive(Clone, Debug, Serialize)]
pub struct Life {
    /// The kind of disk.
    pub disk: &'static str,
    /// From 1.
    pub round: usize,
    /// The server's name.
    pub server: String,
    /// From its start until it served, seconds.
    pub start_seconds: f64,
    /// From its start until it was ended, seconds.
    pub seconds: f64,
    /// Stoa's tuning profile.
    pub profile: Option<String>,
    /// Writes that it has asked the disk for, where they were counted: on a throttled one.
    pub disk_writes: Option<u64>,
    /// What was written beside it.
    pub beside: Option<Wrote>,
}

/// Why a run ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Early {
    /// It was told to.
    Stopped,
    /// Something failed.
    Failed(String),
}

/// What a run gave.
#[derive(Debug, Default)]
pub struct Ended {
    /// All samples.
    pub results: Results,
    /// All lives of servers.
    pub lives: Vec<Life>,
    /// Why it ended early, if it did.
    pub early: Option<Early>,
}

fn failed(what: impl ToString) -> Early {
    Early::Failed(what.to_string())
}

/// Measures all of `plan`, or as much as can be.
#[must_use]
pub fn all(plan: &Plan, stop: Stop) -> Ended {
    let mut ended = Ended::default();
    ended.early = rounds(plan, stop, &mut ended).err();
    ended
}

fn rounds(plan: &Plan, stop: Stop, ended: &mut Ended) -> Result<(), Early> {
    let settings = &plan.settings;
    can_have(settings, plan.disks.iter().map(|(disk, _)| *disk)).map_err(Early::Failed)?;
    for (disk, loads) in &plan.disks {
        for round in 0..settings.rounds {
            // The order changes, so that neither side always meets the warmer machine.
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for side in order {
                if stop.is_set() {
                    return Err(Early::Stopped);
                }
                let turn = Turn {
                    settings,
                    stop,
                    disk: *disk,
                    round,
                    side: &plan.sides[side],
                };
                let Ended { results, lives, .. } = ended;
                let told = |load: &_, sample| results.add((*disk, load), round, side, sample);
                turn.take(loads, told, lives)?;
            }
        }
    }
    Ok(())
}

/// Makes sure that all these disks can be had, not after an hour on the first of them.
///
/// # Errors
/// Why one cannot.
pub fn can_have(settings: &Settings, disks: impl IntoIterator<Item = Disk>) -> Result<(), String> {
    disks
        .into_iter()
        .try_for_each(|disk| throttle(settings, disk).map(drop))
}

fn throttle(settings: &Settings, disk: Disk) -> Result<Option<Throttle>, String> {
    if disk != Disk::Throttled {
        return Ok(None);
    }
    let made = Throttle::new(&settings.dir, settings.throttle).map_err(|why| {
        format!(
            "--disk throttled: {why} (it takes root, a kernel with the blkio or io controller, \
             and a --dir on a block device; leave it out to measure the others)"
        )
    });
    made.map(Some)
}

/// A server's turn in a round.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// How rounds are made.
    pub settings: &'a Settings,
    /// Ends it early.
    pub stop: Stop,
    /// What is done to the disk.
    pub disk: Disk,
    /// Which round, from 0.
    pub round: usize,
    /// The server.
    pub side: &'a Side,
}

impl Turn<'_> {
    /// Starts the server on fresh data, has it asked each load in turn, tells what that gave, ends
    /// it and notes how it lived, also when it was not brought to its end.
    ///
    /// # Errors
    /// Why it was not brought to its end.
    pub fn take(
        &self,
        loads: &[&'static Workload],
        mut told: impl FnMut(&'static Workload, Sample),
        lives: &mut Vec<Life>,
    ) -> Result<(), Early> {
        let Turn { settings, side, .. } = *self;
        let throttle = throttle(settings, self.disk).map_err(Early::Failed)?;
        let throttle = throttle.map(Arc::new);
        let begun = Instant::now();
        self.tell("starting");
        let target = self.start(throttle.clone())?;
        let started = begun.elapsed();
        let beside = match self.disk {
            Disk::Busy => Some(Beside::start(&settings.dir).map_err(failed)?),
            Disk::Plain | Disk::Throttled => None,
        };
        let asked = self.ask(loads, &target, &mut told);
        let beside = beside.map(Beside::finish).transpose().map_err(failed);
        let writes = throttle.map(|throttle| throttle.writes()).transpose();
        lives.push(Life {
            disk: self.disk.name(),
            round: self.round + 1,
            server: side.name.clone(),
            start_seconds: started.as_secs_f64(),
            seconds: begun.elapsed().as_secs_f64(),
            profile: profile(&target),
            disk_writes: writes.map_err(failed)?,
            beside: beside.as_ref().copied().unwrap_or_default(),
        });
        // What became of the loads is more to the point than what became of the other writes.
        asked.and(beside.map(drop))
    }

    /// A server that serves. Dropped, it is killed: its data goes with it.
    fn start(&self, throttle: Option<Arc<Throttle>>) -> Result<Target, Early> {
        let side = self.side;
        let limit = match throttle {
            Some(_) => SLOW_START_LIMIT,
            None => START_LIMIT,
        };
        let launch = Launch {
            dir: self.settings.dir.clone(),
            program: Some(side.program.clone()),
            throttle,
            limit,
            stop: Some(self.stop),
            is_bound: true,
        };
        let extra: Vec<&str> = side.extra.iter().map(String::as_str).collect();
        let target = Target::prepare_as(side.kind.clone(), &extra, launch).map_err(failed)?;
        let mut target = target.ok_or_else(|| failed("the server is not here"))?;
        match target.restart() {
            Ok(()) => Ok(target),
            Err(_) if self.stop.is_set() => Err(Early::Stopped),
            Err(e) => Err(failed(format!("{} does not start: {e}", side.name))),
        }
    }

    fn ask(
        &self,
        loads: &[&'static Workload],
        target: &Target,
        told: &mut impl FnMut(&'static Workload, Sample),
    ) -> Result<(), Early> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().map_err(failed)?;
        for load in loads {
            let sample = self.one_load(load, target, &runtime)?;
            self.tell(&format!(
                "{:<10} {:>10}  p50 {:>8}  p99 {:>8}",
                load.name,
                number::rate(sample.operations_per_second),
                number::latency_of(sample.latency_us.p50 * 1e3),
                number::latency_of(sample.latency_us.p99 * 1e3),
            ));
            told(load, sample);
        }
        Ok(())
    }

    fn one_load(
        &self,
        workload: &Workload,
        target: &Target,
        runtime: &Runtime,
    ) -> Result<Sample, Early> {
        let settings = self.settings;
        let seed = settings.seed.wrapping_add(self.round as u64);
        let load = workload.load(settings.warm_up, settings.duration, seed);
        let named = |why: String| {
            failed(format!(
                "{} of {} on a {} disk: {why}",
                workload.name,
                self.side.name,
                self.disk.name()
            ))
        };
        let total = u64::try_from(settings.duration.as_millis()).unwrap_or(u64::MAX);
        let progress = Progress::new(workload.name, total);
        let options = client::options(target.addr());
        let local = LocalSet::new();
        let outcome = local.block_on(runtime, run(&load, &options, self.stop, &progress));
        // Else it would be shorter than the others.
        if self.stop.is_set() {
            return Err(Early::Stopped);
        }
        let outcome = outcome.map_err(|status| named(status.to_string()))?;
        drop(progress);
        sound(&outcome).map_err(named)?;
        if matches!(workload.operation, Operation::Get | Operation::Range) {
            let read = local.block_on(runtime, read_back(target));
            read.map_err(named)?;
        }
        Ok(Sample::of(&outcome))
    }

    /// Says how far the run is: on standard error, since results may go to standard output.
    #[allow(clippy::print_stderr)]
    fn tell(&self, what: &str) {
        let (rounds, disk) = (self.settings.rounds, self.disk.name());
        let (round, side) = (self.round + 1, &self.side.name);
        eprintln!("{disk} disk, round {round} of {rounds}, {side}: {what}");
    }
}

/// A load with errors measures nothing.
fn sound(outcome: &Outcome) -> Result<(), String> {
    let (errors, operations) = (outcome.record.errors_total(), outcome.operations());
    if errors > 0 {
        let all = outcome.record.errors.borrow();
        let last = all.iter().next();
        let last = last.map_or(String::new(), |(code, (_, text))| format!("{code}: {text}"));
        return Err(format!("{errors} errors, such as {last}"));
    }
    if operations == 0 {
        return Err("nothing was answered; give a longer --duration".to_owned());
    }
    Ok(())
}

/// Makes sure that reads had something to read, since of answers only the length is taken: the
/// keys of a range are there with their values.
async fn read_back(target: &Target) -> Result<(), String> {
    let keys = Keys::new(Space::Sequential, KEYS, 32, 0);
    let request = pb::RangeRequest {
        key: keys.key(0),
        range_end: keys.key(RANGE_KEYS),
        ..Default::default()
    };
    let channel = client::connect(target.addr()).await;
    let channel = channel.map_err(|status| status.to_string())?;
    let answer = channel.range(&request).await.map_err(|e| e.to_string())?;
    let is_whole = |kv: &&proto::mvccpb::KeyValue| kv.value.len() == VALUE_BYTES;
    let whole = answer.kvs.iter().filter(is_whole).count() as u64;
    if whole == RANGE_KEYS {
        return Ok(());
    }
    Err(format!("of {RANGE_KEYS} keys {whole} are there to be read"))
}

/// The name of the tuning profile that Stoa's first start has picked.
fn profile(target: &Target) -> Option<String> {
    let text = std::fs::read_to_string(target.data_dir().join("TUNING.toml")).ok()?;
    let mut lines = text.lines();
    let name = lines.find_map(|line| line.strip_prefix("name = "))?;
    Some(name.trim_matches('"').to_owned())
}
