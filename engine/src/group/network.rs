//! The links between members. All groups have one voter, so there is nobody to reach: every call
//! says so, and openraft never makes one.

use std::future::Future;

use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, RaftNetworkFactory, RaftNetworkV2};

use crate::env::Env;
use crate::group::types::{CommittedLeaderId, Peer, Types, Vote};

/// No links.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl<E: Env> RaftNetworkFactory<Types<E>> for NoPeers {
    type Network = Self;

    async fn new_client(&mut self, _target: u64, _node: &Peer) -> Self {
        Self
    }
}

fn nobody<E: Env>() -> Unreachable<Types<E>> {
    Unreachable::new(&AnyError::error("the group has one voter"))
}

impl<E: Env> RaftNetworkV2<Types<E>> for NoPeers {
    type SnapshotData = ();

    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<Types<E>>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types<E>>, RPCError<Types<E>>> {
        Err(RPCError::Unreachable(nobody()))
    }

    async fn vote(
        &mut self,
        _rpc: VoteRequest<Types<E>>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types<E>>, RPCError<Types<E>>> {
        Err(RPCError::Unreachable(nobody()))
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: openraft::Snapshot<CommittedLeaderId, u64, Peer, ()>,
        _cancel: impl Future<Output = ReplicationClosed> + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types<E>>, StreamingError<Types<E>>> {
        Err(StreamingError::Unreachable(nobody()))
    }
}
