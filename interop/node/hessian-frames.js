'use strict';

// hessian-frames.js echo|generate|describe draft|final [SEED COUNT]
// Hessian values in frames (u32 big-endian length, then one value). The draft dialect by sofa-hessian-node, the final one by
// hessian.js. echo decodes each frame of stdin and encodes it again (a frame that fails comes back empty, the reason on
// stderr); generate writes random values; describe prints one line of JSON for each.

const [ what, dialect, seed, count ] = process.argv.slice(2);

const codecs = {
  draft() {
    const { v3 } = require('sofa-hessian-node');
    return { encode: value => v3.encode(value, '2.0'), decode: (bytes, typed) => v3.decode(bytes, '2.0', typed) };
  },
  final() {
    const hessian = require('hessian.js');
    return { encode: value => hessian.encode(value, '2.0'), decode: (bytes, typed) => hessian.decode(bytes, '2.0', typed) };
  },
};

function* frames(bytes) {
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt32BE(at);
    yield bytes.subarray(at + 4, at + 4 + length);
    at += 4 + length;
  }
}

function framed(bytes) {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(bytes.length);
  return Buffer.concat([ head, bytes ]);
}

function stdin() {
  return require('fs').readFileSync(0);
}

/** Values by a seeded generator; an object, list or map may be met again further on in the same value. */
class Values {
  constructor(seed) {
    this.state = BigInt(seed) * 0x9e3779b97f4a7c15n + 1n;
    this.made = [];
    this.left = 300;
  }

  below(limit) {
    this.state = BigInt.asUintN(64, this.state * 6364136223846793005n + 1442695040888963407n);
    return Number((this.state >> 33n) % BigInt(limit));
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  text(max) {
    const points = [ () => 0x20 + this.below(95), () => 0x80 + this.below(0x700), () => 0x4e00 + this.below(0x5000), () => 0x10000 + this.below(0xffff) ];
    return Array.from({ length: this.below(max) }, () => String.fromCodePoint(this.pick(points)())).join('');
  }

  keep(value) {
    this.made.push(value);
    return value;
  }

  value(depth) {
    if (this.made.length && this.below(10) === 0) return this.pick(this.made);
    const edges = [ 0, 1, -1, -16, -17, 47, 48, 2047, 2048, -2048, -2049, 262143, 262144, -262144, -262145, 2147483647, -2147483648 ];
    switch (this.below(depth < 5 && this.left-- > 0 ? 12 : 8)) {
      case 0: return null;
      case 1: return this.below(2) === 1;
      case 2: return this.pick(edges);
      case 3: return { $class: 'long', $: this.pick([ ...edges, '9223372036854775807', '-9223372036854775808', 4294967296 ]) };
      case 4: return { $class: 'double', $: this.pick([ 0, 1, 0.5, 0.1, -128, 127, 32767, 1e300, this.below(1e9) / 1000, NaN, Infinity ]) };
      case 5: return new Date(this.below(2e9) * 1000 + this.below(1000));
      case 6: return this.text(this.below(20) === 0 ? 40000 : 40);
      case 7: return Buffer.from(Array.from({ length: this.below(this.below(20) === 0 ? 70000 : 40) }, () => this.below(256)));
      case 8:
      case 9: {
        const list = this.keep([]);
        for (let n = this.below(6); n > 0; n--) list.push(this.value(depth + 1));
        return list;
      }
      case 10: {
        const map = this.keep({});
        for (let n = this.below(6); n > 0; n--) map['k' + this.text(8)] = this.value(depth + 1);
        return map;
      }
      default:
        return this.keep({ $class: 'com.diwan.interop.Tag', $: { text: this.text(20), weight: this.below(100000) } });
    }
  }
}

/** JSON with references, dates, bytes and numbers that JSON has not. */
function describe(root) {
  const seen = new Map();
  const text = value => {
    if (value === null || value === undefined) return 'null';
    if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
    if (typeof value !== 'object') return JSON.stringify(value);
    if (Buffer.isBuffer(value)) return 'x' + value.toString('hex');
    if (value instanceof Date) return 'date:' + value.getTime();
    if (seen.has(value)) return '#' + seen.get(value);
    seen.set(value, seen.size);
    if (Array.isArray(value)) return '[' + value.map(text).join() + ']';
    // In order of their keys, so that a peer may reorder a map.
    const entries = (value instanceof Map ? Array.from(value) : Object.entries(value)).map(([ key, item ]) => [ JSON.stringify(key), item ]);
    entries.sort(([ a ], [ b ]) => (a < b ? -1 : 1));
    return '{' + entries.map(([ key, item ]) => key + ':' + text(item)).join() + '}';
  };
  return text(root);
}

function main() {
  if (![ 'echo', 'generate', 'describe' ].includes(what) || !codecs[dialect]) {
    console.error('hessian-frames.js echo|generate|describe draft|final [SEED COUNT]');
    return 2;
  }
  const { encode, decode } = codecs[dialect]();
  const out = [];
  let failed = 0;
  if (what === 'generate') {
    for (let i = 0; i < Number(count); i++) {
      out.push(framed(encode(new Values(Number(seed) * 1000003 + i).value(0))));
    }
  } else {
    let number = 0;
    for (const frame of frames(stdin())) {
      try {
        out.push(what === 'echo' ? framed(encode(decode(frame, true))) : Buffer.from(describe(decode(frame, false)) + '\n'));
      } catch (error) {
        failed++;
        console.error(`frame ${number}: ${error.message}`);
        out.push(what === 'echo' ? framed(Buffer.alloc(0)) : Buffer.from('failed\n'));
      }
      number++;
    }
  }
  process.stdout.write(Buffer.concat(out), () => process.exit(failed ? 1 : 0));
  return undefined;
}

const status = main();
if (status) process.exit(status);
