//! Tests of how numbers are written.

use super::{bytes, count, is_numeric, latency, plain, rate, short};

#[test]
fn latencies_have_three_digits_and_a_unit_that_suits() {
    for (nanos, text) in [
        (0, "0 ns"),
        (812, "812 ns"),
        (45_600, "45.6 µs"),
        (1_234_000, "1.23 ms"),
        (2_000_000, "2 ms"),
        (999_960, "1 ms"),
        (999_400, "999 µs"),
        (12_340_000_000, "12.3 s"),
        (4_000_000_000_000, "4,000 s"),
    ] {
        assert_eq!(latency(nanos), text);
    }
}

#[test]
fn large_numbers_have_their_thousands_apart() {
    assert_eq!(count(999), "999");
    assert_eq!(count(45_600), "45,600");
    assert_eq!(count(1_000_000), "1,000,000");
    assert_eq!(rate(45_600.4), "45,600/s");
    assert_eq!(rate(3.214), "3.21/s");
    assert_eq!(rate(0.0), "0/s");
}

#[test]
fn bytes_are_counted_in_powers_of_two() {
    assert_eq!(bytes(512), "512 B");
    assert_eq!(bytes(1023), "1,023 B");
    assert_eq!(bytes(4096), "4 KiB");
    assert_eq!(bytes(3 << 29), "1.5 GiB");
}

#[test]
fn what_is_no_number_is_not_written_as_one() {
    assert_eq!(plain(f64::NAN), "–");
    assert_eq!(plain(f64::INFINITY), "–");
    assert_eq!(plain(-1234.5), "−1,234");
    assert_eq!(plain(-0.0), "0");
    assert_eq!(plain(0.001_234), "0.00123");
    assert_eq!(plain(1.234e300), "1.23e300");
    assert_eq!(plain(1e-9), "1e-9");
}

#[test]
fn numbers_with_their_unit_are_told_from_text() {
    for cell in ["45,600/s", "1.23 ms", "> 3", "≤5%", "-", "", "1.2x", "−3"] {
        assert!(is_numeric(cell), "{cell}");
    }
    for cell in ["nvme0n1", "2 logs at depth 4", "etcd", "2026-11-25", "–x"] {
        assert!(!is_numeric(cell), "{cell}");
    }
}

#[test]
fn short_numbers_tell_millions_by_a_letter() {
    assert_eq!(short(999_999.0), "999,999");
    assert_eq!(short(2_500_000.0), "2.5 M");
    assert_eq!(short(-4e9), "−4 G");
    assert_eq!(short(1e15), "1e15");
}
