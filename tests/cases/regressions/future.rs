//! Watches that begin at a revision which is still to come.

use tests::client::{Client, pb, progress, run};
use tests::target::Target;

use super::{Stream, connect, defragment, put, revision, start, watch_of};

/// etcd renamed the flag in 3.6.
fn start_with_notices() -> Target {
    let flag = match std::env::var_os("STOA_REGRESSION_ETCD") {
        Some(_) => "--experimental-watch-progress-notify-interval=100ms",
        None => "--watch-progress-notify-interval=100ms",
    };
    start(3, &[flag])
}

fn with_notices(request: pb::WatchCreateRequest) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest {
        progress_notify: true,
        ..request
    }
}

/// etcd 20221, its first half. A watch from a future revision was told of progress below it; its
/// client took that for the place to go on from, and after a reconnect got what it had not asked
/// for. Here it is told nothing before its revision: no notice of the timer, none that was asked
/// for.
#[test]
fn issue_20221_no_progress_is_told_below_a_future_start() {
    let target = start_with_notices();
    run(async {
        let client = connect(&target).await;
        let start = revision(&client).await + 4;
        let mut ahead = Stream::open(&client).await;
        let future = ahead.create(with_notices(watch_of("k", start))).await;
        // Its notices say that the timer has gone round.
        let mut clock = Stream::open(&client).await;
        let ticking = clock.create(with_notices(watch_of("none", 0))).await;
        for n in 0..3 {
            for _ in 0..3 {
                ahead.requests.send(&progress()).unwrap();
                let notice = clock.next().await;
                assert_eq!((notice.watch_id, notice.events.len()), (ticking, 0));
            }
            put(&client, "k", &n.to_string()).await;
        }
        assert_eq!(put(&client, "k", "now").await, start);
        let first = ahead.next().await;
        assert_eq!((first.watch_id, first.events.len()), (future, 1));
        assert_eq!(first.events[0].kv.as_ref().unwrap().value, "now");
        // From here on it is a watcher as any other.
        ahead.requests.send(&progress()).unwrap();
        let notice = ahead.next().await;
        assert!(notice.events.is_empty(), "{notice:?}");
        assert_eq!(notice.header.unwrap().revision, start);
    });
}

/// Watchers with starts from `last` on, and what each of them is told while writes go by.
async fn begins_where_asked(client: &Client, defragmenting: bool) {
    let last = revision(client).await;
    let mut stream = Stream::open(client).await;
    let mut starts = Vec::new();
    for ahead in 1..=20 {
        let id = stream.create(with_notices(watch_of("k", last + ahead)));
        starts.push((id.await, last + ahead));
    }
    let mut end = 0;
    for n in 0..25 {
        if defragmenting && n == 10 {
            defragment(client).await;
        }
        end = put(client, "k", &n.to_string()).await;
    }
    for (id, start) in starts {
        while stream.last(id) < end {
            stream.next().await;
        }
        let history = &stream.told[&id].history;
        history.dense(start, end).unwrap();
        let first = *history.revisions.first_key_value().unwrap().0;
        assert_eq!(first, start, "older than asked for");
    }
}

/// etcd 20221, its second half. The same watch was told events from before its revision, where the
/// store was restored or its stream had been slow. Here every watch begins where it was asked to
/// begin, with many on one stream, across a defragmentation, and when asked again after a crash.
#[test]
fn issue_20221_no_event_is_told_below_a_future_start() {
    let mut target = start_with_notices();
    for round in 0..3 {
        run(async {
            let client = connect(&target).await;
            begins_where_asked(&client, round == 1).await;
        });
        target.kill();
        target.restart().unwrap();
    }
}
