//! What a run asks, how often and for how long.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;

use super::keys::Space;
use super::schedule::Schedule;

/// One kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Operation {
    /// Puts a key
    Put,
    /// Reads a key, linearizable
    Get,
    /// Reads a key, serializable
    SerializableGet,
    /// Reads --range-keys keys in one answer
    Range,
    /// Reads --range-keys keys in chunks (etcd 3.7)
    RangeStream,
    /// Puts a key of the client's own if nobody has changed it
    CompareAndPut,
    /// Deletes a key
    Delete,
    /// Puts --txn-keys keys in one transaction
    Txn,
    /// Puts keys that --watchers watch; counted is each event that a watcher is told
    WatchFanout,
    /// Opens a watch, is told of a put, and cancels it
    WatchChurn,
    /// Grants a lease and revokes it
    LeaseGrant,
    /// Renews the client's own lease
    LeaseKeepalive,
    /// Has leases end: counted is the time from a lease's end to the event of its key's delete
    LeaseExpiry,
    /// Takes a lock that all clients want and gives it back
    Lock,
    /// Is elected among all clients, and resigns
    Election,
}

impl Operation {
    /// Its name, as on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Operation::Put => "put",
            Operation::Get => "get",
            Operation::SerializableGet => "serializable-get",
            Operation::Range => "range",
            Operation::RangeStream => "range-stream",
            Operation::CompareAndPut => "compare-and-put",
            Operation::Delete => "delete",
            Operation::Txn => "txn",
            Operation::WatchFanout => "watch-fanout",
            Operation::WatchChurn => "watch-churn",
            Operation::LeaseGrant => "lease-grant",
            Operation::LeaseKeepalive => "lease-keepalive",
            Operation::LeaseExpiry => "lease-expiry",
            Operation::Lock => "lock",
            Operation::Election => "election",
        }
    }

    /// Whether keys have to be there before it makes sense.
    #[must_use]
    pub fn needs_keys(self) -> bool {
        use Operation::{Delete, Get, Range, RangeStream, SerializableGet};
        matches!(self, Get | SerializableGet | Range | RangeStream | Delete)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Operations and how often each is asked beside the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix(pub Vec<(Operation, u32)>);

impl Mix {
    /// Reads `put=1,get=9`; for clap.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn parse(text: &str) -> Result<Mix, String> {
        let mut mix = Vec::new();
        for part in text.split(',') {
            let bad = || format!("{part:?} is no part of a mix such as put=1,get=9");
            let (name, share) = part.split_once('=').ok_or_else(bad)?;
            let operation = Operation::from_str(name.trim(), false)
                .map_err(|_| format!("there is no workload {name:?}"))?;
            let share: u32 = share.trim().parse().map_err(|_| bad())?;
            mix.push((operation, share));
        }
        if mix.iter().map(|(_, share)| u64::from(*share)).sum::<u64>() == 0 {
            return Err("a mix needs a share above 0".to_owned());
        }
        Ok(Mix(mix))
    }

    /// Operations in it.
    pub fn operations(&self) -> impl Iterator<Item = Operation> + '_ {
        self.0.iter().filter(|(_, n)| *n > 0).map(|(op, _)| *op)
    }

    /// The one at this place, from 0 to 1, of all shares.
    #[must_use]
    pub fn at(&self, place: f64) -> Operation {
        let all: f64 = self.0.iter().map(|(_, n)| f64::from(*n)).sum();
        let mut left = place * all;
        for (operation, share) in &self.0 {
            left -= f64::from(*share);
            if left < 0.0 {
                return *operation;
            }
        }
        self.0.last().map_or(Operation::Put, |(last, _)| *last)
    }
}

/// A whole load.
#[derive(Clone, Debug)]
pub struct Load {
    /// What is asked.
    pub mix: Mix,
    /// When.
    pub schedule: Schedule,
    /// Clients. In a closed loop each has one operation on its way; in an open one more are made
    /// when all have.
    pub clients: usize,
    /// Connections that they share.
    pub conns: usize,
    /// Measured time.
    pub duration: Duration,
    /// Time before it that is not measured.
    pub warmup: Duration,
    /// Bytes of values.
    pub value_size: usize,
    /// Keys.
    pub keys: u64,
    /// Bytes of keys, if their names allow it.
    pub key_size: usize,
    /// How keys are chosen.
    pub space: Space,
    /// Keys of a range.
    pub range_keys: u64,
    /// Keys of a transaction.
    pub txn_keys: usize,
    /// Watchers of a fan-out.
    pub watchers: usize,
    /// How many of them share a stream.
    pub watches_per_stream: usize,
    /// Seconds that leases live.
    pub lease_ttl: i64,
    /// Where chance begins.
    pub seed: u64,
    /// Whether what was acknowledged and told is checked.
    pub check: bool,
}

impl Load {
    /// Whether keys have to be there before it makes sense.
    #[must_use]
    pub fn needs_keys(&self) -> bool {
        self.mix.operations().any(Operation::needs_keys)
    }

    /// Whether events are counted and not puts.
    #[must_use]
    pub fn is_fanout(&self) -> bool {
        let mut operations = self.mix.operations();
        operations.any(|op| op == Operation::WatchFanout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes_are_read_and_drawn_by_their_shares() {
        let mix = Mix::parse("put=1, get=3,txn=0").expect("a mix");
        let mix = &mix;
        let drawn = |n: u32| (0..n).map(move |i| mix.at((f64::from(i) + 0.5) / f64::from(n)));
        assert_eq!(drawn(400).filter(|op| *op == Operation::Put).count(), 100);
        assert_eq!(drawn(400).filter(|op| *op == Operation::Get).count(), 300);
        assert_eq!(mix.operations().count(), 2);
        for text in ["", "put", "put=x", "put=0", "nothing=1", "put=-1"] {
            assert!(Mix::parse(text).is_err(), "{text}");
        }
        for operation in Operation::value_variants() {
            let name = operation.to_possible_value().expect("named");
            assert_eq!(name.get_name(), operation.name());
        }
    }
}
