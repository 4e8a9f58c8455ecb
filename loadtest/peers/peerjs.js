// PeerJS server with room for the connections of a measurement; its default takes 5,000.
//
//   node peerjs.js       prints {"event":"listening","public":"127.0.0.1:PORT"}
import { PeerServer } from 'peer';

PeerServer({ host: '127.0.0.1', port: 0, path: '/', concurrent_limit: 100_000, alive_timeout: 3_600_000 }, (server) => {
  console.log(JSON.stringify({ event: 'listening', public: `127.0.0.1:${server.address().port}` }));
});
