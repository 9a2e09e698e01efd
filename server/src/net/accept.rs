//! Takes connections on one core and starts a task for each. `boot` runs one [`serve`] per core
//! and listening address, after `port::check`.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::conn::{self, Silent};
use super::drain::Drain;
use super::time::Time;
use crate::grpc::conn::Node;
use crate::grpc::counters::bump;
use crate::grpc::service::Service;
use crate::http;

/// Wait after an accept that failed for want of descriptors or memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Where connections come from. The runtime has one over its sockets.
pub trait Listen {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Unpin + 'static;

    /// The next connection and who it is.
    ///
    /// # Errors
    /// As the kernel reports them.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Io, Option<SocketAddr>)>>;
}

/// Starts tasks on the core it is called on.
pub trait Spawn {
    /// Runs `task` beside the caller until it ends.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);
}

/// Bounds of one core's connections.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections open at once; more are closed as they come.
    pub connections_max: usize,
    /// Connections that have not said what they speak; the oldest gives way.
    pub silent_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections_max: 1 << 14,
            silent_max: 1 << 10,
        }
    }
}

/// What a core's connections need, apart from the connection.
#[derive(Debug)]
pub struct Front<S, T, H> {
    /// gRPC.
    pub node: Rc<Node<S, T>>,
    /// HTTP/1.
    pub handler: Rc<H>,
    /// Leave of the clients.
    pub drain: Drain,
    /// Bounds.
    pub bounds: Bounds,
}

/// Takes connections until the node drains.
pub async fn serve<L, S, T, H>(listener: &L, front: &Front<S, T, H>, spawn: &impl Spawn)
where
    L: Listen,
    S: Service,
    T: Time,
    H: http::Handler,
{
    let silent = Silent::new(front.bounds.silent_max);
    let open = Rc::new(Cell::new(0usize));
    let counters = &front.node.counters;
    while let Some(accepted) = next(listener, &front.drain).await {
        let Ok((io, peer)) = accepted else {
            front.node.time.sleep(ACCEPT_RETRY).await;
            continue;
        };
        if open.get() >= front.bounds.connections_max {
            bump(&counters.connections_refused, 1);
            continue;
        }
        bump(&counters.connections_total, 1);
        let guard = Open::new(front.node.clone(), open.clone());
        let (node, handler) = (front.node.clone(), front.handler.clone());
        let (silent, drain) = (silent.clone(), front.drain.clone());
        let guest = drain.guest();
        spawn.spawn(async move {
            let _guards = (guard, guest);
            // A connection's end concerns only its peer, who knows.
            let ended = conn::serve(node, handler, silent, io, peer, drain).await;
            if let Err(error) = ended {
                tracing::debug!(?peer, %error, "connection ended");
            }
        });
    }
}

/// The next connection; `None` once the node drains.
async fn next<L: Listen>(
    listener: &L,
    drain: &Drain,
) -> Option<io::Result<(L::Io, Option<SocketAddr>)>> {
    let mut accept = pin!(listener.accept());
    let drain = drain.watch();
    poll_fn(|cx| {
        if drain.poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        accept.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Counts an open connection for as long as it lives.
struct Open<S, T> {
    node: Rc<Node<S, T>>,
    open: Rc<Cell<usize>>,
}

impl<S, T> Open<S, T> {
    fn new(node: Rc<Node<S, T>>, open: Rc<Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        bump(&node.counters.connections, 1);
        Self { node, open }
    }
}

impl<S, T> Drop for Open<S, T> {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
        let gauge = &self.node.counters.connections;
        gauge.set(gauge.get() - 1);
    }
}

#[cfg(test)]
mod tests;
