//! Downgrade: no release of etcd can read a data directory of Stoa's, so every target is refused,
//! in etcd's words. The way back to etcd is a snapshot.

use bytes::Bytes;
use proto::etcdserverpb as pb;
use proto::etcdserverpb::downgrade_request::DowngradeAction;

use super::decode;
use crate::grpc::{Code, Reply, Status};

pub(super) fn answer(message: Bytes) -> Result<Reply, Status> {
    let request: pb::DowngradeRequest = decode(message)?;
    let (code, text) = match DowngradeAction::try_from(request.action) {
        Ok(DowngradeAction::Validate | DowngradeAction::Enable) => {
            let text = match is_version(&request.version) {
                true => "etcdserver: invalid downgrade target version",
                false => "etcdserver: wrong downgrade target version format",
            };
            (Code::InvalidArgument, text)
        }
        Ok(DowngradeAction::Cancel) => (
            Code::FailedPrecondition,
            "etcdserver: no inflight downgrade job",
        ),
        Err(_) => (Code::Unknown, "etcdserver: unknown method"),
    };
    Err(Status::new(code, text))
}

/// Whether this is three numbers, with whatever a release adds behind the last.
fn is_version(text: &str) -> bool {
    let text = text.split(['-', '+']).next().unwrap_or_default();
    let mut parts = text.split('.');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    parts.clone().count() == 3 && parts.all(is_number)
}
