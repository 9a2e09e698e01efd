//! Plots as SVG that the page's style sheet colours. Called by `html`.
//!
//! Own code and no crate, after a look at those there are: `plotters` draws with fixed colours (a
//! page could not follow a reader's dark mode), without a `viewBox` and without fonts it guesses
//! the size of text; its log axis knows no percentiles. `charts-rs` and the like bring fonts and a
//! rasteriser. What is needed here are lines, bars and two kinds of axis.
//!
//! Each plot is drawn twice, for a desktop and for a phone, since text that shrinks with its plot
//! cannot be read on a phone; the page shows the one that fits.

mod axis;
mod bars;
mod marks;
mod percentiles;
mod svg;
mod timeline;

#[cfg(test)]
mod tests;

use super::Plot;
use svg::Svg;

/// A plot made ready for the page.
#[derive(Clone, Debug, Default)]
pub(super) struct Figure {
    /// What it shows.
    pub title: String,
    /// The drawing for a desktop: SVG.
    pub wide: String,
    /// The drawing for a phone: SVG.
    pub narrow: String,
    /// What each line means.
    pub legend: Vec<Key>,
    /// What the marked spans are.
    pub marks: Vec<String>,
    /// How many marked spans there are; not all may be listed.
    pub marks_total: usize,
}

/// A line of a legend.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// A short piece of the line: SVG.
    pub swatch: String,
    /// What the line is called.
    pub name: String,
    /// More about it, such as its maximum.
    pub note: String,
}

/// Which of the two drawings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// For a desktop.
    Wide,
    /// For a phone.
    Narrow,
}

impl Form {
    /// Units of the drawing from left to right.
    fn width(self) -> f64 {
        match self {
            Form::Wide => 880.0,
            Form::Narrow => 350.0,
        }
    }

    /// Units from top to bottom where the content does not say.
    fn height(self) -> f64 {
        match self {
            Form::Wide => 340.0,
            Form::Narrow => 290.0,
        }
    }
}

/// Draws it.
pub(super) fn figure(plot: &Plot) -> Figure {
    match plot {
        Plot::Percentiles { title, series } => percentiles::figure(title, series),
        Plot::Timeline {
            title,
            label,
            log,
            series,
            marks,
        } => timeline::Timeline {
            title,
            label,
            log: *log,
            series,
            marks,
        }
        .figure(),
        Plot::Bars {
            title,
            label,
            groups,
        } => bars::figure(title, label, groups),
    }
}

/// The colours that the style sheet has.
const COLOURS: usize = 8;
/// The patterns of dashes that it has.
const DASHES: usize = 4;

/// The classes of line `i`: colour and dashes. 24 lines differ in colour, dashes or marker.
fn line_class(i: usize) -> String {
    format!("line c{} d{}", i % COLOURS, i % DASHES)
}

/// A piece of line `i` with its marker, for a legend.
fn swatch(i: usize) -> String {
    let mut svg = Svg::new(34.0, 12.0, "");
    svg.path("M1,6 L33,6", &line_class(i));
    svg.marker(i, 17.0, 6.0, "");
    svg.finish()
}

/// A drawing that says that there is nothing to draw.
fn empty(form: Form, title: &str) -> String {
    let mut svg = Svg::new(form.width(), 60.0, title);
    svg.text(
        form.width() / 2.0,
        34.0,
        "middle",
        "tick",
        "nothing measured",
    );
    svg.finish()
}
