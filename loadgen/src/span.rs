//! Spans of time on the command line: `500ms`, `60s`, `5m`, `1h`.

use std::time::Duration;

/// Reads a span; for clap.
///
/// # Errors
/// A text that says how a span is written.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad(text)),
    };
    let number: f64 = digits.parse().map_err(|_| bad(text))?;
    let seconds = number * unit;
    // 0 is allowed: it switches off what happens every so often.
    if !(0.0..=1e9).contains(&seconds) {
        return Err(bad(text));
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn bad(text: &str) -> String {
    format!("{text:?} is no span of time such as 500ms, 60s, 5m or 1h")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_with_their_units() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse("5m"), Ok(Duration::from_secs(300)));
        for wrong in ["", "5", "s", "-1s", "1d", "nans", "1e99h"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
