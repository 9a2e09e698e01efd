//! The report as JSON: what every command says about its run, and the command's own keys beside
//! it. Called by `publish`; described in docs/loadgen.md.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{JSON_VERSION, PROGRAM_VERSION, Part, Report, Run};
use crate::machine::Machine;

/// What `format` says.
const FORMAT: &str = "stoa-loadgen";

#[derive(Serialize)]
struct Envelope<'a> {
    format: &'static str,
    version: u32,
    command: &'static str,
    program: Program,
    began: String,
    seconds: f64,
    arguments: &'a [String],
    machine: &'a Machine,
    summary: Summary<'a>,
    #[serde(flatten)]
    own: Map<String, Value>,
}

/// Keys that no command may use for its own.
const RESERVED: [&str; 9] = [
    "format",
    "version",
    "command",
    "program",
    "began",
    "seconds",
    "arguments",
    "machine",
    "summary",
];

#[derive(Serialize)]
struct Program {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Summary<'a> {
    title: &'a str,
    tone: Option<&'static str>,
    verdict: Option<&'a str>,
    facts: Map<String, Value>,
    warnings: Vec<&'a str>,
}

/// The whole file, with a line end.
///
/// # Errors
/// When the command's own keys are no JSON, which none does.
pub(super) fn json(report: &Report, run: &Run) -> serde_json::Result<String> {
    let mut own = match &report.json {
        Value::Object(own) => own.clone(),
        Value::Null => Map::new(),
        other => Map::from_iter([("results".to_owned(), other.clone())]),
    };
    for key in RESERVED {
        let taken = own.remove(key);
        debug_assert!(taken.is_none(), "{key} is a key of the envelope");
    }
    let fact = |(name, value): &(String, String)| (name.clone(), Value::from(value.clone()));
    let envelope = Envelope {
        format: FORMAT,
        version: JSON_VERSION,
        command: report.command,
        program: Program {
            name: FORMAT,
            version: PROGRAM_VERSION,
        },
        began: run.began_text(),
        seconds: run.seconds,
        arguments: &run.arguments,
        machine: &run.machine,
        summary: Summary {
            title: &report.title,
            tone: report.verdict.as_ref().map(|(tone, _)| tone.name()),
            verdict: report.verdict.as_ref().map(|(_, text)| text.as_str()),
            facts: report.facts.iter().map(fact).collect(),
            warnings: report.parts.iter().filter_map(warning).collect(),
        },
        own,
    };
    serde_json::to_string_pretty(&envelope).map(|text| text + "\n")
}

fn warning(part: &Part) -> Option<&str> {
    match part {
        Part::Warning(text) => Some(text),
        _ => None,
    }
}
