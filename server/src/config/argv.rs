//! Command line and environment, read by the rules of Go's `flag` package and etcd's `ETCD_`
//! variables, and handed to clap in the one form it takes (`--name=value`). Pure: arguments and
//! variables are input.

use clap::CommandFactory;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::ConfigError;
use super::flags::Flags;
use super::known::{self, FEATURE_GATES, Known, Treatment};

/// Flags that are acted on and may stand without a value.
const SWITCHES: [&str; 1] = ["enable-grpc-gateway"];

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Print how to use it.
    Help,
    /// Print the versions.
    Version,
    /// Run with these settings.
    Run(Settings),
}

/// Settings by flag name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Value and origin of each flag that was given and that this server acts on.
    pub values: BTreeMap<String, Setting>,
    /// Flags and variables that change nothing, one warning line each.
    pub notes: Vec<String>,
}

/// A value and how the user named it (`--name` or `ETCD_NAME`), for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The value as given.
    pub value: String,
    /// `--data-dir` or `ETCD_DATA_DIR`.
    pub origin: String,
}

impl Settings {
    /// The arguments for clap, program name first.
    pub fn to_argv(&self) -> Vec<String> {
        let program = std::iter::once("stoa".to_owned());
        let flags = self
            .values
            .iter()
            .map(|(name, set)| format!("--{name}={}", set.value));
        program.chain(flags).collect()
    }

    /// How the user named the flag `name`.
    pub fn origin(&self, name: &str) -> String {
        self.values
            .get(name)
            .map_or_else(|| format!("--{name}"), |set| set.origin.clone())
    }
}

/// Reads `args` (without the program's name) and `env`. A flag given twice has its last value; a
/// flag beats its variable; an empty variable is as good as none, as in etcd.
///
/// # Errors
/// An unknown or refused flag, a missing value, or a word that is no flag.
pub fn read(
    args: &[String],
    env: impl Iterator<Item = (String, String)>,
) -> Result<Request, ConfigError> {
    let ours: BTreeSet<String> = Flags::command()
        .get_arguments()
        .filter_map(|a| a.get_long().map(str::to_owned))
        .collect();
    let mut given: BTreeMap<String, Setting> = BTreeMap::new();
    let mut version = false;
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let Some((name, value)) = split(arg)? else {
            return Err(ConfigError(format!(
                "{arg:?} is not a flag; flags begin with a dash"
            )));
        };
        match name {
            "h" | "help" => return Ok(Request::Help),
            "version" => {
                version = parse_bool(value.unwrap_or("true")).ok_or_else(|| bad_bool("version"))?;
                continue;
            }
            _ => {}
        }
        let known = known::find(name);
        if !ours.contains(name) && known.is_none() {
            return Err(unknown(name));
        }
        let value = match value {
            Some(value) => value.to_owned(),
            None if known.is_some_and(|k| k.is_bool) || SWITCHES.contains(&name) => {
                "true".to_owned()
            }
            None => rest
                .next()
                .ok_or_else(|| ConfigError(format!("--{name} needs a value: --{name}=VALUE")))?
                .clone(),
        };
        given.insert(
            name.to_owned(),
            Setting {
                value,
                origin: format!("--{name}"),
            },
        );
    }
    if version {
        return Ok(Request::Version);
    }
    let mut settings = Settings::default();
    add_variables(env, &ours, &mut given, &mut settings.notes);
    for (name, setting) in given {
        match known::find(&name) {
            Some(known) => settings.notes.extend(treat(known, &setting)?),
            None => {
                settings.values.insert(name, setting);
            }
        }
    }
    Ok(Request::Run(settings))
}

/// Adds what `ETCD_` variables say about flags that were not given.
fn add_variables(
    env: impl Iterator<Item = (String, String)>,
    ours: &BTreeSet<String>,
    given: &mut BTreeMap<String, Setting>,
    notes: &mut Vec<String>,
) {
    let sorted: BTreeMap<String, String> = env.collect();
    for (variable, value) in sorted {
        let Some(suffix) = variable.strip_prefix("ETCD_") else {
            continue;
        };
        if value.is_empty() {
            continue;
        }
        let name = suffix.to_ascii_lowercase().replace('_', "-");
        let is_exact = suffix == name.to_ascii_uppercase().replace('-', "_");
        if !is_exact || (!ours.contains(&name) && known::find(&name).is_none()) {
            notes.push(format!(
                "the environment variable {variable} belongs to no flag"
            ));
            continue;
        }
        match given.entry(name) {
            Entry::Occupied(flag) => {
                let name = flag.key();
                notes.push(format!("--{name} is given, so {variable} is not used"));
            }
            Entry::Vacant(slot) => {
                slot.insert(Setting {
                    value,
                    origin: variable,
                });
            }
        }
    }
}

/// Splits `-name=value`. None for a word that is no flag; `--` alone is such a word, too.
fn split(arg: &str) -> Result<Option<(&str, Option<&str>)>, ConfigError> {
    let Some(after) = arg.strip_prefix('-') else {
        return Ok(None);
    };
    let body = after.strip_prefix('-').unwrap_or(after);
    if body.is_empty() {
        return Ok(None);
    }
    if body.starts_with(['-', '=']) {
        return Err(ConfigError(format!(
            "{arg:?} is not well formed; write --name=value"
        )));
    }
    Ok(Some(match body.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (body, None),
    }))
}

/// A line about a flag that is not acted on, or why it cannot be left unheeded.
fn treat(known: &Known, setting: &Setting) -> Result<Option<String>, ConfigError> {
    let Setting { value, origin } = setting;
    if known.name == "feature-gates" {
        check_gates(setting)?;
    }
    let is_default = match (known.is_bool, parse_bool(value)) {
        (true, None) => return Err(bad_bool(origin)),
        (true, Some(on)) => known.default == if on { "true" } else { "false" },
        (false, _) => value == known.default,
    };
    if is_default {
        return Ok(None);
    }
    match known.treatment {
        Treatment::Ignored(why) => Ok(Some(format!("{origin}={value} changes nothing: {why}"))),
        Treatment::Refused(why) => Err(ConfigError(format!(
            "{origin} is a flag of etcd that is not supported: {why}; leave it out"
        ))),
    }
}

/// A misspelt gate is an error in etcd, too: the user would believe it on.
fn check_gates(setting: &Setting) -> Result<(), ConfigError> {
    for part in setting
        .value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (gate, on) = part.split_once('=').unwrap_or((part, ""));
        let is_known = FEATURE_GATES.contains(&gate) || matches!(gate, "AllAlpha" | "AllBeta");
        if !is_known {
            return Err(ConfigError(format!(
                "{}: unknown feature gate {gate:?}",
                setting.origin
            )));
        }
        if parse_bool(on).is_none() {
            return Err(ConfigError(format!(
                "{}: write {gate}=true or =false",
                setting.origin
            )));
        }
    }
    Ok(())
}

fn unknown(name: &str) -> ConfigError {
    if let Some(plain) = name.strip_prefix("experimental-") {
        return ConfigError(format!(
            "--{name} went away in etcd 3.7; use --{plain} if --help lists it"
        ));
    }
    const GONE: [&str; 6] = [
        "discovery",
        "discovery-proxy",
        "discovery-fallback",
        "enable-v2",
        "proxy",
        "proxy-mode",
    ];
    if GONE.contains(&name) {
        return ConfigError(format!(
            "--{name} went away with etcd 3.6 or 3.7; leave it out"
        ));
    }
    ConfigError(format!("unknown flag --{name}; --help lists the flags"))
}

fn bad_bool(origin: &str) -> ConfigError {
    ConfigError(format!("{origin} is either true or false"))
}

/// As [`parse_bool`], for clap.
pub(super) fn go_bool(text: &str) -> Result<bool, String> {
    parse_bool(text).ok_or_else(|| "it is either true or false".to_owned())
}

/// A bool as Go's `strconv.ParseBool` reads it.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
