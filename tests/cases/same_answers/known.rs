//! Which differences from etcd 3.5.1 the order of a transaction's checks explains.

use pb::request_op::Request;
use tests::answers::Answer;
use tests::client::pb;
use tests::script::Step;

const LEASE: &str = "error (5) etcdserver: requested lease not found";
const KEY: &str = "error (3) etcdserver: key not found";
const FUTURE: &str = "error (11) etcdserver: mvcc: required revision is a future revision";
const COMPACTED: &str = "error (11) etcdserver: mvcc: required revision has been compacted";

/// Whether both name a reason that the transaction gives, and the order of the checks explains
/// why not the same one: etcd 3.5 looks at all puts before it looks at a read, and at a put's key
/// before its lease. Later releases take the operations as they come, and a put's lease first.
pub fn is_order_of_checks(step: &Step, ours: &Answer, etcds: &Answer) -> bool {
    let Step::Txn(txn) = step else { return false };
    let mut reasons = Vec::new();
    note_reasons(txn, &mut 0, &mut reasons);
    let places = |text: &str| -> Vec<usize> {
        let of_text = reasons.iter().filter(|(_, reason)| *reason == text);
        of_text.map(|(place, _)| *place).collect()
    };
    let (our, their) = (places(&ours.text), places(&etcds.text));
    let mut pairs = our.iter().flat_map(|a| their.iter().map(move |b| (a, b)));
    match (ours.text.as_str(), etcds.text.as_str()) {
        (FUTURE | COMPACTED, LEASE | KEY) => pairs.any(|(our, their)| our < their),
        (LEASE, KEY) => pairs.any(|(our, their)| our == their),
        _ => false,
    }
}

/// What may be wrong with each operation, with its place in the order of the newer checks.
fn note_reasons(txn: &pb::TxnRequest, place: &mut usize, reasons: &mut Vec<(usize, &'static str)>) {
    for op in txn.success.iter().chain(&txn.failure) {
        *place += 1;
        match &op.request {
            Some(Request::RequestRange(range)) if range.revision != 0 => {
                reasons.extend([(*place, FUTURE), (*place, COMPACTED)]);
            }
            Some(Request::RequestPut(put)) => {
                let lease = (put.lease != 0).then_some((*place, LEASE));
                let key = (put.ignore_value || put.ignore_lease).then_some((*place, KEY));
                reasons.extend(lease.into_iter().chain(key));
            }
            Some(Request::RequestTxn(inner)) => note_reasons(inner, place, reasons),
            _ => {}
        }
    }
}

#[test]
fn only_a_reason_that_comes_later_in_the_transaction_is_excused() {
    let answer = |text: &str| Answer {
        text: text.into(),
        revision: None,
    };
    let put = |lease, ignore_value| pb::RequestOp {
        request: Some(Request::RequestPut(pb::PutRequest {
            lease,
            ignore_value,
            ..Default::default()
        })),
    };
    let read = pb::RequestOp {
        request: Some(Request::RequestRange(pb::RangeRequest {
            revision: 9,
            ..Default::default()
        })),
    };
    let excused = |success: Vec<_>, ours, etcds| {
        let txn = pb::TxnRequest {
            success,
            ..Default::default()
        };
        is_order_of_checks(&Step::Txn(txn), &answer(ours), &answer(etcds))
    };
    assert!(excused(vec![read.clone(), put(1, false)], FUTURE, LEASE));
    assert!(excused(vec![put(1, true)], LEASE, KEY));
    assert!(!excused(vec![put(1, false), read.clone()], FUTURE, LEASE));
    assert!(!excused(vec![put(1, false), read], LEASE, FUTURE));
    assert!(!excused(vec![put(1, true)], KEY, LEASE));
    assert!(!excused(vec![put(1, false), put(0, true)], LEASE, KEY));
    assert!(!excused(vec![put(1, false)], KEY, LEASE));
    assert!(!excused(vec![put(1, true)], LEASE, "succeeded"));
}
