//! Which tuning profile is in force: the one that was asked for, else the one kept in the data
//! directory, else the one that a short probe of the disk picks, which is then kept. Called once
//! at the start, while the data directory is held and before any executor runs.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use tuning::{Durable, DurableWrites, Profile, Told};

use crate::fatal::Exit;

/// The file in the data directory that keeps what the probe picked. Made to be read, changed or
/// removed by people: without it the next start probes again.
pub const KEPT_FILE: &str = "TUNING.toml";

const PROBE_FILE: &str = ".tuning-probe";
const TEMP_FILE: &str = ".tuning-new";
const BLOCK_BYTES: usize = 4096;
/// Durable writes of the probe, and when it ends with fewer.
const WRITES: usize = 48;
const BUDGET: Duration = Duration::from_millis(200);

/// A profile and where it came from.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// The settings.
    pub profile: Profile,
    /// One line for the log.
    pub why: String,
}

/// What the probe measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Measured {
    durable: Durable,
    writes: usize,
}

/// Finds the profile for the data directory `dir`, which exists and is held, and the log in it or
/// in `log_dir`. `given` is the one of `--tuning-profile`; it is used and not kept.
///
/// # Errors
/// [`Exit::BadConfig`] if the kept profile is damaged; [`Exit::NoSpace`], [`Exit::DiskFailed`] if
/// the directory cannot be written.
pub fn find(dir: &Path, log_dir: Option<&Path>, given: Option<&Profile>) -> Result<Tuned, Exit> {
    if let Some(profile) = given {
        return Ok(Tuned {
            profile: profile.clone(),
            why: "asked for by --tuning-profile".to_owned(),
        });
    }
    let kept = dir.join(KEPT_FILE);
    match std::fs::read_to_string(&kept) {
        Ok(text) => {
            let source = kept.display().to_string();
            let profile = Profile::parse(&source, &text).map_err(|error| {
                Exit::BadConfig(format!(
                    "{error}; remove the file to have the disk probed anew"
                ))
            })?;
            let why = format!("kept in {KEPT_FILE} since an earlier start");
            Ok(Tuned { profile, why })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let probed = log_dir.filter(|place| place.is_dir()).unwrap_or(dir);
            probe_and_keep(dir, probed)
                .map_err(|error| Exit::of_io(&probed.display().to_string(), &error))
        }
        Err(error) => Err(Exit::of_io(&kept.display().to_string(), &error)),
    }
}

fn probe_and_keep(dir: &Path, probed: &Path) -> io::Result<Tuned> {
    let path = probed.join(PROBE_FILE);
    let measured = measure(&path);
    let removed = std::fs::remove_file(&path);
    let measured = measured?;
    removed?;
    let choice = Profile::choose(measured.durable, told(probed));
    let profile = Profile::built_in(choice.name).expect("only built-in profiles are chosen");
    let text = format!(
        "# Picked at the first start: {}.\n# Change it as you like; remove it to have the disk \
         probed anew.\n\n{}",
        choice.reason,
        profile.to_toml()
    );
    keep(dir, &text)?;
    Ok(Tuned {
        profile,
        why: choice.reason,
    })
}

/// Puts the file in place whole or not at all.
fn keep(dir: &Path, text: &str) -> io::Result<()> {
    let temp = dir.join(TEMP_FILE);
    let mut file = File::create(&temp)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temp, dir.join(KEPT_FILE))?;
    File::open(dir)?.sync_all()
}

/// Times durable 4 KiB writes to space that was written before, as those of the log are.
fn measure(path: &Path) -> io::Result<Measured> {
    let plain = File::create(path)?;
    plain.write_all_at(&vec![0x5a; WRITES * BLOCK_BYTES], 0)?;
    plain.sync_all()?;
    drop(plain);
    let open = |flags| File::options().write(true).custom_flags(flags).open(path);
    // A file system in memory knows no direct writes.
    let file = open(libc::O_DSYNC | libc::O_DIRECT).or_else(|_| open(libc::O_DSYNC))?;
    // Direct writes come from aligned memory.
    let memory = vec![0xa5; 2 * BLOCK_BYTES];
    let skip = memory.as_ptr().align_offset(BLOCK_BYTES);
    let block = &memory[skip..skip + BLOCK_BYTES];
    let began = Instant::now();
    let mut times_us = Vec::with_capacity(WRITES);
    for number in 0..WRITES {
        let write = Instant::now();
        file.write_all_at(block, (number * BLOCK_BYTES) as u64)?;
        times_us.push(write.elapsed().as_micros() as u64);
        if began.elapsed() > BUDGET {
            break;
        }
    }
    Ok(summary(times_us))
}

/// Median, mean and 99th percentile; there is at least one time.
fn summary(mut times_us: Vec<u64>) -> Measured {
    times_us.sort_unstable();
    let at = |percent: usize| times_us[(times_us.len() - 1) * percent / 100];
    Measured {
        durable: Durable {
            p50_us: at(50),
            mean_us: times_us.iter().sum::<u64>() / times_us.len() as u64,
            p99_us: at(99),
        },
        writes: times_us.len(),
    }
}

/// What the kernel says of the device below `dir`.
fn told(dir: &Path) -> Told {
    let Ok(metadata) = std::fs::metadata(dir) else {
        return Told::default();
    };
    let device = metadata.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let base = format!("/sys/dev/block/{major}:{minor}");
    let driver = std::fs::canonicalize(&base).unwrap_or_default();
    let of_hypervisor = |part: std::path::Component<'_>| {
        let part = part.as_os_str().to_string_lossy();
        part.starts_with("virtio") || part.starts_with("xvd")
    };
    Told {
        rotational: rotational(&base),
        is_virtual: driver.components().any(of_hypervisor),
    }
}

/// Whether the kernel takes a device for one that turns; `None` where it does not say.
fn rotational(base: &str) -> Option<bool> {
    // A partition's queue is that of its disk, one directory up.
    let text = ["queue", "../queue"]
        .iter()
        .find_map(|queue| std::fs::read_to_string(format!("{base}/{queue}/rotational")).ok())?;
    match text.trim() {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

/// How a write is made durable, as the log says it.
pub fn durable(profile: &Profile) -> &'static str {
    match profile.wal.durable_writes {
        DurableWrites::Dsync => "dsync",
        DurableWrites::WriteSync => "write_sync",
    }
}

#[cfg(test)]
mod tests;
