//! A plain thread beside an executor, for calls that block and have no place on the ring: names of
//! files, opening and closing. Started with the first such call, ended with the executor.

use std::future::Future;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use futures::channel::oneshot;

type Call = Box<dyn FnOnce() + Send>;

/// The thread's end of the queue.
#[derive(Debug)]
pub(super) struct Helper {
    calls: Sender<Call>,
}

impl Helper {
    /// Starts the thread.
    ///
    /// # Panics
    /// When there is no memory for a thread.
    pub(super) fn new() -> Self {
        let (calls, called) = channel::<Call>();
        thread::Builder::new()
            .name("stoa-helper".to_string())
            .spawn(move || called.iter().for_each(|call| call()))
            .expect("a thread beside the executor");
        Self { calls }
    }

    /// Runs `call` on the thread, in the order of asking.
    pub(super) fn run<T, F>(&self, call: F) -> impl Future<Output = T> + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (done, result) = oneshot::channel();
        self.tell(move || {
            // Nobody waits for the result of a call that was given up.
            let _ = done.send(call());
        });
        async { result.await.expect("a blocking call does not panic") }
    }

    /// Runs `call` on the thread without telling when it is done.
    pub(super) fn tell(&self, call: impl FnOnce() + Send + 'static) {
        // The thread ends only with this.
        let _ = self.calls.send(Box::new(call));
    }
}
