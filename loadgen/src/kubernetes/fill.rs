//! The objects that are there before anything is measured: written in large transactions, as fast
//! as the server takes them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::try_join_all;
use proto::etcdserverpb as pb;

use super::api;
use super::cluster::{App, Cluster};
use super::line::Line;
use super::model::{Model, PODS_PER_APP, Resource};
use super::object::{Object, Place, app_key, node_key, pod_key};
use crate::client::Status;
use crate::progress::{Progress, Stop};

/// Transactions on their way at once.
const WORKERS: usize = 16;
/// Puts of a transaction; etcd takes 128.
const BATCH_OPS: usize = 100;
/// Bytes of a transaction; etcd takes 1.5 MiB.
const BATCH_BYTES: usize = 512 << 10;
/// How long the server may be away.
const PATIENCE: Duration = Duration::from_secs(60);
/// Before another attempt.
const AGAIN: Duration = Duration::from_millis(200);

/// An object to be made, and where its revision is noted.
struct New {
    key: Bytes,
    resource: Resource,
    revision: Rc<Cell<i64>>,
}

/// How many keys there are below `/registry/`.
pub async fn present(line: &Line) -> Result<i64, Status> {
    api::count(line, "/registry/").await
}

/// Deletes all that this command writes.
pub async fn wipe(line: &Line) -> Result<(), Status> {
    let prefix = "/registry/";
    let objects = pb::DeleteRangeRequest {
        key: prefix.into(),
        range_end: api::prefix_end(prefix),
        ..Default::default()
    };
    line.call(async |channel| channel.delete(&objects).await)
        .await?;
    let turn = pb::DeleteRangeRequest {
        key: api::COMPACT_KEY.into(),
        ..Default::default()
    };
    line.call(async |channel| channel.delete(&turn).await)
        .await?;
    Ok(())
}

/// Makes the cluster one of `nodes` nodes, if it is smaller. False when told to stop.
///
/// # Errors
/// When the server refuses, or is away for a minute.
pub async fn fill(cluster: &Cluster, nodes: usize, stop: Stop) -> Result<bool, Status> {
    let model = cluster.model(nodes);
    let total: usize = Resource::ALL.iter().map(|r| model.objects(*r)).sum();
    let progress = Progress::new("making the cluster's objects", total as u64);
    let news = RefCell::new(news(cluster, &model));
    let done = Cell::new(total - news.borrow().len());
    let worker = async |number: usize| {
        let line = cluster.apiservers[number % cluster.apiservers.len()]
            .line(Resource::ALL[number % Resource::ALL.len()]);
        loop {
            let batch = next(cluster, &mut news.borrow_mut());
            if batch.is_empty() || stop.is_set() {
                return Ok(());
            }
            put(cluster, line, &batch).await?;
            done.set(done.get() + batch.len());
            progress.set(done.get() as u64);
        }
    };
    try_join_all((0..WORKERS).map(worker)).await?;
    Ok(!stop.is_set())
}

/// What is missing; the last comes first.
fn news(cluster: &Cluster, model: &Model) -> Vec<New> {
    let mut news = Vec::new();
    for (resource, objects) in [
        (Resource::Leases, &cluster.leases),
        (Resource::Nodes, &cluster.nodes),
    ] {
        let mut objects = objects.borrow_mut();
        for node in objects.len()..model.nodes {
            let object = Rc::new(Object::default());
            news.push(New {
                key: node_key(resource, node),
                resource,
                revision: object.revision.clone(),
            });
            objects.push(object);
        }
    }
    let mut apps = cluster.apps.borrow_mut();
    for number in apps.len()..model.apps() {
        let app = App::default();
        for resource in [
            Resource::Slices,
            Resource::ReplicaSets,
            Resource::Deployments,
        ] {
            news.push(New {
                key: app_key(resource, number),
                resource,
                revision: app.object(resource).revision.clone(),
            });
        }
        apps.push(app);
    }
    let mut places = cluster.places.borrow_mut();
    // Apps are whole, so that a rollout finds each place of its app.
    for number in places.len()..model.apps() * PODS_PER_APP {
        let place = Rc::new(Place::default());
        if number < model.pods {
            news.push(New {
                key: pod_key(number, 0),
                resource: Resource::Pods,
                revision: place.revision.clone(),
            });
        } else {
            // There is no pod for it: never free.
            place.is_busy.set(true);
        }
        places.push(place);
    }
    news
}

fn next(cluster: &Cluster, news: &mut Vec<New>) -> Vec<New> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(new) = news.pop() {
        bytes += new.key.len() + cluster.sizes.of(new.resource);
        batch.push(new);
        if batch.len() >= BATCH_OPS || bytes >= BATCH_BYTES {
            break;
        }
    }
    batch
}

async fn put(cluster: &Cluster, line: &Line, batch: &[New]) -> Result<(), Status> {
    let puts = batch
        .iter()
        .map(|new| api::put(&new.key, &cluster.value(new.resource), 0));
    let request = pb::TxnRequest {
        success: puts.collect(),
        ..Default::default()
    };
    let began = Instant::now();
    loop {
        let answer = line.call(async |channel| channel.txn(&request).await).await;
        match answer {
            Ok(answer) => {
                let revision = api::revision(answer.header.as_ref());
                batch.iter().for_each(|new| new.revision.set(revision));
                return Ok(());
            }
            Err(status) if !passes(&status) || began.elapsed() > PATIENCE => return Err(status),
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// Whether a refusal is one that time mends: the server is away, or has too much to do.
fn passes(status: &Status) -> bool {
    let is_busy =
        status.code == Status::RESOURCE_EXHAUSTED && status.message.contains("too many requests");
    status.code == Status::UNAVAILABLE || is_busy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_busy_is_asked_again_and_who_is_full_is_not() {
        let busy = "etcdserver: too many requests";
        let full = "etcdserver: mvcc: database space exceeded";
        assert!(passes(&Status::new(Status::RESOURCE_EXHAUSTED, busy)));
        assert!(passes(&Status::unavailable("gone")));
        assert!(!passes(&Status::new(Status::RESOURCE_EXHAUSTED, full)));
    }
}
