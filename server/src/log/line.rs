//! One event as one line: JSON with the field names and order of etcd's log (`level`, `ts`,
//! `caller`, `msg`, then the rest), or columns for people. Called by the subscriber; pure.

use std::fmt::{Debug, Write};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::Event;
use tracing::field::{Field, Visit};

use crate::config::LogLevel;

/// Longest line, bytes. What is longer is cut: a key or value in a message may be of any size.
pub const LINE_BYTES_MAX: usize = 8 << 10;

/// What every line has.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Severity.
    pub level: LogLevel,
    /// When it happened.
    pub time: SystemTime,
    /// Source file as the compiler names it.
    pub file: &'a str,
    /// Line in it.
    pub line: u32,
}

/// Message and fields of an event, in the order they were given.
#[derive(Debug, Default)]
pub struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

#[derive(Debug)]
enum Value {
    Text(String),
    /// A number or a bool, as JSON writes it.
    Bare(String),
}

impl Fields {
    /// The fields of `event`.
    pub fn of(event: &Event<'_>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        fields
    }

    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(text) | Value::Bare(text)) => self.message = text,
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = Bounded::default();
        // A value that refuses to be written leaves what it wrote before.
        let _ = write!(text, "{value:?}");
        self.add(field, Value::Text(text.0));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let mut text = Bounded::default();
        let _ = text.write_str(value);
        self.add(field, Value::Text(text.0));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::Bare(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Value::Bare(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::Bare(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            true => self.add(field, Value::Bare(value.to_string())),
            false => self.add(field, Value::Text(value.to_string())),
        }
    }
}

/// The line as JSON, with its newline. At most [`LINE_BYTES_MAX`] and one field's name long:
/// fields that do not fit are left out, and the line says so.
pub fn json(head: &Head<'_>, fields: &Fields) -> Vec<u8> {
    let mut line = format!(
        "{{\"level\":\"{}\",\"ts\":\"{}\"",
        name(head.level),
        time(head.time)
    );
    let _ = write!(line, ",\"caller\":{}", quoted(&caller(head)));
    let _ = write!(line, ",\"msg\":{}", quoted(&fields.message));
    for (name, value) in &fields.others {
        let value = match value {
            Value::Text(text) => quoted(text),
            Value::Bare(text) => text.clone(),
        };
        if line.len() + name.len() + value.len() > LINE_BYTES_MAX {
            line.push_str(",\"cut\":true");
            break;
        }
        // zap's names have dashes where Rust's have underscores.
        let _ = write!(line, ",{}:{value}", quoted(&name.replace('_', "-")));
    }
    line.push_str("}\n");
    line.into_bytes()
}

/// The line in columns, with its newline: time, level, caller, message, fields as JSON.
pub fn console(head: &Head<'_>, fields: &Fields) -> Vec<u8> {
    let message = fields.message.replace(['\n', '\r'], " ");
    let mut line = format!(
        "{}\t{}\t{}\t{message}",
        time(head.time),
        name(head.level),
        caller(head)
    );
    let mut separator = "\t{";
    for (name, value) in &fields.others {
        let value = match value {
            Value::Text(text) => quoted(text),
            Value::Bare(text) => text.clone(),
        };
        if line.len() + name.len() + value.len() > LINE_BYTES_MAX {
            let _ = write!(line, "{separator}\"cut\": true");
            separator = ", ";
            break;
        }
        let _ = write!(
            line,
            "{separator}{}: {value}",
            quoted(&name.replace('_', "-"))
        );
        separator = ", ";
    }
    if separator == ", " {
        line.push('}');
    }
    line.push('\n');
    line.into_bytes()
}

/// UTC with milliseconds, as etcd writes it: `2026-11-22T08:00:00.123Z`. Before 1970 is 1970.
pub fn time(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, in_day) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (in_day / 3600, in_day % 3600 / 60, in_day % 60);
    let ms = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// The Gregorian date of a day counted from 1970-01-01. Counts in eras of 400 years that begin on
/// the first of March, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_BEFORE_1970: u64 = 719_468;
    const ERA_DAYS: u64 = 146_097;
    let shifted = days + DAYS_BEFORE_1970;
    let (era, in_era) = (shifted / ERA_DAYS, shifted % ERA_DAYS);
    let year_of_era = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

fn name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

/// The last directory and the file, as zap shortens it.
fn caller(head: &Head<'_>) -> String {
    let start = head
        .file
        .rmatch_indices('/')
        .nth(1)
        .map_or(0, |(at, _)| at + 1);
    format!("{}:{}", &head.file[start..], head.line)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Text that stops growing at half a line and says so: two long fields still make one line.
#[derive(Default)]
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = (LINE_BYTES_MAX / 2).saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        self.0.push_str("...");
        Err(std::fmt::Error)
    }
}

#[cfg(test)]
mod tests;
