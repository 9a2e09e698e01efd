//! A workload on a server: the engine of `bench` with a workload as the source of its operations.

use std::rc::Rc;
use std::time::{Duration, Instant};

use proto::etcdserverpb as pb;

use super::load::{Held, Load};
use super::watches::Watches;
use super::workload::{PREFIX, Workload};
use crate::bench::record::Record;
use crate::bench::schedule::Schedule;
use crate::bench::session::{Session, When};
use crate::bench::slot::Slot;
use crate::bench::source::{Called, Caller, Source};
use crate::client::{Channel, Options, Status, within};
use crate::progress::{Progress, Stop};

/// Operations on their way, beyond those of [`BEHIND`], from which on a rate is given up.
const SLACK: usize = 500;
/// Seconds of operations on their way from which on a rate is given up.
const BEHIND: f64 = 2.0;
/// How long the last operations of a rate may take.
const REST: Duration = Duration::from_secs(20);
/// Bytes and operations of a transaction that fills.
const BATCH: (usize, usize) = (512 << 10, 100);

/// A workload on a server.
pub struct Driver {
    session: Session<Workload>,
    stop: Stop,
    /// They watch until this is dropped.
    _watches: Watches,
}

impl Driver {
    /// Connects, makes the workload's keys and begins its watches, one for each of `watchers` on
    /// each prefix.
    ///
    /// # Errors
    /// What the server says.
    pub async fn new(
        options: &Options,
        connections: usize,
        watchers: usize,
        workload: Workload,
        stop: Stop,
    ) -> Result<Driver, Status> {
        let session = Session::open(options, connections, Rc::new(workload)).await?;
        let channel = session.slots()[0].channel().await?;
        fill(&channel, session.source().pairs()).await?;
        let prefixes = &session.source().watched;
        let watches = Watches::start(options, watchers, prefixes).await?;
        Ok(Driver {
            session,
            stop,
            _watches: watches,
        })
    }

    /// Deletes what this command wrote.
    ///
    /// # Errors
    /// What the server says.
    pub async fn wipe(options: &Options) -> Result<(), Status> {
        let channel = Channel::connect(options, 0).await?;
        let request = pb::DeleteRangeRequest {
            key: PREFIX.into(),
            range_end: format!("{PREFIX}~").into(),
            ..Default::default()
        };
        within(REST, channel.delete(&request)).await?;
        Ok(())
    }
}

async fn fill(channel: &Channel, pairs: Vec<pb::PutRequest>) -> Result<(), Status> {
    let mut request = pb::TxnRequest::default();
    let mut bytes = 0;
    let mut pairs = pairs.into_iter().peekable();
    while let Some(pair) = pairs.next() {
        bytes += pair.key.len() + pair.value.len();
        request.success.push(pb::RequestOp {
            request: Some(pb::request_op::Request::RequestPut(pair)),
        });
        let is_full = bytes >= BATCH.0 || request.success.len() >= BATCH.1;
        if is_full || pairs.peek().is_none() {
            channel.txn(&request).await?;
            request.success.clear();
            bytes = 0;
        }
    }
    Ok(())
}

impl Load for Driver {
    async fn hold(&mut self, rate: f64, span: Duration) -> Result<Held, String> {
        let when = When {
            schedule: &Schedule::Rate(rate),
            clients: 0,
            warmup: Duration::ZERO,
            duration: span,
            last_limit: REST,
            behind_max: Some(SLACK + (rate * BEHIND) as usize),
        };
        let name = self.session.source().name();
        let what = format!("{name}, {rate:.0} a second");
        let total = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let progress = Progress::new(&what, total);
        let record = Rc::new(Record::new());
        let outcome = self
            .session
            .hold(&record, &when, &what, self.stop, &progress);
        let outcome = outcome.await.map_err(|status| status.to_string())?;
        Ok(Held::of(rate, &outcome))
    }
}

/// A client: it sends what the workload draws.
pub struct Sender {
    workload: Rc<Workload>,
    slot: Rc<Slot>,
}

impl Source for Workload {
    type Client = Sender;

    fn client(self: &Rc<Self>, slot: &Rc<Slot>, _: u64) -> Sender {
        Sender {
            workload: self.clone(),
            slot: slot.clone(),
        }
    }
}

impl Caller for Sender {
    async fn call(&mut self, due: Instant) -> Called {
        let send = async {
            let channel = self.slot.channel().await?;
            let call = self.workload.next();
            channel.count(call.path, call.frame).await?;
            Ok(Some(due))
        };
        Called {
            name: self.workload.name(),
            result: send.await,
        }
    }
}
