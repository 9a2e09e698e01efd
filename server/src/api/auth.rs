//! Auth, as far as it goes without users: it is off, and says so.

use bytes::Bytes;
use engine::env::Env;
use proto::etcdserverpb as pb;

use super::{Api, decode};
use crate::grpc::{Code, Reply, Status};

/// etcd's auth revision before any user or role was made.
const FIRST_AUTH_REVISION: u64 = 1;

/// etcd's answer to a log-in while auth is off.
pub(super) fn not_enabled() -> Status {
    let text = "etcdserver: authentication is not enabled";
    Status::new(Code::FailedPrecondition, text)
}

impl<E: Env> Api<E> {
    pub(super) fn auth_status(&self, message: Bytes) -> Result<Reply, Status> {
        let pb::AuthStatusRequest {} = decode(message)?;
        Ok(Reply::encode(&pb::AuthStatusResponse {
            header: self.pb_header(self.core.revision()),
            enabled: false,
            auth_revision: FIRST_AUTH_REVISION,
        }))
    }
}
