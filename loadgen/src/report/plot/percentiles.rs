//! Latency against the percentile, both on log axes: how long the slowest of so many took.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use super::axis::{Axis, Frame};
use super::svg::{Svg, fitted};
use super::{Figure, Form, Key, empty, line_class, swatch};
use crate::report::number;

/// The percentiles with a label. One place to the right the requests above it are a tenth.
const LABELS: [(f64, &str); 7] = [
    (0.0, "0"),
    (50.0, "50"),
    (90.0, "90"),
    (99.0, "99"),
    (99.9, "99.9"),
    (99.99, "99.99"),
    (99.999, "99.999"),
];

/// Points of a line between two powers of ten.
const POINTS_PER_DECADE: usize = 24;

type Series = [(String, Histogram<u64>)];

/// Draws it; series without a measurement are left out.
pub(super) fn figure(title: &str, series: &Series) -> Figure {
    let key = |(i, (name, histogram)): (usize, &(String, Histogram<u64>))| Key {
        swatch: swatch(i),
        name: name.clone(),
        note: format!(
            "max {}, {} measured",
            number::latency(histogram.max()),
            number::count(histogram.len())
        ),
    };
    Figure {
        title: title.to_owned(),
        wide: draw(Form::Wide, title, series),
        narrow: draw(Form::Narrow, title, series),
        legend: series.iter().enumerate().map(key).collect(),
        ..Figure::default()
    }
}

/// Where a percentile lies: powers of ten of 1/(1-p).
fn place(percentile: f64) -> f64 {
    -(1.0 - percentile / 100.0).log10()
}

fn draw(form: Form, title: &str, series: &Series) -> String {
    let measured = || series.iter().map(|(_, h)| h).filter(|h| !h.is_empty());
    let Some(most) = measured().map(|h| h.len()).max() else {
        return empty(form, title);
    };
    let low = measured().map(|h| h.min().max(1)).min().unwrap_or(1) as f64;
    let high = measured().map(|h| h.max()).max().unwrap_or(1) as f64;
    // Only as far to the right as somebody has measurements.
    let end = (most as f64).log10().ceil().clamp(2.0, 5.0);
    let labels: Vec<_> = LABELS
        .iter()
        .map(|&(p, label)| (place(p), label))
        .filter(|&(x, _)| x <= end + 0.01)
        .collect();
    let y = Axis::log((low, high), 8, number::latency_of);
    let size = (form.width(), form.height());
    let frame = Frame::new(Axis::labelled((0.0, end), &labels), y, size, 0);
    let mut svg = Svg::new(size.0, size.1, title);
    frame.draw(&mut svg, "percentile", "latency");
    for (i, (name, histogram)) in series
        .iter()
        .enumerate()
        .filter(|(_, (_, h))| !h.is_empty())
    {
        line(&mut svg, &frame, i, name, (histogram, end));
    }
    svg.finish()
}

fn line(svg: &mut Svg, frame: &Frame, i: usize, name: &str, of: (&Histogram<u64>, f64)) {
    let (histogram, end) = of;
    // Beyond the share of a single measurement there is nothing but the maximum.
    let last = (histogram.len() as f64).log10().min(end);
    let value = |x: f64| histogram.value_at_quantile(1.0 - 10f64.powf(-x));
    let at = |x: f64| (frame.x.at(x), frame.y.at(value(x) as f64));
    let steps = (last * POINTS_PER_DECADE as f64).ceil() as usize;
    let xs = (0..steps).map(|n| n as f64 / POINTS_PER_DECADE as f64);
    let mut commands = String::new();
    for x in xs.chain([last]) {
        let (x, y) = at(x);
        let command = if commands.is_empty() { 'M' } else { 'L' };
        let _ = write!(commands, "{command}{x:.1},{y:.1} ");
    }
    svg.path(commands.trim_end(), &line_class(i));
    let marked = LABELS.iter().map(|&(p, label)| (place(p), label));
    for (x, label) in marked.filter(|&(x, _)| x <= last + 1e-9) {
        let what = format!(
            "{}: p{label} {}",
            fitted(name, 400.0),
            number::latency(value(x))
        );
        let (x, y) = at(x);
        svg.marker(i, x, y, &what);
    }
}
