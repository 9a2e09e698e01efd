//! Connections, made once, over which one load after the other is put on a server.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::clients::{Clients, Driven};
use super::outcome::Outcome;
use super::record::Record;
use super::schedule::Schedule;
use super::slot::Slot;
use super::source::Source;
use crate::client::{Options, Status};
use crate::progress::{Progress, Stop};
use crate::server_process::Watcher;

/// How long answers are waited for after the end of a load that needs no more, or that was ended.
pub(crate) const LAST_LIMIT: Duration = Duration::from_secs(10);

/// How often the server's process is looked at, and ctrl-C.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Connections to a server, and what is asked over them.
pub(crate) struct Session<S> {
    source: Rc<S>,
    slots: Vec<Rc<Slot>>,
    processes: Watcher,
}

/// When operations are made.
pub(crate) struct When<'a> {
    /// By which clock, if by any.
    pub schedule: &'a Schedule,
    /// Clients of a closed loop.
    pub clients: usize,
    /// Time that is not measured, before what is: at the rate with which the schedule begins.
    pub warmup: Duration,
    /// Measured time.
    pub duration: Duration,
    /// How long the last answers are waited for.
    pub last_limit: Duration,
    /// Operations without an answer from which on a load by the clock is given up.
    pub behind_max: Option<usize>,
}

impl<S: Source> Session<S> {
    /// Makes `conns` connections.
    ///
    /// # Errors
    /// When the server is not reached.
    pub async fn open(
        options: &Options,
        conns: usize,
        source: Rc<S>,
    ) -> Result<Session<S>, Status> {
        let options = Rc::new(options.clone());
        let mut slots = Vec::new();
        for number in 0..conns.max(1) {
            slots.push(Slot::open(&options, number).await?);
        }
        let places = options
            .places()
            .map_err(|why| Status::new(Status::INVALID_ARGUMENT, why))?;
        Ok(Session {
            source,
            slots,
            processes: Watcher::new(&places),
        })
    }

    /// What is asked.
    pub fn source(&self) -> &Rc<S> {
        &self.source
    }

    /// The connections, at least one.
    pub fn slots(&self) -> &[Rc<Slot>] {
        &self.slots
    }

    /// Puts a load on the server, for its time or until told to stop, and waits for the last
    /// answers; `what` is shown meanwhile.
    ///
    /// # Errors
    /// When the kernel gives no timer; failed operations are part of the outcome.
    pub async fn hold(
        &self,
        record: &Rc<Record>,
        when: &When<'_>,
        what: &str,
        stop: Stop,
        progress: &Progress,
    ) -> Result<Outcome, Status> {
        let clients = Clients::new(&self.source, record, self.slots.clone());
        let start = Instant::now() + when.warmup;
        record.begin(start, when.duration, when.schedule);
        let is_overrun = Cell::new(false);
        let drive = async {
            match when.schedule.first() {
                None => clients.start_closed(when.clients),
                Some(rate) => {
                    let even = Schedule::Rate(rate);
                    let begun = Instant::now();
                    clients
                        .follow(&even, begun, when.warmup, None, stop)
                        .await?;
                    let (schedule, most) = (when.schedule, when.behind_max);
                    let driven = clients.follow(schedule, start, when.duration, most, stop);
                    if let Driven::GivenUp(at) = driven.await? {
                        record.end(at);
                        is_overrun.set(true);
                    }
                }
            }
            Ok(())
        };
        let is_over = || stop.is_set() || is_overrun.get();
        let oversee = self.oversee(when, start, what, &is_over, progress);
        let (driven, ()) = tokio::join!(drive, oversee);
        let failed = |e: io::Error| Status::new(Status::INTERNAL, format!("no timer: {e}"));
        driven.map_err(failed)?;
        record.end(Instant::now());
        self.processes.look();
        let (client_cpu_us, server) = (self.processes.own_us(), self.processes.servers());
        progress.say("waiting for the last answers");
        let limit = match stop.is_set() {
            true => when.last_limit.min(LAST_LIMIT),
            false => when.last_limit,
        };
        clients.finish(limit).await;
        record.close();
        Ok(Outcome {
            measured: record.measured(),
            record: record.clone(),
            client_cpu_us,
            server,
            clients: clients.count(),
            is_overrun: is_overrun.get(),
            check: None,
        })
    }

    /// Waits for the end and looks at the processes on the way.
    async fn oversee(
        &self,
        when: &When<'_>,
        start: Instant,
        what: &str,
        is_over: &impl Fn() -> bool,
        progress: &Progress,
    ) {
        let mut begun = false;
        progress.say("warming up");
        loop {
            let now = Instant::now();
            if now >= start && !begun {
                begun = true;
                self.processes.begin();
                progress.say(what);
            }
            if now >= start + when.duration || is_over() {
                return;
            }
            if begun {
                self.processes.look();
                let done = now.saturating_duration_since(start);
                progress.set(u64::try_from(done.as_millis()).unwrap_or(u64::MAX));
            }
            let next = if begun { start + when.duration } else { start };
            let left = next.saturating_duration_since(now);
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
        }
    }
}
