//! What a Kubernetes cluster asks of its etcd: objects, their sizes, and changes a second, from
//! published figures. `kubernetes` plays it, `capacity` calculates with it; the sources of the
//! figures are in `docs/kubernetes.md`.

use std::fmt;

/// A type of objects, with a list, a watch and a connection of its own in each apiserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// A node's heartbeat.
    Leases,
    /// Nodes with their status.
    Nodes,
    /// Pods.
    Pods,
    /// What happened to other objects.
    Events,
    /// Which pods are behind a service.
    Slices,
    /// Sets of equal pods.
    ReplicaSets,
    /// What is rolled out.
    Deployments,
}

impl Resource {
    /// All of them.
    pub const ALL: [Resource; 7] = [
        Resource::Leases,
        Resource::Nodes,
        Resource::Pods,
        Resource::Events,
        Resource::Slices,
        Resource::ReplicaSets,
        Resource::Deployments,
    ];

    /// The name in Kubernetes' API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Resource::Leases => "leases",
            Resource::Nodes => "nodes",
            Resource::Pods => "pods",
            Resource::Events => "events",
            Resource::Slices => "endpointslices",
            Resource::ReplicaSets => "replicasets",
            Resource::Deployments => "deployments",
        }
    }

    /// What the keys begin with. Nodes are kept as `minions` to this day.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Resource::Leases => "/registry/leases/",
            Resource::Nodes => "/registry/minions/",
            Resource::Pods => "/registry/pods/",
            Resource::Events => "/registry/events/",
            Resource::Slices => "/registry/endpointslices/",
            Resource::ReplicaSets => "/registry/replicasets/",
            Resource::Deployments => "/registry/deployments/",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// It comes.
    Create,
    /// It changes.
    Update,
    /// It goes.
    Delete,
}

impl Verb {
    /// The name in Kubernetes' API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Delete => "delete",
        }
    }
}

/// Seconds between two renewals of a node's lease: a quarter of its 40 s.
pub const LEASE_SECONDS: f64 = 10.0;
/// By how much of itself a renewal is put off at random.
pub const LEASE_JITTER: f64 = 0.04;
/// Seconds between two reports of a node's status when nothing changes.
pub const STATUS_SECONDS: f64 = 300.0;
/// Pods on a node in the largest supported cluster: 150,000 on 5,000.
pub const PODS_PER_NODE: usize = 30;
/// Pods behind one service there: 150,000 of 10,000 services.
pub const PODS_PER_APP: usize = 15;
/// Changes of pods (creations and deletions) a second for each node in the steady state of the
/// largest supported cluster: 20 on 5,000 nodes.
pub const CHANGES_PER_NODE: f64 = 20.0 / 5000.0;
/// Seconds that an event is kept.
pub const EVENT_TTL: i64 = 3600;
/// Seconds for which one lease is given to events.
pub const EVENT_LEASE_SECONDS: u64 = 60;
/// Events that one lease is given to.
pub const EVENT_LEASE_OBJECTS: usize = 1000;

/// Writes that the replacement of one pod takes, by resource and verb. A replacement is two
/// changes of pods: a creation and a deletion.
///
/// | writes | of whom |
/// |---|---|
/// | pod created | replica set controller |
/// | pod bound | scheduler |
/// | 3 times its status: initialised, running, ready | kubelet |
/// | old pod marked for deletion, its last status, gone | controller, kubelet |
/// | 5 events: scheduled, pulled, created, started, killing | scheduler, kubelet |
/// | slice twice: one endpoint ready, one gone | endpoint slice controller |
/// | replica set and deployment twice: replicas, ready replicas | controllers |
pub const PER_REPLACEMENT: [(Resource, Verb, f64); 7] = [
    (Resource::Pods, Verb::Create, 1.0),
    (Resource::Pods, Verb::Update, 6.0),
    (Resource::Pods, Verb::Delete, 1.0),
    (Resource::Events, Verb::Create, 5.0),
    (Resource::Slices, Verb::Update, 2.0),
    (Resource::ReplicaSets, Verb::Update, 2.0),
    (Resource::Deployments, Verb::Update, 2.0),
];

/// Reads of one pod that go with its replacement: one before each write of its status.
pub const GETS_PER_REPLACEMENT: f64 = 4.0;

/// Sizes of objects as they are stored, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// A node.
    pub node: usize,
    /// A pod.
    pub pod: usize,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes {
            node: 20_000,
            pod: 2500,
        }
    }
}

impl Sizes {
    /// Of one object.
    #[must_use]
    pub fn of(self, resource: Resource) -> usize {
        match resource {
            Resource::Leases => 300,
            Resource::Nodes => self.node,
            Resource::Pods => self.pod,
            Resource::Events => 800,
            Resource::Slices => 400 + PODS_PER_APP * 150,
            Resource::ReplicaSets => 1800,
            Resource::Deployments => 2200,
        }
    }
}

/// A cluster, and what it asks.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// Nodes.
    pub nodes: usize,
    /// Pods on all of them.
    pub pods: usize,
    /// Creations and deletions of pods a second.
    pub changes: f64,
    /// Sizes of its objects.
    pub sizes: Sizes,
}

impl Model {
    /// A cluster with the published number of pods and changes for its nodes.
    #[must_use]
    pub fn of_nodes(nodes: usize) -> Model {
        Model {
            nodes,
            pods: nodes * PODS_PER_NODE,
            changes: nodes as f64 * CHANGES_PER_NODE,
            sizes: Sizes::default(),
        }
    }

    /// Deployments, each with a replica set, a service and a slice.
    #[must_use]
    pub fn apps(&self) -> usize {
        self.pods.div_ceil(PODS_PER_APP)
    }

    /// How many objects of a type there are before any event.
    #[must_use]
    pub fn objects(&self, resource: Resource) -> usize {
        match resource {
            Resource::Leases | Resource::Nodes => self.nodes,
            Resource::Pods => self.pods,
            Resource::Events => 0,
            Resource::Slices | Resource::ReplicaSets | Resource::Deployments => self.apps(),
        }
    }

    /// Bytes of all values before any event.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of = |r: &Resource| self.objects(*r) * self.sizes.of(*r);
        Resource::ALL.iter().map(of).sum()
    }

    /// Pods replaced a second.
    #[must_use]
    pub fn replacements(&self) -> f64 {
        if self.pods == 0 {
            0.0
        } else {
            self.changes / 2.0
        }
    }

    /// Writes a second of each kind.
    #[must_use]
    pub fn writes(&self) -> Vec<(Resource, Verb, f64)> {
        // A renewal waits its time and on average half the jitter.
        let lease_seconds = LEASE_SECONDS * (1.0 + LEASE_JITTER / 2.0);
        let nodes = self.nodes as f64;
        let mut writes = vec![
            (Resource::Leases, Verb::Update, nodes / lease_seconds),
            (Resource::Nodes, Verb::Update, nodes / STATUS_SECONDS),
        ];
        let pods = self.replacements();
        writes.extend(PER_REPLACEMENT.map(|(resource, verb, n)| (resource, verb, n * pods)));
        writes
    }

    /// Writes a second of all kinds.
    #[must_use]
    pub fn writes_per_second(&self) -> f64 {
        self.writes().iter().map(|(_, _, rate)| rate).sum()
    }

    /// Reads of one object a second, other than those that caches answer: a kubelet reads a pod
    /// before it writes its status, and so does whoever ends it.
    #[must_use]
    pub fn gets_per_second(&self) -> f64 {
        self.replacements() * GETS_PER_REPLACEMENT
    }

    /// Bytes of values written a second; each watching apiserver is sent them, too.
    #[must_use]
    pub fn bytes_per_second(&self) -> f64 {
        let of = |(resource, verb, rate): &(Resource, Verb, f64)| match verb {
            Verb::Delete => 0.0,
            _ => rate * self.sizes.of(*resource) as f64,
        };
        self.writes().iter().map(of).sum()
    }
}

#[cfg(test)]
mod tests;
