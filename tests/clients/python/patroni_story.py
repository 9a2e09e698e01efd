"""Drives the server at 127.0.0.1:PORT with Patroni's own etcd v3 code, as two of its nodes would.

Patroni talks JSON over HTTP: this is the gateway, with leases and the stream of a watch. Started by
tests/cases/clients.rs, against real etcd, too: `python patroni_story.py PORT`.
"""

import logging
import sys
import time

from patroni.dcs import get_dcs
from patroni.dcs.etcd3 import (
    Etcd3WatchCanceled,
    LeaseNotFound,
    NotFound,
    base64_encode,
    _raise_for_data,
)
from patroni.utils import iter_response_objects

LIMIT = 60
PORT = int(sys.argv[1])
# Patroni speaks through its log when it retries; a story that holds is silent.
logging.basicConfig(level=logging.ERROR)


def node(name, ttl):
    config = {
        "scope": "story",
        "namespace": "service",
        "name": name,
        "ttl": ttl,
        "loop_wait": 1,
        "retry_timeout": 10,
        "etcd3": {"host": f"127.0.0.1:{PORT}"},
    }
    return get_dcs(config)


def until(what, condition):
    """Waits for what other parts of the program bring about; a failure has a name."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)


def refused(call, kind):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{call} is not refused with {kind}")


def leader_of(dcs):
    leader = dcs.get_cluster().leader
    return leader and leader.name


def elections(first, second):
    assert first.initialize(create_new=True, sysid="42")
    assert not second.initialize(create_new=True, sysid="43")
    assert first.touch_member({"role": "primary"}) and second.touch_member({"role": "replica"})
    assert first.attempt_to_acquire_leader()
    assert not second.attempt_to_acquire_leader()
    # The second node knows of it by its watch alone.
    until("the watch tells of the leader", lambda: leader_of(second) == "first")
    cluster = second.get_cluster()
    assert cluster.initialize == "42"
    until("both members are told", lambda: len(second.get_cluster().members) == 2)

    # The value of the leader's key counts, then its lease; here the node has got a new one.
    first.get_cluster()
    leader = first.cluster.leader
    assert first.update_leader(first.cluster, 100) is True
    first._lease = None
    assert first.update_leader(first.cluster, 101) is True
    until("the lease is new", lambda: first.get_cluster().leader.session != leader.session)
    until("the position is told", lambda: second.get_cluster().status.last_lsn == 101)

    assert first.delete_leader(first.get_cluster().leader)
    until("the lock is free", lambda: leader_of(second) is None)
    assert second.attempt_to_acquire_leader()
    until("the lock has changed hands", lambda: leader_of(first) == "second")


def compare_and_set(first, second):
    assert first.set_config_value('{"ttl":5}')
    until("the configuration is told", lambda: second.get_cluster().config is not None)
    version = second.get_cluster().config.modify_version
    assert second.set_config_value('{"ttl":6}', version)
    assert not first.set_config_value('{"ttl":7}', version), "an old version"
    data = lambda: getattr(first.get_cluster().config, "data", None)
    until("the newest is told", lambda: data() == {"ttl": 6})
    revision = first.set_sync_state_value("{}")
    assert revision and not first.set_sync_state_value("{}", "1")
    assert first.delete_sync_state(revision)
    assert first.manual_failover("second", "first")
    candidate = lambda: getattr(second.get_cluster().failover, "candidate", None)
    until("it is told", lambda: candidate() == "first")


def takeover(first, second):
    """A leader that is gone loses its lock when its lease ends."""
    client = first._client
    lease = client.lease_grant(1)
    assert client.put(first.leader_path, "gone", lease)
    until("the stranger leads", lambda: leader_of(first) == "gone")
    assert not first.attempt_to_acquire_leader()
    until("the lease ends and the watch tells", lambda: leader_of(first) is None)
    assert first.attempt_to_acquire_leader()
    until("the second follows", lambda: leader_of(second) == "first")


def errors(dcs):
    client = dcs._client
    error = refused(lambda: client.put("/x", "1", lease="4711"), LeaseNotFound)
    assert error.status == 404, error.as_dict()
    refused(lambda: client.call_rpc("/lease/revoke", {"ID": "4711"}), NotFound)
    assert not client.lease_keepalive("4711")
    found = client.prefix(dcs.client_path(""), serializable=False)
    revision = found["header"]["revision"]
    client.call_rpc("/kv/compaction", {"revision": revision})
    refused(lambda: client.call_rpc("/kv/compaction", {"revision": revision}), Exception)

    # A watch from what was compacted says so in its stream.
    response = client.watchprefix("/service/", start_revision="1")
    for message in iter_response_objects(response):
        assert "error" not in message, message
        if message["result"].get("canceled"):
            assert message["result"]["compact_revision"] == revision, message
            break
    else:
        raise AssertionError("the watch ended without a word")
    response.close()
    # Patroni reads errors in either form.
    assert _raise_for_data({"error": {"grpc_code": 5, "http_code": 404, "message": "m"}}).code == 5
    assert base64_encode("a") == "YQ=="
    assert Etcd3WatchCanceled


first, second = node("first", 30), node("second", 30)
elections(first, second)
compare_and_set(first, second)
takeover(first, second)
errors(first)
assert first.delete_cluster()
print("Patroni's story holds")
