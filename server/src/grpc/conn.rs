//! One HTTP/2 connection, in one task: `net::conn` calls [`serve`] once the preface was seen.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use h2::server::{Builder, Connection, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};

use super::call;
use super::counters::{Counters, bump};
use super::deadline::Deadlines;
use super::limits::Limits;
use super::message::Rope;
use super::meter::Meter;
use super::service::Service;
use super::stream::Shared;
use super::turn::TurnIo;
use crate::net::drain::{Drain, Watch};
use crate::net::time::{Time, ns};

/// Times around between reading and answering before other tasks of the core get their turn.
const ROUNDS_MAX: usize = 8;

/// Calls begun in one round before those begun get to run.
const BEGIN_MAX: usize = 128;

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
    pub shared: Rc<Shared>,
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
    let io = TurnIo::new(io);
    let time = node.time.clone();
    let now = time.now_ns();
    let h2 = handshake(&io, &node.limits, time.sleep(node.limits.handshake_timeout)).await?;
    let limits = node.limits.clone();
    let shared = Rc::new(Shared {
        meter: Meter::new(limits.queued_bytes_max, None),
        partial: Cell::new(0),
        partial_max: limits.partial_bytes_max,
        message_max: limits.message_bytes_max,
        queued: Cell::new(false),
        received_bytes: Cell::new(0),
        sent_bytes: Cell::new(0),
    });
    let watch = drain.watch();
    let deadlines = Deadlines::default();
    let context = Rc::new(Context {
        node,
        shared,
        deadlines,
        drain,
        peer,
    });
    let begin = |request, respond| call::run(context.clone(), request, respond);
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
        ping: None,
        h2,
    };
    poll_fn(|cx| driver.poll_turn(cx)).await
}

type H2<IO> = Connection<TurnIo<IO>, Rope>;

async fn handshake<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &TurnIo<IO>,
    limits: &Limits,
    timeout: impl Future<Output = ()>,
) -> io::Result<H2<IO>> {
    let mut builder = Builder::new();
    builder
        .initial_window_size(limits.stream_window_bytes)
        .initial_connection_window_size(limits.window_bytes)
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(limits.header_bytes_max)
        .data_frame_budget(limits.small_messages_max)
        .max_pending_accept_reset_streams(limits.unseen_resets_max)
        .max_send_buffer_size(limits.queued_bytes_max.min(u32::MAX as usize));
    let mut handshake = builder.handshake(io.clone());
    let mut timeout = std::pin::pin!(timeout);
    poll_fn(|cx| {
        io.begin();
        let result = Pin::new(&mut handshake).poll(cx);
        if let Poll::Ready(Err(e)) = io.poll_send(cx) {
            return Poll::Ready(Err(e));
        }
        match result {
            Poll::Pending => timeout
                .as_mut()
                .poll(cx)
                .map(|()| Err(io::ErrorKind::TimedOut.into())),
            Poll::Ready(result) => Poll::Ready(result.map_err(protocol)),
        }
    })
    .await
}

fn protocol(error: h2::Error) -> io::Error {
    if error.is_io() {
        error
            .into_io()
            .unwrap_or_else(|| io::ErrorKind::Other.into())
    } else {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// Signs of life and of its end. Times are monotonic nanoseconds.
struct Life {
    last_read: u64,
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
            last_read: now,
            pinged: None,
            draining: None,
            stalled: None,
        }
    }
}

struct Driver<'a, S, T: Time, IO: AsyncRead + AsyncWrite + Unpin, F, B> {
    context: &'a Rc<Context<S, T>>,
    limits: &'a Limits,
    time: &'a T,
    watch: Watch,
    calls: FuturesUnordered<F>,
    begin: B,
    life: Life,
    timer: Option<(u64, Pin<Box<T::Sleep>>)>,
    ping: Option<PingPong>,
    h2: H2<IO>,
    io: TurnIo<IO>,
}

impl<S, T, IO, F, B> Driver<'_, S, T, IO, F, B>
where
    T: Time,
    IO: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = ()>,
    B: Fn(Request<RecvStream>, SendResponse<Rope>) -> F,
{
    fn poll_turn(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let now = self.time.now_ns();
        self.context.deadlines.set_now(now);
        self.io.begin();
        self.poll_drain(now, cx);
        let mut round = 0;
        let ended = loop {
            if let Poll::Ready(result) = self.poll_h2(cx) {
                break Some(result);
            }
            if !self.poll_calls(cx) {
                break None;
            }
            round += 1;
            if round == ROUNDS_MAX {
                cx.waker().wake_by_ref();
                break None;
            }
        };
        self.take_counts();
        let sent = self.io.poll_send(cx);
        match (ended, sent) {
            (Some(result), _) => Poll::Ready(result),
            (None, Poll::Ready(Err(e))) => Poll::Ready(Err(e)),
            (None, sent) => {
                self.note_stall(now, sent.is_pending());
                self.poll_timers(now, cx)
            }
        }
    }

    /// Reads, writes, and begins new calls while there is room for their answers.
    fn poll_h2(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        for _ in 0..BEGIN_MAX {
            if !self.context.shared.meter.has_room() {
                break;
            }
            match self.h2.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.calls.push((self.begin)(request, respond));
                }
                Poll::Ready(Some(Err(e))) => return Poll::Ready(Err(protocol(e))),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
        let closed = self.h2.poll_closed(cx).map_err(protocol);
        if closed.is_pending() && self.context.shared.meter.has_room() {
            // More calls may wait: after these were run, or because writing made room.
            self.context.shared.queued.set(true);
        }
        closed
    }

    /// Runs the calls that can go on; true if that left something to encode.
    fn poll_calls(&mut self, cx: &mut TaskContext<'_>) -> bool {
        while let Poll::Ready(Some(())) = self.calls.poll_next_unpin(cx) {}
        self.context.shared.queued.replace(false)
    }

    fn poll_drain(&mut self, now: u64, cx: &mut TaskContext<'_>) {
        if self.life.draining.is_none() && self.watch.poll(cx).is_ready() {
            self.life.draining = Some(now);
            self.h2.graceful_shutdown();
        }
    }

    fn take_counts(&self) {
        let (counters, shared) = (&self.context.node.counters, &self.context.shared);
        bump(&counters.received_bytes, shared.received_bytes.take());
        bump(&counters.sent_bytes, shared.sent_bytes.take());
    }

    fn note_stall(&mut self, now: u64, full: bool) {
        let queued = self.context.shared.meter.bytes();
        self.life.stalled = match self.life.stalled {
            Some((since, then)) if full && queued >= then => Some((since, then)),
            _ if full => Some((now, queued)),
            _ => None,
        };
    }

    /// Ready when the connection has to be given up; otherwise the timer is set.
    fn poll_timers(&mut self, now: u64, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        if self.io.read_in_turn() > 0 {
            self.life.last_read = now;
            self.life.pinged = None;
        }
        let next = match self.next_event(now, cx) {
            Ok(next) => next,
            Err(kind) => {
                self.h2.abrupt_shutdown(Reason::NO_ERROR);
                let _ = self.h2.poll_closed(cx);
                let _ = self.io.poll_send(cx);
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
        if self.ping.is_none() {
            self.ping = self.h2.ping_pong();
        }
        if let Some(ping) = &mut self.ping {
            // An answer to an earlier ping may lie there; any byte read counts as life.
            let _ = ping.poll_pong(cx);
            let _ = ping.send_ping(Ping::opaque());
        }
        self.life.pinged = Some(now);
        // The ping is encoded in the next turn.
        cx.waker().wake_by_ref();
        Ok(now.saturating_add(ns(self.limits.keepalive_timeout)))
    }
}

#[cfg(test)]
mod tests;
