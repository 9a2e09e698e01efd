//! Durations as Go writes them (`300ms`, `1h30m`, `1.5h`), because that is how etcd's flags are
//! given. Called by the flag parser and by the checks on compaction retention.

use std::time::Duration;

/// Reads a Go duration.
///
/// Bounds as Go's: up to 2^63-1 nanoseconds (about 292 years). A bare `0` is the only number
/// that needs no unit. Negative durations are refused: no flag here has a use for one.
///
/// # Errors
/// One line saying what a duration looks like.
pub fn parse(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is not a duration (write it like 300ms, 10s or 1h30m)");
    if text.starts_with('-') {
        return Err(format!(
            "{text:?} is negative; give a duration of 0 or more"
        ));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(bad());
    }
    let mut total_ns: u128 = 0;
    while !rest.is_empty() {
        let (value_ns, after) = term(rest).ok_or_else(bad)?;
        total_ns = total_ns.checked_add(value_ns).ok_or_else(bad)?;
        rest = after;
    }
    match u64::try_from(total_ns) {
        Ok(ns) if ns <= i64::MAX as u64 => Ok(Duration::from_nanos(ns)),
        _ => Err(format!(
            "{text:?} is longer than a duration can be (292 years)"
        )),
    }
}

/// Writes a duration the way Go prints it: `1h30m0s`, `100ms`, `0s`.
pub fn format(duration: Duration) -> String {
    let ns = duration.as_nanos();
    if ns == 0 {
        return "0s".to_owned();
    }
    if ns < 1_000_000_000 {
        let (unit, unit_ns) = match ns {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{}{unit}", decimal(ns, unit_ns));
    }
    let (hours, after_hours) = (ns / HOUR_NS, ns % HOUR_NS);
    let (minutes, seconds_ns) = (after_hours / MINUTE_NS, after_hours % MINUTE_NS);
    let seconds = decimal(seconds_ns, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

const HOUR_NS: u128 = 3_600_000_000_000;
const MINUTE_NS: u128 = 60_000_000_000;

/// One number with its unit: its nanoseconds and what follows it.
fn term(text: &str) -> Option<(u128, &str)> {
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let whole_len = digits(text);
    let mut rest = &text[whole_len..];
    let whole: u128 = if whole_len == 0 {
        0
    } else {
        text[..whole_len].parse().ok()?
    };
    let mut fraction = "";
    if let Some(after_dot) = rest.strip_prefix('.') {
        let len = digits(after_dot);
        fraction = &after_dot[..len];
        rest = &after_dot[len..];
    }
    if whole_len == 0 && fraction.is_empty() {
        return None;
    }
    let (unit_ns, after) = unit(rest)?;
    let mut value_ns = whole.checked_mul(unit_ns)?;
    let mut scale = unit_ns;
    for digit in fraction.bytes() {
        scale /= 10;
        value_ns = value_ns.checked_add(u128::from(digit - b'0') * scale)?;
    }
    Some((value_ns, after))
}

/// The unit at the start of `text`, in nanoseconds. Longer names first: `ms` before `m`.
fn unit(text: &str) -> Option<(u128, &str)> {
    const UNITS: [(&str, u128); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("μs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", MINUTE_NS),
        ("h", HOUR_NS),
    ];
    UNITS
        .iter()
        .find_map(|(name, ns)| text.strip_prefix(name).map(|after| (*ns, after)))
}

/// `value / unit` with as many decimals as it needs.
fn decimal(value: u128, unit: u128) -> String {
    let (whole, part) = (value / unit, value % unit);
    if part == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    let decimals = format!("{part:0width$}");
    format!("{whole}.{}", decimals.trim_end_matches('0'))
}

#[cfg(test)]
mod tests;
