//! Cluster: who the members are.

use bytes::Bytes;
use engine::env::Env;
use proto::etcdserverpb as pb;

use super::{Api, decode};
use crate::grpc::{Reply, Status};

impl<E: Env> Api<E> {
    pub(super) fn member_list(&self, message: Bytes) -> Result<Reply, Status> {
        let _: pb::MemberListRequest = decode(message)?;
        let about = self.core.about();
        let member = pb::Member {
            id: about.member,
            name: about.peer.name.clone(),
            peer_urls: about.peer.peer_urls.clone(),
            client_urls: about.peer.client_urls.clone(),
            is_learner: false,
        };
        Ok(Reply::encode(&pb::MemberListResponse {
            // As in etcd, member answers carry no revision.
            header: self.pb_header(0),
            members: vec![member],
        }))
    }
}
