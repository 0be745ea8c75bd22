'use strict';

// registry-client.js SESSION META ADMIN, each HOST:PORT: sofa-registry-node against a registry, and what operators do to it over the
// HTTP of the original. It must be alone: pushes are stopped and clients put off. Prints "ok NAME" or "WRONG NAME: why";
// exit 1 if one is wrong. ADMIN is the administration of a Diwan node: it tells whether pushes were acknowledged.

const assert = require('assert');
const { RegistryClient } = require('sofa-registry-node');

const [ session, meta, admin ] = process.argv.slice(2);
const [ endpoint, port ] = session.split(':');
const quiet = { info() {}, debug() {}, warn() {}, error: console.error };
const ZONE = 'DEFAULT_ZONE';
const run = `${process.pid}-${Date.now()}`;

// What urllib does of it.
const httpclient = {
  async request(url, { data }) {
    const query = Object.entries(data).filter(([ , value ]) => value !== undefined);
    const answer = await fetch(`${url}?${new URLSearchParams(query)}`);
    return { data: await answer.text() };
  },
};

function connect(appname) {
  return new RegistryClient({
    config: { endpoint, port: Number(port), zone: ZONE, dataCenter: 'dc', appname },
    logger: quiet,
    httpclient,
    singleMode: true,
  });
}

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

const clients = [];

// The client sends a registration only at the second turn of its worker, or 200 ms later, and its own check begins that again every
// 500 ms (lib/task/worker.js, lib/registry_check.js): another registration gives the worker its turn.
function nudge() {
  for (const client of clients) client.register({ dataId: `npm.${run}.nudge`, data: [ `${Date.now()}` ] });
}

async function until(what, wanted) {
  for (let waited = 0; waited < 10000; waited += 20) {
    if (wanted(await what())) return;
    if (waited % 200 === 100) nudge();
    await sleep(20);
  }
  assert.fail(`after 10 s: ${JSON.stringify(await what())}`);
}

const seen = () => { const all = []; return { all, last: () => all.at(-1), listen: data => all.push(data) }; };
const is = (...data) => pushed => pushed !== undefined && JSON.stringify((pushed.zoneData[ZONE] || []).sort()) === JSON.stringify(data);

const name = dataId => `${dataId}#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP`;

async function acknowledged(dataId) {
  const service = encodeURIComponent(name(dataId));
  const answer = await fetch(`http://${admin}/registry/v1/push-history?service=${service}`);
  const { nodes } = await answer.json();
  const pushes = Object.values(nodes).flat();
  return pushes.length > 0 && pushes.every(push => push.acknowledged === push.receivers);
}

async function publishers(dataId) {
  const answer = await fetch(`http://${session}/digest/pub/data/query?dataInfoId=${encodeURIComponent(name(dataId))}`);
  return ((await answer.json()).PUB || []).length;
}

async function tell(addr, path, body) {
  const form = body instanceof URLSearchParams;
  const options = body === undefined ? {} : {
    method: 'POST',
    headers: form ? {} : { 'Content-Type': 'application/json' },
    body: form ? body : JSON.stringify(body),
  };
  const answer = await (await fetch(`http://${addr}/${path}`, options)).json();
  assert.strictEqual(answer.success, true, `${path}: ${JSON.stringify(answer)}`);
}

/** A publisher and a subscriber that has seen it. */
async function pair(one, other, dataId) {
  const watched = seen();
  other.subscribe({ dataId, scope: 'global' }, watched.listen);
  one.register({ dataId, data: [ 'x' ] });
  await until(watched.last, is('x'));
  return watched;
}

const cases = {
  async 'publish-subscribe'(one, other) {
    const dataId = `npm.${run}.pub`;
    const watched = seen();
    other.subscribe({ dataId, scope: 'zone' }, watched.listen);
    await until(watched.last, is());
    one.register({ dataId, data: [ 'a', 'b' ] });
    await until(watched.last, is('a', 'b'));
    assert.strictEqual(watched.last().localZone, ZONE);
    one.register({ dataId, data: [ 'c' ] });
    await until(watched.last, is('c'));
    await until(() => acknowledged(dataId), told => told === true);
  },
  async 'late-subscriber'(one, other) {
    const dataId = `npm.${run}.late`;
    one.register({ dataId, data: [ 'x' ] });
    await until(() => publishers(dataId), count => count === 1);
    for (const scope of [ 'zone', 'dataCenter', 'global' ]) {
      const watched = seen();
      other.subscribe({ dataId, scope }, watched.listen);
      await until(watched.last, is('x'));
    }
  },
  async unpublish(one, other) {
    const dataId = `npm.${run}.gone`;
    const watched = seen();
    other.subscribe({ dataId, scope: 'global' }, watched.listen);
    one.register({ dataId, data: [ 'x' ] });
    await until(watched.last, is('x'));
    one.unregister({ dataId });
    await until(watched.last, is());
  },
  async configuration(one, other) {
    const dataId = `npm.${run}.config`;
    const put = await fetch(`http://${meta}/persistentData/put`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ dataId, group: 'DEFAULT_GROUP', instanceId: 'DEFAULT_INSTANCE_ID', data: 'on' }),
    });
    assert.strictEqual((await put.json()).success, true);
    // The client takes the first value only: it compares versions with what it holds (lib/register/configurator.js).
    const watched = seen();
    other.subscribeConfig({ dataId }, watched.listen);
    await until(watched.last, pushed => pushed !== undefined && pushed.data === 'on');
  },
  async 'push-switch'(one, other) {
    const dataId = `npm.${run}.switch`;
    const watched = await pair(one, other, dataId);
    const stopped = async () => (await (await fetch(`http://${session}/digest/pushSwitch`)).json()).pushSwitch;
    await tell(meta, 'stopPushDataSwitch/open');
    try {
      await until(stopped, said => said === 'closed');
      const before = watched.all.length;
      one.unregister({ dataId });
      await until(() => publishers(dataId), count => count === 0);
      await sleep(1000);
      assert.strictEqual(watched.all.length, before);
      await tell(meta, 'stopPushDataSwitch/grayOpen', { ips: [ '127.0.0.1' ] });
      await until(watched.last, is());
    } finally {
      await tell(meta, 'stopPushDataSwitch/close');
    }
    await until(stopped, said => said === 'open');
  },
  async 'client-off'(one, other) {
    const dataId = `npm.${run}.off`;
    const watched = await pair(one, other, dataId);
    const ips = new URLSearchParams({ ips: '127.0.0.1' });
    await tell(session, 'api/clientManager/clientOff', ips);
    await until(watched.last, is());
    // Its connection ends, and it registers again.
    await tell(session, 'api/clientManager/clientOpen', ips);
    await until(watched.last, is('x'));
  },
  async 'black-list'(one, other) {
    const dataId = `npm.${run}.black`;
    const watched = await pair(one, other, dataId);
    await tell(meta, 'blacklist/update', { FORBIDDEN_PUB: { IP_FULL: [ '127.0.0.1' ] } });
    try {
      await until(() => publishers(dataId), count => count === 0);
      one.register({ dataId, data: [ 'y' ] });
      await sleep(1000);
      assert.strictEqual(await publishers(dataId), 0);
    } finally {
      await tell(meta, 'blacklist/update', {});
    }
    await until(watched.last, is('y'));
  },
};

(async () => {
  const one = connect('publisher');
  const other = connect('subscriber');
  clients.push(one, other);
  await Promise.all([ one.ready(), other.ready() ]);
  let wrong = 0;
  for (const [ name, test ] of Object.entries(cases)) {
    try {
      await test(one, other);
      console.log(`ok ${name}`);
    } catch (error) {
      wrong += 1;
      console.log(`WRONG ${name}: ${error.message}`);
    }
  }
  process.exit(wrong ? 1 : 0);
})();
