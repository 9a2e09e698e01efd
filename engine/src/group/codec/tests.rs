//! Round trips of everything a group logs.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::format::mutate;

fn membership() -> Membership {
    let peer = Peer {
        name: "a".into(),
        peer_urls: vec!["http://localhost:2380".into()],
        client_urls: vec!["http://localhost:2379".into(), "x".into()],
    };
    Membership::new(vec![BTreeSet::from([7])], BTreeMap::from([(7, peer)])).unwrap()
}

#[test]
fn entries_come_back_as_they_went() {
    let payloads = [
        EntryPayload::Blank,
        EntryPayload::Normal(Batch(Bytes::from_static(b"batch"))),
        EntryPayload::Membership(membership()),
    ];
    for payload in payloads {
        let entry = Entry {
            log_id: log_id(3, 9),
            payload,
        };
        let (head, bytes) = entry_frame(GroupId(2), &entry);
        assert_eq!((head.group, head.term, head.index), (GroupId(2), 3, 9));
        assert_eq!(read_entry(&head, bytes).unwrap(), entry);
    }
}

#[test]
fn votes_come_back_as_they_went() {
    for vote in [Vote::new(4, 7), Vote::new_committed(4, 7)] {
        let (head, bytes) = vote_frame(GroupId(1), &vote);
        assert_eq!(read_vote(&head, &bytes), Some(vote));
    }
    let (head, _) = vote_frame(GroupId(1), &Vote::new(4, 7));
    assert_eq!(read_vote(&head, b"short"), None);
}

#[test]
fn a_cut_membership_is_refused() {
    let bytes = put_membership(&membership());
    for cut in 0..bytes.len() {
        assert_eq!(read_membership(bytes.slice(..cut)), None, "cut at {cut}");
    }
}

#[test]
fn mutated_payloads_are_refused_or_come_back_as_they_are_read() {
    let members = put_membership(&membership());
    let (_, vote) = vote_frame(GroupId(1), &Vote::new_committed(4, 7));
    mutate::feed(13, 20_000, &[&members, &vote], |bytes| {
        for kind in 0..=8 {
            let head = head(GroupId(1), kind, Some(log_id(4, 9)));
            if let Some(entry) = read_entry(&head, Bytes::copy_from_slice(bytes)) {
                assert!([NORMAL, BLANK, MEMBERSHIP].contains(&kind));
                assert_eq!(entry.log_id, log_id(4, 9));
            }
            if let Some(vote) = read_vote(&head, bytes) {
                assert_eq!(vote_frame(GroupId(1), &vote).1[..], *bytes);
            }
        }
        if let Some(read) = read_membership(Bytes::copy_from_slice(bytes)) {
            assert_eq!(read_membership(put_membership(&read)), Some(read));
        }
    });
}
