//! The tuning profile for a disk: the built-in one that its latency picks, with those settings
//! changed for which a measurement says otherwise. Written as a file that the server takes.

use std::io;
use std::path::Path;

use tuning::{DurableWrites, Lanes, Profile, Raft, Told};

use super::case::{Case, Pattern};
use super::plan::GROUPED;
use super::results::Results;
use super::timeouts::Timeouts;

/// A way of writing must be this much faster than the profile's to replace it.
const BETTER: f64 = 1.15;
/// Two logs must get this much more done than one, or they share a log.
const SCALES: f64 = 1.2;

/// A profile and why it is as it is.
#[derive(Clone, Debug)]
pub struct Advice {
    /// The name of the built-in profile.
    pub name: &'static str,
    /// The settings.
    pub profile: Profile,
    /// One line for each reason.
    pub reasons: Vec<String>,
}

/// Picks and adapts, with the timeouts that the tail asks for; `None` if durable writes could not
/// be measured.
#[must_use]
pub fn advise(results: &Results, timeouts: Option<Timeouts>) -> Option<Advice> {
    let patterns = [Pattern::DirectDsync, Pattern::OverwriteFdatasync];
    let durable = patterns
        .iter()
        .find_map(|pattern| results.alone(*pattern))?;
    let told = Told {
        rotational: results.device.rotational,
        is_virtual: results.device.kind.is_virtual(),
    };
    let choice = Profile::choose(durable.durable(), told);
    let mut advice = Advice {
        name: choice.name,
        profile: Profile::built_in(choice.name)?,
        reasons: vec![choice.reason],
    };
    if let Some(timeouts) = timeouts {
        advice.profile.raft = Some(Raft {
            heartbeat_interval_ms: timeouts.heartbeat_ms,
            election_timeout_ms: timeouts.election_ms,
        });
    }
    advice.way_of_writing(results);
    advice.lanes(results);
    advice.profile.description = format!(
        "{}; adapted to what was measured",
        advice.profile.description
    );
    Some(advice)
}

impl Advice {
    /// One durable write, or a write and a sync: whichever gave clients more, alone or in a crowd.
    fn way_of_writing(&mut self, results: &Results) {
        let rate = |pattern, clients| {
            let measured = results.get(Case::new(pattern).depth(clients))?;
            Some(measured.per_second())
        };
        let ratios = [1, GROUPED].iter().filter_map(|clients| {
            Some(rate(Pattern::Wal, *clients)? / rate(Pattern::WalWriteSync, *clients)?)
        });
        let ratios: Vec<f64> = ratios.collect();
        if ratios.is_empty() {
            return;
        }
        let ratio = ratios
            .iter()
            .product::<f64>()
            .powf(1.0 / ratios.len() as f64);
        let better = match ratio {
            ratio if ratio > BETTER => DurableWrites::Dsync,
            ratio if ratio < 1.0 / BETTER => DurableWrites::WriteSync,
            _ => return,
        };
        if self.profile.wal.durable_writes != better {
            self.profile.wal.durable_writes = better;
            self.reasons.push(format!(
                "durable_writes changed: with O_DSYNC the log committed {ratio:.2} times what it \
                 did with a write and a sync"
            ));
        }
    }

    /// Several logs only where the disk serves them at once.
    fn lanes(&mut self, results: &Results) {
        let one = results.alone(Pattern::DirectDsync);
        let two = results.get(Case::new(Pattern::DirectDsync).logs(2));
        let (Some(one), Some(two)) = (one, two) else {
            return;
        };
        let scale = two.per_second() / one.per_second();
        if scale < SCALES && self.profile.wal.lanes != Lanes::Device {
            self.profile.wal.lanes = Lanes::Device;
            self.reasons.push(format!(
                "lanes changed to one for each device: two logs got {scale:.2} times what one got"
            ));
        }
    }

    /// The profile as a file, with the reasons as comments.
    #[must_use]
    pub fn to_file(&self, dir: &Path) -> String {
        let mut text = format!(
            "# Written by stoa-loadgen for {}. Give it to the server with --tuning-profile.\n",
            dir.display().to_string().replace(char::is_control, "?")
        );
        for reason in &self.reasons {
            text.push_str(&format!("# {reason}.\n"));
        }
        text + "\n" + &self.profile.to_toml()
    }

    /// Writes it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path, dir: &Path) -> io::Result<()> {
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        std::fs::write(path, self.to_file(dir)).map_err(named)
    }
}

#[cfg(test)]
mod tests;
