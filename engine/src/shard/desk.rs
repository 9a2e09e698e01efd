//! What all shards of one core share: the order, the mail to the other cores, the answers that
//! wait for their revision to settle, and the core's watchers. Not generic over the environment.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use slab::Slab;

use crate::env::{Clock, Entropy, Mail};
use crate::error::Error;
use crate::event::Event;
use crate::format::effects::Meta;
use crate::ids::{CoreId, ShardId};
use crate::limits::CORE_REQUESTS_MAX;
use crate::shard::counts::{self, Counts};
use crate::shard::keeper::{ALARM_NO_SPACE, Keeper, THIS_MEMBER};
use crate::shard::message::{Answer, Ask, Keep, Message, Responder};
use crate::shard::order::{Interest, Order};
use crate::shard::watching::Watching;

/// One core's desk.
pub struct Desk {
    /// This core.
    pub core: CoreId,
    /// Cores of this node.
    pub cores: u16,
    /// Those of them that own shards, the first ones.
    pub lanes: u16,
    /// Shards of the cluster.
    pub shards: u16,
    /// The one order.
    pub order: Arc<Order>,
    /// Time.
    pub clock: Rc<dyn Clock>,
    /// Chance.
    pub entropy: Rc<dyn Entropy>,
    /// How long a batch waits for company before it is proposed.
    pub batch_delay: Duration,
    /// Watchers of this core's connections.
    pub watching: Watching,
    /// Leases, alarms and compaction; on core 0 only.
    pub keeper: Option<RefCell<Keeper>>,
    /// What this core counts.
    pub counts: Counts,
    mail: Rc<dyn Mail<Message>>,
    waiters: RefCell<VecDeque<Waiter>>,
    asked: RefCell<Slab<oneshot::Sender<Result<Answer, Error>>>>,
    stopped: RefCell<Option<Error>>,
    on_stop: RefCell<Option<std::task::Waker>>,
    sizes: RefCell<BTreeMap<ShardId, (i64, i64)>>,
}

struct Waiter {
    revision: i64,
    responder: Responder,
    answer: Answer,
}

/// What a desk is made of.
pub struct DeskParts {
    /// This core.
    pub core: CoreId,
    /// Cores of this node.
    pub cores: u16,
    /// Those of them that own shards, the first ones.
    pub lanes: u16,
    /// Shards of the cluster.
    pub shards: u16,
    /// The one order.
    pub order: Arc<Order>,
    /// Mail to the other cores.
    pub mail: Rc<dyn Mail<Message>>,
    /// Time.
    pub clock: Rc<dyn Clock>,
    /// Chance.
    pub entropy: Rc<dyn Entropy>,
    /// How long a batch waits for company before it is proposed.
    pub batch_delay: Duration,
    /// Watch settings.
    pub watch: crate::watch::Settings,
    /// Core 0's leases, alarms and compaction.
    pub keeper: Option<Keeper>,
}

impl Desk {
    /// Sets it up.
    pub fn new(parts: DeskParts) -> Self {
        Self {
            core: parts.core,
            cores: parts.cores,
            lanes: parts.lanes,
            shards: parts.shards,
            watching: Watching::new(parts.watch, parts.cores),
            order: parts.order,
            clock: parts.clock,
            entropy: parts.entropy,
            batch_delay: parts.batch_delay,
            keeper: parts.keeper.map(RefCell::new),
            counts: Counts::default(),
            mail: parts.mail,
            waiters: RefCell::default(),
            asked: RefCell::default(),
            stopped: RefCell::default(),
            on_stop: RefCell::default(),
            sizes: RefCell::default(),
        }
    }

    /// All cores of the node.
    pub fn all_cores(&self) -> impl Iterator<Item = CoreId> + use<> {
        (0..self.cores).map(CoreId)
    }

    /// Sends a message; to this core, too.
    pub fn send(&self, to: CoreId, message: Message) {
        counts::add(&self.counts.mail, 1);
        self.mail.send(to, message);
    }

    /// Asks another core; the answer comes through the receiver.
    ///
    /// # Errors
    /// Too much is asked already, or the node is stopping.
    pub fn ask(
        &self,
        core: CoreId,
        shard: Option<ShardId>,
        ask: Ask,
    ) -> Result<oneshot::Receiver<Result<Answer, Error>>, Error> {
        self.check_running()?;
        let (sender, receiver) = oneshot::channel();
        let mut asked = self.asked.borrow_mut();
        if asked.len() >= CORE_REQUESTS_MAX {
            return Err(Error::TooManyRequests);
        }
        let token = asked.insert(sender);
        self.send(
            core,
            Message::Ask {
                from: self.core,
                token,
                shard,
                ask,
            },
        );
        Ok(receiver)
    }

    /// Takes in an answer from another core.
    pub fn answered(&self, token: usize, answer: Result<Answer, Error>) {
        if let Some(sender) = self.asked.borrow_mut().try_remove(token) {
            // The task that asked may be gone: its client hung up.
            let _ = sender.send(answer);
        }
    }

    /// Sends an answer to whoever asked.
    pub fn respond(&self, responder: Responder, answer: Result<Answer, Error>) {
        match responder {
            Responder::Local(sender) => {
                let _ = sender.send(answer);
            }
            Responder::Remote { core, token } => {
                self.send(core, Message::Answer { token, answer });
            }
            Responder::Nobody => {}
        }
    }

    /// Sends the answer once `revision` is settled.
    pub fn respond_at(&self, revision: i64, responder: Responder, answer: Answer) {
        if let Some(error) = self.stopped.borrow().clone() {
            return self.respond(responder, Err(error));
        }
        if revision <= self.order.settled() {
            return self.respond(responder, Ok(answer));
        }
        {
            let mut waiters = self.waiters.borrow_mut();
            let mut at = waiters.len();
            // Revisions of one core rise; only answers of spans and of no-ops come out of turn.
            while at > 0 && waiters[at - 1].revision > revision {
                at -= 1;
            }
            waiters.insert(
                at,
                Waiter {
                    revision,
                    responder,
                    answer,
                },
            );
        }
        self.publish();
    }

    /// Answers that wait.
    pub fn waiting(&self) -> usize {
        self.waiters.borrow().len()
    }

    /// Resolves when `revision` is settled.
    ///
    /// # Errors
    /// The principalship ended first.
    pub async fn settled(&self, revision: i64) -> Result<(), Error> {
        let (sender, receiver) = oneshot::channel();
        self.respond_at(revision, Responder::Local(sender), Answer::Done);
        receiver.await.map_err(|_| Error::Stopped)?.map(|_| ())
    }

    /// Takes in events of another core's shard.
    pub fn take_letter(&self, from: CoreId, events: Vec<Event>) {
        self.watching.take_events(events);
        self.watching.count_letter(from);
        self.settle();
    }

    /// Releases everything that has settled, here, and tells the cores that wait for it.
    pub fn settle(&self) {
        loop {
            let settled = self.order.settled();
            self.release(settled);
            self.watching.deliver(&self.order, self.core);
            self.publish();
            if self.order.settled() == settled {
                return;
            }
        }
    }

    /// Tells other cores after this one moved the settled revision on.
    pub fn tell_others(&self) {
        for core in self.all_cores() {
            if core != self.core && self.order.tell(core) {
                self.send(core, Message::Settled);
            }
        }
    }

    fn release(&self, settled: i64) {
        loop {
            let waiter = {
                let mut waiters = self.waiters.borrow_mut();
                match waiters.front() {
                    Some(front) if front.revision <= settled => waiters.pop_front(),
                    _ => return,
                }
            };
            if let Some(waiter) = waiter {
                self.respond(waiter.responder, Ok(waiter.answer));
            }
        }
    }

    /// Says what this core waits for, so that others wake it. What settled in between is seen by
    /// the caller's next look, or was told by whoever settled it.
    fn publish(&self) {
        let front = self.waiters.borrow().front().map(|waiter| waiter.revision);
        let event = self.watching.next_unsettled();
        let next = match (front, event) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.order.wait_for(self.core, next);
        if next.is_some_and(|revision| revision <= self.order.settled())
            && self.order.tell(self.core)
        {
            self.send(self.core, Message::Settled);
        }
    }

    /// What this core wants of events.
    pub fn interest(&self) -> Interest {
        self.order.interest(self.core)
    }

    /// Sends events of this core's shards to every core that has watchers.
    pub fn send_events(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        for core in self.all_cores() {
            if core != self.core && self.order.interest(core) != Interest::None {
                self.order.letter(self.core, core);
                let (from, events) = (self.core, events.clone());
                self.send(core, Message::Events { from, events });
            }
        }
        if self.interest() != Interest::None {
            self.watching.take_events(events);
        }
    }

    /// A change without a revision is committed; on core 0 only.
    pub fn keep_committed(&self, meta: Meta, done: Option<oneshot::Sender<()>>) {
        if let Some(keeper) = &self.keeper {
            keeper.borrow_mut().commit(meta, self.clock.now_ns());
        }
        if let Some(done) = done {
            let _ = done.send(());
        }
    }

    /// Has the NOSPACE alarm raised for this member.
    pub fn raise_no_space(&self) {
        let alarm = Keep::Alarm {
            member: THIS_MEMBER,
            kind: ALARM_NO_SPACE,
            on: true,
        };
        // Nobody waits: the refusal that led here is answered already.
        drop(self.ask(CoreId(0), None, Ask::Keep(alarm)));
    }

    /// Notes what one shard takes and how much of it lives, bytes.
    pub fn account(&self, shard: ShardId, used: i64, live: i64) {
        let mut sizes = self.sizes.borrow_mut();
        sizes.insert(shard, (used, live));
        let sum = |sum: (i64, i64), size: &(i64, i64)| (sum.0 + size.0, sum.1 + size.1);
        let (used, live) = sizes.values().fold((0, 0), sum);
        self.order.set_bytes(self.core, used, live);
    }

    /// Ends everything that waits, with `error`, for good.
    pub fn stop(&self, error: &Error) {
        self.stopped
            .borrow_mut()
            .get_or_insert_with(|| error.clone());
        if let Some(waker) = self.on_stop.borrow_mut().take() {
            waker.wake();
        }
        self.order.end();
        for waiter in std::mem::take(&mut *self.waiters.borrow_mut()) {
            self.respond(waiter.responder, Err(error.clone()));
        }
        for sender in self.asked.borrow_mut().drain() {
            let _ = sender.send(Err(error.clone()));
        }
    }

    /// Why the node stops, if it does.
    pub fn stopped(&self) -> Option<Error> {
        self.stopped.borrow().clone()
    }

    /// Resolves when the node stops, with the reason.
    pub async fn wait_stopped(&self) -> Error {
        std::future::poll_fn(|cx| match self.stopped() {
            Some(error) => std::task::Poll::Ready(error),
            None => {
                *self.on_stop.borrow_mut() = Some(cx.waker().clone());
                std::task::Poll::Pending
            }
        })
        .await
    }

    /// # Errors
    /// The node is stopping.
    pub fn check_running(&self) -> Result<(), Error> {
        self.stopped.borrow().clone().map_or(Ok(()), Err)
    }
}
