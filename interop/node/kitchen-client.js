'use strict';

// kitchen-client.js HOST PORT N [--only A,B] [--skip A,B] [--seed S]: the Kitchen cases that sofa-rpc-node can express,
// then N calls of changing content. Prints "ok NAME" or "WRONG NAME: why"; exit 1 if one is wrong.
// DIWAN_MARKS=HOST:PORT tells a recording proxy which case comes next.

const assert = require('assert');
const net = require('net');
const protocol = require('sofa-bolt-node');
const { RpcClient } = require('sofa-rpc-node').client;
const k = require('./kitchen');
const tellRecorder = require('./marks');

const { of, values } = k;
const quiet = { info() {}, debug() {}, warn() {}, error: console.error };
const cases = new Map();
let kitchen;
let client;
let target;

const call = (method, ...args) => kitchen.invoke(method, args, { responseTimeout: 5000 });
const equal = (actual, expected) => assert.deepStrictEqual(actual, expected);

/** Each input, wrapped for the wire, must be answered as expected. */
function each(name, method, wrap, unwrap, expect, inputs) {
  cases.set(name, async () => {
    for (const input of inputs) {
      equal(unwrap(await call(method, wrap(input))), expect(input));
    }
  });
}

const same = value => value;
const typed = type => value => of(type, value);
const decimal = value => of('java.math.BigDecimal', value == null ? null : { value });
const longText = odd => (odd ? 'x' : '') + '😀'.repeat(35000) + '中文 end';
const UNICODE = 'aé中😀🇨🇳e\u0301\u0000\u007f\u07ff\u0800\uffff';
const bytes = length => Buffer.from(Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255));
const orNull = f => value => (value == null ? null : f(value));

each('boolean', 'not', typed('boolean'), same, value => !value, [ true, false ]);
each('byte', 'nextByte', typed('byte'), same, value => (value + 1) << 24 >> 24, [ 0, -128, 127, 47, -16 ]);
each('short', 'nextShort', typed('short'), same, value => (value + 1) << 16 >> 16, [ 0, -32768, 32767, 255 ]);
each('int', 'nextInt', typed('int'), same, value => (value + 1) | 0,
  [ 0, -1, -16, -17, 46, 47, 48, 2046, 2047, -2048, -2049, 262142, 262143, -262144, -262145, -2147483648, 2147483647 ]);
each('long', 'nextLong', typed('long'), value => BigInt(value), value => BigInt.asIntN(64, BigInt(value) + 1n),
  [ 0, -8, -9, 14, 15, 16, 2047, -2049, 262143, 2147483647, -2147483649, '9223372036854775807', '-9223372036854775808', '9007199254740993' ]);
each('float', 'halfFloat', typed('float'), same, value => value / 2, [ 0, 1, 2.5, 255, 1048576 ]);
each('double', 'halfDouble', typed('double'), same, value => value / 2,
  [ 0, 2, 0.1, 254, -256, 65534, -65536, 131072, 1e308, Infinity, -Infinity, NaN, Math.PI ]);
each('char', 'nextChar', typed('char'), same, value => String.fromCharCode(value.charCodeAt(0) + 1), [ 'a', 'é', '中' ]);
each('boxed', 'nextBoxedInt', typed('java.lang.Integer'), same, orNull(value => value + 1), [ 7, 70000, null ]);
each('boxed-null', 'nextBoxedLong', typed('java.lang.Long'), same, orNull(value => value + 1), [ null ]);
each('string', 'reverse', values.string, same, k.reverse, [ '', 'a', UNICODE, 'x'.repeat(31), 'x'.repeat(32), 'x'.repeat(1024) ]);
each('string-null', 'reverse', values.string, same, same, [ null ]);
each('string-length', 'utf16Length', values.string, same, value => value.length, [ '', UNICODE, '😀' ]);
each('string-long', 'reverse', values.string, same, k.reverse, [ 'x'.repeat(32768), 'x'.repeat(65536), longText(false), longText(true) ]);
for (const [ name, length ] of [ [ '0', 0 ], [ '15', 15 ], [ '16', 16 ], [ '100k', 100000 ] ]) {
  each('bytes-' + name, 'flip', values.bytes, value => value.toString('hex'), value => k.flip(value).toString('hex'), [ bytes(length) ]);
}
each('bytes-null', 'flip', values.bytes, same, same, [ null ]);
each('bytes-10mb', 'sum', values.bytes, same, value => value.reduce((sum, byte) => sum + byte, 0), [ bytes(10 << 20) ]);
each('date', 'nextDay', typed('java.util.Date'), orNull(value => value.getTime()), orNull(value => value.getTime() + 86400000),
  [ new Date(0), new Date(-1), new Date(1585267200123), null ]);
each('big-decimal', 'negate', decimal, k.decimalOf, k.negate, [ '12345678.90', '-98765432109876543210.0123456789', null ]);
each('locale', 'language', value => of('java.util.Locale', value == null ? null : { value }), orNull(value => value.value || value),
  orNull(value => value.split('_')[0]), [ 'zh_CN', 'en_US', null ]);
each('enum', 'nextSpice', values.spice, k.nameOf, k.nextSpice, [ 'SALT', 'CHILI', null ]);
each('enum-list', 'nextSpices', values.spices, list => list.map(k.nameOf), list => list.map(k.nextSpice).reverse(),
  [ [ 'SALT', 'CHILI', 'PEPPER' ], [] ]);
each('list', 'reverseDishes', values.dishes, orNull(list => list.map(k.plainDish)), orNull(list => list.slice().reverse()),
  [ [], [ k.sampleDish(1) ], Array.from({ length: 300 }, (_, i) => k.sampleDish(i)), null ]);
each('set', 'upperCase', list => of('java.util.Set', list, { generic: [ k.string ] }), list => list.slice().sort(),
  list => list.map(word => word.toUpperCase()).sort(), [ [], [ 'a', 'bü', 'c' ] ]);
each('map', 'halfPrice', map => of('java.util.Map', map, { generic: [ k.string, k.dish ] }),
  map => Object.fromEntries(Object.keys(map).sort().map(key => [ key, k.plainDish(map[key]) ])),
  map => Object.fromEntries(Object.keys(map).sort().map(key => [ key, Object.assign({}, map[key], { priceCents: map[key].priceCents / 2 }) ])),
  [ {}, { a: k.sampleDish(1), b: k.sampleDish(2) } ]);
each('map-int-keys', 'invert', map => of('java.util.Map', map, { generic: [ { type: 'int' }, k.string ] }), same,
  map => Object.fromEntries(Array.from(map, ([ number, name ]) => [ name, number ])), [ new Map([[ 1, 'one' ]]) ]);
each('string-array', 'reverseStrings', list => values.array('java.lang.String', list), same, list => list.slice().reverse(),
  [ [], [ 'a', null, '中' ], Array.from('0123456789'.repeat(4)) ]);
each('int-array', 'nextInts', list => values.array('int', list), same, list => list.map(value => value + 1), [ [], [ 1, -1, 70000 ] ]);
each('double-array', 'halfDoubles', list => values.array('double', list), same, list => list.map(value => value / 2), [ [], [ 1, 0.1, -1e9 ] ]);
each('object-array', 'reverseDishArray', list => values.array(k.dish.type, list), list => list.map(k.plainDish),
  list => list.slice().reverse(), [ [], [ k.sampleDish(1), null, k.sampleDish(2) ] ]);
each('int-matrix', 'transpose', rows => of('int', rows, { isArray: true, arrayDepth: 2 }), same,
  rows => rows[0].map((_, column) => rows.map(row => row[column])), [ [[ 1, 2, 3 ], [ 4, 5, 6 ]] ]);
each('superclass', 'remake', values.dish, k.plainDish, orNull(k.remake), [ k.sampleDish(3), null ]);

cases.set('interface-argument', async () => {
  equal(await kitchen.invoke('exchange', [ tool(values.knife(12.5)) ], { responseTimeout: 5000 }), { diameterCm: 12, lid: false });
  equal(await kitchen.invoke('exchange', [ tool(values.pan(30, true)) ], { responseTimeout: 5000 }), { lengthCm: 30 });
});
/** Declared as Tool, sent as what it is: the class of the signature and that of the value differ. */
const tool = value => of(k.PACKAGE + 'Tool', value);
cases.set('interface-field', async () => {
  const tools = [ values.knife(20.25), values.pan(24, false), null, values.knife(9.5) ];
  const tidied = await call('tidy', of(k.PACKAGE + 'Drawer', { favourite: values.pan(28, true), tools }));
  equal(tidied, { favourite: { lengthCm: 10 }, tools: [ { lengthCm: 10 }, null, { diameterCm: 26, lid: true }, { lengthCm: 20.75 } ] });
  assert(tidied.favourite === tidied.tools[0], 'the favourite is the first tool itself');
});
cases.set('cycle', async () => {
  const got = await call('swapPeers', of(k.node.type, k.cycle()));
  equal(k.graph(got), k.graph(k.swapPeers(k.cycle())));
  assert(got.next.next.next === got, 'the ring closes');
});
cases.set('cycle-count', async () => equal(await call('reach', of(k.node.type, k.cycle())), 3));
cases.set('ring', async () => {
  const got = await call('ring', of('int', 40));
  equal(k.reachable(got).size, 40);
  assert(got.peers[1] === got && got.next.peers[0] === got);
});
cases.set('shared', async () => {
  const twins = await call('twins', values.dish(k.sampleDish(4)));
  equal(k.plainDish(twins[0]), k.sampleDish(4));
  assert(twins[0] === twins[1], 'the very same object twice');
});
cases.set('shared-arguments', async () => {
  const one = { name: 'one', next: null, peers: [] };
  equal(await call('same', of(k.node.type, one), of(k.node.type, one)), true);
  equal(await call('same', of(k.node.type, one), of(k.node.type, Object.assign({}, one))), false);
});
cases.set('arguments', async () => equal(
  await call('join', of('int', -5), of('long', 8589934592), of('double', 0.5), of('boolean', true), values.string('x中'),
    of('java.util.Date', new Date(77)), of('java.util.List', [ 'a', 'b' ], { generic: [ k.string ] }), decimal('3.10')),
  '-5,8589934592,0.5,true,x中,77,a+b,3.10'));
cases.set('void', async () => {
  const before = Number(await call('counter'));
  equal(await call('add', of('int', 7)) == null, true);
  equal(Number(await call('counter')), before + 7);
});
cases.set('exception', async () => {
  const error = await failure(call('refuse', values.string('closed 中'), of('int', 451)));
  assert(error.message.includes('closed 中'), error.message);
});
cases.set('exception-undeclared', async () => {
  const error = await failure(call('burn', values.string('toast')));
  assert(error.message.includes('toast'), error.message);
});
cases.set('unknown-service', async () => {
  const nowhere = client.createConsumer({ interfaceName: k.PACKAGE + 'Nowhere', version: '1.0', serverHost: target });
  const error = await failure(nowhere.invoke('anything', [ of('int', 1) ], { responseTimeout: 3000 }));
  assert(error.message.includes(k.PACKAGE + 'Nowhere:1.0'), error.message);
});
cases.set('unknown-method', async () => {
  const error = await failure(call('fry', of('int', 1)));
  assert(error.message.includes('fry'), error.message);
});
cases.set('timeout', async () => {
  const start = Date.now();
  const error = await failure(kitchen.invoke('slow', [ values.string('late'), of('long', 1200) ], { responseTimeout: 500 }));
  equal(error.name, 'RpcResponseTimeoutError');
  const tookMs = Date.now() - start;
  assert(tookMs >= 450 && tookMs < 1100, `timed out after ${tookMs} ms`);
  equal(await call('echo', values.string('on time')), 'on time');
  await new Promise(resolve => setTimeout(resolve, 1000));
  equal(await call('echo', values.string('after it')), 'after it');
});
cases.set('overtaking', async () => {
  const order = [];
  await Promise.all([ [ 'slow', 600 ], [ 'quick', 0 ] ].map(async ([ text, delay ]) =>
    order.push(await call('slow', values.string(text), of('long', delay)))));
  equal(order, [ 'quick', 'slow' ]);
});
cases.set('unique-id', async () => {
  const annex = client.createConsumer({ interfaceName: k.SERVICE, version: '1.0:annex', serverHost: target });
  const main = Number(await call('counter'));
  const before = Number(await annex.invoke('counter', [], { responseTimeout: 3000 }));
  await annex.invoke('add', [ of('int', 3) ], { responseTimeout: 3000 });
  equal([ Number(await call('counter')), Number(await annex.invoke('counter', [], { responseTimeout: 3000 })) ], [ main, before + 3 ]);
});
cases.set('heartbeat', () => new Promise((resolve, reject) => {
  // sofa-rpc-node sends heartbeats and ignores the answers; so on a bare connection.
  const socket = net.connect(Number(target.split(':')[1]), target.split(':')[0]);
  const encoder = protocol.encoder({ sentReqs: new Map() });
  const decoder = protocol.decoder({ sentReqs: new Map() });
  const timer = setTimeout(() => done(new Error('no answer to a heartbeat in 2 s')), 2000);
  const done = error => {
    clearTimeout(timer);
    socket.destroy();
    return error ? reject(error) : resolve();
  };
  socket.on('error', done);
  decoder.on('heartbeat_ack', ack => done(ack.packetId === 7 ? null : new Error('answer to ' + ack.packetId)));
  encoder.pipe(socket).pipe(decoder);
  encoder.writeHeartbeat(7, { clientUrl: 'interop' });
}));
cases.set('echo-service', async () => {
  const echo = client.createConsumer({ interfaceName: 'com.diwan.bench.Echo', version: '1.0', serverHost: target });
  equal(await echo.invoke('echo', [ values.string('hello') ]), 'hello');
  const order = {
    orderId: 'ORD-1', userId: 'user-1', channel: 'app', currency: 'CNY', remark: '请在工作日', couponCode: null, status: 3, itemCount: 4,
    priority: 70000, createdAtMs: 1585267200123, version: 17, weightKg: 12.375, discountRate: 0.15, paid: true, gift: false,
    deliverBy: new Date(1585526400000), amount: '12345678.90', skus: [ 'A', 'B' ], labels: { cell: 'GZ00A' },
    address: { street: '569 Xixi Road', city: 'Hangzhou', zip: '310013', country: 'CN', latitude: 30.2741, longitude: 120.1551 },
  };
  const got = await echo.invoke('order', [ of('com.diwan.bench.Order', order) ]);
  equal(Object.assign({}, got, { amount: k.decimalOf(got.amount) }), order);
  assert((await failure(echo.invoke('fail', [ values.string('declined') ]))).message.includes('declined'));
});

/** 200 calls under way on one connection. */
cases.set('concurrent', () => Promise.all(Array.from({ length: 200 }, async (_, i) => {
  equal(await call('reverse', values.string('text ' + i)), k.reverse('text ' + i));
  equal(k.plainDish(await call('remake', values.dish(k.sampleDish(i)))), k.remake(k.sampleDish(i)));
})));

async function rotation(calls, seed) {
  let state = BigInt(seed) * 0x9e3779b97f4a7c15n;
  const random = below => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return Number((state >> 33n) % BigInt(below));
  };
  const text = () => Array.from({ length: random(200) }, () => String.fromCodePoint(
    [ 0x20 + random(95), 0x80 + random(0x700), 0x4e00 + random(0x5000), 0x10000 + random(0xffff) ][random(4)])).join('');
  for (let i = 0; i < calls; i++) {
    const what = `call ${i} of seed ${seed}`;
    switch (random(6)) {
      case 0: {
        const sent = text();
        assert.strictEqual(await call('reverse', values.string(sent)), k.reverse(sent), what);
        break;
      }
      case 1: {
        const sent = random(2 ** 31) - 2 ** 30;
        assert.strictEqual(await call('nextInt', of('int', sent)), sent + 1, what);
        break;
      }
      case 2: {
        const sent = (random(2) ? 1 : 0.1) * (random(200000) - 100000);
        assert.strictEqual(await call('halfDouble', of('double', sent)), sent / 2, what);
        break;
      }
      case 3: {
        const sent = Buffer.from(Array.from({ length: random(3000) }, () => random(256)));
        assert.strictEqual((await call('flip', values.bytes(sent))).toString('hex'), k.flip(sent).toString('hex'), what);
        break;
      }
      case 4: {
        const sent = Object.assign(k.sampleDish(random(1000)), { name: text() });
        assert.deepStrictEqual(k.plainDish(await call('remake', values.dish(sent))), k.remake(sent), what);
        break;
      }
      default: {
        const sent = Array.from({ length: random(12) }, () => k.sampleDish(random(1000)));
        assert.deepStrictEqual((await call('reverseDishes', values.dishes(sent))).map(k.plainDish), sent.slice().reverse(), what);
      }
    }
  }
}

async function failure(promise) {
  let answer;
  try {
    answer = await promise;
  } catch (error) {
    return error;
  }
  throw new Error('an answer instead of an error: ' + JSON.stringify(answer));
}

function option(args, name) {
  const at = args.indexOf(name);
  return at < 0 ? null : args.splice(at, 2)[1];
}

async function main() {
  const args = process.argv.slice(2);
  const only = option(args, '--only');
  const skip = (option(args, '--skip') || '').split(',').filter(Boolean);
  const seed = Number(option(args, '--seed') || 1);
  const [ host, port, calls ] = args;
  target = host + ':' + port;
  cases.set('rotation', () => rotation(Number(calls), seed));
  const names = only ? only.split(',') : Array.from(cases.keys());
  for (const name of names.concat(skip)) {
    if (!cases.has(name)) throw new Error(`no such case: ${name}; there are ${Array.from(cases.keys())}`);
  }

  client = new RpcClient({ logger: quiet });
  kitchen = client.createConsumer({ interfaceName: k.SERVICE, version: '1.0', serverHost: target, classMap: k.classMap,
    connectionOpts: { classMap: k.classMap } });
  await kitchen.ready();
  let wrong = 0;
  let ran = 0;
  for (const name of names.filter(each => !skip.includes(each))) {
    await tellRecorder(name);
    ran++;
    try {
      await cases.get(name)();
      console.log('ok ' + name);
    } catch (error) {
      wrong++;
      console.log(`WRONG ${name}: ${String(process.env.DIWAN_TRACE ? error.stack : error.message).replace(/\n/g, ' ').slice(0, 400)}`);
    }
  }
  console.log(`${ran} cases, ${wrong} wrong`);
  process.exit(wrong === 0 && ran > 0 ? 0 : 1);
}

main().catch(error => {
  console.log('WRONG ' + error.stack);
  process.exit(1);
});
