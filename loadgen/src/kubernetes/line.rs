//! A connection that comes back: an apiserver has one for each resource, and dials again when it
//! breaks.

use std::cell::RefCell;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::client::{Channel, Options, Status, within};

/// How long a call may take, as the apiserver allows its clients.
pub const CALL_LIMIT: Duration = Duration::from_secs(60);

/// One connection and how to make it anew.
pub struct Line {
    options: Options,
    number: usize,
    channel: RefCell<Option<Channel>>,
    /// Held while dialling, so that one of many callers does.
    dialling: Mutex<()>,
}

impl Line {
    /// The `number`th line; endpoints take turns. Nothing is dialled yet.
    pub fn new(options: &Options, number: usize) -> Line {
        Line {
            options: options.clone(),
            number,
            channel: RefCell::default(),
            dialling: Mutex::default(),
        }
    }

    fn open(&self) -> Option<Channel> {
        let channel = self.channel.borrow();
        channel.as_ref().filter(|c| c.broken().is_none()).cloned()
    }

    /// The connection, made if need be.
    pub async fn channel(&self) -> Result<Channel, Status> {
        if let Some(channel) = self.open() {
            return Ok(channel);
        }
        let _dialling = self.dialling.lock().await;
        if let Some(channel) = self.open() {
            return Ok(channel);
        }
        let channel = Channel::connect(&self.options, self.number).await?;
        *self.channel.borrow_mut() = Some(channel.clone());
        Ok(channel)
    }

    /// Hangs up; the next call dials.
    pub fn close(&self) {
        self.channel.borrow_mut().take();
    }

    /// Makes a call with a limit.
    pub async fn call<T>(
        &self,
        call: impl AsyncFnOnce(Channel) -> Result<T, Status>,
    ) -> Result<T, Status> {
        within(CALL_LIMIT, async { call(self.channel().await?).await }).await
    }
}
