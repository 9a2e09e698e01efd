//! kube-apiserver's use of etcd, request by request as its storage layer sends them (1.37), with
//! the option values that it uses.
//!
//! | file | job |
//! |---|---|
//! | `api` | the requests |
//! | `shapes` | one of each in a row, to real etcd and to Stoa, every answer compared |
//! | `cache` | a watch cache: list, watch, reads that are consistent, and what it must not see |
//! | `cluster` | controllers, kubelets, events, compactors and caches at once, with restarts |
//!
//! What the apiserver never uses (keep-alives, sorts, filters, nested transactions and so on) is
//! the business of other cases.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "kubernetes/api.rs"]
mod api;
#[path = "kubernetes/cache.rs"]
mod cache;
#[path = "kubernetes/cluster.rs"]
mod cluster;
#[path = "kubernetes/shapes.rs"]
mod shapes;

use std::time::Duration;

/// How long an answer may take before it counts as missing. Long, because the machine may be busy
/// with other things.
const LIMIT: Duration = Duration::from_secs(180);
