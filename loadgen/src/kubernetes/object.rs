//! Keys and values of the objects, and what is known of each.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Mutex;

use super::model::{PODS_PER_APP, Resource};

/// Apps of a namespace: 2,000 deployments are its limit, half that is played.
const APPS_PER_NAMESPACE: usize = 1000;

/// Bytes that all values are cut from.
const FILLER: usize = 1 << 20;

/// An object that is written again and again.
#[derive(Debug, Default)]
pub struct Object {
    /// Its revision as its writer knows it.
    pub revision: Rc<Cell<i64>>,
    /// Whether a write of it is on its way.
    pub is_busy: Cell<bool>,
    /// Since when another write of it is due.
    pub waiting: Cell<Option<Instant>>,
    /// Who of several writers has the turn.
    pub turn: Mutex<()>,
}

/// A place for a pod in an app; the pod in it is replaced now and then.
#[derive(Debug, Default)]
pub struct Place {
    /// How many pods were in it before.
    pub generation: Cell<u32>,
    /// The revision of the one in it.
    pub revision: Rc<Cell<i64>>,
    /// Whether its pod is being replaced.
    pub is_busy: Cell<bool>,
}

/// Cuts values.
pub struct Values {
    filler: Bytes,
    random: StdRng,
}

impl Values {
    /// Values that depend on `seed` alone.
    pub fn new(seed: u64) -> Values {
        let mut random = StdRng::seed_from_u64(seed);
        let mut filler = vec![0; FILLER];
        // Stored objects are protobuf with much text in it: bytes of little range, not noise.
        filler.fill_with(|| random.random_range(b' '..b'~'));
        Values {
            filler: filler.into(),
            random,
        }
    }

    /// A value of `len` bytes (at most a MiB) that is most likely different from all others.
    pub fn cut(&mut self, len: usize) -> Bytes {
        let len = len.min(FILLER);
        let from = self.random.random_range(0..=FILLER - len);
        self.filler.slice(from..from + len)
    }

    /// A number from 0 up to 1.
    pub fn chance(&mut self) -> f64 {
        self.random.random()
    }
}

/// The key of a node or its lease.
pub fn node_key(resource: Resource, node: usize) -> Bytes {
    let namespace = match resource {
        Resource::Leases => "kube-node-lease/",
        _ => "",
    };
    format!("{}{namespace}node-{node:06}", resource.prefix()).into()
}

fn namespace(app: usize) -> String {
    format!("ns-{:04}", app / APPS_PER_NAMESPACE)
}

/// The key of what an app has one of.
pub fn app_key(resource: Resource, app: usize) -> Bytes {
    format!("{}{}/app-{app:06}", resource.prefix(), namespace(app)).into()
}

/// The key of the pod of a generation in a place.
pub fn pod_key(place: usize, generation: u32) -> Bytes {
    let app = place / PODS_PER_APP;
    let prefix = Resource::Pods.prefix();
    let number = place % PODS_PER_APP;
    let ns = namespace(app);
    format!("{prefix}{ns}/app-{app:06}-{generation:08x}-{number:02}").into()
}

/// The key of the `number`th event of a run.
pub fn event_key(place: usize, number: u64) -> Bytes {
    let app = place / PODS_PER_APP;
    let prefix = Resource::Events.prefix();
    format!("{prefix}{}/app-{app:06}.{number:016x}", namespace(app)).into()
}
