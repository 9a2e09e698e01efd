//! Those who watch everything beside the load, as apiservers do; nobody looks at what they are
//! told.

use std::rc::Rc;

use proto::etcdserverpb as pb;
use tokio::task::{AbortHandle, spawn_local};

use crate::bench::slot::Slot;
use crate::client::{Options, Status, Stream};

/// Watches that are under way until this is dropped.
pub struct Watches(Vec<AbortHandle>);

impl Drop for Watches {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

impl Watches {
    /// One for each of `watchers`, which have a connection each, on each prefix.
    ///
    /// # Errors
    /// When the server is not reached or refuses a watch.
    pub async fn start(
        options: &Options,
        watchers: usize,
        prefixes: &[String],
    ) -> Result<Watches, Status> {
        let options = Rc::new(options.clone());
        let mut watches = Watches(Vec::new());
        for number in 0..watchers {
            let slot = Slot::open(&options, number).await?;
            for prefix in prefixes {
                let (slot, prefix) = (slot.clone(), prefix.clone());
                let mut stream = begin(&slot, &prefix).await?;
                let watch = async move {
                    loop {
                        while let Ok(Some(answer)) = stream.next().await
                            && !answer.canceled
                        {}
                        // A server that was away has as many watches as before when it is back.
                        stream = loop {
                            match begin(&slot, &prefix).await {
                                Ok(stream) => break stream,
                                Err(_) => tokio::time::sleep(Slot::PAUSE).await,
                            }
                        };
                    }
                };
                watches.0.push(spawn_local(watch).abort_handle());
            }
        }
        Ok(watches)
    }
}

async fn begin(slot: &Slot, prefix: &str) -> Result<Stream<pb::WatchResponse>, Status> {
    let mut stream = slot.channel().await?.watch(pb::WatchCreateRequest {
        key: prefix.to_owned().into(),
        range_end: format!("{prefix}~").into(),
        prev_kv: true,
        ..Default::default()
    })?;
    match stream.next().await? {
        Some(answer) if answer.created && !answer.canceled => Ok(stream),
        Some(answer) => Err(Status::new(Status::ABORTED, answer.cancel_reason)),
        None => Err(Status::unavailable("the server ended a watch")),
    }
}
