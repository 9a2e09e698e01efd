//! One HTTP/2 connection, in one task: `net::conn` calls [`serve`] once the preface was seen.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use http2::{Broken, Code as H2Code, Config, Connection, Role};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::call;
use super::counters::{Counters, bump};
use super::deadline::Deadlines;
use super::limits::Limits;
use super::link::{Head, Held, Incoming, Link, set_waker};
use super::meter::Meter;
use super::service::Service;
use crate::net::drain::{Drain, Watch};
use crate::net::linger::linger;
use crate::net::outgoing;
use crate::net::time::{Time, ns};

/// Bytes taken by one read.
const READ_BYTES: usize = 64 << 10;

/// Bytes taken from one connection in one turn before others of the core get theirs.
const TURN_READ_BYTES: usize = 512 << 10;

/// Time a client has to close its side, once it was told that nothing more comes.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes to be sent above which nothing more is read: the peer does not take its answers.
const UNSENT_BYTES: usize = 1 << 20;

thread_local! {
    /// What is read is looked at before the next connection of the core reads.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What all connections of a core have in common.
#[derive(Debug)]
pub struct Node<S, T> {
    /// Answers the calls.
    pub service: S,
    /// The clock.
    pub time: T,
    /// Bounds of each connection.
    pub limits: Limits,
    /// What happened.
    pub counters: Counters,
}

impl<S, T> Node<S, T> {
    /// A node's gRPC side on one core, shared by its connections.
    pub fn new(service: S, time: T, limits: Limits) -> Rc<Self> {
        Rc::new(Self {
            service,
            time,
            limits,
            counters: Counters::default(),
        })
    }
}

/// What the calls of one connection have in common.
#[derive(Debug)]
pub(super) struct Context<S, T> {
    pub node: Rc<Node<S, T>>,
    pub link: Rc<Link>,
    pub deadlines: Deadlines,
    pub drain: Drain,
    pub peer: Option<SocketAddr>,
}

/// Serves one connection until it ends. Reading begins with HTTP/2's preface.
///
/// # Errors
/// What the socket reports, InvalidData for a peer that breaks the protocol, TimedOut for one that
/// shows no life.
pub async fn serve<S: Service, T: Time, IO: AsyncRead + AsyncWrite + Unpin>(
    node: Rc<Node<S, T>>,
    io: IO,
    peer: Option<SocketAddr>,
    drain: Drain,
) -> io::Result<()> {
    let time = node.time.clone();
    let now = time.now_ns();
    let limits = node.limits.clone();
    let link = Rc::new(Link {
        h2: RefCell::new(Connection::new(Role::Server, config(&limits))),
        meter: Meter::new(limits.queued_bytes_max, None),
        held: Held {
            bytes: Cell::new(0),
            max: limits.partial_bytes_max,
            message_max: limits.message_bytes_max,
        },
        received_bytes: Cell::new(0),
        sent_bytes: Cell::new(0),
        in_turn: Cell::new(false),
        waker: RefCell::new(None),
    });
    let watch = drain.watch();
    let deadlines = Deadlines::default();
    let context = Rc::new(Context {
        node,
        link,
        deadlines,
        drain,
        peer,
    });
    let begin = |id, head| call::run(context.clone(), id, head);
    let mut driver = Driver {
        context: &context,
        io,
        limits: &limits,
        time: &time,
        watch,
        calls: FuturesUnordered::new(),
        begin,
        life: Life::new(now),
        timer: None,
        opened: Vec::new(),
    };
    poll_fn(|cx| driver.poll_turn(cx)).await?;
    // All but the byte stream goes now, calls that were still open with it.
    let Driver { io, .. } = driver;
    linger(io, time.sleep(LINGER)).await;
    Ok(())
}

fn config(limits: &Limits) -> Config {
    Config {
        stream_window_bytes: limits.stream_window_bytes,
        window_bytes: limits.window_bytes,
        streams_max: limits.streams_max,
        header_bytes_max: limits.header_bytes_max,
        resets_max: limits.unseen_resets_max,
        ..Config::default()
    }
}

fn protocol(broken: Broken) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, broken)
}

/// Signs of life and of its end. Times are monotonic nanoseconds.
struct Life {
    begun: u64,
    last_read: u64,
    /// Whether the peer has said anything yet.
    is_greeted: bool,
    /// When the peer was asked whether it is there.
    pinged: Option<u64>,
    /// When the node began to drain.
    draining: Option<u64>,
    /// Since when the socket takes nothing, and what was queued then.
    stalled: Option<(u64, usize)>,
}

impl Life {
    fn new(now: u64) -> Self {
        Self {
            begun: now,
            last_read: now,
            is_greeted: false,
            pinged: None,
            draining: None,
            stalled: None,
        }
    }
}

struct Driver<'a, S, T: Time, IO, F, B> {
    context: &'a Rc<Context<S, T>>,
    limits: &'a Limits,
    time: &'a T,
    watch: Watch,
    calls: FuturesUnordered<F>,
    begin: B,
    life: Life,
    timer: Option<(u64, Pin<Box<T::Sleep>>)>,
    /// Calls whose headers were read in this turn.
    opened: Vec<(u32, Head)>,
    io: IO,
}

impl<S, T, IO, F, B> Driver<'_, S, T, IO, F, B>
where
    T: Time,
    IO: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = ()>,
    B: Fn(u32, Head) -> F,
{
    fn poll_turn(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let link = self.context.link.clone();
        link.in_turn.set(true);
        let result = self.turn(cx);
        link.in_turn.set(false);
        if result.is_pending() {
            set_waker(&mut link.waker.borrow_mut(), cx);
        }
        result
    }

    /// Reads what there is, lets the calls run, and sends what they answered.
    fn turn(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let now = self.time.now_ns();
        self.context.deadlines.set_now(now);
        self.context.link.h2.borrow_mut().begin_turn();
        self.poll_drain(now, cx);
        let read = self.poll_read(now, cx);
        for (id, head) in self.opened.drain(..) {
            self.calls.push((self.begin)(id, head));
        }
        if read.is_pending() {
            while let Poll::Ready(Some(())) = self.calls.poll_next_unpin(cx) {}
        }
        self.take_counts();
        let sent = self.poll_send(cx);
        match (read, sent) {
            (Poll::Ready(result), _) => Poll::Ready(result),
            (_, Poll::Ready(Err(e))) => Poll::Ready(Err(e)),
            (_, sent) => {
                if sent.is_ready() && self.context.link.h2.borrow().is_finished() {
                    return Poll::Ready(Ok(()));
                }
                self.note_stall(now, sent.is_pending());
                self.poll_timers(now, cx)
            }
        }
    }

    /// Takes what arrived; ready when the connection is over.
    fn poll_read(&mut self, now: u64, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let mut scratch = SCRATCH.take();
        scratch.resize(READ_BYTES, 0);
        let result = self.poll_read_into(&mut scratch, now, cx);
        SCRATCH.set(scratch);
        result
    }

    fn poll_read_into(
        &mut self,
        scratch: &mut [u8],
        now: u64,
        cx: &mut TaskContext<'_>,
    ) -> Poll<io::Result<()>> {
        let link = &self.context.link;
        let h2 = &mut *link.h2.borrow_mut();
        let mut taken = 0;
        while h2.output().len() < UNSENT_BYTES {
            if taken >= TURN_READ_BYTES {
                cx.waker().wake_by_ref();
                break;
            }
            let mut buf = ReadBuf::new(scratch);
            match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
                Poll::Pending => break,
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Ready(Ok(())) if buf.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {}
            }
            taken += buf.filled().len();
            self.life.last_read = now;
            self.life.pinged = None;
            let mut incoming = Incoming {
                held: &link.held,
                peer: self.context.peer,
                now_ns: now,
                opened: &mut self.opened,
            };
            if let Err(broken) = h2.receive(buf.filled(), &mut incoming) {
                h2.goodbye(broken.code);
                return Poll::Ready(Err(protocol(broken)));
            }
        }
        self.life.is_greeted |= h2.has_preface();
        Poll::Pending
    }

    /// Sends as much as the socket takes; pending while something is left for it.
    fn poll_send(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let link = &self.context.link;
        let h2 = &mut *link.h2.borrow_mut();
        let mut incoming = Incoming {
            held: &link.held,
            peer: None,
            now_ns: 0,
            opened: &mut self.opened,
        };
        outgoing::poll_send(h2, &mut self.io, &mut incoming, cx)
    }

    fn poll_drain(&mut self, now: u64, cx: &mut TaskContext<'_>) {
        if self.life.draining.is_none() && self.watch.poll(cx).is_ready() {
            self.life.draining = Some(now);
            self.context.link.h2.borrow_mut().leave();
        }
    }

    fn take_counts(&self) {
        let (counters, link) = (&self.context.node.counters, &self.context.link);
        bump(&counters.received_bytes, link.received_bytes.take());
        bump(&counters.sent_bytes, link.sent_bytes.take());
    }

    fn note_stall(&mut self, now: u64, full: bool) {
        let queued = {
            let h2 = self.context.link.h2.borrow();
            h2.queued() + h2.output().len()
        };
        self.life.stalled = match self.life.stalled {
            Some((since, then)) if full && queued >= then => Some((since, then)),
            _ if full => Some((now, queued)),
            _ => None,
        };
    }

    /// Ready when the connection has to be given up; otherwise the timer is set.
    fn poll_timers(&mut self, now: u64, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let next = match self.next_event(now, cx) {
            Ok(next) => next,
            Err(kind) => {
                self.context.link.h2.borrow_mut().goodbye(H2Code::NO_ERROR);
                let _ = self.poll_send(cx);
                return Poll::Ready(kind.map_or(Ok(()), |kind| Err(kind.into())));
            }
        };
        // A timer that fires too early costs one turn; setting it for each call costs more.
        if self.timer.as_ref().is_none_or(|(at, _)| *at > next) {
            let sleep = self.time.sleep(Duration::from_nanos(next - now));
            self.timer = Some((next, Box::pin(sleep)));
        }
        if let Some((_, sleep)) = &mut self.timer
            && sleep.as_mut().poll(cx).is_ready()
        {
            self.timer = None;
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// When something is next to be done about time; `Err` when the connection is over, with the
    /// kind of error if that is one.
    fn next_event(
        &mut self,
        now: u64,
        cx: &mut TaskContext<'_>,
    ) -> Result<u64, Option<io::ErrorKind>> {
        let limits = self.limits;
        let mut next = self.poll_keepalive(now, cx)?;
        if !self.life.is_greeted {
            let end = self.life.begun.saturating_add(ns(limits.handshake_timeout));
            if now >= end {
                return Err(Some(io::ErrorKind::TimedOut));
            }
            next = next.min(end);
        }
        if let Some(since) = self.life.draining {
            let end = since.saturating_add(ns(limits.drain_timeout));
            if now >= end {
                return Err(None);
            }
            next = next.min(end);
        }
        if let Some((since, _)) = self.life.stalled {
            let end = since.saturating_add(ns(limits.stalled_write_timeout));
            if now >= end {
                return Err(Some(io::ErrorKind::TimedOut));
            }
            next = next.min(end);
        }
        if let Some(deadline) = self.context.deadlines.next() {
            next = next.min(deadline);
        }
        Ok(next.max(now))
    }

    /// Asks a silent peer whether it is there; gives the time of the next look.
    fn poll_keepalive(
        &mut self,
        now: u64,
        cx: &mut TaskContext<'_>,
    ) -> Result<u64, Option<io::ErrorKind>> {
        if let Some(pinged) = self.life.pinged {
            let end = pinged.saturating_add(ns(self.limits.keepalive_timeout));
            return if now < end {
                Ok(end)
            } else {
                Err(Some(io::ErrorKind::TimedOut))
            };
        }
        let due = self
            .life
            .last_read
            .saturating_add(ns(self.limits.keepalive_interval));
        if now < due {
            return Ok(due);
        }
        self.context.link.h2.borrow_mut().ping();
        self.life.pinged = Some(now);
        // The ping is sent in the next turn.
        cx.waker().wake_by_ref();
        Ok(now.saturating_add(ns(self.limits.keepalive_timeout)))
    }
}

#[cfg(test)]
mod tests;
