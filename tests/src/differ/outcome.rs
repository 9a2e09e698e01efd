//! What a server said to one step, in the one form that all right answers share: without the
//! parts that differ between any two clusters or that chance decides.

use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use prost::Message;
use proto::{v3electionpb as el, v3lockpb as lo};

use super::{text, ties};
use crate::client::{Status, pb};

/// An answer to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A message, encoded, and the RPC that it comes from.
    Message(&'static str, Bytes),
    /// The status of a refusal.
    Refused(Status),
    /// What is no message, such as that nothing came.
    Word(String),
}

impl Outcome {
    /// An answer of a unary call or one message of a stream.
    pub fn of<A: Message>(path: &'static str, result: Result<A, Status>) -> Outcome {
        match result {
            Ok(message) => Outcome::Message(path, message.encode_to_vec().into()),
            Err(status) => Outcome::Refused(status),
        }
    }

    /// As [`Outcome::Word`].
    #[must_use]
    pub fn word(text: impl Into<String>) -> Outcome {
        Outcome::Word(text.into())
    }

    /// Whether there was none: what the server did, or will do yet, is unknown.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Outcome::Refused(status) if status.is_transport())
    }

    /// The text of a refusal.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Outcome::Refused(status) => Some(&status.message),
            Outcome::Message(..) | Outcome::Word(_) => None,
        }
    }

    /// The message, if it is one of this type.
    #[must_use]
    pub fn message<A: Message + Default>(&self, path: &str) -> Option<A> {
        match self {
            Outcome::Message(from, bytes) if *from == path => A::decode(bytes.clone()).ok(),
            _ => None,
        }
    }

    /// The revision in the header of an answer. Every answer has its header in field 1.
    #[must_use]
    pub fn revision(&self) -> Option<i64> {
        #[derive(Clone, PartialEq, Message)]
        struct Headed {
            #[prost(message, optional, tag = "1")]
            header: Option<pb::ResponseHeader>,
        }
        let Outcome::Message(_, bytes) = self else {
            return None;
        };
        let headed = Headed::decode(bytes.clone()).ok()?;
        headed.header.map(|h| h.revision)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Message(path, bytes) => f.write_str(&text::answer(path, bytes)),
            Outcome::Refused(status) => write!(f, "error {status}"),
            Outcome::Word(word) => f.write_str(word),
        }
    }
}

/// What must be known to take chance out of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// When this server started.
    pub opened: Instant,
    /// Whether the order among equals of a sort is left out (see `ties`).
    pub settles_ties: bool,
}

/// Takes out of an answer what no two servers share.
pub trait Tidy<A> {
    /// Tidies the answer to this request.
    fn tidy(&self, _answer: &mut A, _setting: Setting) {}
}

macro_rules! tidy_already {
    ($($request:ty => $answer:ty),* $(,)?) => { $(impl Tidy<$answer> for $request {})* };
}

tidy_already! {
    pb::PutRequest => pb::PutResponse,
    pb::DeleteRangeRequest => pb::DeleteRangeResponse,
    pb::CompactionRequest => pb::CompactionResponse,
    pb::LeaseGrantRequest => pb::LeaseGrantResponse,
    pb::LeaseRevokeRequest => pb::LeaseRevokeResponse,
    pb::AlarmRequest => pb::AlarmResponse,
    pb::DefragmentRequest => pb::DefragmentResponse,
    el::ProclaimRequest => el::ProclaimResponse,
    el::LeaderRequest => el::LeaderResponse,
    el::ResignRequest => el::ResignResponse,
    el::CampaignRequest => el::CampaignResponse,
    lo::UnlockRequest => lo::UnlockResponse,
    lo::LockRequest => lo::LockResponse,
}

impl Tidy<pb::RangeResponse> for pb::RangeRequest {
    fn tidy(&self, answer: &mut pb::RangeResponse, setting: Setting) {
        if setting.settles_ties {
            ties::settle(self, answer);
        }
    }
}

impl Tidy<pb::TxnResponse> for pb::TxnRequest {
    fn tidy(&self, answer: &mut pb::TxnResponse, setting: Setting) {
        if setting.settles_ties {
            ties::settle_txn(self, answer);
        }
    }
}

/// Whole seconds pass at other moments on every server, but no more of them than since it started.
fn settle_ttl(ttl: &mut i64, granted: i64, setting: Setting) {
    let passed_max = setting.opened.elapsed().as_secs() as i64 + 1;
    if *ttl > 0 && (0..=passed_max).contains(&(granted - *ttl)) {
        *ttl = granted;
    }
}

impl Tidy<pb::LeaseTimeToLiveResponse> for pb::LeaseTimeToLiveRequest {
    fn tidy(&self, answer: &mut pb::LeaseTimeToLiveResponse, setting: Setting) {
        settle_ttl(&mut answer.ttl, answer.granted_ttl, setting);
        answer.keys.sort();
    }
}

impl Tidy<pb::LeaseLeasesResponse> for pb::LeaseLeasesRequest {
    fn tidy(&self, answer: &mut pb::LeaseLeasesResponse, _: Setting) {
        answer.leases.sort_by_key(|l| l.id);
    }
}

impl Tidy<pb::StatusResponse> for pb::StatusRequest {
    /// What is left has to be equal: the revision, the errors, and that it is no learner.
    fn tidy(&self, answer: &mut pb::StatusResponse, _: Setting) {
        *answer = pb::StatusResponse {
            header: answer.header,
            errors: std::mem::take(&mut answer.errors),
            is_learner: answer.is_learner,
            ..Default::default()
        };
    }
}

impl Tidy<pb::HashResponse> for pb::HashRequest {
    /// The hash is one over all of a member's own tables: names and members differ.
    fn tidy(&self, answer: &mut pb::HashResponse, _: Setting) {
        answer.hash = 0;
    }
}

impl Tidy<pb::HashKvResponse> for pb::HashKvRequest {
    fn tidy(&self, answer: &mut pb::HashKvResponse, setting: Setting) {
        if setting.settles_ties {
            // A field of 3.6.
            answer.hash_revision = 0;
        }
    }
}
