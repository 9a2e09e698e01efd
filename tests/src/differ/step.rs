//! One step of a script, and its text: a word, for streams a number, then the request.

use std::fmt;

use proto::{v3electionpb as el, v3lockpb as lo};

use super::outcome::{Outcome, Setting, Tidy};
use super::text;
use crate::client::{Client, pb};

macro_rules! calls {
    ($($name:ident, $word:literal, $request:path, $path:literal => $answer:path;)*) => {
        /// A request with one answer, asked of every server.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)]
        pub enum Call { $($name($request),)* }

        impl Call {
            /// Asks a server.
            pub async fn ask(&self, client: &Client, setting: Setting) -> Outcome {
                match self {$(
                    Call::$name(request) => {
                        let mut result = client.unary::<_, $answer>($path, request).await;
                        if let Ok(answer) = &mut result {
                            plain(&mut answer.header);
                            request.tidy(answer, setting);
                        }
                        Outcome::of($path, result)
                    }
                )*}
            }

            fn parse(word: &str, text: &str) -> Option<Result<Call, String>> {
                match word {
                    $($word => Some(text::parse($path, text).map(Call::$name)),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for Call {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {$(
                    Call::$name(q) => write!(f, "{} {}", $word, text::request($path, q)),
                )*}
            }
        }
    };
}

/// The revision is all in a header that two clusters share.
pub fn plain(header: &mut Option<pb::ResponseHeader>) {
    if let Some(header) = header {
        (header.cluster_id, header.member_id, header.raft_term) = (0, 0, 0);
    }
}

calls! {
    Range, "range", pb::RangeRequest, "/etcdserverpb.KV/Range" => pb::RangeResponse;
    Put, "put", pb::PutRequest, "/etcdserverpb.KV/Put" => pb::PutResponse;
    Delete, "delete", pb::DeleteRangeRequest, "/etcdserverpb.KV/DeleteRange"
        => pb::DeleteRangeResponse;
    Txn, "txn", pb::TxnRequest, "/etcdserverpb.KV/Txn" => pb::TxnResponse;
    Compact, "compact", pb::CompactionRequest, "/etcdserverpb.KV/Compact"
        => pb::CompactionResponse;
    Grant, "grant", pb::LeaseGrantRequest, "/etcdserverpb.Lease/LeaseGrant"
        => pb::LeaseGrantResponse;
    Revoke, "revoke", pb::LeaseRevokeRequest, "/etcdserverpb.Lease/LeaseRevoke"
        => pb::LeaseRevokeResponse;
    TimeToLive, "ttl", pb::LeaseTimeToLiveRequest, "/etcdserverpb.Lease/LeaseTimeToLive"
        => pb::LeaseTimeToLiveResponse;
    Leases, "leases", pb::LeaseLeasesRequest, "/etcdserverpb.Lease/LeaseLeases"
        => pb::LeaseLeasesResponse;
    Alarm, "alarm", pb::AlarmRequest, "/etcdserverpb.Maintenance/Alarm" => pb::AlarmResponse;
    Status, "status", pb::StatusRequest, "/etcdserverpb.Maintenance/Status"
        => pb::StatusResponse;
    Defragment, "defragment", pb::DefragmentRequest, "/etcdserverpb.Maintenance/Defragment"
        => pb::DefragmentResponse;
    Hash, "hash", pb::HashRequest, "/etcdserverpb.Maintenance/Hash" => pb::HashResponse;
    HashKv, "hashkv", pb::HashKvRequest, "/etcdserverpb.Maintenance/HashKV"
        => pb::HashKvResponse;
    Proclaim, "proclaim", el::ProclaimRequest, "/v3electionpb.Election/Proclaim"
        => el::ProclaimResponse;
    Leader, "leader", el::LeaderRequest, "/v3electionpb.Election/Leader" => el::LeaderResponse;
    Resign, "resign", el::ResignRequest, "/v3electionpb.Election/Resign" => el::ResignResponse;
    Campaign, "campaign", el::CampaignRequest, "/v3electionpb.Election/Campaign"
        => el::CampaignResponse;
    Lock, "lock", lo::LockRequest, "/v3lockpb.Lock/Lock" => lo::LockResponse;
    Unlock, "unlock", lo::UnlockRequest, "/v3lockpb.Lock/Unlock" => lo::UnlockResponse;
}

/// The watch RPC.
pub const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// The observing RPC.
pub const OBSERVE: &str = "/v3electionpb.Election/Observe";

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A request with one answer. Campaigns and locks may have to wait for theirs.
    Call(Call),
    /// One renewal on the session's stream.
    KeepAlive(i64),
    /// A watch on the session's stream of this number.
    Watch(usize, pb::WatchCreateRequest),
    /// Cancels a watch on a stream.
    Cancel(usize, i64),
    /// Asks a stream for a progress notice.
    Progress(usize),
    /// Waits until all watchers know all, and compares what they were told.
    Settle,
    /// Puts a key of the run's own until this revision, in the place of steps that were left out.
    Pad(i64),
    /// Follows the leader of an election from now on.
    Observe(el::LeaderRequest),
    /// No longer follows any election.
    Unobserve,
    /// All servers stop and start again; killed or asked to.
    Restart {
        /// With signal 9.
        kill: bool,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Call(call) => call.fmt(f),
            Step::KeepAlive(id) => write!(f, "keepalive {id}"),
            Step::Watch(stream, create) => {
                let request = crate::client::create(create.clone());
                write!(f, "watch {stream} {}", text::request(WATCH, &request))
            }
            Step::Cancel(stream, id) => write!(f, "cancel {stream} {id}"),
            Step::Progress(stream) => write!(f, "progress {stream}"),
            Step::Settle => f.write_str("settle"),
            Step::Pad(revision) => write!(f, "pad {revision}"),
            Step::Observe(name) => write!(f, "observe {}", text::request(OBSERVE, name)),
            Step::Unobserve => f.write_str("unobserve"),
            Step::Restart { kill } => f.write_str(if *kill {
                "restart kill"
            } else {
                "restart term"
            }),
        }
    }
}

impl std::str::FromStr for Step {
    type Err = String;

    fn from_str(line: &str) -> Result<Step, String> {
        let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        if let Some(call) = Call::parse(word, rest) {
            return call.map(Step::Call);
        }
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        let number = |text: &str| text.parse::<i64>().map_err(|e| format!("{line:.80}: {e}"));
        let stream = || number(first).map(|n| n as usize);
        Ok(match word {
            "keepalive" => Step::KeepAlive(number(first)?),
            "cancel" => Step::Cancel(stream()?, number(second)?),
            "progress" => Step::Progress(stream()?),
            "settle" => Step::Settle,
            "pad" => Step::Pad(number(first)?),
            "observe" => Step::Observe(text::parse(OBSERVE, rest)?),
            "unobserve" => Step::Unobserve,
            "restart" => Step::Restart {
                kill: first == "kill",
            },
            "watch" => {
                use pb::watch_request::RequestUnion::CreateRequest;
                let request: pb::WatchRequest = text::parse(WATCH, second)?;
                let Some(CreateRequest(create)) = request.request_union else {
                    return Err(format!("{line:.80}: no create_request"));
                };
                Step::Watch(stream()?, create)
            }
            _ => return Err(format!("{line:.80}: no such step")),
        })
    }
}
