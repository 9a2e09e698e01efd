//! The server's log: lines with etcd's field names, written by a thread of their own. `main.rs`
//! installs it; all others use `tracing`'s macros.
//!
//! A slow terminal or a full pipe must not stop an executor: lines go through a bounded queue,
//! and what does not fit is dropped and counted.

mod line;
mod writer;

use std::fmt::Debug;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::config::{LogConfig, LogFormat, LogLevel};
use writer::Writer;

/// The message that says the server is up. etcd's tests and many scripts wait for this text.
pub const READY: &str = "ready to serve client requests";

static WRITER: OnceLock<Writer> = OnceLock::new();

/// Opens the outputs and takes `tracing`'s events from now on, once in a process.
///
/// # Errors
/// One line when a log file cannot be opened or the log is installed already.
pub fn install(config: &LogConfig) -> Result<(), String> {
    let writer = Writer::start(&config.outputs)?;
    let subscriber = Log {
        level: config.level,
        format: config.format,
        writer: writer.clone(),
    };
    let twice = || "the log is installed already".to_owned();
    WRITER.set(writer).map_err(|_| twice())?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| twice())
}

/// Waits until what was logged so far is written, for at most `most`.
pub fn flush(most: Duration) {
    if let Some(writer) = WRITER.get() {
        writer.flush(most);
    }
}

/// Lines that were dropped because the outputs did not keep up.
pub fn dropped_lines() -> u64 {
    WRITER.get().map_or(0, Writer::dropped)
}

/// Turns events into lines. Spans are not kept: nothing below reads them.
#[derive(Debug)]
struct Log {
    level: LogLevel,
    format: LogFormat,
    writer: Writer,
}

impl Log {
    /// The libraries below talk in their own terms about things an operator cannot change: one
    /// level less of them.
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.is_span() {
            return false;
        }
        let level = severity(metadata.level());
        let ours = ["server", "engine", "stoa", "tuning"];
        let root = metadata.target().split("::").next().unwrap_or_default();
        match ours.contains(&root) || self.level == LogLevel::Error {
            true => level >= self.level && *metadata.level() != Level::TRACE,
            false => level > self.level,
        }
    }
}

impl Subscriber for Log {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match self.wants(metadata) {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.level {
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Error => LevelFilter::ERROR,
        })
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        // Never asked for while spans are not wanted; ids have to be unique all the same.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Id::from_u64(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let head = line::Head {
            level: severity(metadata.level()),
            time: SystemTime::now(),
            file: metadata.file().unwrap_or_default(),
            line: metadata.line().unwrap_or_default(),
        };
        let fields = line::Fields::of(event);
        self.writer.write(match self.format {
            LogFormat::Json => line::json(&head, &fields),
            LogFormat::Console => line::console(&head, &fields),
        });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn severity(level: &Level) -> LogLevel {
    match *level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        _ => LogLevel::Debug,
    }
}

#[cfg(test)]
mod tests;
