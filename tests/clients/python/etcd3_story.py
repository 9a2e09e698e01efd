"""Drives the server at 127.0.0.1:PORT with the Python library `etcd3`, as its users do.

Started by tests/cases/clients.rs, which runs it against real etcd, too: `python etcd3_story.py PORT`.
What does not hold ends it with a traceback.
"""

import sys
import threading

import etcd3
import grpc

LIMIT = 60
PORT = int(sys.argv[1])


def client():
    return etcd3.client(host="127.0.0.1", port=PORT, timeout=LIMIT)


def take(events, count):
    """The next events of a watch; a silent one ends the story instead of holding it up."""
    found = []
    reader = threading.Thread(
        target=lambda: [found.append(next(events)) for _ in range(count)], daemon=True
    )
    reader.start()
    reader.join(LIMIT)
    assert len(found) == count, f"{found} of {count} events in {LIMIT} s"
    return found


def refused(call, kind):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{call} is not refused")


def keys(etcd):
    put = etcd.put("fruit/apple", "1")
    assert etcd.get("fruit/apple")[0] == b"1"
    assert etcd.get("fruit/none") == (None, None)
    before = etcd.put("fruit/apple", "2", prev_kv=True)
    assert before.prev_kv.value == b"1" and before.header.revision == put.header.revision + 1
    etcd.put("fruit/banana", "1")
    etcd.put("fruit/cherry", b"\x00\xff")
    etcd.put("fruiu", "outside")

    names = lambda found: [meta.key.decode() for _, meta in found]
    all_three = ["fruit/apple", "fruit/banana", "fruit/cherry"]
    assert names(etcd.get_prefix("fruit/")) == all_three
    by_value = etcd.get_prefix("fruit/", sort_order="descend", sort_target="value")
    assert names(by_value) == ["fruit/apple", "fruit/banana", "fruit/cherry"]
    by_key = etcd.get_prefix("fruit/", sort_order="descend", sort_target="key")
    assert names(by_key) == all_three[::-1]
    assert names(etcd.get_range("fruit/apple", "fruit/cherry")) == all_three[:2]
    # The library takes a limit and does not send it.
    whole = etcd.get_prefix_response("fruit/")
    assert (whole.count, whole.more, len(whole.kvs)) == (3, False, 3)
    assert len(list(etcd.get_all())) == 4
    assert [v for v, _ in etcd.get_prefix("fruit/", keys_only=True)] == [b"", b"", b""]
    _, meta = etcd.get("fruit/apple")
    assert (meta.version, meta.create_revision) == (2, put.header.revision)

    assert etcd.delete("fruit/cherry") and not etcd.delete("fruit/cherry")
    gone = etcd.delete("fruit/banana", prev_kv=True, return_response=True)
    assert gone.prev_kvs[0].value == b"1"
    assert etcd.delete_prefix("fruit/").deleted == 1
    assert etcd.put_if_not_exists("once", "1") and not etcd.put_if_not_exists("once", "2")
    assert etcd.replace("once", "1", "3") and not etcd.replace("once", "1", "4")
    refused(lambda: etcd.put("", "no key"), grpc.RpcError)


def transactions(etcd):
    tx = etcd.transactions
    for value, expected in [("new", True), ("newer", False)]:
        succeeded, answers = etcd.transaction(
            compare=[tx.version("txn") == 0, tx.create("txn") == 0],
            success=[tx.put("txn", value), tx.get("txn")],
            failure=[tx.get("txn"), tx.delete("txn"), tx.txn([tx.value("txn") == "new"], [], [])],
        )
        assert succeeded == expected
        if expected:
            assert answers[1][0][0] == b"new", answers
        else:
            assert answers[0][0][0] == b"new", answers
    assert etcd.get("txn") == (None, None)
    twice = [tx.put("twice", "1"), tx.put("twice", "2")]
    error = refused(lambda: etcd.transaction([], twice, []), grpc.RpcError)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
    assert error.details() == "etcdserver: duplicate key given in txn request"


def leases(etcd):
    lease = etcd.lease(600, lease_id=4711)
    assert (lease.id, lease.ttl) == (4711, 600)
    etcd.put("leased", "1", lease=lease)
    assert lease.keys == [b"leased"] and lease.granted_ttl == 600 and lease.remaining_ttl > 500
    assert [answer.TTL for answer in lease.refresh()] == [600]
    lease.revoke()
    assert etcd.get("leased") == (None, None) and lease.remaining_ttl == -1
    assert [answer.TTL for answer in lease.refresh()] == [0]
    error = refused(lease.revoke, grpc.RpcError)
    assert error.code() == grpc.StatusCode.NOT_FOUND, error
    assert error.details() == "etcdserver: requested lease not found"

    events, cancel = etcd.watch("short")
    etcd.put("short", "1", lease=etcd.lease(1))
    born, died = take(events, 2)
    assert isinstance(born, etcd3.events.PutEvent) and isinstance(died, etcd3.events.DeleteEvent)
    cancel()


def watches(etcd):
    first = etcd.put("w/1", "a").header.revision
    etcd.put("w/1", "b")
    etcd.delete("w/1")
    etcd.put("w/2", "c")
    events, cancel = etcd.watch_prefix("w/", start_revision=first, prev_kv=True)
    past = take(events, 4)
    told = [(type(e).__name__, e.key, e.value, e.prev_value) for e in past]
    assert told == [
        ("PutEvent", b"w/1", b"a", b""),
        ("PutEvent", b"w/1", b"b", b"a"),
        ("DeleteEvent", b"w/1", b"", b"b"),
        ("PutEvent", b"w/2", b"c", b""),
    ], told
    etcd.put("w/3", "live")
    assert take(events, 1)[0].key == b"w/3"
    cancel()
    assert list(events) == []
    # The stream lives on, and what was cancelled says nothing more.
    other, cancel = etcd.watch("w/4")
    etcd.put("w/3", "unseen")
    etcd.put("w/4", "seen")
    assert take(other, 1)[0].value == b"seen"
    cancel()
    return first


def compaction(etcd, first):
    now = etcd.put("compacted", "1").header.revision
    etcd.compact(now, physical=True)
    error = refused(lambda: etcd.compact(now), grpc.RpcError)
    assert error.code() == grpc.StatusCode.OUT_OF_RANGE, error
    assert error.details() == "etcdserver: mvcc: required revision has been compacted"
    events, _ = etcd.watch_prefix("w/", start_revision=first)
    lost = []
    reader = threading.Thread(
        target=lambda: lost.append(
            refused(lambda: next(events), etcd3.exceptions.RevisionCompactedError)
        )
    )
    reader.start()
    reader.join(LIMIT)
    assert lost and lost[0].compacted_revision == now, lost


def watching(etcd):
    """An event which is set once the next watch of this client stands."""
    stands, add = threading.Event(), etcd.add_watch_callback

    def told(*args, **kwargs):
        watch_id = add(*args, **kwargs)
        stands.set()
        return watch_id

    etcd.add_watch_callback = told
    return stands


def locks(etcd):
    mine = etcd.lock("door", ttl=60)
    assert mine.acquire() and mine.is_acquired()
    with client() as second:
        other = second.lock("door", ttl=60)
        assert not other.acquire(timeout=1)
        # The library tries first and watches afterwards: a release between the two is missed,
        # and the waiter would sleep until its limit, with any server.
        waits = watching(second)
        has = []
        waiter = threading.Thread(target=lambda: has.append(other.acquire(timeout=LIMIT)))
        waiter.start()
        assert waits.wait(LIMIT)
        assert mine.release()
        waiter.join(LIMIT)
        assert has == [True]
        assert other.release()


def node(etcd):
    status = etcd.status()
    assert status.version.split(".")[0] == "3" and status.leader is not None
    assert status.db_size >= 0 and status.raft_index > 0
    members = list(etcd.members)
    assert [m.name for m in members] == ["m1"]
    assert members[0].client_urls == [f"http://127.0.0.1:{PORT}"]
    assert status.leader.id == members[0].id
    assert list(etcd.list_alarms()) == []
    assert etcd.hash() is not None
    etcd.defragment()


with client() as etcd:
    keys(etcd)
    transactions(etcd)
    leases(etcd)
    first = watches(etcd)
    compaction(etcd, first)
    locks(etcd)
    node(etcd)
print("the etcd3 story holds")
