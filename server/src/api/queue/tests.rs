//! The keys of the queue.

use super::*;

#[test]
fn keys_are_those_of_etcds_client_library() {
    assert_eq!(key(b"vote", 0x32_69ab), "vote/3269ab");
    assert_eq!(key(b"", 10), "/a");
    // Go: fmt.Sprintf("%x", int64(-255)).
    assert_eq!(key(b"vote", -255), "vote/-ff");
    assert_eq!(key(b"a/b", i64::MIN), "a/b/-8000000000000000");
}

#[test]
fn a_queue_is_all_keys_below_its_name_and_no_others() {
    let range = all(b"vote");
    assert!(range.contains(b"vote/1") && range.contains(b"vote/"));
    assert!(!range.contains(b"vote") && !range.contains(b"vote1") && !range.contains(b"vote0"));
}
