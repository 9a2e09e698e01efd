//! When a rate counts as fallen.

use super::fell_at;

/// Rates of pieces of five seconds.
fn rates(rates: &[f64]) -> Vec<(f64, f64)> {
    let at = |(i, rate): (usize, &f64)| (i as f64 * 5.0, *rate);
    rates.iter().enumerate().map(at).collect()
}

#[test]
fn used_up_credits_are_seen_and_dated() {
    let seen = rates(&[3000.0, 3000.0, 3010.0, 2990.0, 1000.0, 300.0, 300.0, 300.0]);
    assert_eq!(fell_at(&seen), Some(20.0));
}

#[test]
fn a_dip_that_passes_and_an_even_rate_are_no_exhaustion() {
    assert_eq!(
        fell_at(&rates(&[3000.0, 3000.0, 500.0, 400.0, 3000.0, 2900.0])),
        None
    );
    assert_eq!(fell_at(&rates(&[3000.0, 2900.0, 2800.0, 2700.0])), None);
    assert_eq!(fell_at(&[]), None);
}
