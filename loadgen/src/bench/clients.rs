//! All clients of a load: each with one operation on its way, asked for in a closed loop or by the
//! clock.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::record::Record;
use super::schedule::Schedule;
use super::slot::Slot;
use super::source::{Caller, Source};
use super::timer::Timer;
use crate::client::Status;
use crate::progress::Stop;

/// Operations that may be on their way in an open loop; further ones wait, and that counts.
const IN_FLIGHT_MAX: usize = 20_000;

/// How often it is seen whether the run was ended while nothing is due.
const LISTEN_EVERY: Duration = Duration::from_millis(100);

/// When the operation that a client makes was due.
type Due = Rc<Cell<Option<Instant>>>;

/// An operation that is due and that nobody makes yet.
#[derive(Clone, Copy)]
struct Waiting {
    due: Instant,
    /// Whether it waits for an answer to another one: then not this program is late.
    for_answer: bool,
}

/// How a load by the clock ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Driven {
    /// All that was due was handed over, or the run was ended.
    ToTheEnd,
    /// Too many were without an answer, at this time.
    GivenUp(Instant),
}

/// The clients.
pub(super) struct Clients<S: Source> {
    source: Rc<S>,
    record: Rc<Record>,
    slots: Vec<Rc<Slot>>,
    tasks: RefCell<JoinSet<()>>,
    making: RefCell<Vec<Due>>,
    queue: RefCell<VecDeque<Waiting>>,
    arrived: Notify,
    idle: Cell<usize>,
    stopping: Cell<bool>,
}

impl<S: Source> Clients<S> {
    pub fn new(source: &Rc<S>, record: &Rc<Record>, slots: Vec<Rc<Slot>>) -> Rc<Clients<S>> {
        Rc::new(Clients {
            source: source.clone(),
            record: record.clone(),
            slots,
            tasks: RefCell::default(),
            making: RefCell::default(),
            queue: RefCell::default(),
            arrived: Notify::new(),
            idle: Cell::new(0),
            stopping: Cell::new(false),
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.making.borrow().len()
    }

    /// Operations that are due and have no answer.
    fn on_their_way(&self) -> usize {
        // A client that was woken is idle until it takes what it was woken for from the queue.
        self.queue.borrow().len() + self.count() - self.idle.get()
    }

    /// Adds one; `closed`: it goes on by itself.
    fn add(self: &Rc<Self>, closed: bool) {
        let number = self.count();
        let slot = &self.slots[number % self.slots.len()];
        let client = self.source.client(slot, number as u64);
        let due = Due::default();
        self.making.borrow_mut().push(due.clone());
        let (ours, mut tasks) = (self.clone(), self.tasks.borrow_mut());
        if closed {
            tasks.spawn_local(async move { ours.go_round(client, &due).await });
        } else {
            // It takes its operation from the queue when it runs first.
            self.idle.set(self.idle.get() + 1);
            tasks.spawn_local(async move { ours.serve(client, &due).await });
        }
    }

    /// Starts the clients of a closed loop.
    pub fn start_closed(self: &Rc<Self>, clients: usize) {
        for _ in 0..clients {
            self.add(true);
        }
    }

    async fn go_round(&self, mut client: S::Client, making: &Due) {
        while !self.stopping.get() {
            self.make(&mut client, Instant::now(), making).await;
        }
    }

    async fn serve(&self, mut client: S::Client, making: &Due) {
        loop {
            let next = self.queue.borrow_mut().pop_front();
            let Some(next) = next else {
                if self.stopping.get() {
                    return;
                }
                self.arrived.notified().await;
                continue;
            };
            self.idle.set(self.idle.get() - 1);
            if !next.for_answer {
                self.record.sent(next.due);
            }
            self.make(&mut client, next.due, making).await;
            self.idle.set(self.idle.get() + 1);
        }
    }

    async fn make(&self, client: &mut S::Client, due: Instant, making: &Due) {
        making.set(Some(due));
        let called = client.call(due).await;
        match called.result {
            Ok(Some(since)) => self.record.took_since(called.name, due, since),
            // Others count it.
            Ok(None) => {}
            Err(status) => {
                self.record.failed(&status, due);
                // A call that fails at once must not keep others, and the clock, from their turn.
                tokio::task::yield_now().await;
            }
        }
        making.set(None);
    }

    /// An operation is due: the next client that has nothing to do makes it.
    fn arrive(self: &Rc<Self>, due: Instant) {
        let is_taken = self.idle.get() <= self.queue.borrow().len();
        let is_full = self.count() >= IN_FLIGHT_MAX;
        if is_taken && !is_full {
            self.add(false);
        }
        let for_answer = is_taken && is_full;
        self.queue
            .borrow_mut()
            .push_back(Waiting { due, for_answer });
        self.arrived.notify_one();
    }

    /// Has operations made by a schedule of this length, until it is over, told to stop, or more
    /// than `behind_max` have no answer.
    ///
    /// # Errors
    /// When the kernel gives no timer.
    pub async fn follow(
        self: &Rc<Self>,
        schedule: &Schedule,
        start: Instant,
        length: Duration,
        behind_max: Option<usize>,
        stop: Stop,
    ) -> io::Result<Driven> {
        let timer = Timer::new()?;
        let mut number = 0;
        loop {
            let due = schedule.time_of(number, length);
            if due >= length || stop.is_set() {
                return Ok(Driven::ToTheEnd);
            }
            // Operations may be minutes apart; ctrl-C is heard in between.
            while Instant::now() + LISTEN_EVERY < start + due {
                timer.until(Instant::now() + LISTEN_EVERY).await?;
                if stop.is_set() {
                    return Ok(Driven::ToTheEnd);
                }
            }
            timer.until(start + due).await?;
            if behind_max.is_some_and(|most| self.on_their_way() > most) {
                let text = "given up: the answers fell ever further behind";
                self.fail_queue(&Status::new(Status::CANCELLED, text));
                return Ok(Driven::GivenUp(Instant::now()));
            }
            self.arrive(start + due);
            number += 1;
            // So that answers are read also when the clock is far ahead.
            if number % 64 == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// What nobody has begun has failed.
    fn fail_queue(&self, status: &Status) {
        for waiting in self.queue.take() {
            self.record.failed(status, waiting.due);
        }
    }

    /// Begins nothing more and waits for what is on its way; what has no answer within `limit`
    /// has failed.
    pub async fn finish(&self, limit: Duration) {
        self.stopping.set(true);
        self.arrived.notify_waiters();
        let mut tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, all).await.is_ok() {
            return;
        }
        tasks.shutdown().await;
        let text = format!("no answer within {limit:?} after the end of the run");
        let late = Status::new(Status::DEADLINE_EXCEEDED, text);
        for due in self.making.borrow().iter().filter_map(|due| due.get()) {
            self.record.failed(&late, due);
        }
        self.fail_queue(&late);
    }
}

#[cfg(test)]
mod tests;
