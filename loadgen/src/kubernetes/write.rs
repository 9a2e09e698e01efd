//! A write as an apiserver makes it: a transaction on the object's revision, tried again with the
//! present revision where that has passed, and after errors.

use std::time::{Duration, Instant};

use bytes::Bytes;
use proto::etcdserverpb as pb;

use super::api;
use super::line::{CALL_LIMIT, Line};
use super::model::{Resource, Verb};
use super::record::{Kind, Record};
use crate::client::Status;

/// The first wait after an error; it doubles up to [`WAIT_MAX`].
const WAIT: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(1);

/// etcd's code for a lease that is not there.
const NOT_FOUND: u32 = 5;

/// One write.
pub struct Write {
    /// What is done.
    pub verb: Verb,
    /// Of which type the object is.
    pub resource: Resource,
    /// The object.
    pub key: Bytes,
    /// What it becomes.
    pub value: Bytes,
    /// The object's revision as its writer knows it; 0: none.
    pub revision: i64,
    /// The lease that it goes with; 0: none.
    pub lease: i64,
    /// When it was due.
    pub due: Instant,
}

/// What became of one attempt.
enum Attempt {
    Done(i64),
    /// The object is at this revision by now; 0: gone.
    Passed(i64),
}

impl Write {
    fn request(&self) -> pb::TxnRequest {
        match self.verb {
            Verb::Create => api::creation(&self.key, &self.value, self.lease),
            Verb::Update => api::update(&self.key, &self.value, self.revision),
            Verb::Delete => api::deletion(&self.key, self.revision),
        }
    }

    async fn attempt(&self, line: &Line) -> Result<Attempt, Status> {
        let request = self.request();
        let answer = line
            .call(async |channel| channel.txn(&request).await)
            .await?;
        let revision = api::revision(answer.header.as_ref());
        if answer.succeeded {
            return Ok(Attempt::Done(revision));
        }
        if self.verb == Verb::Create {
            let found = api::get(line, &self.key).await?;
            let present = found.kvs.first().map_or(0, |kv| kv.mod_revision);
            return Ok(Attempt::Passed(present));
        }
        let present = api::present(answer).map_or(0, |kv| kv.mod_revision);
        Ok(Attempt::Passed(present))
    }

    /// Does it; gives the object's revision after it, or nothing where it was given up or the
    /// object is gone.
    pub async fn run(mut self, line: &Line, record: &Record) -> Option<i64> {
        record.sent(self.due);
        let mut wait = WAIT;
        // After an error it is not known whether the write was done.
        let mut is_unsure = false;
        loop {
            let attempt = self.attempt(line).await;
            record.called();
            match attempt {
                Ok(Attempt::Done(revision)) => {
                    record.acknowledged(revision);
                    record.took(Kind::Write(self.verb), self.resource, self.due);
                    return Some(revision);
                }
                Ok(Attempt::Passed(present)) => {
                    record.bump(&record.conflicts);
                    let is_there = present > 0;
                    let is_ours = match self.verb {
                        Verb::Create => is_there,
                        Verb::Delete => !is_there,
                        Verb::Update => false,
                    };
                    if is_ours && is_unsure {
                        record.took(Kind::Write(self.verb), self.resource, self.due);
                        return Some(present);
                    }
                    // An acknowledged state that the server no longer knows.
                    if present < self.revision {
                        record.lost.set(record.lost.get() + 1);
                    }
                    if !is_there && self.verb != Verb::Create {
                        return None;
                    }
                    self.revision = present;
                }
                Err(status) => {
                    record.failed(&status);
                    is_unsure = true;
                    if status.code == NOT_FOUND || self.due.elapsed() > CALL_LIMIT {
                        record.bump(&record.missed);
                        return None;
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(WAIT_MAX);
                }
            }
        }
    }
}
