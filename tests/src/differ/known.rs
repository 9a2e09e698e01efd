//! Where real etcds older than 3.7 are known to answer otherwise: one table, each row with the
//! release that changed it, and how a run meets it.

use super::outcome::Outcome;
use super::step::{Call, Step, WATCH};
use super::watches::Told;
use crate::client::pb;
use prost::Message;

mod order;

/// One known difference between 3.7, which Stoa follows, and older releases.
pub struct Row {
    /// What 3.7 answers.
    pub what: &'static str,
    /// What older ones answer, and which change of etcd made the difference.
    pub why: &'static str,
    /// The first release that answers as 3.7; none when only chance decides.
    pub since: Option<[u64; 3]>,
    /// How it is met.
    pub met: Met,
}

/// How a run meets a known difference.
pub enum Met {
    /// It is asked, and this knows the older answer from any other.
    Asked(fn(&Case<'_>) -> bool),
    /// It cannot be asked, as then the servers would not hold the same any more; this golden
    /// script has the answer of 3.7.
    Golden(&'static str),
    /// Taken out of all answers before they are compared.
    Settled,
}

/// Two answers that are not the same.
pub enum Case<'a> {
    /// To a step.
    Answer {
        /// The step.
        step: &'a Step,
        /// Stoa's.
        ours: &'a Outcome,
        /// etcd's.
        theirs: &'a Outcome,
    },
    /// To a watch.
    Told {
        /// The watch.
        watched: &'a super::contest::Watched,
        /// Stoa's.
        ours: &'a [Told],
        /// etcd's.
        theirs: &'a [Told],
    },
}

/// The table.
pub const TABLE: &[Row] = &[
    Row {
        what: "a transaction names the first reason against it in the order of its operations",
        why: "older ones look at all puts before they look at a read (3.6 checks in one pass)",
        since: Some([3, 6, 0]),
        met: Met::Asked(order::is_reads_last),
    },
    Row {
        what: "a put's lease is looked for before its key",
        why: "older ones look for the key first inside a transaction",
        since: Some([3, 7, 0]),
        met: Met::Asked(order::is_key_first),
    },
    Row {
        what: "a watch from exactly the compact revision is told of the deletes there",
        why: "older ones drop the tombstone at the compact revision (etcd 19179)",
        since: Some([3, 5, 16]),
        met: Met::Asked(is_tombstone_lost),
    },
    Row {
        what: "a long past, or what a stream does not hold, is told in responses of bounded size",
        why: "etcd counts revisions and responses, not bytes; no client can tell where it cuts",
        since: None,
        met: Met::Asked(is_long_cut),
    },
    Row {
        what: "no progress is told on a stream with a watch from the future",
        why: "older ones tell of it in any case (etcd 15220, 20221)",
        since: Some([3, 6, 2]),
        met: Met::Asked(is_early_progress),
    },
    Row {
        what: "a watch with a negative start revision is refused as compacted",
        why: "older ones take it for one from now (3.6.6)",
        since: Some([3, 6, 6]),
        met: Met::Golden("watch_negative_start"),
    },
    Row {
        what: "the history can be hashed up to exactly the compact revision",
        why: "older ones refuse that as compacted (changed with the hashes of compactions, 3.5.5)",
        since: Some([3, 5, 5]),
        met: Met::Asked(is_hash_at_compaction),
    },
    Row {
        what: "the answer about alarms has a header",
        why: "3.4 leaves it out",
        since: Some([3, 5, 0]),
        met: Met::Asked(is_alarm_header),
    },
    Row {
        what: "who waited for a lock and lost its place meanwhile does not get it",
        why: "3.4 does not look again after the wait",
        since: Some([3, 5, 0]),
        met: Met::Asked(is_lock_lost),
    },
    Row {
        what: "leases with the id 2^63 - 1 or a negative one survive a restart",
        why: "older ones read only the ids from 0 to 2^63 - 2 when they start",
        since: Some([3, 6, 0]),
        met: Met::Golden("lease_ids_survive"),
    },
    Row {
        what: "a transaction that was refused for a read's revision stays so after a restart",
        why: "older ones leave reads out when they replay their log, and then do its puts (etcd \
              18667, pull request 21432)",
        since: Some([3, 7, 0]),
        met: Met::Golden("txn_refused_is_replayed"),
    },
    Row {
        what: "an unknown order or target of a sort is refused",
        why: "older ones take an unknown order for none and panic at an unknown target",
        since: Some([3, 6, 0]),
        met: Met::Golden("unknown_sort"),
    },
    Row {
        what: "a put that keeps what its transaction deleted is refused",
        why: "etcd panics",
        since: None,
        met: Met::Golden("txn_put_keeps_deleted"),
    },
    Row {
        what: "equals of a sort come in the order of their keys",
        why: "Go's sort is not stable, and does otherwise in other releases of Go",
        since: None,
        met: Met::Settled,
    },
    Row {
        what: "HashKV does not depend on how far the sweep of a compaction is",
        why: "where nothing is alive etcd hashes all that it still has; runs wait for the sweep",
        since: None,
        met: Met::Settled,
    },
    Row {
        what: "HashKV says up to which revision it hashed",
        why: "the field is new",
        since: Some([3, 6, 0]),
        met: Met::Settled,
    },
];

/// The row that explains why this etcd, or another Stoa, answered otherwise.
#[must_use]
pub fn explain(version: Option<&str>, case: &Case<'_>) -> Option<&'static Row> {
    let mut parts = version
        .unwrap_or("999")
        .trim()
        .split(['.', '-'])
        .map(|p| p.parse().unwrap_or(0));
    let mut part = || parts.next().unwrap_or(0);
    let version = [part(), part(), part()];
    TABLE.iter().find(|row| match (&row.met, row.since) {
        (Met::Asked(is), since) => since.is_none_or(|since| version < since) && is(case),
        _ => false,
    })
}

/// Brings all events into one response, for watches of which chance decides what a response has.
pub fn flatten(told: &mut Vec<Told>) {
    let mut all = pb::WatchResponse::default();
    for one in told.drain(..).map(|t| t.response()) {
        all.watch_id = one.watch_id;
        all.canceled |= one.canceled;
        all.compact_revision = all.compact_revision.max(one.compact_revision);
        all.events.extend(one.events);
    }
    if all != pb::WatchResponse::default() {
        let bytes = all.encode_to_vec().into();
        told.push(Told { bytes });
    }
}

fn is_tombstone_lost(case: &Case<'_>) -> bool {
    let Case::Told {
        watched,
        ours,
        theirs,
    } = case
    else {
        return false;
    };
    if watched.create.start_revision != watched.compacted {
        return false;
    }
    let is_long = is_long(ours);
    let without = |told: &[Told]| -> Vec<Told> {
        let mut left: Vec<Told> = told.to_vec();
        if is_long {
            flatten(&mut left);
        }
        left.into_iter()
            .map(|told| told.response())
            .filter_map(|mut response| {
                response.events.retain(|event| {
                    let at = event.kv.as_ref().map(|kv| kv.mod_revision);
                    event.r#type == 0 || at != Some(watched.compacted)
                });
                let says = !response.events.is_empty() || response.canceled;
                let bytes = response.encode_to_vec().into();
                says.then_some(Told { bytes })
            })
            .collect()
    };
    without(ours) == without(theirs)
}

/// Bytes below which there is no reason to cut what a watch is told otherwise than etcd does.
const CUT_MIN: usize = 1 << 20;

fn is_long(told: &[Told]) -> bool {
    told.iter().map(|told| told.bytes.len()).sum::<usize>() >= CUT_MIN
}

fn is_long_cut(case: &Case<'_>) -> bool {
    let Case::Told { ours, theirs, .. } = case else {
        return false;
    };
    let (mut a, mut b) = (ours.to_vec(), theirs.to_vec());
    flatten(&mut a);
    flatten(&mut b);
    is_long(ours) && a == b
}

fn is_early_progress(case: &Case<'_>) -> bool {
    let Case::Answer { step, ours, theirs } = case else {
        return false;
    };
    let notice: Option<pb::WatchResponse> = theirs.message(WATCH);
    matches!(step, Step::Progress(_))
        && matches!(ours, Outcome::Word(_))
        && notice.is_some_and(|n| n.watch_id == -1 && n.events.is_empty())
}

fn is_hash_at_compaction(case: &Case<'_>) -> bool {
    let Case::Answer { step, ours, theirs } = case else {
        return false;
    };
    let Step::Call(Call::HashKv(asked)) = step else {
        return false;
    };
    let hashed: Option<pb::HashKvResponse> = ours.message("/etcdserverpb.Maintenance/HashKV");
    theirs.refusal() == Some(order::COMPACTED)
        && hashed.is_some_and(|h| h.compact_revision == asked.revision)
}

fn is_alarm_header(case: &Case<'_>) -> bool {
    let Case::Answer { step, ours, theirs } = case else {
        return false;
    };
    let answer = |o: &Outcome| o.message::<pb::AlarmResponse>("/etcdserverpb.Maintenance/Alarm");
    matches!(step, Step::Call(Call::Alarm(_)))
        && answer(theirs).is_some_and(|a| a.header.is_none())
        && answer(ours).map(|a| a.alarms) == answer(theirs).map(|a| a.alarms)
}

fn is_lock_lost(case: &Case<'_>) -> bool {
    let Case::Answer { step, ours, theirs } = case else {
        return false;
    };
    matches!(step, Step::Call(Call::Lock(_)))
        && ours.refusal() == Some("mutex: session is expired")
        && matches!(theirs, Outcome::Message(..))
}

/// The transaction that was asked.
fn txn_of(step: &Step) -> Option<&pb::TxnRequest> {
    match step {
        Step::Call(Call::Txn(txn)) => Some(txn),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
