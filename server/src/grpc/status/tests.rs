//! Codes and texts as clients see them.

use super::*;

#[test]
fn errors_have_etcds_code_and_text() {
    let cases = [
        (
            Error::EmptyKey,
            Code::InvalidArgument,
            "etcdserver: key is not provided",
        ),
        (
            Error::Compacted,
            Code::OutOfRange,
            "etcdserver: mvcc: required revision has been compacted",
        ),
        (
            Error::LeaseNotFound,
            Code::NotFound,
            "etcdserver: requested lease not found",
        ),
        (
            Error::LeaseExists,
            Code::FailedPrecondition,
            "etcdserver: lease already exists",
        ),
        (
            Error::NoSpace,
            Code::ResourceExhausted,
            "etcdserver: mvcc: database space exceeded",
        ),
        (
            Error::LeaderChanged,
            Code::Unavailable,
            "etcdserver: leader changed",
        ),
        (
            Error::Corrupt,
            Code::DataLoss,
            "etcdserver: corrupt cluster",
        ),
    ];
    for (error, code, text) in cases {
        assert_eq!(Status::from(error), Status::new(code, text));
    }
}

#[test]
fn messages_are_percent_encoded() {
    assert_eq!(percent_encode("plain text~"), "plain text~");
    assert_eq!(percent_encode("50% \u{fc}\n"), "50%25 %C3%BC%0A");
    let status = Status::new(Code::Unknown, "a\r\nb: c");
    assert_eq!(status.encoded_message(), "a%0D%0Ab: c");
}

#[test]
fn go_prints_a_status_like_this() {
    let status = Status::new(Code::PermissionDenied, "etcdserver: permission denied");
    let want = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
    assert_eq!(status.go_text(), want);
}

#[test]
fn code_numbers_are_their_digits() {
    for (i, code) in Code::ALL.into_iter().enumerate() {
        assert_eq!(code as usize, i);
        assert_eq!(code.digits(), i.to_string());
    }
}
