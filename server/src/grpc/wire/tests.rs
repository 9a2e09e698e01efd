//! Against prost: the same message, the same bytes.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use engine::ids::Revision;
use engine::watch::EventBatch;
use prost::Message;
use proto::etcdserverpb as pb;
use proto::mvccpb;

use super::*;
use crate::testing::Dice;

fn kv(dice: &mut Dice) -> KeyValue {
    let bytes = |dice: &mut Dice, n| Bytes::from(vec![dice.roll() as u8; dice.below(n)]);
    KeyValue {
        key: bytes(dice, 40),
        value: bytes(dice, 9000),
        create_revision: dice.below(3) as i64,
        mod_revision: (dice.roll() >> dice.below(64)) as i64,
        version: dice.below(300) as i64,
        lease: if dice.below(2) == 0 {
            0
        } else {
            dice.roll() as i64
        },
    }
}

fn pb_kv(kv: &KeyValue) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: kv.key.clone(),
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        value: kv.value.clone(),
        lease: kv.lease,
    }
}

fn base() -> HeaderBase {
    HeaderBase::new(0xcdf8_1818_e32f_b1aa, 7)
}

fn pb_header(revision: i64) -> Option<pb::ResponseHeader> {
    let (cluster_id, member_id) = (0xcdf8_1818_e32f_b1aa, 7);
    Some(pb::ResponseHeader {
        cluster_id,
        member_id,
        revision,
        raft_term: 3,
    })
}

fn pb_inner(revision: i64) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader {
        revision,
        ..Default::default()
    })
}

fn range_reply(dice: &mut Dice) -> (RangeReply, pb::RangeResponse) {
    let kvs: Vec<_> = (0..dice.below(5)).map(|_| kv(dice)).collect();
    let mut piece = Vec::new();
    let mut pieces = Vec::new();
    for kv in &kvs {
        fields(kv).write_entry(&mut piece);
        if dice.below(2) == 0 {
            pieces.push(std::mem::take(&mut piece).into());
        }
    }
    pieces.push(piece.into());
    let (revision, more, count) = (dice.below(9) as i64, dice.below(2) == 0, kvs.len() as i64);
    let reply = RangeReply {
        revision,
        kvs: pieces,
        len: kvs.len(),
        more,
        count,
    };
    let kvs = kvs.iter().map(pb_kv).collect();
    (
        reply,
        pb::RangeResponse {
            header: pb_inner(revision),
            kvs,
            more,
            count,
        },
    )
}

fn op(dice: &mut Dice, depth: usize) -> (OpReply, pb::response_op::Response) {
    use pb::response_op::Response;
    match dice.below(if depth > 0 { 4 } else { 3 }) {
        0 => {
            let (reply, want) = range_reply(dice);
            (OpReply::Range(reply), Response::ResponseRange(want))
        }
        1 => {
            let prev = (dice.below(2) == 0).then(|| kv(dice));
            let prev_kv = prev.as_ref().map(pb_kv);
            let want = pb::PutResponse {
                header: pb_inner(5),
                prev_kv,
            };
            (
                OpReply::Put(PutReply { revision: 5, prev }),
                Response::ResponsePut(want),
            )
        }
        2 => {
            let prev: Vec<_> = (0..dice.below(3)).map(|_| kv(dice)).collect();
            let prev_kvs = prev.iter().map(pb_kv).collect();
            let deleted = prev.len() as i64;
            let want = pb::DeleteRangeResponse {
                header: pb_inner(6),
                deleted,
                prev_kvs,
            };
            let reply = DeleteReply {
                revision: 6,
                deleted,
                prev,
            };
            (OpReply::Delete(reply), Response::ResponseDeleteRange(want))
        }
        _ => {
            let (reply, want) = txn_reply(dice, depth - 1);
            (OpReply::Txn(reply), Response::ResponseTxn(want))
        }
    }
}

fn txn_reply(dice: &mut Dice, depth: usize) -> (TxnReply, pb::TxnResponse) {
    let ops: Vec<_> = (0..dice.below(4)).map(|_| op(dice, depth)).collect();
    let succeeded = dice.below(2) == 0;
    let (replies, wants): (Vec<_>, Vec<_>) = ops.into_iter().unzip();
    let responses = wants
        .into_iter()
        .map(|r| pb::ResponseOp { response: Some(r) })
        .collect();
    let want = pb::TxnResponse {
        header: pb_inner(0),
        succeeded,
        responses,
    };
    (
        TxnReply {
            revision: 9,
            succeeded,
            responses: replies,
        },
        want,
    )
}

#[test]
fn kv_answers_are_what_prost_writes() {
    let base = base();
    let mut dice = Dice(11);
    for _ in 0..500 {
        let (reply, mut want) = range_reply(&mut dice);
        want.header = pb_header(reply.revision);
        let got = range(base.at(reply.revision, 3), &reply);
        assert_eq!(got.message(), want.encode_to_vec());

        let part = range_part(Some(base.at(reply.revision, 3)), &reply);
        let last = pb::RangeStreamResponse {
            range_response: Some(want.clone()),
        };
        assert_eq!(part.message(), last.encode_to_vec());
        let bare = pb::RangeResponse {
            kvs: want.kvs,
            ..Default::default()
        };
        let part = range_part(None, &reply);
        let first = pb::RangeStreamResponse {
            range_response: Some(bare),
        };
        assert_eq!(part.message(), first.encode_to_vec());

        let (reply, mut want) = txn_reply(&mut dice, 3);
        want.header = pb_header(9);
        assert_eq!(txn(base.at(9, 3), &reply).message(), want.encode_to_vec());
        let (op, want) = op(&mut dice, 0);
        match (op, want) {
            (OpReply::Put(reply), pb::response_op::Response::ResponsePut(mut want)) => {
                want.header = pb_header(5);
                assert_eq!(put(base.at(5, 3), &reply).message(), want.encode_to_vec());
            }
            (OpReply::Delete(reply), pb::response_op::Response::ResponseDeleteRange(mut want)) => {
                want.header = pb_header(6);
                assert_eq!(
                    delete(base.at(6, 3), &reply).message(),
                    want.encode_to_vec()
                );
            }
            _ => {}
        }
    }
}

#[test]
fn large_pairs_are_passed_on_without_a_copy() {
    let piece = Bytes::from(vec![1; 100_000]);
    let reply = RangeReply {
        kvs: vec![piece.clone()],
        ..RangeReply::default()
    };
    let framed = range(base().at(1, 1), &reply);
    assert!(format!("{framed:?}").len() > 100_000);
    assert_eq!(framed.piece_at(1).unwrap().as_ptr(), piece.as_ptr());
}

#[test]
fn watch_answers_are_what_prost_writes() {
    let base = base();
    let mut dice = Dice(5);
    let check = |response: WatchResponse, want: pb::WatchResponse| {
        let got = watch(base.at(response.header_revision, 3), &response);
        assert_eq!(got.message(), want.encode_to_vec());
    };
    let of = |watch_id, header_revision, kind| WatchResponse {
        watch_id,
        header_revision,
        kind,
    };
    let want = |watch_id, revision| pb::WatchResponse {
        header: pb_header(revision),
        watch_id,
        ..Default::default()
    };
    check(
        of(0, 4, Kind::Created),
        pb::WatchResponse {
            created: true,
            ..want(0, 4)
        },
    );
    check(of(-1, 4, Kind::Progress), want(-1, 4));
    check(
        of(
            -1,
            4,
            Kind::Refused {
                reason: "no".into(),
            },
        ),
        pb::WatchResponse {
            created: true,
            canceled: true,
            cancel_reason: "no".into(),
            ..want(-1, 4)
        },
    );
    check(
        of(
            3,
            0,
            Kind::Canceled {
                compact_revision: 9,
            },
        ),
        pb::WatchResponse {
            canceled: true,
            compact_revision: 9,
            ..want(3, 0)
        },
    );
    for i in 0..100 {
        let mut events = Vec::new();
        let mut wants = Vec::new();
        let prev_kv = i % 2 == 0;
        for sub in 0..1 + dice.below(4) {
            let prev = (dice.below(2) == 0).then(|| Arc::new(kv(&mut dice)));
            let (kv, delete) = (kv(&mut dice), dice.below(2) == 0);
            wants.push(mvccpb::Event {
                r#type: i32::from(delete),
                kv: Some(pb_kv(&kv)),
                prev_kv: prev.as_ref().filter(|_| prev_kv).map(|p| pb_kv(p)),
            });
            let prev = prev.map_or(Previous::Absent, Previous::Known);
            events.push(Event {
                revision: Revision::new(4, sub as i64),
                kv,
                delete,
                prev,
            });
        }
        let (batch, fragment) = (Arc::new(EventBatch::new(events)), i % 3 == 0);
        let kind = Kind::Events {
            batch,
            prev_kv,
            fragment,
        };
        check(
            of(2, 4, kind),
            pb::WatchResponse {
                events: wants,
                fragment,
                ..want(2, 4)
            },
        );
    }
}

#[test]
fn mutated_requests_decode_or_fail_and_never_panic() {
    let put = pb::PutRequest {
        key: "k".into(),
        value: "v".into(),
        lease: -1,
        ..Default::default()
    };
    let mut txn = pb::TxnRequest {
        compare: vec![pb::Compare {
            key: "k".into(),
            range_end: "z".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    for _ in 0..20 {
        let inner = pb::request_op::Request::RequestTxn(txn.clone());
        let put = pb::request_op::Request::RequestPut(put.clone());
        let op = |request| pb::RequestOp {
            request: Some(request),
        };
        txn = pb::TxnRequest {
            success: vec![op(inner), op(put)],
            ..Default::default()
        };
    }
    let create = pb::WatchCreateRequest {
        key: "k".into(),
        filters: vec![0, 1],
        ..Default::default()
    };
    let watch = pb::WatchRequest {
        request_union: Some(pb::watch_request::RequestUnion::CreateRequest(create)),
    };
    let seeds = [
        put.encode_to_vec(),
        txn.encode_to_vec(),
        watch.encode_to_vec(),
    ];
    let mut dice = Dice(17);
    let mut decoded = 0;
    for i in 0..20_000 {
        let bytes = Bytes::from(dice.mutate(&seeds[i % 3]));
        decoded += decode_as_everything(&bytes);
    }
    assert!(decoded > 20_000, "{decoded}");
    // Nesting without end is refused, not followed.
    let mut deep = Vec::new();
    for _ in 0..5000 {
        let mut outer = vec![0x22];
        write_varint(&mut outer, deep.len() as u64);
        outer.extend(&deep);
        let mut op = vec![0x12];
        write_varint(&mut op, outer.len() as u64);
        op.extend(outer);
        deep = op;
    }
    assert!(pb::TxnRequest::decode(&deep[..]).is_err());
}

/// Tries the bytes as every message a client can send; counts those that decode.
fn decode_as_everything(bytes: &Bytes) -> usize {
    macro_rules! try_all {
        ($($message:path),* $(,)?) => {
            [$(<$message>::decode(bytes.clone()).is_ok(),)*].into_iter().filter(|ok| *ok).count()
        };
    }
    try_all!(
        pb::RangeRequest,
        pb::PutRequest,
        pb::DeleteRangeRequest,
        pb::TxnRequest,
        pb::CompactionRequest,
        pb::WatchRequest,
        pb::LeaseGrantRequest,
        pb::LeaseRevokeRequest,
        pb::LeaseKeepAliveRequest,
        pb::LeaseTimeToLiveRequest,
        pb::MemberAddRequest,
        pb::MemberRemoveRequest,
        pb::MemberUpdateRequest,
        pb::MemberListRequest,
        pb::MemberPromoteRequest,
        pb::AlarmRequest,
        pb::HashKvRequest,
        pb::MoveLeaderRequest,
        pb::DowngradeRequest,
        pb::AuthenticateRequest,
        pb::AuthUserAddRequest,
        pb::AuthUserChangePasswordRequest,
        pb::AuthUserGrantRoleRequest,
        pb::AuthUserRevokeRoleRequest,
        pb::AuthRoleGrantPermissionRequest,
        pb::AuthRoleRevokePermissionRequest,
        proto::v3electionpb::CampaignRequest,
        proto::v3electionpb::ProclaimRequest,
        proto::v3lockpb::LockRequest,
        proto::grpc::health::v1::HealthCheckRequest,
    )
}
