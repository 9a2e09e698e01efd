//! One bar for each name, its value at its end. Each bar has its name beside it, so that nobody has
//! to match colours with a legend.

use super::svg::{LINE, Svg, fitted, text_width};
use super::{COLOURS, Figure, Form, empty};
use crate::report::number;

/// Units from one bar to the next.
const ROW: f64 = 24.0;
/// More of them above a group but the first.
const GAP: f64 = 8.0;
/// Height of a bar.
const BAR: f64 = 16.0;

type Groups = [(String, Vec<(String, f64)>)];

/// Draws it.
pub(super) fn figure(title: &str, label: &str, groups: &Groups) -> Figure {
    Figure {
        title: title.to_owned(),
        wide: draw(Form::Wide, title, label, groups),
        narrow: draw(Form::Narrow, title, label, groups),
        ..Figure::default()
    }
}

/// A line of the drawing.
enum Row<'a> {
    Heading(&'a str),
    Bar {
        name: &'a str,
        value: f64,
        colour: usize,
    },
}

/// Groups of one bar each of the same name need no headings: their bars are called as they are.
fn rows(groups: &Groups) -> Vec<Row<'_>> {
    let single = groups.iter().all(|(_, bars)| {
        let same = |name: &str| groups[0].1.first().is_some_and(|first| first.0 == name);
        bars.len() == 1 && same(&bars[0].0)
    });
    let mut names: Vec<&str> = Vec::new();
    let mut rows = Vec::new();
    for (group, bars) in groups {
        if !single && !group.is_empty() {
            rows.push(Row::Heading(group));
        }
        for (name, value) in bars {
            let known = names.iter().position(|known| known == name);
            let colour = known.unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            });
            rows.push(Row::Bar {
                name: if single && !group.is_empty() {
                    group
                } else {
                    name
                },
                value: *value,
                colour: colour % COLOURS,
            });
        }
    }
    rows
}

fn draw(form: Form, title: &str, label: &str, groups: &Groups) -> String {
    let rows = rows(groups);
    let bars = || {
        rows.iter().filter_map(|row| match row {
            Row::Bar { name, value, .. } => Some((*name, *value)),
            Row::Heading(_) => None,
        })
    };
    if bars().next().is_none() {
        return empty(form, title);
    }
    let width = form.width();
    let widest = bars().map(|(name, _)| text_width(name)).fold(0.0, f64::max);
    let left = widest.min(width * 0.36) + 12.0;
    let values = bars().map(|(_, value)| text_width(&number::short(value)));
    let right = width - values.fold(0.0, f64::max) - 10.0;
    let highest = bars()
        .map(|b| b.1)
        .filter(|v| v.is_finite())
        .fold(0.0, f64::max);
    let top = LINE + 8.0;
    let headings = rows.iter().filter(|row| matches!(row, Row::Heading(_)));
    let gaps = headings.count().saturating_sub(1) as f64 * GAP;
    let height = top + rows.len() as f64 * ROW + gaps + 6.0;
    let mut svg = Svg::new(width, height, title);
    svg.text(
        2.0,
        LINE - 3.0,
        "start",
        "name",
        &fitted(label, width - 8.0),
    );
    svg.line((left, top), (left, height - 4.0), "axis");
    let mut next = top;
    for row in &rows {
        if matches!(row, Row::Heading(_)) && next > top {
            svg.rect((left - 1.0, next), (2.0, GAP), "ground", "");
            next += GAP;
        }
        let y = next;
        next += ROW;
        let baseline = y + ROW / 2.0 + 4.0;
        match row {
            Row::Heading(text) => {
                // On its own ground, since the base line of the bars passes behind it.
                svg.rect((left - 1.0, y), (2.0, ROW), "ground", "");
                svg.text(2.0, baseline, "start", "head", &fitted(text, width - 8.0));
            }
            Row::Bar {
                name,
                value,
                colour,
            } => {
                let name = fitted(name, left - 10.0);
                svg.text(left - 8.0, baseline, "end", "tick", &name);
                let part = if highest > 0.0 && *value > 0.0 {
                    value / highest
                } else {
                    0.0
                };
                let length = part.min(1.0) * (right - left);
                let at = (left, y + (ROW - BAR) / 2.0);
                svg.rect(at, (length, BAR), &format!("bar c{colour}"), "");
                let text = number::short(*value);
                svg.text(left + length + 5.0, baseline, "start", "value", &text);
            }
        }
    }
    svg.finish()
}
