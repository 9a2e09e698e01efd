//! The command line of `side_by_side`, and the plan that it makes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Parser;
use loadgen::report::Outputs;
use loadgen::span;
use tests::target::{Kind, disk_dir};
use tests::{node, peer};

use super::disk::Disk;
use super::run::{Plan, Settings, Side};
use super::workload::{chosen, named};

/// Measures Stoa and etcd one after the other, several rounds, by the same load generator on the
/// same disk, and says how they compare.
#[derive(Debug, Parser)]
#[command(name = "side_by_side")]
pub struct Args {
    /// How often both servers are measured, each time on fresh data
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Measured time of each load in each round
    #[arg(long, default_value = "5s", value_parser = span::parse)]
    pub duration: Duration,
    /// Time before it that is not measured
    #[arg(long, default_value = "1s", value_parser = span::parse)]
    pub warm_up: Duration,
    /// What is done to the disk meanwhile; several, separated by commas, one after the other
    #[arg(long, value_delimiter = ',', default_value = "plain")]
    pub disk: Vec<Disk>,
    /// Writes a second that a throttled disk lets through
    #[arg(long, default_value_t = 150, value_parser = clap::value_parser!(u32).range(1..))]
    pub throttle: u32,
    /// Only these loads, separated by commas [default: all on a plain disk, puts on others]
    #[arg(long, value_delimiter = ',', value_parser = named)]
    pub only: Vec<String>,
    /// The etcd to compare with [default: that of STOA_PEER_ETCD, else one found on the PATH]
    #[arg(long, value_name = "PATH")]
    pub etcd: Option<PathBuf>,
    /// Another Stoa than the one built of these sources
    #[arg(long, value_name = "PATH", conflicts_with = "etcd_twice")]
    pub stoa: Option<PathBuf>,
    /// Stoa's shards [default: the CPUs, at least 2]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub shards: Option<u16>,
    /// Where the data directories are made and the other writes go [default: that of
    /// STOA_TEST_DIR, else one beside this program]
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Where chance begins; each round has the next one, the same for both servers
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Measures etcd against itself: every ratio should come out near 1
    #[arg(long)]
    pub etcd_twice: bool,
    /// Where results go beside the terminal.
    #[command(flatten)]
    pub outputs: Outputs,
    /// Writes the tables to this file as Markdown, as they go into docs/performance.md; - is
    /// standard output, with the summary on standard error
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Makes this process the one that writes beside the servers
    #[arg(long, value_name = "FILE", hide = true)]
    pub write_beside: Option<PathBuf>,
}

impl Args {
    /// What to measure.
    ///
    /// # Errors
    /// What is wrong with the options, on one line.
    pub fn plan(&self) -> Result<Plan, String> {
        if self.duration < Duration::from_millis(100) {
            return Err("--duration has to be at least 100ms".to_owned());
        }
        let dir = self.dir.clone().unwrap_or_else(disk_dir);
        let dir = dir
            .canonicalize()
            .map_err(|e| format!("--dir {}: {e}", dir.display()))?;
        if !dir.is_dir() {
            return Err(format!("--dir {} is no directory", dir.display()));
        }
        let etcd = match &self.etcd {
            Some(path) => peer::etcd_at(path).map_err(|why| format!("--etcd {why}"))?,
            None => peer::system_etcd().ok_or("no etcd found: give --etcd PATH")?,
        };
        let side = |name: &str| Side {
            name: name.to_owned(),
            kind: Kind::EtcdAt(etcd.path.clone()),
            program: etcd.path.clone(),
            version: etcd.version.clone(),
            extra: Vec::new(),
        };
        let first = if self.etcd_twice {
            side("etcd(a)")
        } else {
            stoa(self.stoa.as_deref(), self.shards)?
        };
        let mut disks = Vec::new();
        for disk in &self.disk {
            if disks.iter().all(|(known, _)| known != disk) {
                disks.push((*disk, chosen(*disk, &self.only)));
            }
        }
        Ok(Plan {
            sides: [first, side("etcd")],
            disks,
            settings: Settings {
                rounds: self.rounds as usize,
                duration: self.duration,
                warm_up: self.warm_up,
                seed: self.seed,
                dir,
                throttle: self.throttle,
            },
        })
    }

    /// The command that measures the same again, without what is only true of this machine: where
    /// programs and files are.
    #[must_use]
    pub fn command(&self) -> String {
        let span = |span: Duration| match span.subsec_millis() {
            0 => format!("{}s", span.as_secs()),
            _ => format!("{}ms", span.as_millis()),
        };
        let disks: Vec<&str> = self.disk.iter().map(|disk| disk.name()).collect();
        let mut command = format!(
            "cargo run --release -p benches --bin side_by_side -- --rounds {} --duration {} \
             --warm-up {}",
            self.rounds,
            span(self.duration),
            span(self.warm_up)
        );
        let mut more = |is_given: bool, text: String| {
            if is_given {
                command.push(' ');
                command.push_str(&text);
            }
        };
        more(disks != ["plain"], format!("--disk {}", disks.join(",")));
        more(
            self.throttle != 150,
            format!("--throttle {}", self.throttle),
        );
        more(
            !self.only.is_empty(),
            format!("--only {}", self.only.join(",")),
        );
        more(
            self.shards.is_some(),
            format!("--shards {}", self.shards.unwrap_or_default()),
        );
        more(self.seed != 1, format!("--seed {}", self.seed));
        more(self.etcd.is_some(), "--etcd PATH".to_owned());
        more(self.stoa.is_some(), "--stoa PATH".to_owned());
        more(self.dir.is_some(), "--dir DIR".to_owned());
        more(self.etcd_twice, "--etcd-twice".to_owned());
        command
    }
}

/// Stoa: the one of `path` or else the one built of these sources, with so many shards or else as
/// many as there are CPUs.
///
/// # Errors
/// Why it cannot be used, on one line.
pub fn stoa(path: Option<&Path>, shards: Option<u16>) -> Result<Side, String> {
    let program = match path {
        Some(path) => path
            .canonicalize()
            .map_err(|e| format!("--stoa {}: {e}", path.display()))?,
        None => node::stoa().map_err(|e| e.to_string())?,
    };
    let shown = program.display();
    let output = Command::new(&program)
        .arg("--version")
        .output()
        .map_err(|e| format!("{shown} cannot be run: {e}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = said.lines();
    let version = lines.find_map(|line| line.strip_prefix("Stoa Version: "));
    let version = version
        .ok_or_else(|| format!("{shown} is no Stoa: asked for its version it does not name one"))?;
    let cpus = std::thread::available_parallelism().map_or(2, |n| n.get());
    let cpus = u16::try_from(cpus.max(2)).unwrap_or(u16::MAX);
    Ok(Side {
        name: "stoa".to_owned(),
        kind: Kind::Stoa(shards.unwrap_or(cpus)),
        program,
        version: version.to_owned(),
        extra: Vec::new(),
    })
}
