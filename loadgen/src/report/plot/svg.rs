//! The few shapes of SVG that the plots need, with every text escaped.

use std::fmt::Write as _;

use askama::filters::{Escaper, Html};

use super::COLOURS;

/// Units from one baseline to the next; the style sheet sets text in 12 of them.
pub(super) const LINE: f64 = 16.0;

/// The shapes by which lines are told apart.
const MARKERS: usize = 6;

/// A drawing being made.
pub(super) struct Svg {
    out: String,
}

impl Svg {
    /// A drawing of `width` by `height` units that fills the width it is given. A reader who
    /// cannot see it hears `title`; without one it is passed over.
    pub(super) fn new(width: f64, height: f64, title: &str) -> Svg {
        let mut svg = Svg {
            out: String::with_capacity(8 << 10),
        };
        let _ = write!(
            svg.out,
            "<svg viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\""
        );
        if title.is_empty() {
            svg.out.push_str(" aria-hidden=\"true\">");
        } else {
            svg.out.push_str(" role=\"img\" aria-label=\"");
            svg.escaped(title);
            svg.out.push_str("\">");
        }
        svg
    }

    fn escaped(&mut self, text: &str) {
        // A string takes whatever is written.
        let _ = Html.write_escaped_str(&mut self.out, text);
    }

    /// A straight line.
    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = write!(
            self.out,
            "<path class=\"{class}\" d=\"M{x1:.1},{y1:.1} L{x2:.1},{y2:.1}\"/>"
        );
    }

    /// A path by its commands.
    pub(super) fn path(&mut self, commands: &str, class: &str) {
        let _ = write!(self.out, "<path class=\"{class}\" d=\"{commands}\"/>");
    }

    /// A box from its upper left corner, with a text that a pointer brings up.
    pub(super) fn rect(&mut self, at: (f64, f64), size: (f64, f64), class: &str, says: &str) {
        let ((x, y), (width, height)) = (at, size);
        let _ = write!(
            self.out,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\">"
        );
        self.title(says);
        self.out.push_str("</rect>");
    }

    /// Text whose baseline's `anchor` (`start`, `middle`, `end`) is at a place.
    pub(super) fn text(&mut self, x: f64, y: f64, anchor: &str, class: &str, text: &str) {
        let _ = write!(
            self.out,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">"
        );
        self.escaped(text);
        self.out.push_str("</text>");
    }

    /// The marker of line `i`, with a text that a pointer brings up.
    pub(super) fn marker(&mut self, i: usize, x: f64, y: f64, says: &str) {
        let (a, b) = (3.2, 4.2);
        let shape = match i % MARKERS {
            0 => format!(
                "M{:.1},{y:.1} a{a},{a} 0 1 0 {d},0 a{a},{a} 0 1 0 -{d},0 Z",
                x - a,
                d = 2.0 * a
            ),
            1 => format!("M{:.1},{:.1} h6 v6 h-6 Z", x - 3.0, y - 3.0),
            2 => format!("M{x:.1},{:.1} l{b},7.6 h-{w} Z", y - b, w = 2.0 * b),
            3 => format!("M{x:.1},{:.1} l{b},{b} l-{b},{b} l-{b},-{b} Z", y - b),
            4 => format!("M{x:.1},{:.1} l{b},-7.6 h-{w} Z", y + b, w = 2.0 * b),
            _ => format!("M{:.1},{:.1} h3 v8 h-3 Z", x - 1.5, y - 4.0),
        };
        let _ = write!(
            self.out,
            "<path class=\"dot c{}\" d=\"{shape}\">",
            i % COLOURS
        );
        self.title(says);
        self.out.push_str("</path>");
    }

    fn title(&mut self, says: &str) {
        if !says.is_empty() {
            self.out.push_str("<title>");
            self.escaped(says);
            self.out.push_str("</title>");
        }
    }

    /// The whole drawing.
    pub(super) fn finish(mut self) -> String {
        self.out.push_str("</svg>");
        self.out
    }
}

/// Units that a text of the usual size takes at most in the wide fonts among the usual ones.
pub(super) fn text_width(text: &str) -> f64 {
    text.chars()
        .map(|c| match c {
            'W' | 'M' | 'm' | 'w' | '@' | '%' | '–' | '—' | '…' => 12.0,
            'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | ' ' | '!' => 4.5,
            c if c.is_ascii_uppercase() => 9.2,
            c if c.is_ascii() => 7.7,
            // Ideographs are as wide as they are high.
            c if u32::from(c) >= 0x1100 => 12.5,
            _ => 8.5,
        })
        .sum()
}

/// `text`, cut so that it takes at most `most` units; a cut is shown by an ellipsis.
pub(super) fn fitted(text: &str, most: f64) -> String {
    if text_width(text) <= most {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut left = most - text_width("…");
    for c in text.chars() {
        left -= text_width(c.encode_utf8(&mut [0; 4]));
        if left < 0.0 {
            break;
        }
        out.push(c);
    }
    out.trim_end().to_owned() + "…"
}
