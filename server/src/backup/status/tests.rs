//! Sizes and tables as etcd's tools print them.

use super::*;

#[test]
fn sizes_are_written_as_etcd_does() {
    for (bytes, text) in [
        (0, "0 B"),
        (9, "9 B"),
        (10, "10 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (20_480, "20 kB"),
        (24_576, "25 kB"),
        (9_940_000, "9.9 MB"),
        (2_147_483_648, "2.1 GB"),
    ] {
        assert_eq!(human(bytes), text);
    }
}

#[test]
fn each_form_says_all() {
    let status = Status {
        hash: 0x1c3f_0a2b,
        revision: 3,
        pairs: 9,
        bytes: 24_576,
    };
    assert_eq!(status.text(Form::Simple), "1c3f0a2b, 3, 9, 25 kB\n");
    assert_eq!(
        status.text(Form::Json),
        "{\"hash\":473893419,\"revision\":3,\"totalKey\":9,\"totalSize\":24576}\n"
    );
    assert_eq!(
        status.text(Form::Table),
        "+----------+----------+------------+------------+\n\
         |   HASH   | REVISION | TOTAL KEYS | TOTAL SIZE |\n\
         +----------+----------+------------+------------+\n\
         | 1c3f0a2b |        3 |          9 |      25 kB |\n\
         +----------+----------+------------+------------+\n"
    );
}
