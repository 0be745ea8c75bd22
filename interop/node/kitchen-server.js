'use strict';

// kitchen-server.js PORT: the Kitchen methods that sofa-rpc-node can express, and Echo, on 127.0.0.1.

const { RpcServer } = require('sofa-rpc-node').server;
const k = require('./kitchen');

const quiet = { info() {}, debug() {}, warn: console.error, error: error => console.error(error.message || error) };
const long = value => k.of('long', value);
const wrapLong = value => long(BigInt.asIntN(64, value).toString());

const exchange = tool => (tool == null ? null : tool.lengthCm !== undefined ? k.values.pan(Math.trunc(tool.lengthCm), false)
  : k.values.knife(tool.diameterCm));

/** Each has its own counter. */
function newKitchen() {
  let counter = 0;
  const kitchen = {
    async not(value) { return !value; },
    async nextByte(value) { return k.of('int', (value + 1) << 24 >> 24); },
    async nextShort(value) { return k.of('int', (value + 1) << 16 >> 16); },
    async nextInt(value) { return k.of('int', (value + 1) | 0); },
    async nextLong(value) { return wrapLong(BigInt(value) + 1n); },
    async halfFloat(value) { return k.of('double', Math.fround(value / 2)); },
    async halfDouble(value) { return k.of('double', value / 2); },
    async nextChar(value) { return k.values.string(String.fromCharCode(value.charCodeAt(0) + 1)); },
    async notBoxed(value) { return value == null ? null : !value; },
    async nextBoxedByte(value) { return value == null ? null : kitchen.nextByte(value); },
    async nextBoxedShort(value) { return value == null ? null : kitchen.nextShort(value); },
    async nextBoxedInt(value) { return value == null ? null : kitchen.nextInt(value); },
    async nextBoxedLong(value) { return value == null ? null : kitchen.nextLong(value); },
    async halfBoxedFloat(value) { return value == null ? null : kitchen.halfFloat(value); },
    async halfBoxedDouble(value) { return value == null ? null : kitchen.halfDouble(value); },
    async nextBoxedChar(value) { return value == null ? null : kitchen.nextChar(value); },
    async echo(text) { return text; },
    async reverse(text) { return text == null ? null : k.values.string(k.reverse(text)); },
    async utf16Length(text) { return k.of('int', text == null ? -1 : text.length); },
    async flip(data) { return data == null ? null : k.values.bytes(k.flip(data)); },
    async sum(data) { return long(data == null ? -1 : data.reduce((sum, byte) => sum + byte, 0)); },
    async nextDay(date) { return date == null ? null : k.of('java.util.Date', new Date(date.getTime() + 86400000)); },
    async negate(value) {
      // Plain notation only; 0 has no sign.
      const text = k.decimalOf(value);
      return text == null ? null : k.of('java.math.BigDecimal', { value: /[1-9]/.test(text) ? k.negate(text) : text.replace('-', '') });
    },
    async language(locale) { return locale == null ? null : k.of('java.util.Locale', { value: locale.value.split('_')[0] }); },
    async nextSpice(value) { return value == null ? null : k.values.spice(k.nextSpice(k.nameOf(value))); },
    async nextSpices(list) {
      return list == null ? null : k.values.spices(list.map(value => (value == null ? null : { name: k.nextSpice(k.nameOf(value)) })).reverse());
    },
    async reverseDishes(list) { return list == null ? null : k.values.dishes(list.slice().reverse().map(wireDish)); },
    async halfPrice(dishes) {
      if (dishes == null) return null;
      const half = {};
      for (const key of Object.keys(dishes)) {
        half[key] = Object.assign(wireDish(dishes[key]), { priceCents: Math.trunc(dishes[key].priceCents / 2) });
      }
      return k.of('java.util.Map', half, { generic: [ k.string, k.dish ] });
    },
    async upperCase(words) {
      return words == null ? null : k.of('java.util.Set', words.map(word => word.toUpperCase()), { generic: [ k.string ] });
    },
    async heavier(tags) {
      return tags == null ? null : k.of('java.util.Set', tags.map(tag => ({ text: tag.text, weight: tag.weight * 2 })),
        { generic: [ { type: k.PACKAGE + 'Tag' } ] });
    },
    async invert(names) {
      const inverted = new Map();
      for (const key of Object.keys(names)) inverted.set(names[key], Number(key));
      return k.of('java.util.Map', inverted, { generic: [ k.string, { type: 'int' } ] });
    },
    async transpose(rows) {
      return rows == null ? null : k.of('int', (rows[0] || []).map((_, column) => rows.map(row => row[column])), { isArray: true, arrayDepth: 2 });
    },
    async reverseStrings(list) { return list == null ? null : k.values.array('java.lang.String', list.slice().reverse()); },
    async nextInts(list) { return list == null ? null : k.values.array('int', list.map(value => (value + 1) | 0)); },
    async nextLongs(list) { return list == null ? null : k.values.array('long', list.map(value => (BigInt(value) + 1n).toString())); },
    async halfDoubles(list) { return list == null ? null : k.values.array('double', list.map(value => value / 2)); },
    async reverseDishArray(list) { return list == null ? null : k.values.array(k.dish.type, list.slice().reverse().map(wireDish)); },
    async remake(dish) { return dish == null ? null : k.values.dish(k.remake(dish)); },
    async swapPeers(start) { return start == null ? null : k.of(k.node.type, k.swapPeers(start)); },
    async reach(start) { return k.of('int', k.reachable(start).size); },
    async ring(size) {
      const nodes = Array.from({ length: size }, (_, i) => ({ name: String(i), next: null, peers: [] }));
      nodes.forEach((each, i) => {
        each.next = nodes[(i + 1) % size];
        each.peers.push(nodes[(i + size - 1) % size], each);
      });
      return k.of(k.node.type, nodes[0]);
    },
    async twins(dish) {
      const wire = wireDish(dish);
      return k.values.dishes([ wire, wire ]);
    },
    async same(first, second) { return first === second; },
    async tidy(drawer) {
      if (drawer == null) return null;
      const tools = drawer.tools.map(tool => (tool == null ? null : tool.lengthCm !== undefined ? k.values.knife(tool.lengthCm + 0.5)
        : k.values.pan(tool.diameterCm + 2, !tool.lid))).reverse();
      return k.of(k.PACKAGE + 'Drawer', { favourite: tools.length ? tools[0] : null, tools });
    },
    async exchange(tool) { return exchange(tool); },
    async join(whole, big, real, flag, text, when, names, price) {
      return k.values.string([ whole, big, real, flag, text, when.getTime(), names.join('+'), k.decimalOf(price) ].join());
    },
    async refuse(reason, code) {
      const error = new Error(reason + ' ' + code);
      error.ignoreLog = true;
      throw error;
    },
    async burn(what) {
      const error = new Error(what);
      error.ignoreLog = true;
      throw error;
    },
    async slow(text, delayMs) {
      await new Promise(resolve => setTimeout(resolve, Number(delayMs)));
      return text;
    },
    async tick(by) { counter += by; },
    async add(by) { counter += by; },
    async counter() { return long(counter); },
  };
  return kitchen;
}

/** A decoded dish in the form the encoder wants. */
function wireDish(dish) {
  return dish == null ? null : k.plainDish(dish);
}

const echo = {
  async echo(text) { return text; },
  async order(order) {
    return k.of('com.diwan.bench.Order', Object.assign({}, order, { amount: k.decimalOf(order.amount) }));
  },
  async oneway() { /* nothing to answer */ },
  async fail(text) {
    const error = new Error(text);
    error.ignoreLog = true;
    throw error;
  },
};

async function main() {
  const port = Number(process.argv[2]);
  const server = new RpcServer({ logger: quiet, port, classMap: k.classMap });
  server.on('error', error => console.error(error.message));
  const apiMeta = { methods: [], classMaps: k.classMap };
  server.addService({ interfaceName: k.SERVICE, version: '1.0', apiMeta }, newKitchen());
  server.addService({ interfaceName: k.SERVICE, version: '1.0', uniqueId: 'annex', apiMeta }, newKitchen());
  server.addService({ interfaceName: 'com.diwan.bench.Echo', version: '1.0', apiMeta }, echo);
  await server.start();
  console.log('listening on 127.0.0.1:' + port);
}

main();
