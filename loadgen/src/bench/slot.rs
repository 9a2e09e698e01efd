//! A connection that is made again when it broke.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::client::{Channel, Options, Status};

/// One of a run's connections; many clients share it.
pub(crate) struct Slot {
    options: Rc<Options>,
    number: Cell<usize>,
    channel: RefCell<Option<Channel>>,
    connecting: Mutex<()>,
    /// When connecting failed last, and why.
    failed: RefCell<Option<(Instant, Status)>>,
}

impl Slot {
    /// Between two attempts to connect again.
    pub const PAUSE: Duration = Duration::from_millis(100);

    /// Connects.
    ///
    /// # Errors
    /// When the server is not reached: a run that cannot begin does not.
    pub async fn open(options: &Rc<Options>, number: usize) -> Result<Rc<Slot>, Status> {
        let channel = Channel::connect(options, number).await?;
        Ok(Rc::new(Slot {
            options: options.clone(),
            number: Cell::new(number),
            channel: RefCell::new(Some(channel)),
            connecting: Mutex::new(()),
            failed: RefCell::default(),
        }))
    }

    fn sound(&self) -> Option<Channel> {
        let channel = self.channel.borrow();
        channel.as_ref().filter(|c| c.broken().is_none()).cloned()
    }

    /// The connection; if it broke, a new one, to the next endpoint.
    ///
    /// # Errors
    /// `UNAVAILABLE`, after a short while: whoever asks may ask again at once.
    pub async fn channel(&self) -> Result<Channel, Status> {
        if let Some(channel) = self.sound() {
            return Ok(channel);
        }
        let asked = Instant::now();
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(channel) = self.sound() {
            return Ok(channel);
        }
        // Those who waited for an attempt that failed have their answer: else a thousand of them
        // would make a thousand attempts one after the other.
        if let Some((at, status)) = &*self.failed.borrow()
            && *at >= asked
        {
            return Err(status.clone());
        }
        self.number.set(self.number.get() + 1);
        match Channel::connect(&self.options, self.number.get()).await {
            Ok(channel) => {
                *self.channel.borrow_mut() = Some(channel.clone());
                Ok(channel)
            }
            Err(status) => {
                *self.failed.borrow_mut() = Some((Instant::now(), status.clone()));
                tokio::time::sleep(Slot::PAUSE).await;
                Err(status)
            }
        }
    }
}

#[cfg(test)]
mod tests;
