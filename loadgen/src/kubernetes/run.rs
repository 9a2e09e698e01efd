//! A run from its beginning to its end, with one measured phase or, in a search, several.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Args;
use super::apiserver::Clockwork;
use super::check;
use super::cluster::{Cluster, Settings};
use super::drive::{PATIENCE, Plan, drive};
use super::fill;
use super::model::{CHANGES_PER_NODE, Resource, Sizes};
use super::outcome::{Found, Limits, Outcome};
use crate::client::Status;
use crate::progress::{Progress, Stop};
use crate::server_process::Watcher;

/// A search ends when what held and what did not are as near as this part of the former.
const NEAR: usize = 8;

fn settings(args: &Args) -> Result<Settings, String> {
    let per_node = args.changes.map(|changes| changes / f64::from(args.nodes));
    let changes_per_node = per_node.unwrap_or(CHANGES_PER_NODE);
    if !(0.0..=1000.0).contains(&changes_per_node) {
        return Err("--changes has to be from 0 to 1000 for each node".to_owned());
    }
    Ok(Settings {
        options: args.client.clone(),
        apiservers: args.apiservers as usize,
        is_streaming: args.range_stream,
        pods_per_node: args.pods_per_node as usize,
        changes_per_node,
        sizes: Sizes {
            node: args.node_bytes as usize,
            pod: args.pod_bytes as usize,
        },
        seed: args.seed,
    })
}

/// Runs it.
///
/// # Errors
/// Why it could not be run.
pub async fn run(args: &Args, stop: Stop) -> Result<Found, String> {
    if args.duration.as_secs() == 0 {
        return Err("--duration has to be a second at least".to_owned());
    }
    let cluster = Cluster::new(&settings(args)?);
    let mut version = String::new();
    for apiserver in &cluster.apiservers {
        version = apiserver
            .probe()
            .await
            .map_err(|status| status.to_string())?;
    }
    empty(args, &cluster).await?;
    let watcher = Watcher::new(&args.client.places()?);
    let mut run = Run {
        args,
        stop,
        cluster,
        watcher,
        phases: Vec::new(),
        fill_seconds: 0.0,
        is_started: false,
    };
    let shown = if args.find_nodes {
        run.search().await?
    } else {
        run.phase(args.nodes as usize).await?;
        0
    };
    if run.phases.is_empty() {
        return Err("it was told to end before anything was measured".to_owned());
    }
    // What was measured is told, also where the server is gone by now.
    let (caches, unchecked) = match check::check(&run.cluster).await {
        Ok(caches) => (caches, None),
        Err(status) => (Vec::new(), Some(status.to_string())),
    };
    let apiservers = run.cluster.apiservers.iter();
    Ok(Found {
        shown,
        caches,
        unchecked,
        apiservers: apiservers
            .map(|a| (a.totals(), a.compactions.get()))
            .collect(),
        version,
        has_progress: run.cluster.front(0).has_progress.get(),
        fill_seconds: run.fill_seconds,
        is_cut: stop.is_set(),
        phases: run.phases,
    })
}

/// Sees to it that nothing of another run, or of a real cluster, is there.
async fn empty(args: &Args, cluster: &Cluster) -> Result<(), String> {
    let line = cluster.front(0).line(Resource::Pods).clone();
    let failed = |status: Status| status.to_string();
    if args.wipe {
        fill::wipe(&line).await.map_err(failed)?;
    }
    match fill::present(&line).await.map_err(failed)? {
        0 => Ok(()),
        n => Err(format!(
            "the server has {n} keys below /registry/; take an empty one, or have them deleted \
             with --wipe if they are not a real cluster's"
        )),
    }
}

/// Waits until the run is told to end.
async fn told(stop: Stop) {
    while !stop.is_set() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

struct Run<'a> {
    args: &'a Args,
    stop: Stop,
    cluster: Rc<Cluster>,
    watcher: Watcher,
    phases: Vec<Outcome>,
    fill_seconds: f64,
    is_started: bool,
}

impl Run<'_> {
    /// Fills up to this many nodes and measures. Nothing is measured when told to end before.
    async fn phase(&mut self, nodes: usize) -> Result<(), String> {
        let began = Instant::now();
        let filled = fill::fill(&self.cluster, nodes, self.stop).await;
        if !filled.map_err(|status| self.why_not_filled(nodes, &status))? {
            return Ok(());
        }
        self.fill_seconds += began.elapsed().as_secs_f64();
        if !self.is_started {
            let starts = self.cluster.apiservers.iter().map(|a| a.start());
            // The first lists are those of a cold start: all apiservers at once.
            self.cluster.record.measure(true);
            tokio::select! {
                _ = futures::future::join_all(starts) => {}
                () = told(self.stop) => return Ok(()),
            }
            self.is_started = true;
        }
        // What the phase before has left behind is not this one's.
        self.cluster.settled(PATIENCE, self.stop).await;
        let seconds = self.args.duration.as_secs();
        let progress = Progress::new(&format!("playing {nodes} nodes"), seconds);
        self.watcher.begin();
        let seconds = drive(
            &self.cluster,
            self.plan(nodes),
            &self.watcher,
            self.stop,
            &progress,
        );
        let seconds = seconds.await;
        self.watcher.look();
        let limits = Limits {
            write: self.args.write_objective,
            list: self.args.list_objective,
            lag: self.args.lag_objective,
        };
        let model = self.cluster.model(nodes);
        let record = &self.cluster.record;
        let outcome = Outcome::of(record, &self.watcher, model, seconds, limits);
        record.clear();
        self.phases.push(outcome);
        Ok(())
    }

    fn why_not_filled(&self, nodes: usize, status: &Status) -> String {
        let hint = match status.code {
            Status::RESOURCE_EXHAUSTED => {
                let bytes = self.cluster.model(nodes).bytes();
                format!("; they take {bytes} bytes: see the server's --quota-backend-bytes")
            }
            _ => String::new(),
        };
        format!("the objects cannot be made: {status}{hint}")
    }

    fn plan(&self, nodes: usize) -> Plan {
        Plan {
            nodes,
            duration: self.args.duration,
            restart: self.args.restart(),
            list: self.args.list_objective,
            clockwork: Clockwork {
                compact: self.args.compact_every,
                count: self.args.count_every,
                read: self.args.read_every,
            },
        }
    }

    /// Doubles the nodes until the objectives do not hold, then halves the span between. Gives the
    /// phase with the most nodes that held, else the first.
    async fn search(&mut self) -> Result<usize, String> {
        let most = self.args.max_nodes as usize;
        let (mut held, mut failed) = (0, None);
        let mut nodes = (self.args.nodes as usize).min(most);
        while !self.stop.is_set() {
            let before = self.phases.len();
            self.phase(nodes).await?;
            let Some(phase) = self.phases.get(before) else {
                break;
            };
            // One that was cut short says nothing.
            if phase.is_held() && !self.stop.is_set() {
                held = nodes;
            } else {
                failed = Some(nodes);
            }
            nodes = match failed {
                None if held == most => break,
                None => (held * 2).min(most),
                Some(failed) if failed - held <= (held / NEAR).max(1) => break,
                Some(failed) => held + (failed - held) / 2,
            };
        }
        let at = self
            .phases
            .iter()
            .position(|phase| phase.model.nodes == held);
        Ok(at.unwrap_or(0))
    }
}
