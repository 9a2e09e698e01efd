//! Who takes part in a run.

use std::io;
use std::net::SocketAddr;

use super::session::Party;
use crate::peer::{self, Tool};
use crate::target::{Kind, Target};

/// A server to start.
#[derive(Clone, Debug)]
pub enum Entrant {
    /// A real etcd.
    Etcd(Tool),
    /// Stoa with this many shards.
    Stoa(u16),
    /// Stoa on one shard with other settings than those that are asked about: one that must be
    /// told from the others.
    Other(&'static [&'static str]),
}

impl Entrant {
    /// The etcd whose version begins so, if it is on this machine.
    #[must_use]
    pub fn etcd(version: &str) -> Option<Entrant> {
        let all = peer::etcds().into_iter();
        all.map(|mut tool| {
            tool.version.truncate(tool.version.trim().len());
            tool
        })
        .find(|tool| tool.version.starts_with(version))
        .map(Entrant::Etcd)
    }

    pub(super) fn is_etcd(&self) -> bool {
        matches!(self, Entrant::Etcd(_))
    }

    pub(super) fn start(&self) -> io::Result<Option<Target>> {
        let (kind, flags) = match self {
            Entrant::Etcd(tool) => (Kind::EtcdAt(tool.path.clone()), &[][..]),
            Entrant::Stoa(shards) => (Kind::Stoa(*shards), &[][..]),
            Entrant::Other(flags) => (Kind::Stoa(1), *flags),
        };
        Target::start(kind, flags)
    }

    pub(super) fn party(&self, addr: SocketAddr) -> Party {
        let (name, etcd) = match self {
            Entrant::Etcd(tool) => {
                let version = tool.version.clone();
                (format!("etcd {version}"), Some(version))
            }
            Entrant::Other(flags) => (format!("Stoa {}", flags.join(" ")), None),
            Entrant::Stoa(1) => ("1 shard".into(), None),
            Entrant::Stoa(shards) => (format!("{shards} shards"), None),
        };
        Party { name, etcd, addr }
    }
}
