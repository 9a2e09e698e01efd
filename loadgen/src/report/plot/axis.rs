//! Axes: where a value lies, which values get a line and a label, and the frame that they make.

use super::super::number;
use super::svg::{LINE, Svg, text_width};

/// A stretch of values on a stretch of a drawing.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    log: bool,
    values: (f64, f64),
    /// Where the ends lie; set by [`Frame::new`].
    place: (f64, f64),
    ticks: Vec<Tick>,
}

#[derive(Clone, Debug)]
struct Tick {
    value: f64,
    label: String,
}

impl Axis {
    /// From 0 (or `values.0`, where that is less) to a round number above all, in steps of which
    /// there are at most `most`.
    pub(super) fn linear(values: (f64, f64), most: usize) -> Axis {
        let from = values.0.min(0.0);
        let to = if values.1 > from {
            values.1
        } else {
            from + 1.0
        };
        let step = round_step((to - from) / most as f64);
        let (first, last) = ((from / step).floor() as i64, (to / step).ceil() as i64);
        let ticks = (first..=last)
            .map(|i| i as f64 * step)
            .map(plain_tick)
            .collect();
        Axis::new(false, (first as f64 * step, last as f64 * step), ticks)
    }

    /// From 0 to `to` in round steps of which there are at most `most`; to the next step where it
    /// is near, so that a run of 59.9 s has a line at 60 s.
    pub(super) fn from_zero(to: f64, most: usize) -> Axis {
        let to = if to > 0.0 { to } else { 1.0 };
        let step = round_step(to / most as f64);
        let near = (to / step + 0.1).floor() * step;
        let to = to.max(near);
        // A little more than the quotient, so that the last step is not lost to rounding.
        let last = (to / step + 1e-9).floor() as i64;
        let ticks = (0..=last)
            .map(|i| i as f64 * step)
            .map(plain_tick)
            .collect();
        Axis::new(false, (0.0, to), ticks)
    }

    /// A log axis over values above 0, from and to a 1, 2 or 5 with zeros; at most `most` labels.
    pub(super) fn log(values: (f64, f64), most: usize, label: impl Fn(f64) -> String) -> Axis {
        let low = values.0.max(f64::MIN_POSITIVE);
        let high = values.1.max(low);
        // Downwards and upwards by a hair, so that 0.1 + 0.2 does not cost a step.
        let (mut from, mut to) = (step_below(low * 1.0001), step_above(high * 0.9999));
        if to / from < 4.0 {
            (from, to) = (step_below(from * 0.6), step_above(to * 1.2));
        }
        // All of 1, 2, 5 if they fit, else powers of ten, else every second or third power.
        let all: Vec<f64> = steps(from, to).collect();
        let mut chosen = all.clone();
        let mut every = 1;
        while chosen.len() > most.max(2) {
            let power = |value: f64| value.log10().round() as i64;
            let is_power = |value: f64| (value.log10() - value.log10().round()).abs() < 1e-6;
            chosen = all.clone();
            chosen.retain(|&v| is_power(v) && power(v) % every == 0);
            every += 1;
        }
        let tick = |value: f64| Tick {
            value,
            label: label(value),
        };
        Axis::new(true, (from, to), chosen.into_iter().map(tick).collect())
    }

    /// An axis with these labels at these values.
    pub(super) fn labelled(values: (f64, f64), labels: &[(f64, &str)]) -> Axis {
        let tick = |&(value, label): &(f64, &str)| Tick {
            value,
            label: label.to_owned(),
        };
        Axis::new(false, values, labels.iter().map(tick).collect())
    }

    fn new(log: bool, values: (f64, f64), ticks: Vec<Tick>) -> Axis {
        Axis {
            log,
            values,
            place: (0.0, 1.0),
            ticks,
        }
    }

    /// Where `value` lies; at an end if it is beyond.
    pub(super) fn at(&self, value: f64) -> f64 {
        let (from, to) = self.values;
        let value = value.clamp(from, to);
        let part = if self.log {
            (value / from).ln() / (to / from).ln()
        } else {
            (value - from) / (to - from)
        };
        self.place.0 + part * (self.place.1 - self.place.0)
    }
}

fn plain_tick(value: f64) -> Tick {
    Tick {
        value,
        label: number::short(value),
    }
}

/// The next 1, 2 or 5 with zeros that is not below `step`.
fn round_step(step: f64) -> f64 {
    step_above(step.max(1e-12) * 0.999_999)
}

/// All of 1, 2, 5 with zeros from `from` to `to`.
fn steps(from: f64, to: f64) -> impl Iterator<Item = f64> {
    let first = from.log10().floor() as i32;
    let last = to.log10().ceil() as i32;
    let all = (first..=last).flat_map(|power| [1.0, 2.0, 5.0].map(|d| d * 10f64.powi(power)));
    all.filter(move |&v| v >= from * 0.999 && v <= to * 1.001)
}

fn step_below(value: f64) -> f64 {
    let base = 10f64.powf(value.log10().floor());
    let fits = [5.0, 2.0, 1.0].map(|d| d * base).into_iter();
    fits.filter(|&v| v <= value).fold(base, f64::max)
}

fn step_above(value: f64) -> f64 {
    let base = 10f64.powf(value.log10().floor());
    let fits = [1.0, 2.0, 5.0, 10.0].map(|d| d * base).into_iter();
    fits.filter(|&v| v >= value).fold(10.0 * base, f64::min)
}

/// Two axes around the place where a plot's lines go.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// From left to right.
    pub x: Axis,
    /// From bottom to top.
    pub y: Axis,
}

impl Frame {
    /// Gives the axes their places in a drawing of `width` by `height`, with `lanes` lines of text
    /// above the plot beside the ordinate's name.
    pub(super) fn new(mut x: Axis, mut y: Axis, size: (f64, f64), lanes: usize) -> Frame {
        let (width, height) = size;
        let widest = |ticks: &[Tick]| {
            let widths = ticks.iter().map(|tick| text_width(&tick.label));
            widths.fold(0.0, f64::max)
        };
        let left = widest(&y.ticks) + 12.0;
        let right = width - (widest(&x.ticks) / 2.0).max(8.0) - 2.0;
        x.place = (left, right);
        y.place = (height - 2.0 * LINE - 8.0, (1 + lanes) as f64 * LINE + 10.0);
        Frame { x, y }
    }

    /// Left, top, right and bottom of the place for lines.
    pub(super) fn inner(&self) -> (f64, f64, f64, f64) {
        let ((left, right), (bottom, top)) = (self.x.place, self.y.place);
        (left, top, right, bottom)
    }

    /// Draws lines, labels and the names of both axes.
    pub(super) fn draw(&self, svg: &mut Svg, x_name: &str, y_name: &str) {
        let (left, top, right, bottom) = self.inner();
        for tick in &self.y.ticks {
            let y = self.y.at(tick.value);
            svg.line((left, y), (right, y), "grid");
            svg.text(left - 6.0, y + 4.0, "end", "tick", &tick.label);
        }
        let mut free = f64::NEG_INFINITY;
        for tick in &self.x.ticks {
            let x = self.x.at(tick.value);
            svg.line((x, top), (x, bottom), "grid");
            let half = text_width(&tick.label) / 2.0;
            // A label that would touch the one before is left out; its line stays.
            if x - half >= free {
                svg.text(x, bottom + LINE, "middle", "tick", &tick.label);
                free = x + half + 4.0;
            }
        }
        svg.line((left, bottom), (right, bottom), "axis");
        svg.text(right, bottom + 2.0 * LINE, "end", "name", x_name);
        svg.text(2.0, LINE - 3.0, "start", "name", y_name);
    }
}
