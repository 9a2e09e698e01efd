//! Which differences from older etcds the order of a transaction's checks explains.

use super::{Case, txn_of};
use crate::client::pb;
use crate::differ::outcome::Outcome;
use pb::request_op::Request;

pub(super) const LEASE: &str = "etcdserver: requested lease not found";
pub(super) const KEY: &str = "etcdserver: key not found";
pub(super) const FUTURE: &str = "etcdserver: mvcc: required revision is a future revision";
pub(super) const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

/// Up to 3.5 etcd looks at all puts before it looks at a read. Later releases take the operations
/// as they come.
pub(super) fn is_reads_last(case: &Case<'_>) -> bool {
    is_order(case, |ours, theirs, before, _| {
        let (read, put) = ([FUTURE, COMPACTED], [LEASE, KEY]);
        read.contains(&ours) && put.contains(&theirs) && before
    })
}

/// Up to 3.6 etcd looks for a put's key before its lease.
pub(super) fn is_key_first(case: &Case<'_>) -> bool {
    is_order(case, |ours, theirs, _, same| {
        ours == LEASE && theirs == KEY && same
    })
}

/// Whether both name a reason that the transaction gives, and `fits` both and whether ours stands
/// before theirs, or at the same place.
fn is_order(case: &Case<'_>, fits: fn(&str, &str, bool, bool) -> bool) -> bool {
    let Case::Answer { step, ours, theirs } = case else {
        return false;
    };
    let (Some(txn), Outcome::Refused(ours), Outcome::Refused(theirs)) =
        (txn_of(step), ours, theirs)
    else {
        return false;
    };
    let mut reasons = Vec::new();
    note_reasons(txn, &mut 0, &mut reasons);
    let places = |text: &str| -> Vec<usize> {
        let of_text = reasons.iter().filter(|(_, reason)| *reason == text);
        of_text.map(|(place, _)| *place).collect()
    };
    let (our, their) = (places(&ours.message), places(&theirs.message));
    let mut pairs = our.iter().flat_map(|a| their.iter().map(move |b| (a, b)));
    pairs.any(|(our, their)| fits(&ours.message, &theirs.message, our < their, our == their))
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
