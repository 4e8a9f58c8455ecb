// Asks for TURN servers as a Matrix client does, and prints what a call of it would be given.
//
//   TOKEN=… node matrix.js http://127.0.0.1:8090
import { createClient } from 'matrix-js-sdk';
import { logger } from 'matrix-js-sdk/lib/logger.js';

// Standard output is for the answer.
logger.methodFactory = () => (...words) => console.error(...words);
logger.rebuild();

// The SDK asks only where calls can be made, which it tells by these names; no call is made here.
globalThis.window = { RTCPeerConnection: class {} };
globalThis.document = {};

const client = createClient({
  baseUrl: process.argv[2],
  accessToken: process.env.TOKEN,
  userId: '@ana:example.org',
});
if (!(await client.checkTurnServers())) throw new Error('the SDK has got no credentials');
console.log(JSON.stringify(client.getTurnServers()));
