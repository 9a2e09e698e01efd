//! The one writer of a lane: takes what is queued, writes it in one round, makes it durable, tells
//! who waits. Run by the lane's owner through [`Lane::run`].

use futures::future::{Either, select, try_join_all};
use std::pin::pin;

use super::batch::Round;
use super::error::Tried;
use super::{Done, Lane, Stage, WalError, names};
use crate::env::{Disk, DiskFile};

impl<D: Disk> Lane<D> {
    /// Writes what is appended and keeps segments ready, until [`Lane::stop`] or the first
    /// failure, after which the lane takes no more. To be run once, for the lane's whole life.
    ///
    /// # Errors
    /// The failure, now or before. The node must stop: nothing that failed is tried again.
    pub async fn run(&self) -> Result<(), WalError> {
        if let Some(error) = self.0.state.borrow().failed.clone() {
            return Err(error);
        }
        let result = match select(pin!(self.write_rounds()), pin!(self.keep_segments())).await {
            Either::Left((result, _)) => result,
            Either::Right((error, _)) => Err(error),
        };
        let error = result.clone().err().unwrap_or(WalError::Stopped);
        let dones = self.0.state.borrow_mut().fail(&error);
        tell(dones, &Err(error));
        self.0.progress.notify();
        result
    }

    async fn write_rounds(&self) -> Result<(), WalError> {
        loop {
            let look = || self.0.state.borrow_mut().take(&self.0.buffers);
            match self.0.work.until(look).await {
                Round::Stop => return Ok(()),
                round => self.write_round(round).await?,
            }
        }
    }

    /// Writes the header that a new lane has queued.
    pub(super) async fn write_queued_header(&self) -> Result<(), WalError> {
        let round = self.0.state.borrow_mut().take(&self.0.buffers);
        match round {
            Some(round) => self.write_round(round).await,
            None => Ok(()),
        }
    }

    async fn write_round(&self, round: Round<D::File>) -> Result<(), WalError> {
        match round {
            Round::Stop => {}
            Round::Begin {
                number,
                file,
                block,
            } => {
                self.write_durably(number, &file, vec![(0, block)]).await?;
                self.0.state.borrow_mut().begun(number);
                self.0.upkeep.notify();
            }
            Round::Frames { file, writes, end } => {
                self.observed(Stage::RoundBegins);
                let count = writes.len() as u64;
                self.write_durably(end.segment, &file, writes).await?;
                self.observed(Stage::RoundEnds {
                    bytes: end.bytes,
                    frames: end.frames,
                });
                self.count(|counts| {
                    counts.rounds += 1;
                    counts.writes += count;
                    counts.frames += end.frames;
                    counts.bytes += end.bytes;
                });
                let dones = self.0.state.borrow_mut().complete(end);
                tell(dones, &Ok(()));
                self.0.progress.notify();
            }
        }
        Ok(())
    }

    async fn write_durably(
        &self,
        number: u64,
        file: &D::File,
        mut writes: Vec<(u64, <D::File as DiskFile>::Buf)>,
    ) -> Result<(), WalError> {
        let written = match writes.pop() {
            Some((offset, buf)) if writes.is_empty() => file.write(offset, buf).await,
            last => {
                let all = writes.into_iter().chain(last);
                try_join_all(all.map(|(offset, buf)| file.write(offset, buf)))
                    .await
                    .map(|_| ())
            }
        };
        let path = || names::segment(&self.0.dir, number);
        if written.is_err() {
            return written.tried("write", &path());
        }
        if !self.0.state.borrow().options.durable_writes {
            let synced = file.sync().await;
            if synced.is_err() {
                return synced.tried("sync", &path());
            }
        }
        Ok(())
    }

    fn observed(&self, stage: Stage) {
        let observer = self.0.observer.borrow().clone();
        if let Some(observer) = observer {
            observer(stage);
        }
    }
}

/// Tells each in turn; they may append again.
fn tell(dones: Vec<Done>, result: &Result<(), WalError>) {
    for done in dones {
        done(result.clone());
    }
}
