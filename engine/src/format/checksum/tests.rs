//! The checksum is CRC32C and can be continued.

use super::{bytes_at, crc, u32_at};

#[test]
fn the_check_value_of_crc32c_and_its_continuation() {
    assert_eq!(crc(0, b"123456789"), 0xe306_9283);
    assert_eq!(crc(crc(0, b"1234"), b"56789"), 0xe306_9283);
}

#[test]
fn numbers_past_the_end_are_zero() {
    assert_eq!(u32_at(&[1, 0, 0, 0, 9], 0), 1);
    assert_eq!(u32_at(&[1, 2, 3], 0), 0);
    assert_eq!(bytes_at::<4>(&[1, 2, 3], 7), [0; 4]);
}
