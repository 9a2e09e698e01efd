//! One search after the other.

use super::Args;
use super::driver::Driver;
use super::question::spare;
use super::search::{Plan, Searched, search};
use super::workload::{Name, Workload};
use crate::client::Status;
use crate::kubernetes::model::Model;
use crate::progress::{Progress, Stop};
use crate::server_process::Usage;

/// What one search found.
pub struct Found {
    /// What was searched.
    pub name: Name,
    /// Size of its values, bytes; of kubernetes the average.
    pub value_bytes: usize,
    /// The search.
    pub searched: Searched,
}

impl Found {
    /// Processor time of this program while rates were held, microseconds.
    pub fn own_us(&self) -> u64 {
        self.searched
            .steps
            .iter()
            .map(|(held, _)| held.own_us)
            .sum()
    }

    /// What servers on this machine took meanwhile.
    pub fn server(&self) -> Option<Usage> {
        let all = self
            .searched
            .steps
            .iter()
            .filter_map(|(held, _)| held.server);
        all.reduce(|sum, one| Usage {
            cpu_us: sum.cpu_us + one.cpu_us,
            rss_bytes: sum.rss_bytes.max(one.rss_bytes),
        })
    }
}

/// What all found.
pub struct AllFound {
    /// Each search.
    pub all: Vec<Found>,
    /// What was asked and how much of the searched mix that is, operations a second.
    pub asked: Option<(Model, f64)>,
    /// Whether it was told to end early.
    pub is_cut: bool,
}

impl AllFound {
    /// The highest rate of Kubernetes' mix.
    pub fn kubernetes(&self) -> f64 {
        let found = self.all.iter().find(|found| found.name == Name::Kubernetes);
        found.map_or(0.0, |found| found.searched.rate())
    }

    /// Whether each search found a rate, and what was asked fits.
    pub fn is_met(&self) -> bool {
        let fits = |(_, asked): &(Model, f64)| spare(*asked, self.kubernetes()) >= 0.0;
        self.all.iter().all(|found| found.searched.found.is_some())
            && self.asked.as_ref().is_none_or(fits)
    }
}

/// Runs all searches.
///
/// # Errors
/// Why they could not be run.
pub async fn run(args: &Args, stop: Stop) -> Result<AllFound, String> {
    let mut names = args.workload.clone();
    if args.question.is_some() && !names.contains(&Name::Kubernetes) {
        names.push(Name::Kubernetes);
    }
    if names.is_empty() {
        names.push(Name::Put);
    }
    if args.trial.is_zero() || args.hold.is_zero() {
        return Err("--trial and --hold have to be longer than 0s".to_owned());
    }
    let model = args.question.unwrap_or_else(|| Model::of_nodes(5000));
    let mut all = Vec::new();
    for name in names {
        let sizes: &[u32] = match name {
            Name::Kubernetes => &[0],
            _ => &args.value_size,
        };
        for size in sizes {
            if stop.is_set() {
                break;
            }
            let found = one(args, name, *size as usize, &model, stop).await;
            all.push(found?);
        }
    }
    if all.is_empty() {
        return Err("it was told to end before anything was measured".to_owned());
    }
    let asks = |model: Model| (model, model.writes_per_second() + model.gets_per_second());
    Ok(AllFound {
        all,
        asked: args.question.map(asks),
        is_cut: stop.is_set(),
    })
}

async fn one(
    args: &Args,
    name: Name,
    size: usize,
    model: &Model,
    stop: Stop,
) -> Result<Found, String> {
    let failed = |status: Status| status.to_string();
    let keys = args.keys as usize;
    let (workload, watchers, value_bytes) = match name {
        Name::Kubernetes => {
            let mean = model.bytes_per_second() / model.writes_per_second().max(1e-9);
            let workload = Workload::kubernetes(model, keys, args.seed);
            (workload, args.apiservers as usize, mean as usize)
        }
        _ => (Workload::simple(name, keys, size, args.seed), 0, size),
    };
    let progress = Progress::new(&format!("filling the keys of {name}"), 0);
    let connections = args.connections as usize;
    let driver = Driver::new(&args.client, connections, watchers, workload, stop);
    let driver = driver.await;
    drop(progress);
    let mut driver = driver.map_err(failed)?;
    let plan = Plan {
        first: f64::from(args.first_rate),
        most: f64::from(args.max_rate),
        near: f64::from(args.within) / 100.0,
        trial: args.trial.min(args.hold),
        hold: args.hold,
    };
    let searched = search(&mut driver, &args.objective, plan, || stop.is_set()).await;
    drop(driver);
    // Space that is not given back would count against the next search.
    let wiped = Driver::wipe(&args.client).await;
    let searched = searched?;
    wiped.map_err(failed)?;
    Ok(Found {
        name,
        value_bytes,
        searched,
    })
}
