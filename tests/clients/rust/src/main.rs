//! Drives the server at 127.0.0.1:PORT with the crate `etcd-client`, as its users do. Started by
//! `tests/cases/clients.rs`, against real etcd, too, with the port as its argument. What does not
//! hold panics.

use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, DeleteOptions, Error, EventType, GetOptions, LeaseGrantOptions,
    LeaseTimeToLiveOptions, LockOptions, ProclaimOptions, PutOptions, ResignOptions, SortOrder,
    SortTarget, Txn, TxnOp, TxnOpResponse, WatchOptions, WatchResponse, WatchStream,
};

type Story = Result<(), Error>;

/// What never comes ends the story.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Story {
    let port = std::env::args().nth(1).expect("the port is the argument");
    let endpoint = format!("127.0.0.1:{port}");
    let mut etcd = Client::connect([&endpoint], None).await?;
    keys(&mut etcd).await?;
    transactions(&mut etcd).await?;
    leases(&mut etcd).await?;
    watches(&mut etcd).await?;
    locks(&mut etcd).await?;
    elections(&mut etcd).await?;
    node(&mut etcd, &endpoint).await?;
    compaction(&mut etcd).await?;
    println!("the etcd-client story holds");
    Ok(())
}

/// A failure's code and text.
fn refused<T>(result: Result<T, Error>) -> (i32, String) {
    match result {
        Err(Error::GRpcStatus(status)) => (status.code() as i32, status.message().to_owned()),
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("it is not refused"),
    }
}

async fn next(watch: &mut WatchStream) -> Result<WatchResponse, Error> {
    let message = tokio::time::timeout(LIMIT, watch.message()).await;
    Ok(message
        .expect("the watch says something")?
        .expect("the watch goes on"))
}

/// The next events: what happened, key, value, value before.
async fn events(
    watch: &mut WatchStream,
    count: usize,
) -> Result<Vec<(EventType, String, String, Option<String>)>, Error> {
    let mut all = Vec::new();
    while all.len() < count {
        for event in next(watch).await?.events() {
            let kv = event.kv().expect("an event has a key");
            let before = event.prev_kv().map(|kv| kv.value_str().map(str::to_owned));
            let (key, value) = (kv.key_str()?.to_owned(), kv.value_str()?.to_owned());
            all.push((event.event_type(), key, value, before.transpose()?));
        }
    }
    assert_eq!(all.len(), count);
    Ok(all)
}

async fn keys(etcd: &mut Client) -> Story {
    let put = etcd.put("fruit/apple", "1", None).await?;
    let first = put.header().expect("a header").revision();
    let prev = PutOptions::new().with_prev_key();
    let mut put = etcd.put("fruit/apple", "2", Some(prev)).await?;
    assert_eq!(put.take_prev_key().expect("a pair").value_str()?, "1");
    etcd.put("fruit/banana", "1", None).await?;
    etcd.put("fruit/cherry", vec![0, 255], None).await?;
    etcd.put("fruiu", "outside", None).await?;
    assert!(etcd.get("fruit/none", None).await?.kvs().is_empty());
    let apple = etcd.get("fruit/apple", None).await?;
    let [apple] = apple.kvs() else {
        panic!("one pair")
    };
    assert_eq!((apple.version(), apple.create_revision()), (2, first));
    assert_eq!(apple.mod_revision(), first + 1);

    let names = async |etcd: &mut Client, key: &str, options| {
        let found = etcd.get(key, Some(options)).await?;
        let names = found.kvs().iter().map(|kv| kv.key_str().map(str::to_owned));
        Ok::<_, Error>((
            names.collect::<Result<Vec<_>, _>>()?,
            found.count(),
            found.more(),
        ))
    };
    let all = ["fruit/apple", "fruit/banana", "fruit/cherry"].map(str::to_owned);
    let prefix = || GetOptions::new().with_prefix();
    let found = names(etcd, "fruit/", prefix()).await?;
    assert_eq!(found, (all.to_vec(), 3, false));
    let down = prefix()
        .with_sort(SortTarget::Key, SortOrder::Descend)
        .with_limit(2);
    let found = names(etcd, "fruit/", down).await?;
    assert_eq!(found, (vec![all[2].clone(), all[1].clone()], 3, true));
    let range = GetOptions::new()
        .with_range("fruit/cherry")
        .with_keys_only();
    assert_eq!(names(etcd, "fruit/apple", range).await?.0, all[..2]);
    let counted = names(etcd, "fruit/", prefix().with_count_only()).await?;
    assert_eq!(counted, (vec![], 3, false));
    let newer = prefix().with_min_mod_revision(first + 2);
    assert_eq!(names(etcd, "fruit/", newer).await?.0, all[1..]);
    let old = etcd
        .get("fruit/apple", Some(GetOptions::new().with_revision(first)))
        .await?;
    assert_eq!(old.kvs()[0].value_str()?, "1");

    assert_eq!(etcd.delete("fruit/cherry", None).await?.deleted(), 1);
    assert_eq!(etcd.delete("fruit/cherry", None).await?.deleted(), 0);
    let gone = DeleteOptions::new().with_prefix().with_prev_key();
    let gone = etcd.delete("fruit/", Some(gone)).await?;
    assert_eq!((gone.deleted(), gone.prev_kvs()[1].value_str()?), (2, "1"));
    let no_key = refused(etcd.put("", "1", None).await);
    assert_eq!(no_key, (3, "etcdserver: key is not provided".to_owned()));
    let future = GetOptions::new().with_revision(1 << 40);
    let future = refused(etcd.get("fruit/apple", Some(future)).await);
    let text = "etcdserver: mvcc: required revision is a future revision";
    assert_eq!(future, (11, text.to_owned()));
    Ok(())
}

async fn transactions(etcd: &mut Client) -> Story {
    for won in [true, false] {
        let txn = Txn::new()
            .when([
                Compare::version("txn", CompareOp::Equal, 0),
                Compare::create_revision("txn", CompareOp::Less, 1),
            ])
            .and_then([TxnOp::put("txn", "new", None), TxnOp::get("txn", None)])
            .or_else([
                TxnOp::get("txn", None),
                TxnOp::txn(Txn::new().and_then([TxnOp::delete("txn", None)])),
            ]);
        let answer = etcd.txn(txn).await?;
        assert_eq!(answer.succeeded(), won);
        match &answer.op_responses()[..] {
            [TxnOpResponse::Put(_), TxnOpResponse::Get(found)] if won => {
                assert_eq!(found.kvs()[0].value_str()?, "new");
            }
            [TxnOpResponse::Get(found), TxnOpResponse::Txn(inner)] if !won => {
                assert_eq!(found.kvs()[0].value_str()?, "new");
                assert!(inner.succeeded());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(etcd.get("txn", None).await?.count(), 0);
    let put = || TxnOp::put("twice", "1", None);
    let twice = refused(etcd.txn(Txn::new().and_then([put(), put()])).await);
    let text = "etcdserver: duplicate key given in txn request";
    assert_eq!(twice, (3, text.to_owned()));
    Ok(())
}

async fn leases(etcd: &mut Client) -> Story {
    let with_id = LeaseGrantOptions::new().with_id(4711);
    let lease = etcd.lease_grant(600, Some(with_id.clone())).await?;
    assert_eq!((lease.id(), lease.ttl()), (4711, 600));
    let again = refused(etcd.lease_grant(600, Some(with_id)).await);
    assert_eq!(again, (9, "etcdserver: lease already exists".to_owned()));
    etcd.put("leased", "1", Some(PutOptions::new().with_lease(4711)))
        .await?;
    let keys = LeaseTimeToLiveOptions::new().with_keys();
    let left = etcd.lease_time_to_live(4711, Some(keys)).await?;
    assert_eq!(
        (left.granted_ttl(), left.keys()),
        (600, &[b"leased".to_vec()][..])
    );
    assert!(left.ttl() > 500);
    let all = etcd.leases().await?;
    assert!(all.leases().iter().any(|lease| lease.id() == 4711));
    let (mut keeper, mut kept) = etcd.lease_keep_alive(4711).await?;
    keeper.keep_alive().await?;
    assert_eq!(kept.message().await?.expect("an answer").ttl(), 600);
    etcd.lease_revoke(4711).await?;
    assert_eq!(etcd.get("leased", None).await?.count(), 0);
    assert_eq!(etcd.lease_time_to_live(4711, None).await?.ttl(), -1);
    let unknown = (5, "etcdserver: requested lease not found".to_owned());
    assert_eq!(refused(etcd.lease_revoke(4711).await), unknown);
    let put = etcd
        .put("x", "1", Some(PutOptions::new().with_lease(4711)))
        .await;
    assert_eq!(refused(put), unknown);

    let mut watch = etcd.watch("short", None).await?;
    assert!(next(&mut watch).await?.created());
    let short = etcd.lease_grant(1, None).await?.id();
    etcd.put("short", "1", Some(PutOptions::new().with_lease(short)))
        .await?;
    let told = events(&mut watch, 2).await?;
    assert_eq!(
        told.iter().map(|e| e.0).collect::<Vec<_>>(),
        [EventType::Put, EventType::Delete]
    );
    Ok(())
}

async fn watches(etcd: &mut Client) -> Story {
    let first = etcd.put("w/1", "a", None).await?;
    let first = first.header().expect("a header").revision();
    etcd.put("w/1", "b", None).await?;
    etcd.delete("w/1", None).await?;
    etcd.put("w/2", "c", None).await?;
    let from = WatchOptions::new()
        .with_prefix()
        .with_start_revision(first)
        .with_prev_key();
    let mut watch = etcd.watch("w/", Some(from.with_watch_id(7))).await?;
    let created = next(&mut watch).await?;
    assert_eq!((created.created(), created.watch_id()), (true, 7));
    let event = |kind, key: &str, value: &str, before: Option<&str>| {
        (
            kind,
            key.to_owned(),
            value.to_owned(),
            before.map(str::to_owned),
        )
    };
    let past = [
        event(EventType::Put, "w/1", "a", None),
        event(EventType::Put, "w/1", "b", Some("a")),
        event(EventType::Delete, "w/1", "", Some("b")),
        event(EventType::Put, "w/2", "c", None),
    ];
    assert_eq!(events(&mut watch, 4).await?, past);
    etcd.put("w/3", "live", None).await?;
    assert_eq!(events(&mut watch, 1).await?[0].1, "w/3");
    watch.request_progress().await?;
    let progress = next(&mut watch).await?;
    let told = progress.header().expect("a header").revision();
    assert_eq!((progress.events().len(), told), (0, first + 4));

    watch.cancel(7).await?;
    let canceled = next(&mut watch).await?;
    assert_eq!((canceled.canceled(), canceled.watch_id()), (true, 7));
    watch.watch("w/4", None).await?;
    assert!(next(&mut watch).await?.created());
    etcd.put("w/3", "unseen", None).await?;
    etcd.put("w/4", "seen", None).await?;
    assert_eq!(events(&mut watch, 1).await?[0].2, "seen");
    Ok(())
}

async fn locks(etcd: &mut Client) -> Story {
    let [one, two] = [
        etcd.lease_grant(600, None).await?,
        etcd.lease_grant(600, None).await?,
    ];
    let mine = etcd
        .lock("door", Some(LockOptions::new().with_lease(one.id())))
        .await?;
    assert_eq!(mine.key(), format!("door/{:x}", one.id()).as_bytes());
    let mut other = etcd.clone();
    let options = LockOptions::new().with_lease(two.id());
    let waiter = tokio::spawn(async move { other.lock("door", Some(options)).await });
    let has_come = async |etcd: &mut Client| {
        let queue = etcd
            .get("door/", Some(GetOptions::new().with_prefix()))
            .await?;
        Ok::<_, Error>(queue.count() == 2)
    };
    while !has_come(etcd).await? {}
    assert!(!waiter.is_finished(), "the door is locked");
    etcd.unlock(mine.key()).await?;
    let other = tokio::time::timeout(LIMIT, waiter).await;
    let other = other.expect("the lock is given on").expect("no panic")?;
    etcd.unlock(other.key()).await?;
    Ok(())
}

async fn elections(etcd: &mut Client) -> Story {
    let no_leader = refused(etcd.leader("chief").await);
    assert_eq!(no_leader, (2, "election: no leader".to_owned()));
    let lease = etcd.lease_grant(600, None).await?.id();
    let won = etcd.campaign("chief", "one", lease).await?;
    let leader = won.leader().expect("a leader").clone();
    assert_eq!(leader.key(), format!("chief/{lease:x}").as_bytes());
    let mut told = etcd.observe("chief").await?;
    let observed = told.message().await?.expect("the leader is told");
    assert_eq!(observed.kv().expect("a pair").value_str()?, "one");
    let named = ProclaimOptions::new().with_leader(leader.clone());
    etcd.proclaim("uno", Some(named.clone())).await?;
    let observed = told.message().await?.expect("the new name is told");
    assert_eq!(observed.kv().expect("a pair").value_str()?, "uno");
    let now = etcd.leader("chief").await?;
    assert_eq!(now.kv().expect("a pair").value_str()?, "uno");
    etcd.resign(Some(ResignOptions::new().with_leader(leader)))
        .await?;
    let lost = refused(etcd.proclaim("uno", Some(named)).await);
    assert_eq!(lost, (2, "election: not leader".to_owned()));
    Ok(())
}

async fn node(etcd: &mut Client, endpoint: &str) -> Story {
    let status = etcd.status().await?;
    assert!(status.version().starts_with("3."));
    let members = etcd.member_list().await?;
    let [member] = members.members() else {
        panic!("one member")
    };
    assert_eq!((member.name(), member.id()), ("m1", status.leader()));
    assert_eq!(member.client_urls(), [format!("http://{endpoint}")]);
    etcd.defragment().await?;
    let hash = etcd.hash_kv(0).await?;
    assert_ne!(hash.hash(), 0);
    // The last message has the SHA-256 alone.
    let (mut snapshot, mut bytes) = (etcd.snapshot().await?, 0);
    while let Some(piece) = snapshot.message().await? {
        bytes += piece.blob().len();
    }
    assert_eq!(bytes % 512, 32);
    Ok(())
}

async fn compaction(etcd: &mut Client) -> Story {
    let put = etcd.put("compacted", "1", None).await?;
    let now = put.header().expect("a header").revision();
    etcd.compact(now, None).await?;
    let text = "etcdserver: mvcc: required revision has been compacted";
    let compacted = (11, text.to_owned());
    assert_eq!(refused(etcd.compact(now, None).await), compacted);
    let old = GetOptions::new().with_revision(now - 1);
    assert_eq!(refused(etcd.get("compacted", Some(old)).await), compacted);
    let from = WatchOptions::new().with_start_revision(now - 1);
    let mut watch = etcd.watch("compacted", Some(from)).await?;
    assert!(next(&mut watch).await?.created());
    let canceled = next(&mut watch).await?;
    assert!(canceled.canceled());
    assert_eq!(canceled.compact_revision(), now);
    Ok(())
}
