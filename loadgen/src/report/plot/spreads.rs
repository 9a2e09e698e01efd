//! A marker for each name with the span around it, on a log axis: of ratios, twice as much and half
//! as much lie equally far from 1.

use super::axis::{Axis, Frame};
use super::svg::{LINE, Svg, text_width};
use super::{COLOURS, Figure, Form, Key, empty};
use crate::report::{Spread, number};

/// Units from one span of a row to the next.
const SPAN: f64 = 15.0;
/// More of them between two rows.
const GAP: f64 = 10.0;
/// Labels of the axis.
const LABELS: usize = 7;
/// Half the height of the mark at an aim.
const AIM: f64 = 6.0;

type Series = [(String, Vec<Spread>)];

/// Draws it; what is not above 0 has no place on the axis and is left out.
pub(super) fn figure(title: &str, label: &str, series: &Series) -> Figure {
    let key = |(i, (name, _)): (usize, &(String, Vec<Spread>))| Key {
        swatch: swatch(i),
        name: name.clone(),
        note: String::new(),
    };
    let mut legend: Vec<Key> = series.iter().enumerate().map(key).collect();
    if legend.len() < 2 {
        legend.clear();
    }
    Figure {
        title: title.to_owned(),
        wide: draw(Form::Wide, title, label, series),
        narrow: draw(Form::Narrow, title, label, series),
        legend,
        ..Figure::default()
    }
}

/// A span with its marker, for the legend; without dashes, which a short span has no room for.
fn swatch(i: usize) -> String {
    let mut svg = Svg::new(34.0, 12.0, "");
    svg.line((1.0, 6.0), (33.0, 6.0), &span_class(i));
    svg.marker(i, 17.0, 6.0, "");
    svg.finish()
}

fn span_class(i: usize) -> String {
    format!("line c{}", i % COLOURS)
}

fn has_place(spread: &&Spread) -> bool {
    let ends = [spread.lowest, spread.middle, spread.highest];
    ends.iter().all(|end| end.is_finite() && *end > 0.0)
}

fn draw(form: Form, title: &str, label: &str, series: &Series) -> String {
    let all = || {
        series
            .iter()
            .flat_map(|(_, spreads)| spreads)
            .filter(has_place)
    };
    let mut names: Vec<&str> = Vec::new();
    for spread in all() {
        if !names.contains(&spread.name.as_str()) {
            names.push(&spread.name);
        }
    }
    if names.is_empty() {
        return empty(form, title);
    }
    let ends = || all().flat_map(|s| [s.lowest, s.highest].into_iter().chain(s.aim));
    // 1 is always there: it is what everything is held against.
    let (low, high) = (ends().fold(1.0, f64::min), ends().fold(1.0, f64::max));
    let value = |spread: &Spread| number::short(spread.middle);
    let values = all().map(|spread| text_width(&value(spread)));
    let margin = values.fold(0.0, f64::max) + 8.0;
    let row = series.len() as f64 * SPAN + GAP;
    let height = names.len() as f64 * row + 3.0 * LINE + 18.0;
    let place = |n: usize| names.len() as f64 - n as f64 - 0.5;
    let labels: Vec<(f64, &str)> = (0..names.len()).map(|n| (place(n), names[n])).collect();
    let frame = Frame::new(
        Axis::log((low, high), LABELS, number::plain),
        Axis::labelled((0.0, names.len() as f64), &labels),
        (form.width() - margin, height),
        0,
    );
    let mut svg = Svg::new(form.width(), height, title);
    frame.draw(&mut svg, label, "");
    let (_, top, _, bottom) = frame.inner();
    let one = frame.x.at(1.0);
    svg.line((one, top), (one, bottom), "axis");
    for (i, (of, spreads)) in series.iter().enumerate() {
        for spread in spreads.iter().filter(has_place) {
            let row = names.iter().position(|name| *name == spread.name);
            let beside = i as f64 - (series.len() - 1) as f64 / 2.0;
            let y = frame.y.at(place(row.unwrap_or(0))) + beside * SPAN;
            let at = |value: f64| frame.x.at(value);
            if let Some(aim) = spread.aim {
                svg.line((at(aim), y - AIM), (at(aim), y + AIM), "axis");
            }
            let (from, to) = ((at(spread.lowest), y), (at(spread.highest), y));
            svg.line(from, to, &span_class(i));
            svg.marker(i, at(spread.middle), y, &words(of, spread));
            let right = form.width() - 2.0;
            svg.text(right, y + 4.0, "end", "value", &value(spread));
        }
    }
    svg.finish()
}

/// What a pointer brings up.
fn words(of: &str, spread: &Spread) -> String {
    let [lowest, middle, highest] =
        [spread.lowest, spread.middle, spread.highest].map(number::plain);
    let aim = spread
        .aim
        .map(|aim| format!(", aim {}", number::plain(aim)));
    let aim = aim.unwrap_or_default();
    format!(
        "{}, {of}: {middle}, from {lowest} to {highest}{aim}",
        spread.name
    )
}
