//! Every RPC that can be called, resolved once from the request's path. `call` resolves, the API
//! services match on [`Method`], `counters` index by it.

/// How messages flow in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One message each way.
    Unary,
    /// One request, many answers.
    ServerStream,
    /// Many messages both ways.
    Bidi,
}

impl Kind {
    /// As the `grpc_type` label of etcd's metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::ServerStream => "server_stream",
            Self::Bidi => "bidi_stream",
        }
    }
}

macro_rules! methods {
    ($($variant:ident $kind:ident $service:literal $name:literal;)*) => {
        /// An RPC, named after its service and its name there.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Method {
            $(#[doc = concat!("`", $service, "/", $name, "`")] $variant,)*
        }

        impl Method {
            /// All of them, in the order of their discriminants.
            pub const ALL: &'static [Method] = &[$(Method::$variant,)*];

            /// The method called by an HTTP path, if there is one.
            pub fn from_path(path: &str) -> Option<Self> {
                match path {
                    $(concat!("/", $service, "/", $name) => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Full name of the service.
            pub fn service(self) -> &'static str {
                match self { $(Self::$variant => $service,)* }
            }

            /// Name inside the service.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How messages flow.
            pub fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)* }
            }
        }
    };
}

// The hot ones first: paths are compared in this order.
methods! {
    KvRange Unary "etcdserverpb.KV" "Range";
    KvTxn Unary "etcdserverpb.KV" "Txn";
    KvPut Unary "etcdserverpb.KV" "Put";
    KvDeleteRange Unary "etcdserverpb.KV" "DeleteRange";
    KvRangeStream ServerStream "etcdserverpb.KV" "RangeStream";
    KvCompact Unary "etcdserverpb.KV" "Compact";
    Watch Bidi "etcdserverpb.Watch" "Watch";
    LeaseGrant Unary "etcdserverpb.Lease" "LeaseGrant";
    LeaseRevoke Unary "etcdserverpb.Lease" "LeaseRevoke";
    LeaseKeepAlive Bidi "etcdserverpb.Lease" "LeaseKeepAlive";
    LeaseTimeToLive Unary "etcdserverpb.Lease" "LeaseTimeToLive";
    LeaseLeases Unary "etcdserverpb.Lease" "LeaseLeases";
    MemberAdd Unary "etcdserverpb.Cluster" "MemberAdd";
    MemberRemove Unary "etcdserverpb.Cluster" "MemberRemove";
    MemberUpdate Unary "etcdserverpb.Cluster" "MemberUpdate";
    MemberList Unary "etcdserverpb.Cluster" "MemberList";
    MemberPromote Unary "etcdserverpb.Cluster" "MemberPromote";
    Alarm Unary "etcdserverpb.Maintenance" "Alarm";
    Status Unary "etcdserverpb.Maintenance" "Status";
    Defragment Unary "etcdserverpb.Maintenance" "Defragment";
    Hash Unary "etcdserverpb.Maintenance" "Hash";
    HashKv Unary "etcdserverpb.Maintenance" "HashKV";
    Snapshot ServerStream "etcdserverpb.Maintenance" "Snapshot";
    MoveLeader Unary "etcdserverpb.Maintenance" "MoveLeader";
    Downgrade Unary "etcdserverpb.Maintenance" "Downgrade";
    AuthEnable Unary "etcdserverpb.Auth" "AuthEnable";
    AuthDisable Unary "etcdserverpb.Auth" "AuthDisable";
    AuthStatus Unary "etcdserverpb.Auth" "AuthStatus";
    Authenticate Unary "etcdserverpb.Auth" "Authenticate";
    UserAdd Unary "etcdserverpb.Auth" "UserAdd";
    UserGet Unary "etcdserverpb.Auth" "UserGet";
    UserList Unary "etcdserverpb.Auth" "UserList";
    UserDelete Unary "etcdserverpb.Auth" "UserDelete";
    UserChangePassword Unary "etcdserverpb.Auth" "UserChangePassword";
    UserGrantRole Unary "etcdserverpb.Auth" "UserGrantRole";
    UserRevokeRole Unary "etcdserverpb.Auth" "UserRevokeRole";
    RoleAdd Unary "etcdserverpb.Auth" "RoleAdd";
    RoleGet Unary "etcdserverpb.Auth" "RoleGet";
    RoleList Unary "etcdserverpb.Auth" "RoleList";
    RoleDelete Unary "etcdserverpb.Auth" "RoleDelete";
    RoleGrantPermission Unary "etcdserverpb.Auth" "RoleGrantPermission";
    RoleRevokePermission Unary "etcdserverpb.Auth" "RoleRevokePermission";
    ElectionCampaign Unary "v3electionpb.Election" "Campaign";
    ElectionProclaim Unary "v3electionpb.Election" "Proclaim";
    ElectionLeader Unary "v3electionpb.Election" "Leader";
    ElectionObserve ServerStream "v3electionpb.Election" "Observe";
    ElectionResign Unary "v3electionpb.Election" "Resign";
    LockLock Unary "v3lockpb.Lock" "Lock";
    LockUnlock Unary "v3lockpb.Lock" "Unlock";
    HealthCheck Unary "grpc.health.v1.Health" "Check";
    HealthWatch ServerStream "grpc.health.v1.Health" "Watch";
}

impl Method {
    /// Whether a call that has one answer may wait for it as long as others please. Such a call
    /// ends when the node drains, as streams do.
    pub fn waits(self) -> bool {
        matches!(self, Self::ElectionCampaign | Self::LockLock)
    }

    /// grpc-go's words for a path that names no method here.
    pub fn unknown(path: &str) -> String {
        let trimmed = path.strip_prefix('/').unwrap_or(path);
        let Some((service, method)) = trimmed.rsplit_once('/') else {
            return format!("malformed method name: {path:?}");
        };
        if Self::ALL.iter().any(|m| m.service() == service) {
            format!("unknown method {method} for service {service}")
        } else {
            format!("unknown service {service}")
        }
    }
}

#[cfg(test)]
mod tests;
