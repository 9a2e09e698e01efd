//! Something over time, with spans marked such as stalls.

use std::fmt::Write as _;

use super::axis::{Axis, Frame};
use super::marks::{LARGEST, Marks, Unit};
use super::svg::{Svg, fitted};
use super::{Figure, Form, Key, empty, line_class, swatch};
use crate::report::number;

/// Markers on each line.
const MARKERS: usize = 8;

/// Name and points of a line.
type Series = (String, Vec<(f64, f64)>);

/// See [`crate::report::Plot::Timeline`].
pub(super) struct Timeline<'a> {
    pub title: &'a str,
    pub label: &'a str,
    pub log: bool,
    pub series: &'a [Series],
    pub marks: &'a [(f64, f64, String)],
}

impl Timeline<'_> {
    /// Draws it.
    pub(super) fn figure(&self) -> Figure {
        let key = |(i, (name, points)): (usize, &Series)| Key {
            swatch: swatch(i),
            name: name.clone(),
            note: match points
                .iter()
                .map(|p| p.1)
                .filter(|v| v.is_finite())
                .reduce(f64::max)
            {
                Some(most) => format!("max {}", number::short(most)),
                None => "nothing measured".to_owned(),
            },
        };
        let marks = Marks::of(self.marks);
        Figure {
            title: self.title.to_owned(),
            wide: self.draw(Form::Wide),
            narrow: self.draw(Form::Narrow),
            legend: self.series.iter().enumerate().map(key).collect(),
            marks: marks.in_words(Unit::for_span(self.end())),
            marks_total: marks.len(),
        }
    }

    /// All points that can be drawn.
    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        let all = self
            .series
            .iter()
            .flat_map(|(_, points)| points.iter().copied());
        all.filter(|&point| self.is_drawable(point))
    }

    /// What lies beyond [`LARGEST`] is taken for a fault of whoever measured, as is no number.
    fn is_drawable(&self, (x, y): (f64, f64)) -> bool {
        let has_place = !self.log || y >= 1.0 / LARGEST;
        (0.0..=LARGEST).contains(&x) && y.abs() <= LARGEST && has_place
    }

    /// Seconds from the start to the last point or mark.
    fn end(&self) -> f64 {
        let last = Marks::of(self.marks).end();
        self.points().map(|p| p.0).fold(last, f64::max)
    }

    fn frame(&self, form: Form) -> Option<Frame> {
        let low = self.points().map(|p| p.1).reduce(f64::min)?;
        let high = self.points().map(|p| p.1).fold(low, f64::max);
        let y = if self.log {
            Axis::log((low, high), 7, number::short)
        } else {
            Axis::linear((low, high), 6)
        };
        let most = if form == Form::Wide { 12 } else { 6 };
        let unit = Unit::for_span(self.end());
        let x = Axis::from_zero(self.end() / unit.seconds, most);
        let size = (form.width(), form.height());
        Some(Frame::new(
            x,
            y,
            size,
            usize::from(Marks::of(self.marks).len() > 0),
        ))
    }

    fn draw(&self, form: Form) -> String {
        let Some(frame) = self.frame(form) else {
            return empty(form, self.title);
        };
        let unit = Unit::for_span(self.end());
        let mut svg = Svg::new(form.width(), form.height(), self.title);
        Marks::of(self.marks).draw(&mut svg, &frame, unit);
        let y_name = fitted(self.label, form.width() - 8.0);
        frame.draw(&mut svg, unit.name, &y_name);
        for (i, (name, points)) in self.series.iter().enumerate() {
            self.draw_line(&mut svg, &frame, (i, name), points);
        }
        svg.finish()
    }

    fn draw_line(&self, svg: &mut Svg, frame: &Frame, of: (usize, &str), points: &[(f64, f64)]) {
        let (i, name) = of;
        let unit = Unit::for_span(self.end());
        let (left, _, right, _) = frame.inner();
        let columns = (right - left).ceil() as usize;
        let mut commands = String::new();
        // A value that is none makes a gap.
        for run in points.split(|&point| !self.is_drawable(point)) {
            for (n, (x, y)) in thinned(run, columns).into_iter().enumerate() {
                let (x, y) = (frame.x.at(x / unit.seconds), frame.y.at(y));
                let command = if n == 0 { 'M' } else { 'L' };
                let _ = write!(commands, "{command}{x:.1},{y:.1} ");
            }
        }
        svg.path(commands.trim_end(), &line_class(i));
        let drawable: Vec<_> = points.iter().filter(|&&p| self.is_drawable(p)).collect();
        let every = drawable.len().div_ceil(MARKERS).max(1);
        // Each line's markers at other times, so that they do not lie on each other.
        for &&(x, y) in drawable.iter().skip(every / 2 * (i % 2)).step_by(every) {
            let says = format!(
                "{}: {} at {} {}",
                fitted(name, 400.0),
                number::plain(y),
                unit.text(x),
                unit.short
            );
            svg.marker(i, frame.x.at(x / unit.seconds), frame.y.at(y), &says);
        }
    }
}

/// Of points in the order of time at most about two for each of `columns`: the lowest and the
/// highest, so that no peak is lost.
fn thinned(points: &[(f64, f64)], columns: usize) -> Vec<(f64, f64)> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Vec::new();
    };
    if points.len() <= 2 * columns {
        return points.to_vec();
    }
    let width = ((last.0 - first.0) / columns as f64).max(f64::MIN_POSITIVE);
    let column = |point: &(f64, f64)| ((point.0 - first.0) / width) as usize;
    let mut out = Vec::with_capacity(2 * columns);
    for chunk in points.chunk_by(|a, b| column(a) == column(b)) {
        let by_value = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let ends = [chunk.iter().min_by(by_value), chunk.iter().max_by(by_value)];
        let mut ends: Vec<_> = ends.into_iter().flatten().copied().collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        ends.dedup();
        out.extend(ends);
    }
    out
}
