//! Round trips of everything a group logs.
#![allow(clippy::unwrap_used)]

use super::*;

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
