// A signaling server as it is usually written: Socket.IO with its Redis adapter, rooms, and messages to one
// other client. Settings as the documentation advises for many connections: WebSocket only, the native
// add-on `bufferutil`, no compression, and the HTTP request of each connection let go.
//
//   node socketio.js [redis://…]       prints {"event":"listening","public":"127.0.0.1:PORT"}
import { createServer } from 'node:http';
import { createAdapter } from '@socket.io/redis-adapter';
import { createClient } from 'redis';
import { Server } from 'socket.io';

const redis = process.argv[2];
const http = createServer();
const io = new Server(http, { transports: ['websocket'], perMessageDeflate: false, httpCompression: false });

if (redis) {
  const publisher = createClient({ url: redis });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  io.adapter(createAdapter(publisher, subscriber));
}

io.engine.on('connection', (connection) => {
  connection.request = null;
});

io.on('connection', (socket) => {
  socket.on('join', (room, done) => {
    socket.join(room);
    socket.data.room = room;
    done();
  });
  socket.on('signal', ({ to, data }) => {
    const others = to ? io.to(to) : socket.to(socket.data.room);
    others.emit('signal', { from: socket.id, data });
  });
});

http.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ event: 'listening', public: `127.0.0.1:${http.address().port}` }));
});
