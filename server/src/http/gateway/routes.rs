//! Which path of the gateway is which RPC. Paths are etcd's.

use crate::grpc::{Kind, Method};

/// Every path below `/v3/`.
const ROUTES: &[(&str, Method)] = &[
    ("kv/range", Method::KvRange),
    ("kv/put", Method::KvPut),
    ("kv/deleterange", Method::KvDeleteRange),
    ("kv/txn", Method::KvTxn),
    ("kv/compaction", Method::KvCompact),
    ("watch", Method::Watch),
    ("lease/grant", Method::LeaseGrant),
    ("lease/revoke", Method::LeaseRevoke),
    ("kv/lease/revoke", Method::LeaseRevoke),
    ("lease/keepalive", Method::LeaseKeepAlive),
    ("lease/timetolive", Method::LeaseTimeToLive),
    ("kv/lease/timetolive", Method::LeaseTimeToLive),
    ("lease/leases", Method::LeaseLeases),
    ("kv/lease/leases", Method::LeaseLeases),
    ("cluster/member/add", Method::MemberAdd),
    ("cluster/member/remove", Method::MemberRemove),
    ("cluster/member/update", Method::MemberUpdate),
    ("cluster/member/list", Method::MemberList),
    ("cluster/member/promote", Method::MemberPromote),
    ("maintenance/alarm", Method::Alarm),
    ("maintenance/status", Method::Status),
    ("maintenance/defragment", Method::Defragment),
    ("maintenance/hash", Method::Hash),
    ("maintenance/hashkv", Method::HashKv),
    ("maintenance/snapshot", Method::Snapshot),
    ("maintenance/transfer-leadership", Method::MoveLeader),
    ("maintenance/downgrade", Method::Downgrade),
    ("auth/enable", Method::AuthEnable),
    ("auth/disable", Method::AuthDisable),
    ("auth/status", Method::AuthStatus),
    ("auth/authenticate", Method::Authenticate),
    ("auth/user/add", Method::UserAdd),
    ("auth/user/get", Method::UserGet),
    ("auth/user/list", Method::UserList),
    ("auth/user/delete", Method::UserDelete),
    ("auth/user/changepw", Method::UserChangePassword),
    ("auth/user/grant", Method::UserGrantRole),
    ("auth/user/revoke", Method::UserRevokeRole),
    ("auth/role/add", Method::RoleAdd),
    ("auth/role/get", Method::RoleGet),
    ("auth/role/list", Method::RoleList),
    ("auth/role/delete", Method::RoleDelete),
    ("auth/role/grant", Method::RoleGrantPermission),
    ("auth/role/revoke", Method::RoleRevokePermission),
    ("election/campaign", Method::ElectionCampaign),
    ("election/proclaim", Method::ElectionProclaim),
    ("election/leader", Method::ElectionLeader),
    ("election/observe", Method::ElectionObserve),
    ("election/resign", Method::ElectionResign),
    ("lock/lock", Method::LockLock),
    ("lock/unlock", Method::LockUnlock),
];

/// What follows the gateway's prefix, if the path has it: `/v3/`, or `/v3beta/`, which is the
/// same.
pub fn below(path: &str) -> Option<&str> {
    path.strip_prefix("/v3/")
        .or_else(|| path.strip_prefix("/v3beta/"))
}

/// The RPC behind a path below the prefix.
pub fn find(below: &str) -> Option<Method> {
    let found = ROUTES.iter().find(|(path, _)| *path == below);
    found.map(|(_, method)| *method)
}

/// Whether a path is that of an RPC that takes many messages.
pub fn takes_many(path: &str) -> bool {
    let method = below(path).and_then(find);
    method.is_some_and(|method| method.kind() == Kind::Bidi)
}
