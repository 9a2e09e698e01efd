//! One profile: its settings with their bounds, and how it is found and read. Every setting is
//! explained in the files under `profiles/`.

use serde::{Deserialize, Serialize};
use std::path::Path;

use crate::choose::{Choice, Durable, Told, choose};

/// Settings for one class of disk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What it is called.
    pub name: String,
    /// One line about the machine it is for.
    pub description: String,
    /// How the write-ahead log uses the disk.
    pub wal: Wal,
    /// How executors wait.
    pub runtime: Runtime,
    /// How patient members are with each other. Left out, etcd's defaults count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raft: Option<Raft>,
}

/// How patient members are with each other. Counts where neither `--heartbeat-interval` nor
/// `--election-timeout` is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Raft {
    /// Milliseconds between a leader's heartbeats: 1 to 10,000.
    pub heartbeat_interval_ms: u64,
    /// Milliseconds without a leader before an election: 5 heartbeats to 50,000.
    pub election_timeout_ms: u64,
}

impl Raft {
    /// The longest election timeout, as in etcd, milliseconds.
    pub const ELECTION_MS_MAX: u64 = 50_000;
}

/// etcd's.
impl Default for Raft {
    fn default() -> Raft {
        Raft {
            heartbeat_interval_ms: 100,
            election_timeout_ms: 1000,
        }
    }
}

/// How the write-ahead log uses the disk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Wal {
    /// How many logs there are.
    pub lanes: Lanes,
    /// How a write is made durable.
    pub durable_writes: DurableWrites,
    /// Microseconds a batch waits for company; at most 20,000.
    pub group_commit_delay_us: u32,
    /// Bytes of a segment: whole MiB, 32 MiB to 2 GiB.
    pub segment_bytes: u64,
    /// Bytes of log after which a checkpoint is made: 64 KiB to 64 GiB. Left out, the server
    /// has its own measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_bytes: Option<u64>,
    /// Segments prepared for each log: 2 to 1024.
    pub segment_count: u32,
}

/// How executors wait.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// Microseconds a core without work keeps looking before it sleeps; at most 10,000.
    pub spin_before_park_us: u32,
}

/// How many logs there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lanes {
    /// One for each core.
    Core,
    /// One for each device, shared by its cores.
    Device,
    /// As it was measured to be best: [`Lanes::Device`] up to [`Lanes::SHARE_MAX`] cores, above
    /// them [`Lanes::Core`].
    Auto,
}

impl Lanes {
    /// Most cores that share a log where the profile leaves it open. Not measured with more: one
    /// core then does the work of all shards.
    pub const SHARE_MAX: u16 = 2;

    /// How many logs there are for so many cores.
    pub fn count(self, cores: u16) -> u16 {
        match self {
            Self::Device => 1,
            Self::Auto if cores <= Self::SHARE_MAX => 1,
            Self::Core | Self::Auto => cores,
        }
    }
}

/// How a write is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DurableWrites {
    /// `O_DSYNC` on every write.
    Dsync,
    /// A write, then a sync.
    WriteSync,
}

/// Why a profile cannot be used: one line with file, line and setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProfileError(pub String);

const BUILT_IN: [(&str, &str); 6] = [
    (
        "cloud-volume",
        include_str!("../profiles/cloud-volume.toml"),
    ),
    (
        "nvme-consumer",
        include_str!("../profiles/nvme-consumer.toml"),
    ),
    ("nvme-plp", include_str!("../profiles/nvme-plp.toml")),
    ("sata-ssd", include_str!("../profiles/sata-ssd.toml")),
    ("spinning", include_str!("../profiles/spinning.toml")),
    ("virtio", include_str!("../profiles/virtio.toml")),
];

const MIB: u64 = 1 << 20;

impl Profile {
    /// Names of the built-in profiles, sorted.
    pub fn built_in_names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// The built-in profile called `name`.
    pub fn built_in(name: &str) -> Option<Self> {
        let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
        Some(Self::parse(name, text).expect("built-in profiles are valid: a test reads them all"))
    }

    /// The profile `which` stands for: a built-in name, or a file if it has a slash or ends in
    /// `.toml`.
    ///
    /// # Errors
    /// An unknown name, a file that cannot be read, or a setting that will not do.
    pub fn load(which: &str) -> Result<Self, ProfileError> {
        if let Some(profile) = Self::built_in(which) {
            return Ok(profile);
        }
        if !which.contains('/') && !which.ends_with(".toml") {
            let names: Vec<_> = Self::built_in_names().collect();
            return Err(ProfileError(format!(
                "{which:?} is no profile; take one of {} or a file (./{which}.toml)",
                names.join(", ")
            )));
        }
        let text = std::fs::read_to_string(Path::new(which))
            .map_err(|error| ProfileError(format!("{which}: {error}")))?;
        Self::parse(which, &text)
    }

    /// Reads a profile; `source` names it in errors.
    ///
    /// # Errors
    /// A line that is no TOML, an unknown or missing setting, or a value out of bounds.
    pub fn parse(source: &str, text: &str) -> Result<Self, ProfileError> {
        let profile: Self = toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = 1 + text.as_bytes()[..offset]
                .iter()
                .filter(|b| **b == b'\n')
                .count();
            let message = error.message().replace('\n', "; ");
            ProfileError(format!("{source}, line {line}: {message}"))
        })?;
        match profile.out_of_bounds() {
            Some(what) => Err(ProfileError(format!("{source}: {what}"))),
            None => Ok(profile),
        }
    }

    /// The profile as a file, without the explanations. Reads back as the same profile.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a profile is made of plain values")
    }

    /// Which built-in profile is for a disk on which durable writes took so long, and why. See
    /// [`choose`].
    pub fn choose(durable: Durable, told: Told) -> Choice {
        choose(durable, told)
    }

    fn out_of_bounds(&self) -> Option<String> {
        let wal = &self.wal;
        let bounds = [
            (
                "wal.group_commit_delay_us",
                u64::from(wal.group_commit_delay_us),
                0,
                20_000,
            ),
            ("wal.segment_bytes", wal.segment_bytes, 32 * MIB, 2048 * MIB),
            (
                "wal.checkpoint_bytes",
                wal.checkpoint_bytes.unwrap_or(MIB),
                MIB / 16,
                65_536 * MIB,
            ),
            ("wal.segment_count", u64::from(wal.segment_count), 2, 1024),
            (
                "runtime.spin_before_park_us",
                u64::from(self.runtime.spin_before_park_us),
                0,
                10_000,
            ),
        ];
        for (setting, value, least, most) in bounds {
            if value < least || value > most {
                return Some(format!("{setting} is {value}; give {least} to {most}"));
            }
        }
        if !wal.segment_bytes.is_multiple_of(MIB) {
            return Some(format!(
                "wal.segment_bytes is {}; give whole MiB",
                wal.segment_bytes
            ));
        }
        if let Some(raft) = &self.raft {
            let (heartbeat, election) = (raft.heartbeat_interval_ms, raft.election_timeout_ms);
            let most = Raft::ELECTION_MS_MAX;
            if !(1..=most / 5).contains(&heartbeat) {
                return Some(format!(
                    "raft.heartbeat_interval_ms is {heartbeat}; give 1 to {}",
                    most / 5
                ));
            }
            if !(heartbeat * 5..=most).contains(&election) {
                return Some(format!(
                    "raft.election_timeout_ms is {election}; give {} (5 heartbeats) to {most}",
                    heartbeat * 5
                ));
            }
        }
        if self.name.is_empty() {
            return Some("name is empty; call the profile something".to_owned());
        }
        None
    }
}

#[cfg(test)]
mod tests;
