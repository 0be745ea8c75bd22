'use strict';

// bolt-client.js HOST PORT: sofa-bolt-node alone, without sofa-rpc-node above it: Bolt v1 and v2, with and without CRC,
// each on its own connection; heartbeats; many requests in one write. Exit 1 if an answer is wrong.

const assert = require('assert');
const net = require('net');
const protocol = require('sofa-bolt-node');
const tellRecorder = require('./marks');

const [ host, port ] = process.argv.slice(2);
const LIMIT_MS = 3000;

/** What the server sends on one connection, by packet id. */
async function exchange(settings, ids, write) {
  const sentReqs = new Map(ids.map(id => [ id, { req: { timeout: LIMIT_MS } } ]));
  const socket = net.connect(Number(port), host);
  const encoder = protocol.encoder({ sentReqs });
  const decoder = protocol.decoder({ sentReqs });
  Object.assign(encoder, settings);
  const answers = new Map();
  try {
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${answers.size} of ${ids.length} answers in ${LIMIT_MS} ms`)), LIMIT_MS);
      const take = packet => {
        answers.set(packet.packetId, packet);
        if (answers.size === ids.length) {
          clearTimeout(timer);
          resolve();
        }
      };
      decoder.on('response', take);
      decoder.on('heartbeat_ack', take);
      for (const part of [ socket, encoder, decoder ]) part.on('error', reject);
      socket.on('close', () => reject(new Error('the server closed the connection')));
      socket.once('data', data => { answers.firstByte = data[0]; });
      encoder.pipe(socket).pipe(decoder);
      socket.cork();
      write(encoder);
      socket.uncork();
    });
  } finally {
    socket.destroy();
  }
  return answers;
}

const reverse = (encoder, id, text) => encoder.writeRequest(id, {
  serverSignature: 'com.diwan.interop.Kitchen:1.0',
  methodName: 'reverse',
  args: [ { $class: 'java.lang.String', $: text } ],
  timeout: LIMIT_MS,
});

async function main() {
  let wrong = 0;
  const modes = {
    // boltVersion is the second byte of a v2 frame: 1 has no room for a CRC.
    v1: { protocolType: 'bolt' },
    v2: { protocolType: 'bolt2', boltVersion: 1 },
    'v2-crc': { protocolType: 'bolt2', boltVersion: 2, crcEnable: true },
  };
  for (const mode of Object.keys(modes)) {
    const cases = {
      request: async () => {
        const answers = await exchange(modes[mode], [ 5 ], encoder => reverse(encoder, 5, 'abc'));
        assert.strictEqual(answers.get(5).data.appResponse, 'cba');
        assert.strictEqual(answers.firstByte, mode === 'v1' ? 1 : 2, 'answered in another version');
      },
      heartbeat: async () => {
        const answers = await exchange(modes[mode], [ 6 ], encoder => encoder.writeHeartbeat(6, { clientUrl: 'interop' }));
        assert.strictEqual(answers.get(6).packetType, 'heartbeat_ack');
      },
      pipelined: async () => {
        const ids = Array.from({ length: 50 }, (_, i) => 100 + i);
        const answers = await exchange(modes[mode], ids, encoder => ids.forEach(id => reverse(encoder, id, 'text-' + id)));
        for (const id of ids) assert.strictEqual(answers.get(id).data.appResponse, Array.from('text-' + id).reverse().join(''));
      },
      error: async () => {
        const answers = await exchange(modes[mode], [ 9 ], encoder => encoder.writeRequest(9, {
          serverSignature: 'com.diwan.interop.Nowhere:1.0', methodName: 'reverse', args: [], timeout: LIMIT_MS }));
        assert(answers.get(9).data.error.message.includes('com.diwan.interop.Nowhere:1.0'), answers.get(9).data.error.message);
      },
    };
    for (const name of Object.keys(cases)) {
      await tellRecorder(`bolt-${mode}-${name}`);
      try {
        await cases[name]();
        console.log(`ok bolt-${mode}-${name}`);
      } catch (error) {
        wrong++;
        console.log(`WRONG bolt-${mode}-${name}: ${error.message.replace(/\n/g, ' ')}`);
      }
    }
  }
  process.exit(wrong ? 1 : 0);
}

main();
