//! All clients of a run: each with one operation on its way, asked for in a closed loop or by the
//! clock.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::client::{Client, Shared};
use super::load::Operation;
use super::record::Record;
use super::schedule::Schedule;
use super::slot::Slot;
use super::timer::Timer;
use crate::client::Status;

/// Operations that may be on their way in an open loop; further ones wait, and that counts.
const IN_FLIGHT_MAX: usize = 20_000;

/// How often it is seen whether the run was ended while nothing is due.
const LISTEN_EVERY: Duration = Duration::from_millis(100);

/// When the operation that a client makes was due.
type Due = Rc<Cell<Option<Instant>>>;

/// The clients.
pub(super) struct Clients {
    shared: Rc<Shared>,
    record: Rc<Record>,
    slots: Vec<Rc<Slot>>,
    tasks: RefCell<JoinSet<()>>,
    making: RefCell<Vec<Due>>,
    /// Operations that are due and that nobody makes yet.
    queue: RefCell<VecDeque<Instant>>,
    arrived: Notify,
    idle: Cell<usize>,
    stopping: Cell<bool>,
}

impl Clients {
    pub fn new(shared: &Rc<Shared>, record: &Rc<Record>, slots: Vec<Rc<Slot>>) -> Rc<Clients> {
        Rc::new(Clients {
            shared: shared.clone(),
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

    /// Adds one; `closed`: it goes on by itself.
    fn add(self: &Rc<Self>, closed: bool) {
        let number = self.count();
        let slot = &self.slots[number % self.slots.len()];
        let client = Client::new(&self.shared, slot, number as u64);
        let due = Due::default();
        self.making.borrow_mut().push(due.clone());
        let (ours, mut tasks) = (self.clone(), self.tasks.borrow_mut());
        if closed {
            tasks.spawn_local(async move { ours.go_round(client, &due).await });
        } else {
            tasks.spawn_local(async move { ours.serve(client, &due).await });
        }
    }

    /// Starts the clients of a closed loop.
    pub fn start_closed(self: &Rc<Self>) {
        for _ in 0..self.shared.load.clients {
            self.add(true);
        }
    }

    async fn go_round(&self, mut client: Client, making: &Due) {
        while !self.stopping.get() {
            self.make(&mut client, Instant::now(), making).await;
        }
    }

    async fn serve(&self, mut client: Client, making: &Due) {
        loop {
            let next = self.queue.borrow_mut().pop_front();
            match next {
                Some(due) => self.make(&mut client, due, making).await,
                None if self.stopping.get() => return,
                None => {
                    self.idle.set(self.idle.get() + 1);
                    self.arrived.notified().await;
                    self.idle.set(self.idle.get() - 1);
                }
            }
        }
    }

    async fn make(&self, client: &mut Client, due: Instant, making: &Due) {
        making.set(Some(due));
        self.record.sent(due);
        let operation = client.choose();
        match client.make(operation, due).await {
            // Those who watch count what they are told.
            Ok(_) if operation == Operation::WatchFanout => {}
            Ok(since) => self.record.took_since(operation.name(), due, since),
            Err(status) => self.record.failed(&status, due),
        }
        making.set(None);
    }

    /// An operation is due: the next client that has nothing to do makes it.
    fn arrive(self: &Rc<Self>, due: Instant) {
        let mut queue = self.queue.borrow_mut();
        queue.push_back(due);
        if queue.len() > self.idle.get() && self.count() < IN_FLIGHT_MAX {
            self.add(false);
        }
        self.arrived.notify_one();
    }

    /// Has operations made at an even rate until `length` is over or `ended`.
    ///
    /// # Errors
    /// When the kernel gives no timer.
    pub async fn warm_up(
        self: &Rc<Self>,
        start: Instant,
        length: Duration,
        rate: f64,
        ended: impl Fn() -> bool,
    ) -> io::Result<()> {
        self.follow(&Schedule::Rate(rate), start, length, ended)
            .await
    }

    /// Has operations made by the load's schedule, likewise.
    ///
    /// # Errors
    /// When the kernel gives no timer.
    pub async fn follow_clock(
        self: &Rc<Self>,
        start: Instant,
        length: Duration,
        ended: impl Fn() -> bool,
    ) -> io::Result<()> {
        let schedule = &self.shared.load.schedule;
        self.follow(schedule, start, length, ended).await
    }

    async fn follow(
        self: &Rc<Self>,
        schedule: &Schedule,
        start: Instant,
        length: Duration,
        ended: impl Fn() -> bool,
    ) -> io::Result<()> {
        let timer = Timer::new()?;
        let mut number = 0;
        loop {
            let due = schedule.time_of(number, length);
            if due >= length || ended() {
                return Ok(());
            }
            // Operations may be minutes apart; ctrl-C is heard in between.
            while Instant::now() + LISTEN_EVERY < start + due {
                timer.until(Instant::now() + LISTEN_EVERY).await?;
                if ended() {
                    return Ok(());
                }
            }
            timer.until(start + due).await?;
            self.arrive(start + due);
            number += 1;
            // So that answers are read also when the clock is far ahead.
            if number % 64 == 0 {
                tokio::task::yield_now().await;
            }
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
        let queued = std::mem::take(&mut *self.queue.borrow_mut());
        let making = self.making.borrow();
        let on_their_way = making.iter().filter_map(|due| due.get());
        for due in on_their_way.chain(queued) {
            self.record.failed(&late, due);
        }
    }
}
