//! Spans of a time line that are marked, such as stalls, and the unit in which times are told.

use super::axis::Frame;
use super::svg::{LINE, Svg, text_width};
use crate::report::number;

/// The largest time and value that is drawn.
pub(super) const LARGEST: f64 = 1e15;

/// Marks that are listed; the rest is only counted.
const LISTED: usize = 200;

/// Least width of a mark: a stall of milliseconds in a run of minutes has to be seen.
const WIDTH: f64 = 1.6;

/// From, to (seconds), and what happened.
type Mark = (f64, f64, String);

/// The unit in which times are labelled.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    /// Its name below the axis.
    pub name: &'static str,
    /// Its sign behind a number.
    pub short: &'static str,
    /// How many seconds it has.
    pub seconds: f64,
}

impl Unit {
    /// The one for a run of so many seconds.
    pub(super) fn for_span(seconds: f64) -> Unit {
        let (name, short, seconds) = match seconds {
            s if s <= 300.0 => ("seconds", "s", 1.0),
            s if s <= 4.0 * 3600.0 => ("minutes", "min", 60.0),
            _ => ("hours", "h", 3600.0),
        };
        Unit {
            name,
            short,
            seconds,
        }
    }

    /// A time in it, without its sign.
    pub(super) fn text(self, seconds: f64) -> String {
        number::plain(seconds / self.seconds)
    }
}

/// Marked spans in the order of time, those left out whose times are none.
pub(super) struct Marks<'a> {
    all: Vec<&'a Mark>,
}

impl<'a> Marks<'a> {
    pub(super) fn of(marks: &'a [Mark]) -> Marks<'a> {
        let is_some = |seconds: f64| (0.0..=LARGEST).contains(&seconds);
        let all = marks
            .iter()
            .filter(|mark| is_some(mark.0) && is_some(mark.1));
        let mut all: Vec<_> = all.collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        Marks { all }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// When the last one ends, in seconds; 0 without any.
    pub(super) fn end(&self) -> f64 {
        self.all.iter().map(|mark| mark.1).fold(0.0, f64::max)
    }

    /// Each in a line, but not more than somebody might read.
    pub(super) fn in_words(&self, unit: Unit) -> Vec<String> {
        let listed = self.all.iter().take(LISTED).map(|mark| words(mark, unit));
        let mut listed: Vec<String> = listed.collect();
        if self.len() > LISTED {
            let left = (self.len() - LISTED) as u64;
            listed.push(format!("and {} more", number::count(left)));
        }
        listed
    }

    /// Spans behind the lines, and above the plot what they are where there is room.
    pub(super) fn draw(&self, svg: &mut Svg, frame: &Frame, unit: Unit) {
        let (left, top, right, bottom) = frame.inner();
        let place = |mark: &Mark| {
            let at = |seconds: f64| frame.x.at(seconds / unit.seconds);
            let width = (at(mark.1) - at(mark.0)).max(WIDTH);
            (at(mark.0).min(right - width), width)
        };
        // Spans that would lie on each other are one, or many faint ones would add up.
        let mut drawn: Vec<(f64, f64, String)> = Vec::new();
        let mut free = left;
        for mark in &self.all {
            let (x, width) = place(mark);
            match drawn.last_mut() {
                Some((_, to, says)) if x < *to => {
                    *to = to.max(x + width);
                    "several, listed below".clone_into(says);
                }
                _ => drawn.push((x, x + width, words(mark, unit))),
            }
            let half = text_width(&mark.2) / 2.0;
            let center = (x + width / 2.0).clamp(left + half, (right - half).max(left + half));
            if center - half >= free && center + half <= right {
                svg.text(center, top - LINE / 3.0, "middle", "note", &mark.2);
                free = center + half + 10.0;
            }
        }
        for (from, to, says) in drawn {
            svg.rect((from, top), (to - from, bottom - top), "mark", &says);
        }
    }
}

fn words((from, to, what): &Mark, unit: Unit) -> String {
    let (from, to) = (unit.text(*from), unit.text(*to));
    let when = if from == to {
        from
    } else {
        format!("{from} to {to}")
    };
    format!("{when} {}: {what}", unit.short)
}
