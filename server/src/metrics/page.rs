//! Prometheus' text format: help, type and samples of each metric. Called by the parts of the
//! metrics page.

use std::fmt::{Display, Write};

use super::cell::Snapshot;

/// The page as it grows.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

impl Page {
    /// A counter without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "counter");
        self.sample(name, &[], value);
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, help, "gauge");
        self.sample(name, &[], value);
    }

    /// A gauge with one set of labels.
    pub fn labelled_gauge(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        value: impl Display,
    ) {
        self.head(name, help, "gauge");
        self.sample(name, labels, value);
    }

    /// A histogram of seconds without labels.
    pub fn histogram(&mut self, name: &str, help: &str, content: &Snapshot) {
        self.head(name, help, "histogram");
        let bucket = format!("{name}_bucket");
        let mut below = 0;
        for (bound_ns, count) in content.bounds.iter().zip(content.counts) {
            below += count;
            self.sample(&bucket, &[("le", &seconds(*bound_ns))], below);
        }
        let all: u64 = content.counts.iter().sum();
        self.sample(&bucket, &[("le", "+Inf")], all);
        self.sample(&format!("{name}_sum"), &[], seconds(content.sum_ns));
        self.sample(&format!("{name}_count"), &[], all);
    }

    /// Begins a metric: `kind` is counter, gauge or histogram. Its samples follow.
    pub fn head(&mut self, name: &str, help: &str, kind: &str) {
        let help = help.trim().replace('\\', "\\\\").replace('\n', " ");
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One sample of the metric begun last.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        let mut separator = '{';
        for (label, text) in labels {
            let text = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(self.text, "{separator}{label}=\"{text}\"");
            separator = ',';
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }
}

/// Nanoseconds as seconds, exactly and without an exponent: `0.001`, `8.192`.
pub fn seconds(ns: u64) -> String {
    let (whole, part) = (ns / 1_000_000_000, ns % 1_000_000_000);
    match part {
        0 => whole.to_string(),
        _ => format!("{whole}.{part:09}")
            .trim_end_matches('0')
            .to_owned(),
    }
}
