//! The cluster that is played: apiservers, and what is known of each object.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::api;
use super::apiserver::Apiserver;
use super::model::{Model, PODS_PER_APP, Resource, Sizes, Verb};
use super::object::{Object, Place, Values, app_key, event_key, node_key};
use super::record::{Kind, Record};
use super::write::Write;
use crate::client::Options;
use crate::progress::Stop;

/// What belongs to an app.
#[derive(Clone, Debug, Default)]
pub struct App {
    /// Its slice of endpoints.
    pub slice: Rc<Object>,
    /// Its replica set.
    pub set: Rc<Object>,
    /// Its deployment.
    pub deployment: Rc<Object>,
}

impl App {
    /// The object of a type.
    pub fn object(&self, resource: Resource) -> &Rc<Object> {
        match resource {
            Resource::Slices => &self.slice,
            Resource::ReplicaSets => &self.set,
            _ => &self.deployment,
        }
    }
}

/// The cluster.
pub struct Cluster {
    /// What is measured.
    pub record: Rc<Record>,
    /// Its apiservers.
    pub apiservers: Vec<Rc<Apiserver>>,
    /// Pods on each node.
    pub pods_per_node: usize,
    /// Changes of pods a second for each node.
    pub changes_per_node: f64,
    /// Sizes of objects.
    pub sizes: Sizes,
    /// Cuts values.
    pub values: RefCell<Values>,
    /// Leases of the nodes.
    pub leases: RefCell<Vec<Rc<Object>>>,
    /// The nodes.
    pub nodes: RefCell<Vec<Rc<Object>>>,
    /// Apps.
    pub apps: RefCell<Vec<App>>,
    /// Places for pods.
    pub places: RefCell<Vec<Rc<Place>>>,
    events: Cell<u64>,
}

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the server is.
    pub options: Options,
    /// How many apiservers.
    pub apiservers: usize,
    /// Whether lists are asked for as streams.
    pub is_streaming: bool,
    /// Pods on each node.
    pub pods_per_node: usize,
    /// Changes of pods a second for each node.
    pub changes_per_node: f64,
    /// Sizes of objects.
    pub sizes: Sizes,
    /// Seed of all chance.
    pub seed: u64,
}

impl Cluster {
    /// An empty one.
    pub fn new(settings: &Settings) -> Rc<Cluster> {
        let record = Rc::new(Record::new());
        let is_streaming = settings.is_streaming;
        let apiserver = |n| Apiserver::new(&settings.options, n, is_streaming, &record);
        let apiservers = (0..settings.apiservers).map(apiserver).collect();
        Rc::new(Cluster {
            apiservers,
            record,
            pods_per_node: settings.pods_per_node,
            changes_per_node: settings.changes_per_node,
            sizes: settings.sizes,
            values: RefCell::new(Values::new(settings.seed)),
            leases: RefCell::default(),
            nodes: RefCell::default(),
            apps: RefCell::default(),
            places: RefCell::default(),
            events: Cell::default(),
        })
    }

    /// What this many of its nodes ask by the model.
    pub fn model(&self, nodes: usize) -> Model {
        Model {
            nodes,
            pods: nodes * self.pods_per_node,
            changes: nodes as f64 * self.changes_per_node,
            sizes: self.sizes,
        }
    }

    /// Waits until nothing is being listed; no longer than `patience`, nor once told to end.
    pub async fn settled(&self, patience: Duration, stop: Stop) {
        let began = Instant::now();
        let settled = || self.apiservers.iter().all(|a| a.is_settled());
        while !settled() && began.elapsed() < patience && !stop.is_set() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A value for an object of a type.
    pub fn value(&self, resource: Resource) -> Bytes {
        self.values.borrow_mut().cut(self.sizes.of(resource))
    }

    /// The apiserver that the `client`th client talks to: always the same one while that is up.
    pub fn front(&self, client: usize) -> &Rc<Apiserver> {
        let count = self.apiservers.len();
        let turn = |n: usize| &self.apiservers[(client + n) % count];
        let up = (0..count).map(turn).find(|apiserver| apiserver.is_up.get());
        up.unwrap_or_else(|| turn(0))
    }

    /// Makes a write of the `client`th client and gives the object's revision, if it is there.
    pub async fn write(&self, client: usize, write: Write) -> Option<i64> {
        let apiserver = self.front(client).clone();
        let line = apiserver.line(write.resource).clone();
        write.run(&line, &self.record).await
    }

    /// Updates a node or its lease; what is due meanwhile follows.
    pub async fn renew(&self, resource: Resource, node: usize, object: Rc<Object>, due: Instant) {
        let mut due = due;
        loop {
            let write = Write {
                verb: Verb::Update,
                resource,
                key: node_key(resource, node),
                value: self.value(resource),
                revision: object.revision.get(),
                lease: 0,
                due,
            };
            match self.write(node, write).await {
                Some(revision) => object.revision.set(revision),
                None if !self.record.is_on() => return object.is_busy.set(false),
                None => {}
            }
            match object.waiting.take() {
                Some(next) => due = next,
                None => return object.is_busy.set(false),
            }
        }
    }

    /// Updates what an app has one of; its writers take turns.
    pub async fn touch(&self, resource: Resource, app: usize) {
        let object = {
            let apps = self.apps.borrow();
            let Some(found) = apps.get(app) else { return };
            found.object(resource).clone()
        };
        let _turn = object.turn.lock().await;
        let write = Write {
            verb: Verb::Update,
            resource,
            key: app_key(resource, app),
            value: self.value(resource),
            revision: object.revision.get(),
            lease: 0,
            due: Instant::now(),
        };
        if let Some(revision) = self.write(app, write).await {
            object.revision.set(revision);
        }
    }

    /// Tells of what happened to the pod in a place.
    pub async fn tell(&self, place: usize) {
        let due = Instant::now();
        let app = place / PODS_PER_APP;
        let number = self.events.get();
        self.events.set(number + 1);
        let lease = match self.front(app).event_lease().await {
            Ok(lease) => lease,
            // Events are told once; who cannot, does not.
            Err(status) => {
                self.record.failed(&status);
                return self.record.bump(&self.record.missed);
            }
        };
        let write = Write {
            verb: Verb::Create,
            resource: Resource::Events,
            key: event_key(place, number),
            value: self.value(Resource::Events),
            revision: 0,
            lease,
            due,
        };
        let _ = self.write(app, write).await;
    }

    /// Reads one object, as a kubelet does before it writes a pod's status.
    pub async fn look(&self, client: usize, resource: Resource, key: &Bytes) {
        let due = Instant::now();
        let line = self.front(client).line(resource).clone();
        let got = api::get(&line, key).await;
        self.record.called();
        match got {
            Ok(_) => self.record.took(Kind::Get, resource, due),
            Err(status) => self.record.failed(&status),
        }
    }
}
