// Drives the server at 127.0.0.1:PORT with the npm package etcd3, as its users do. Started by
// tests/cases/clients.rs, against real etcd, too: node story.js PORT
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { Etcd3, EtcdLeaseInvalidError, EtcdLockFailedError, GRPCGenericError } = require('etcd3');

const port = process.argv[2];
const connect = () => new Etcd3({ hosts: `http://127.0.0.1:${port}`, dialTimeout: 60000 });

// Nothing here waits by time; what never comes ends the story by name.
function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`never: ${what}`)), 60000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Events in the order in which they come, also those from before anybody asked.
function collect(watcher) {
  const told = [];
  let wake = () => {};
  const add = (type) => (kv, previous) => {
    const before = previous && previous.value.toString();
    told.push([type, kv.key.toString(), kv.value.toString(), before]);
    wake();
  };
  watcher.on('put', add('put')).on('delete', add('delete'));
  return async (count) => {
    while (told.length < count) {
      await within(new Promise((resolve) => { wake = resolve; }), `event ${told.length + 1}`);
    }
    return told.splice(0, count);
  };
}

async function keys(etcd) {
  const put = await etcd.put('fruit/apple').value('1');
  assert.equal(await etcd.get('fruit/apple').string(), '1');
  assert.equal(await etcd.get('fruit/none').string(), null);
  const before = await etcd.put('fruit/apple').value('2').getPrevious();
  assert.equal(before.value.toString(), '1');
  assert.equal(BigInt(before.header.revision), BigInt(put.header.revision) + 1n);
  await etcd.put('fruit/banana').value('1');
  await etcd.put('fruit/cherry').value(Buffer.from([0, 255]));
  await etcd.put('fruiu').value('outside');
  assert.deepEqual(await etcd.get('fruit/cherry').buffer(), Buffer.from([0, 255]));
  assert.equal(await etcd.get('fruit/apple').number(), 2);

  const fruits = () => etcd.getAll().prefix('fruit/');
  assert.deepEqual(await fruits().keys(), ['fruit/apple', 'fruit/banana', 'fruit/cherry']);
  assert.deepEqual(await fruits().sort('Key', 'Descend').limit(2).keys(),
    ['fruit/cherry', 'fruit/banana']);
  assert.deepEqual(await fruits().sort('Mod', 'Ascend').limit(1).strings(), { 'fruit/apple': '2' });
  assert.equal(await fruits().count(), 3);
  const limited = await fruits().limit(1).exec();
  assert.deepEqual([limited.count, limited.more, limited.kvs.length], ['3', true, 1]);
  const range = etcd.getAll().inRange({ start: 'fruit/apple', end: 'fruit/cherry' });
  assert.deepEqual(await range.keys(), ['fruit/apple', 'fruit/banana']);
  assert.equal(await etcd.get('fruit/apple').revision(put.header.revision).string(), '1');

  assert.equal((await etcd.delete().key('fruit/cherry')).deleted, '1');
  assert.equal((await etcd.delete().key('fruit/cherry')).deleted, '0');
  const [gone] = await etcd.delete().prefix('fruit/b').getPrevious();
  assert.equal(gone.value.toString(), '1');
  await assert.rejects(etcd.put('').value('1').exec(), /etcdserver: key is not provided/);
}

async function transactions(etcd) {
  const create = (value) => etcd.if('txn', 'Create', '==', 0).and('txn', 'Version', '==', 0)
    .then(etcd.put('txn').value(value), etcd.get('txn'))
    .else(etcd.get('txn'), etcd.delete().key('txn')).commit();
  const won = await create('new');
  assert.equal(won.succeeded, true);
  assert.equal(won.responses[1].response_range.kvs[0].value.toString(), 'new');
  const lost = await create('newer');
  assert.equal(lost.succeeded, false);
  assert.equal(lost.responses[0].response_range.kvs[0].value.toString(), 'new');
  assert.equal(lost.responses[1].response_delete_range.deleted, '1');
  const twice = etcd.if('txn', 'Version', '==', 0)
    .then(etcd.put('twice').value('1'), etcd.put('twice').value('2')).commit();
  await assert.rejects(twice, /etcdserver: duplicate key given in txn request/);
  await etcd.put('counter').value(1);
  await etcd.stm().transact((tx) => tx.get('counter').number()
    .then((n) => tx.put('counter').value(n + 1)));
  assert.equal(await etcd.get('counter').number(), 2);
}

async function leases(etcd) {
  const lease = etcd.lease(600, { autoKeepAlive: false });
  const id = await lease.grant();
  await lease.put('leased').value('1');
  assert.equal((await etcd.get('leased').exec()).kvs[0].lease, id);
  assert.equal((await lease.keepaliveOnce()).TTL, '600');
  const { leases: all } = await etcd.leaseClient.leaseLeases();
  assert.ok(all.some(({ ID }) => ID === id));
  const left = await etcd.leaseClient.leaseTimeToLive({ ID: id, keys: true });
  assert.deepEqual([left.grantedTTL, left.keys.map(String)], ['600', ['leased']]);
  await lease.revoke();
  assert.equal(await etcd.get('leased').exists(), false);
  await assert.rejects(lease.keepaliveOnce(), EtcdLeaseInvalidError);
  const unknown = etcd.put('x').value('1').lease(4711).exec();
  await assert.rejects(unknown, /etcdserver: requested lease not found/);

  const watcher = await etcd.watch().key('short').create();
  const events = collect(watcher);
  const short = etcd.lease(1, { autoKeepAlive: false });
  await short.put('short').value('1');
  assert.deepEqual((await events(2)).map(([type]) => type), ['put', 'delete']);
  await watcher.cancel();
}

async function watches(etcd) {
  const first = (await etcd.put('w/1').value('a')).header.revision;
  await etcd.put('w/1').value('b');
  await etcd.delete().key('w/1');
  await etcd.put('w/2').value('c');
  const watcher = await etcd.watch().prefix('w/').startRevision(first).withPreviousKV().create();
  const events = collect(watcher);
  assert.deepEqual(await events(4), [
    ['put', 'w/1', 'a', null], ['put', 'w/1', 'b', 'a'],
    ['delete', 'w/1', '', 'b'], ['put', 'w/2', 'c', null],
  ]);
  await etcd.put('w/3').value('live');
  assert.equal((await events(1))[0][1], 'w/3');
  await watcher.cancel();
  const puts = await etcd.watch().prefix('w/').only('put').create();
  const filtered = collect(puts);
  await etcd.delete().prefix('w/');
  await etcd.put('w/4').value('seen');
  assert.deepEqual((await filtered(1))[0].slice(0, 2), ['put', 'w/4']);
  await puts.cancel();
  return first;
}

async function compaction(etcd, first) {
  const { header: { revision } } = await etcd.put('compacted').value('1');
  await etcd.kv.compact({ revision, physical: true });
  const compacted = /etcdserver: mvcc: required revision has been compacted/;
  await assert.rejects(etcd.kv.compact({ revision }), compacted);
  await assert.rejects(etcd.get('w/2').revision(first).exec(), compacted);
  const future = etcd.get('w/2').revision(1000000).exec();
  await assert.rejects(future, (error) => error instanceof GRPCGenericError
    && /etcdserver: mvcc: required revision is a future revision/.test(error.message));
}

async function locks(etcd) {
  const mine = await etcd.lock('door').ttl(60).acquire();
  await assert.rejects(etcd.lock('door').ttl(60).acquire(), EtcdLockFailedError);
  await mine.release();
  await etcd.lock('door').ttl(60).do(async () => {});
}

async function elections(etcd, other) {
  const election = etcd.election('chief', 60);
  const observer = await election.observe();
  const change = within(once(observer, 'change'), 'a leader');
  const won = election.campaign('one');
  await within(won.wait(), 'the first is elected');
  assert.deepEqual(await change, ['one']);
  assert.equal(await election.leader(), 'one');
  const waiting = other.election('chief', 60).campaign('two');
  const elected = within(once(waiting, 'elected'), 'the second is elected');
  await won.proclaim('uno');
  while (observer.leader() !== 'uno') await within(once(observer, 'change'), 'a new name');
  await waiting.getCampaignKey();
  await won.resign();
  await elected;
  assert.equal(await election.leader(), 'two');
  await waiting.resign();
  await observer.cancel();
}

async function node(etcd) {
  const status = await etcd.maintenance.status();
  assert.match(status.version, /^3\.\d+\.\d+/);
  const { members } = await etcd.cluster.memberList({});
  assert.deepEqual(members.map(({ name }) => name), ['m1']);
  assert.equal(members[0].ID, status.leader);
  assert.deepEqual(members[0].clientURLs, [`http://127.0.0.1:${port}`]);
  assert.deepEqual((await etcd.maintenance.alarm({ action: 'Get' })).alarms, []);
}

async function main() {
  const [etcd, other] = [connect(), connect()];
  await keys(etcd);
  await transactions(etcd);
  await leases(etcd);
  const first = await watches(etcd);
  await compaction(etcd, first);
  await locks(etcd);
  await elections(etcd, other);
  await node(etcd);
  etcd.close();
  other.close();
}

main().then(
  () => { console.log('the etcd3 story holds'); process.exit(0); },
  (error) => { console.error(error); process.exit(1); },
);
