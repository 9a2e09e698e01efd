//! An open loop on a few connections: operations are due by the clock, whatever the server does.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use proto::etcdserverpb as pb;
use tokio::task::{AbortHandle, spawn_local};

use super::load::{Held, Load};
use super::workload::{PREFIX, Workload};
use crate::client::{Channel, Options, Status, within};
use crate::progress::Stop;

/// The shortest sleep: the clock of the runtime goes by milliseconds.
const NAP: Duration = Duration::from_millis(1);
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
    channels: Vec<Channel>,
    workload: Workload,
    stop: Stop,
    watches: Vec<AbortHandle>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.watches.iter().for_each(AbortHandle::abort);
    }
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
        mut workload: Workload,
        stop: Stop,
    ) -> Result<Driver, Status> {
        let mut channels = Vec::new();
        for number in 0..connections {
            channels.push(Channel::connect(options, number).await?);
        }
        fill(&channels[0], workload.pairs()).await?;
        let mut watches = Vec::new();
        for number in 0..watchers {
            let channel = Channel::connect(options, number).await?;
            for prefix in &workload.watched {
                let mut stream = channel.watch(pb::WatchCreateRequest {
                    key: prefix.clone().into(),
                    range_end: format!("{prefix}~").into(),
                    prev_kv: true,
                    ..Default::default()
                })?;
                let watch =
                    spawn_local(async move { while let Ok(Some(_)) = stream.next().await {} });
                watches.push(watch.abort_handle());
            }
        }
        Ok(Driver {
            channels,
            workload,
            stop,
            watches,
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

/// What goes on at a rate.
struct Going {
    held: RefCell<Held>,
    count: Cell<usize>,
}

impl Going {
    fn ended(&self, due: Instant, result: &Result<usize, Status>) {
        self.count.set(self.count.get() - 1);
        let mut held = self.held.borrow_mut();
        match result {
            Ok(_) => held.latencies.saturating_record(nanos(due.elapsed())),
            Err(status) => *held.errors.entry(status.name()).or_default() += 1,
        }
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX).max(1)
}

impl Load for Driver {
    async fn hold(&mut self, rate: f64, span: Duration) -> Result<Held, String> {
        let going = Rc::new(Going {
            held: RefCell::new(Held::new(rate)),
            count: Cell::default(),
        });
        let most = SLACK + (rate * BEHIND) as usize;
        let began = Instant::now();
        let mut number = 0_u64;
        let mut is_overrun = false;
        while !self.stop.is_set() {
            let due = began + Duration::from_secs_f64(number as f64 / rate);
            // What is due before the end is sent, also by a program that is late.
            if due >= began + span {
                break;
            }
            let wait = due.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                tokio::time::sleep(wait.max(NAP)).await;
                continue;
            }
            if going.count.get() > most {
                is_overrun = true;
                break;
            }
            self.send(&going, number as usize, due);
            number += 1;
            // What has come has to be heard, also by a program that is late.
            if number.is_multiple_of(64) {
                tokio::task::yield_now().await;
            }
        }
        let seconds = began.elapsed().min(span).as_secs_f64();
        let ended = Instant::now();
        while going.count.get() > 0 && ended.elapsed() < REST {
            tokio::time::sleep(NAP).await;
        }
        let mut held = going.held.borrow().clone();
        let unfinished = going.count.get() as u64;
        if unfinished > 0 {
            held.errors.insert("UNFINISHED", unfinished);
        }
        held.seconds = seconds;
        held.is_overrun = is_overrun;
        Ok(held)
    }
}

impl Driver {
    fn send(&mut self, going: &Rc<Going>, number: usize, due: Instant) {
        let call = self.workload.next();
        let channel = self.channels[number % self.channels.len()].clone();
        let going = going.clone();
        going.count.set(going.count.get() + 1);
        going
            .held
            .borrow_mut()
            .lateness
            .saturating_record(nanos(due.elapsed()));
        spawn_local(async move {
            let result = channel.count(call.path, call.frame).await;
            going.ended(due, &result);
        });
    }
}
