//! Numbers as people read them: `1.23 ms`, `45,600/s`, `4 KiB`. Used by the commands for the cells
//! of their tables and by the plots for their axes.

#[cfg(test)]
mod tests;

/// Nanoseconds with three digits and the unit that suits: `812 ns`, `45.6 µs`, `1.23 ms`, `12 s`.
#[must_use]
pub fn latency(nanos: u64) -> String {
    latency_of(nanos as f64)
}

/// As [`latency`], of nanoseconds that need not be whole.
#[must_use]
pub fn latency_of(nanos: f64) -> String {
    scaled(nanos, &["ns", "µs", "ms", "s"], 1000.0)
}

/// A whole number with its thousands apart: `45,600`.
#[must_use]
pub fn count(number: u64) -> String {
    grouped(&number.to_string())
}

/// So many a second: `45,600/s`, below 100 with three digits (`3.21/s`).
#[must_use]
pub fn rate(per_second: f64) -> String {
    format!("{}/s", plain(per_second))
}

/// Bytes in the largest unit of which there is one: `4 KiB`, `1.5 GiB`.
#[must_use]
pub fn bytes(number: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    scaled(number as f64, &units, 1024.0)
}

/// A number without a unit: whole with its thousands apart from 100 on, three digits below, none
/// of them a zero at the end. What is no number is `–`.
#[must_use]
pub fn plain(number: f64) -> String {
    if !number.is_finite() {
        return "–".to_owned();
    }
    if number.abs() >= 1e15 || (number != 0.0 && number.abs() < 1e-4) {
        let text = format!("{number:.2e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        return format!(
            "{}e{power}",
            digits.trim_end_matches('0').trim_end_matches('.')
        );
    }
    let text = digits(number.abs());
    let sign = if number < 0.0 && text != "0" {
        "−"
    } else {
        ""
    };
    format!("{sign}{}", grouped(&text))
}

/// As [`plain`], with millions and more told by a letter, for places with little room: `4 M`.
#[must_use]
pub fn short(number: f64) -> String {
    if !(1e6..1e15).contains(&number.abs()) {
        return plain(number);
    }
    let text = scaled(number.abs() / 1e6, &["M", "G", "T"], 1000.0);
    if number < 0.0 {
        format!("−{text}")
    } else {
        text
    }
}

/// `number` with the first unit in which it is below `step`, each unit `step` times the one before.
fn scaled(number: f64, units: &[&str], step: f64) -> String {
    let mut left = number;
    let mut text = digits(left);
    let mut at = 0;
    // By the text, not the number: 999.96 is written as 1000 and belongs to the next unit.
    while at + 1 < units.len() && text.parse::<f64>().is_ok_and(|written| written >= step) {
        left /= step;
        text = digits(left);
        at += 1;
    }
    format!("{} {}", grouped(&text), units[at])
}

/// Three digits, or all those before the point if there are more; no zeros at the end of a
/// fraction.
fn digits(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return "0".to_owned();
    }
    // 0.00123 needs two places more than 0.123.
    let before = number.log10().floor() + 1.0;
    let places = (3.0 - before).clamp(0.0, 12.0) as usize;
    let text = format!("{number:.places$}");
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Commas between the thousands of the digits before the point.
fn grouped(text: &str) -> String {
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::with_capacity(text.len() + text.len() / 3);
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + fraction
}

/// Whether a cell of a table is a number, so that its column is set to the right: `45,600/s`,
/// `1.23 ms`, `> 3`, or a mark for "none".
#[must_use]
pub fn is_numeric(cell: &str) -> bool {
    let cell = cell.trim();
    if matches!(cell, "" | "-" | "–" | "—") {
        return true;
    }
    let mut words = cell.split_whitespace();
    let mut first = words.next().unwrap_or_default();
    if matches!(first, "<" | ">" | "≤" | "≥" | "~" | "±") {
        first = words.next().unwrap_or_default();
    }
    let number = first.trim_start_matches(['<', '>', '≤', '≥', '~', '±', '+', '-', '−']);
    // A number and at most its unit; `2 logs at depth 4` is text.
    let is_date = number.matches(['-', ':']).count() > 0;
    number.starts_with(|c: char| c.is_ascii_digit()) && !is_date && words.count() <= 1
}
