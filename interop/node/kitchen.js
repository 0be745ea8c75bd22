'use strict';

// The Kitchen service as Node sees it: class information for the encoder, samples, and what the answers should be.
// A value for the wire is { $class, $, isArray?, generic?, isEnum? }; what the decoder gives back is plain.

const SERVICE = 'com.diwan.interop.Kitchen';
const PACKAGE = 'com.diwan.interop.';
const SPICES = [ 'SALT', 'PEPPER', 'CHILI' ];

const string = { type: 'java.lang.String' };
const spice = { type: PACKAGE + 'Spice', isEnum: true };
const listOf = item => ({ type: 'java.util.List', generic: [ item ] });
const dish = { type: PACKAGE + 'Dish' };
const node = { type: PACKAGE + 'Node' };

const classMap = {
  [PACKAGE + 'Dish']: {
    id: { type: 'long' },
    name: string,
    priceCents: { type: 'int' },
    vegan: { type: 'boolean' },
    spice,
    weightKg: { type: 'java.math.BigDecimal' },
    notes: listOf(string),
  },
  [PACKAGE + 'Knife']: { lengthCm: { type: 'double' } },
  [PACKAGE + 'Pan']: { diameterCm: { type: 'int' }, lid: { type: 'boolean' } },
  [PACKAGE + 'Drawer']: {
    favourite: { type: PACKAGE + 'Tool' },
    tools: listOf({ type: PACKAGE + 'Tool' }),
  },
  [PACKAGE + 'Node']: { name: string, next: node, peers: listOf(node) },
  [PACKAGE + 'Tag']: { text: string, weight: { type: 'int' } },
  'com.diwan.bench.Address': {
    street: string, city: string, zip: string, country: string, latitude: { type: 'double' }, longitude: { type: 'double' },
  },
  'com.diwan.bench.Order': {
    orderId: string, userId: string, channel: string, currency: string, remark: string, couponCode: string,
    status: { type: 'int' }, itemCount: { type: 'int' }, priority: { type: 'int' },
    createdAtMs: { type: 'long' }, version: { type: 'long' },
    weightKg: { type: 'double' }, discountRate: { type: 'double' },
    paid: { type: 'boolean' }, gift: { type: 'boolean' },
    deliverBy: { type: 'java.util.Date' },
    amount: { type: 'java.math.BigDecimal' },
    skus: listOf(string),
    labels: { type: 'java.util.Map', generic: [ string, string ] },
    address: { type: 'com.diwan.bench.Address' },
  },
};

/** A value with its Java type: of('int', 7), of(List, [..], { generic: [..] }). */
const of = (type, value, more) => Object.assign({ $class: type, $: value }, more);
const values = {
  string: value => of('java.lang.String', value),
  spice: value => of(spice.type, value, { isEnum: true }),
  spices: list => of('java.util.List', list, { generic: [ spice ] }),
  dish: value => of(dish.type, value),
  dishes: list => of('java.util.List', list, { generic: [ dish ] }),
  array: (type, list) => of(type, list, { isArray: true }),
  bytes: buffer => of('byte', buffer, { isArray: true }),
  /** A tool is { $class, $ } already. */
  knife: lengthCm => of(PACKAGE + 'Knife', { lengthCm }),
  pan: (diameterCm, lid) => of(PACKAGE + 'Pan', { diameterCm, lid }),
};

function sampleDish(n) {
  return {
    id: 100000000000 + n,
    name: 'dish-' + n + ' 菜🍜',
    priceCents: 100 * n + 98,
    vegan: n % 2 === 0,
    spice: SPICES[n % 3],
    weightKg: '0.' + (100 + n % 100) + '0',
    notes: [ 'note ' + n, 'hot' ],
  };
}

const reverse = text => (text == null ? text : Array.from(text).reverse().join(''));
const negate = decimal => (decimal == null ? null : decimal.startsWith('-') ? decimal.slice(1) : '-' + decimal);
const nextSpice = name => (name == null ? null : SPICES[(SPICES.indexOf(name) + 1) % 3]);
const flip = data => Buffer.from(data.map(byte => byte ^ 0x5a));
/** Enums and BigDecimals are decoded as objects of one field. */
const nameOf = value => (value == null ? null : value.name || value);
const decimalOf = value => (value == null ? null : value.value || value);

function remake(d) {
  return {
    id: Number(d.id) + 1,
    name: reverse(d.name),
    priceCents: d.priceCents * 2,
    vegan: !d.vegan,
    spice: nextSpice(nameOf(d.spice)),
    weightKg: negate(decimalOf(d.weightKg)),
    notes: d.notes == null ? null : d.notes.slice().reverse(),
  };
}

/** What was decoded, in the form of sampleDish. */
function plainDish(d) {
  return d == null ? d : Object.assign({}, d, { id: Number(d.id), spice: nameOf(d.spice), weightKg: decimalOf(d.weightKg) });
}

function reachable(start) {
  const seen = new Set();
  const open = start ? [ start ] : [];
  while (open.length) {
    const next = open.pop();
    if (seen.has(next)) continue;
    seen.add(next);
    if (next.next) open.push(next.next);
    open.push(...next.peers);
  }
  return seen;
}

function cycle() {
  const [ a, b, c ] = [ 'a', 'b', 'c' ].map(name => ({ name, next: null, peers: [] }));
  a.next = b;
  b.next = c;
  c.next = a;
  a.peers.push(c, a, b);
  b.peers.push(c, c);
  return a;
}

function swapPeers(start) {
  for (const each of reachable(start)) {
    each.peers.reverse();
    each.name += "'";
  }
  return start;
}

/** A graph as text, an object met again as #n. */
function graph(start) {
  const seen = new Map();
  const text = each => {
    if (each == null) return 'null';
    if (seen.has(each)) return '#' + seen.get(each);
    seen.set(each, seen.size);
    return `${each.name}(${text(each.next)};${each.peers.map(text).join()})`;
  };
  return text(start);
}

module.exports = {
  SERVICE, PACKAGE, SPICES, classMap, of, values, spice, dish, node, string, listOf, sampleDish, plainDish,
  reverse, negate, nextSpice, flip, nameOf, decimalOf, remake, reachable, cycle, swapPeers, graph,
};
